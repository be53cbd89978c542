"""What of a model's reply its document bears out: aspects with the spans of their quotes, and the caption.

An aspect is kept when its quote stands verbatim in the document (after folding) and the quote bears its words.
A caption is kept when each of its sentences is made of the document's words. The rest comes back with reasons.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sourcing.generation.folding import Folded, fold, fold_text, locate
from sourcing.generation.lexicon import MAX_ASPECT_WORDS, facet_of, is_junk, is_name, says_nothing, too_long
from sourcing.generation.phrases import sentences, split_phrase, tidy, tidy_phrase
from sourcing.generation.words import compact, content_stems, negations, stem, words
from sourcing.store.schemas import FACETS

__all__ = ["MIN_CAPTION_COVER", "Finding", "Grounded", "accept", "aspect_key", "ground", "vet_aspect"]

_UNBORNE = ("quote_not_found", "aspect_unsupported")
MIN_CAPTION_COVER = 0.8  # share of a sentence's content words that the document or the aspects must hold
UNFINISHED_CHARS = 100  # a longer caption without a full stop was cut by the schema's maxLength
_FULL_STOPS = tuple(".!?…。！？\"'”’)")
_WORD, _DIGIT = re.compile(r"[^\W_]+"), re.compile(r"\d")
_NEGATION_REACH = 3  # words before the aspect's first word that may negate it


@dataclass(frozen=True)
class Finding:
    """Why a piece of a reply was left out: a countable reason, a sentence, the piece."""

    reason: str
    finding: str
    piece: Any = None


@dataclass
class Grounded:
    """What was kept of a reply (`aspects` in the order of the reply) and what was not."""

    aspects: list[dict[str, Any]] = field(default_factory=list)
    caption: str | None = None
    findings: list[Finding] = field(default_factory=list)


def ground(
    payload: Mapping[str, Any],
    document_text: str,
    *,
    doc_id: str,
    language: str = "en",
    names: Iterable[str | None] = (),
    echoes: Collection[str] = (),
) -> Grounded:
    """Hold a mined reply's aspects and caption against `document_text`.

    An aspect is a verbatim string, or an object of quote and, optionally, text and facet. `names` are the artist, title
    and album; `echoes` the aspects of the pack's worked example, so that a copy of it is called by its name.
    Evidence offsets count characters of `document_text`, [start, end).
    """
    document, names, echoed = fold(document_text), tuple(names), {fold_text(echo) for echo in echoes}
    grounded = Grounded()
    seen: set[tuple[str, ...]] = set()
    for aspect in payload["aspects"]:
        facet_given = None if isinstance(aspect, str) else _known(aspect.get("facet"))
        for text, quote in _pieces(aspect):
            facet = facet_of(text, facet_given)
            result = vet_aspect(text, names, seen) or _support(text, quote, document, document_text)
            if isinstance(result, Finding):
                if fold_text(text) in echoed and result.reason in _UNBORNE:
                    result = Finding(
                        "prompt_echo", f"{text!r} is the prompt's own example; the document does not say it", aspect
                    )
                grounded.findings.append(result)
            elif isinstance(aspect, str) and facet == "other" and language.startswith("en"):
                finding = f"{text!r} holds no word of the facet lexicon, so it may not be about the sound"
                grounded.findings.append(Finding("facet_unknown", finding, aspect))
            else:
                seen.add(aspect_key(text))
                evidence = [{"doc_id": doc_id, "start": result[0], "end": result[1]}]
                grounded.aspects.append({"text": text, "facet": facet, "evidence": evidence})
    _take_caption(grounded, payload, document_text, names)
    return grounded


def accept(payload: Mapping[str, Any], *, names: Iterable[str | None] = ()) -> Grounded:
    """Take a reply that no document can bear out: phrases are vetted, evidence stays empty, the caption is kept."""
    names = tuple(names)
    grounded = Grounded()
    seen: set[tuple[str, ...]] = set()
    for aspect in payload["aspects"]:
        text = tidy_phrase(aspect if isinstance(aspect, str) else aspect["text"])
        facet_given = None if isinstance(aspect, str) else _known(aspect.get("facet"))
        finding = vet_aspect(text, names, seen)
        if finding is not None:
            grounded.findings.append(finding)
            continue
        seen.add(aspect_key(text))
        grounded.aspects.append({"text": text, "facet": facet_given or facet_of(text), "evidence": []})
    _take_caption(grounded, payload, None, names)
    return grounded


def vet_aspect(text: str, names: Iterable[str | None], seen: set[tuple[str, ...]]) -> Finding | None:
    """Why a phrase cannot be an aspect whatever its source, or None; `seen` holds the keys of those already taken."""
    if not text or says_nothing(text):
        return Finding("aspect_empty", f"{text!r} states nothing about the sound", text)
    if too_long(text):
        return Finding("aspect_too_long", f"{text!r} is longer than {MAX_ASPECT_WORDS} words", text)
    if is_junk(text):
        return Finding("aspect_is_junk", f"{text!r} speaks of a listener, a shelf, a year or a rating", text)
    if is_name(text, names):
        return Finding("aspect_is_name", f"{text!r} only names the artist, title or album", text)
    if aspect_key(text) in seen:
        return Finding("aspect_repeated", f"{text!r} was said before", text)
    return None


def aspect_key(text: str) -> tuple[str, ...]:
    """Equal for phrases that say the same in other order or inflection."""
    return tuple(sorted(set(content_stems(text)))) or (compact(text),)


def _pieces(aspect: str | Mapping[str, Any]) -> list[tuple[str, str]]:
    """(text, quote) of each thing an aspect says.

    A bare string is its own quote and is parted: "slow piano, soft drums and a cello" is three aspects, each with its
    own evidence. An object's `text` is the model's wording and stays whole, unless it is too long.
    """
    if isinstance(aspect, str):
        text = quote = tidy_phrase(aspect)
    else:
        quote = tidy_phrase(aspect["quote"])
        text = tidy_phrase(aspect.get("text") or quote)
        if text != quote and not too_long(text):
            return [(text, quote)]
    parts = split_phrase(text)
    if parts == [text]:
        return [(text, quote)]
    whole = fold(quote)
    return [(part, part if locate(part, whole) else quote) for part in parts]


def _support(text: str, quote: str, document: Folded, document_text: str) -> tuple[int, int] | Finding:
    """The span of the quote that bears out `text`, or why there is none."""
    span = locate(quote, document)
    piece = {"text": text, "quote": quote}
    if span is None:
        return Finding("quote_not_found", f"the quote {quote!r} for {text!r} is not in the document", piece)
    said = document_text[span[0] : span[1]]
    missing = _missing_words(text, said)
    if missing:
        return Finding("aspect_unsupported", f"the quote {quote!r} does not say {', '.join(missing)}", piece)
    if _is_negated(text, document_text, span):
        return Finding("aspect_negated", f"the document denies {text!r} where it says {quote!r}", piece)
    return span


def _missing_words(text: str, said: str) -> list[str]:
    if compact(text) in compact(said):
        return []
    held = set(content_stems(said))
    return [word for word in dict.fromkeys(content_stems(text)) if word not in held]


def _is_negated(text: str, document_text: str, span: tuple[int, int]) -> bool:
    """Whether a "no" or "without" stands shortly before the aspect's first word in the same sentence."""
    wanted = set(content_stems(text))
    if set(words(text)) & negations():
        return False
    before = sentences(document_text[: span[0]] + "§")[-1].removesuffix("§")
    lead, quoted = words(before), words(document_text[span[0] : span[1]])
    window = lead + quoted
    first = next((at for at, word in enumerate(quoted) if stem(word) in wanted), 0) + len(lead)
    near = window[max(0, first - _NEGATION_REACH) : first]
    return any(
        word in negations() and near[at + 1 : at + 2] not in (["only"], ["just"], ["merely"])
        for at, word in enumerate(near)
    )


