"""What of a model's reply its document bears out: aspects with the spans of their quotes, and the caption.

An aspect is kept when its quote stands in the document, exactly after folding or by an alignment that changes no fact,
and the quote bears its words; it is published in the document's own wording. A caption is kept when each of its
sentences is made of the document's words. The rest comes back with reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sourcing.generation.grounding.captions import MIN_CAPTION_COVER, take_caption
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.grounding.leaks import (
    NO_RULES,
    Names,
    PackRules,
    aspect_leak,
    hide_lyrics,
    names_somebody,
    wrong_language,
)
from sourcing.generation.grounding.quotes import EXACT, Place, Source, find_places, read_source
from sourcing.generation.text.folding import fold, fold_text, locate, occurrences, stands_alone, tidy_phrase, wording
from sourcing.generation.text.lexicon import MAX_ASPECT_WORDS, facet_of, is_junk, is_name, says_nothing, too_long
from sourcing.generation.text.lyrics import NO_RUNS, Runs, takes_lyrics
from sourcing.generation.text.negation import is_denied, negations
from sourcing.generation.text.phrases import aspect_key, split_phrase
from sourcing.generation.text.words import compact, content_stems, stems_at, words
from sourcing.store.schemas import FACETS

__all__ = ["MIN_CAPTION_COVER", "Finding", "Grounded", "accept", "ground", "vet_aspect"]

_UNBORNE = ("quote_not_found", "aspect_unsupported")


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
    named: Names | None = None,
    echoes: Collection[str] = (),
    rules: PackRules = NO_RULES,
) -> Grounded:
    """Hold a mined reply's aspects and caption against `document_text`.

    An aspect is a verbatim string, or an object of quote and, optionally, text and facet. `names` are the artist, title
    and album, `named` the same as the lint looks for them; `echoes` the aspects of the pack's worked example, so that a
    copy of it is called by its name. Evidence offsets count characters of `document_text`, [start, end).
    """
    source, names, named = read_source(document_text), tuple(names), named or Names()
    echoed = {fold_text(echo) for echo in echoes}
    grounded = Grounded()
    seen: set[tuple[str, ...]] = set()
    for aspect in payload["aspects"]:
        facet_given = None if isinstance(aspect, str) else _known(aspect.get("facet"))
        for text, quote in _pieces(aspect):
            finding = vet_aspect(text, names, seen, named=named)
            result = finding or _support(text, quote, source)
            if not isinstance(result, Finding) and fold_text(result.text) != fold_text(text):
                result = vet_aspect(result.text, names, seen, named=named) or result
            if isinstance(result, Finding):
                if fold_text(text) in echoed and result.reason in _UNBORNE:
                    result = Finding(
                        "prompt_echo", f"{text!r} is the prompt's own example; the document does not say it", aspect
                    )
                grounded.findings.append(result)
                continue
            facet = facet_of(text, facet_given)
            if facet == "other":
                facet = facet_of(result.text)
            if isinstance(aspect, str) and facet == "other" and language.startswith("en"):
                unknown = f"{text!r} holds no word of the facet lexicon, so it may not be about the sound"
                grounded.findings.append(Finding("facet_unknown", unknown, aspect))
                continue
            seen.add(aspect_key(result.text))
            evidence = [{"doc_id": doc_id, "start": result.start, "end": result.end}]
            grounded.aspects.append({"text": result.text, "facet": facet, "evidence": evidence})
    _check_language(grounded, language)
    taken = take_caption(payload.get("caption") or "", source, names=names, named=named, language=language, rules=rules)
    grounded.caption = taken.caption
    grounded.findings = hide_lyrics([*grounded.findings, *taken.findings], source.lyric_traces)
    return grounded


def accept(
    payload: Mapping[str, Any],
    *,
    names: Iterable[str | None] = (),
    named: Names | None = None,
    language: str = "und",
    rules: PackRules = NO_RULES,
    documents: Iterable[str] = (),
) -> Grounded:
    """Take a reply that no document can bear out: phrases and caption are vetted, evidence stays empty.

    `documents` are texts about the track, of whose lyrics the reply may not take too much.
    """
    names, named = tuple(names), named or Names()
    grounded = Grounded()
    seen: set[tuple[str, ...]] = set()
    sung, traces = _lyrics_taken(payload, documents)
    for aspect in payload["aspects"]:
        text = tidy_phrase(wording(aspect if isinstance(aspect, str) else aspect["text"]))
        facet_given = None if isinstance(aspect, str) else _known(aspect.get("facet"))
        finding = vet_aspect(text, names, seen, named=named)
        if finding is None and sung and takes_lyrics(" ".join((*(a["text"] for a in grounded.aspects), text)), sung):
            finding = Finding("aspect_is_lyric", "with those before it, it takes more than eight words of the lyrics")
        if finding is not None:
            grounded.findings.append(finding)
            continue
        seen.add(aspect_key(text))
        grounded.aspects.append({"text": text, "facet": facet_given or facet_of(text), "evidence": []})
    _check_language(grounded, language)
    taken = take_caption(
        payload.get("caption") or "", None, names=names, named=named, language=language, rules=rules, sung=sung
    )
    grounded.caption = taken.caption
    grounded.findings = hide_lyrics([*grounded.findings, *taken.findings], traces)
    return grounded


def _lyrics_taken(payload: Mapping[str, Any], documents: Iterable[str]) -> tuple[Runs, Runs]:
    """The lyric runs and traces of those documents that a reply may have taken lyrics from."""
    sources = [read_source(text) for text in documents]
    if not sources:
        return NO_RUNS, NO_RUNS
    aspects = [aspect if isinstance(aspect, str) else aspect["text"] for aspect in payload["aspects"]]
    said = words(" ".join([*aspects, payload.get("caption") or ""]))
    near = [source for source in sources if source.may_be_quoted_in(said)]
    runs = (frozenset().union(*(getattr(source, name) for source in near)) for name in ("lyric_runs", "lyric_traces"))
    return next(runs), next(runs)


def vet_aspect(
    text: str, names: Iterable[str | None], seen: set[tuple[str, ...]], *, named: Names | None = None
) -> Finding | None:
    """Why a phrase cannot be an aspect whatever its source, or None; `seen` holds the keys of those already taken."""
    if not text or says_nothing(text):
        return Finding("aspect_empty", f"{text!r} states nothing about the sound", text)
    if too_long(text):
        return Finding("aspect_too_long", f"{text!r} is longer than {MAX_ASPECT_WORDS} words", text)
    if is_junk(text):
        return Finding("aspect_is_junk", f"{text!r} speaks of a listener, a shelf, a year or a rating", text)
    if is_name(text, names) or (named is not None and names_somebody(text, named)):
        return Finding("aspect_is_name", f"{text!r} names the artist, title or album", text)
    if aspect_key(text) in seen:
        return Finding("aspect_repeated", f"{text!r} was said before", text)
    return aspect_leak(text)


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


@dataclass(frozen=True)
class _Borne:
    """An aspect in the document's wording, and the span [start, end) of the quote that bears it out."""

    text: str
    start: int
    end: int