def _take_caption(
    grounded: Grounded, payload: Mapping[str, Any], document_text: str | None, names: tuple[str | None, ...]
) -> None:
    """Keep the caption's whole sentences; with a document, only if it bears out each of them."""
    caption = tidy(payload.get("caption") or "")
    if not words(caption):
        return
    if {fold_text(caption).strip(" .!?")} & {fold_text(name).strip(" .!?") for name in names if name}:
        grounded.findings.append(
            Finding("caption_is_name", f"{caption!r} only names the artist, title or album", caption)
        )
        return
    whole = sentences(caption)
    if len(caption) > UNFINISHED_CHARS and not caption.endswith(_FULL_STOPS):
        grounded.findings.append(
            Finding("caption_cut", f"its last sentence has no end: {whole[-1]!r}", {"caption": caption})
        )
        whole = whole[:-1]
        if not whole:
            return
        caption = " ".join(whole)
    if document_text is not None:
        uncovered = _uncovered_sentence(caption, document_text, [aspect["text"] for aspect in grounded.aspects])
        if uncovered is not None:
            grounded.findings.append(uncovered)
            return
    grounded.caption = caption


def _uncovered_sentence(caption: str, document_text: str, aspects: list[str]) -> Finding | None:
    held = set(content_stems(document_text))
    for aspect in aspects:
        held.update(content_stems(aspect))
    for sentence in sentences(caption):
        stated = content_stems(sentence)
        missing = [word for word in stated if word not in held]
        invented = [word for word in _names_and_numbers(sentence) if set(content_stems(word)) - held]
        if invented or (stated and 1 - len(missing) / len(stated) < MIN_CAPTION_COVER):
            return Finding(
                "caption_unsupported",
                f"the document does not say {', '.join(dict.fromkeys(missing))}",
                {"caption": caption},
            )
    return None


def _names_and_numbers(sentence: str) -> list[str]:
    """Capitalised words after the first, and whatever holds a digit: none of them may be the model's own."""
    found = enumerate(_WORD.findall(sentence))
    return [word for place, word in found if _DIGIT.search(word) or (place and word[0].isupper())]


def _known(facet: object) -> str | None:
    return facet if isinstance(facet, str) and facet in FACETS else None