def _support(text: str, quote: str, source: Source) -> _Borne | Finding:
    """The aspect as the document says it, or why it does not: the first place that bears it out, else what is amiss."""
    problem: Finding | None = None
    for place in find_places(quote, source):
        result = _support_at(place, text, quote, source)
        if isinstance(result, _Borne):
            return result
        problem = problem or result
    missing = Finding(
        "quote_not_found", f"the quote {quote!r} for {text!r} is not in the document", {"text": text, "quote": quote}
    )
    return problem or missing


def _support_at(place: Place, text: str, quote: str, source: Source) -> _Borne | Finding:
    piece = {"text": text, "quote": quote}
    start, end = source.original(place)
    said = source.text[start:end]
    if source.is_lyric(place):
        return Finding("quote_is_lyric", "it is sung there, and lyrics say nothing of the sound")
    copied = text == quote and place.score == EXACT
    missing = [] if copied else _missing_words(text, said)
    if missing:
        return Finding("aspect_unsupported", f"the quote {quote!r} does not say {', '.join(missing)}", piece)
    own = place if copied else _own_words(text, place, source)
    if own is None:
        finding = f"the document says {text!r} in other words, over more than {MAX_ASPECT_WORDS} of them"
        return Finding("aspect_not_verbatim", finding, piece)
    if _is_negated(own, source):
        return Finding("aspect_negated", f"the document denies {text!r} where it says {quote!r}", piece)
    first, last = source.original(own)
    return _Borne(tidy_phrase(wording(source.text[first:last])), start, end)


def _own_words(text: str, place: Place, source: Source) -> Place | None:
    """Where in the quote the document says the aspect: word for word, else in the least run that has all its words."""
    for start, end in occurrences(text, source.folded, start=place.start, end=place.end):
        return Place(start, end, place.score)
    wanted = set(content_stems(text))
    stems = [found for found in stems_at(source.folded.text[place.start : place.end]) if found[0] in wanted]
    best: tuple[int, int] | None = None
    for first in range(len(stems)):
        held: set[str] = set()
        for found in stems[first:]:
            held.add(found[0])
            if held == wanted:
                span = place.start + stems[first][1], place.start + found[2]
                best = min(best or span, span, key=lambda span: span[1] - span[0])
                break
    if best is None:  # written together in one and apart in the other
        best = place.start, place.end
    if not stands_alone(source.folded, *best) or too_long(source.folded.text[slice(*best)].strip()):
        return None
    return Place(*best, place.score)


def _missing_words(text: str, said: str) -> list[str]:
    if compact(text) in compact(said):
        return []
    held = set(content_stems(said))
    return [word for word in dict.fromkeys(content_stems(text)) if word not in held]


def _is_negated(own: Place, source: Source) -> bool:
    """Whether the document denies the aspect's first word there and the aspect does not say so itself."""
    if not any(start < own.end and own.start < end for start, end in source.denied):
        return False
    said = source.folded.text[own.start : own.end]
    stems = stems_at(said)
    at = own.start + (stems[0][1] if stems else 0)
    return is_denied(at, source.denied) and not negations(said)


def _check_language(grounded: Grounded, language: str) -> None:
    """Drop all aspects when together they are surely in another language; one alone is too short to tell."""
    finding = wrong_language(", ".join(aspect["text"] for aspect in grounded.aspects), language, "aspects")
    if finding is not None:
        grounded.aspects.clear()
        grounded.findings.append(finding)


def _known(facet: object) -> str | None:
    return facet if isinstance(facet, str) and facet in FACETS else None
