"""Vets a model's reply: aspects with the spans of the quotes that bear them out, and the caption.

An aspect is kept when its quote stands in the document, exactly after folding or by an alignment that changes no fact,
and the quote bears its words; it is published in the document's own wording. A caption is kept when each of its
sentences is made of the document's words. The rest comes back with reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from sourcing.generation.grounding.captions import VettedCaption, vet_caption
from sourcing.generation.grounding.context import NO_CONTEXT, ReplyContext
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.grounding.leaks import aspect_leak, hide_lyrics, wrong_language
from sourcing.generation.grounding.names import Names, names_somebody, without_names
from sourcing.generation.grounding.quotes import EXACT, Place, QuotedDocument, find_places, read_document
from sourcing.generation.text.folding import fold, fold_text, locate, occurrences, stands_alone, tidy_phrase, wording
from sourcing.generation.text.lexicon import MAX_ASPECT_WORDS, facet_of, is_junk, is_name, says_nothing, too_long
from sourcing.generation.text.lyrics import NO_RUNS, Runs, takes_lyrics
from sourcing.generation.text.negation import is_denied, negations
from sourcing.generation.text.phrases import aspect_key, split_phrase
from sourcing.generation.text.tagging import has_tagger
from sourcing.generation.text.words import compact, content_stems, stems_at, words
from sourcing.store.schemas import FACETS

__all__ = ["Finding", "VettedReply", "accept", "ground", "vet_aspect"]

_UNBORNE = ("quote_not_found", "aspect_unsupported")
AspectKeys = set[tuple[str, ...]]


@dataclass
class VettedReply:
    """The aspects (in the order of the reply) and the caption that may be published, and findings for all the rest."""

    aspects: list[dict[str, Any]] = field(default_factory=list)
    caption: str | None = None
    findings: list[Finding] = field(default_factory=list)

    def add_caption(self, result: VettedCaption, traces: Runs) -> VettedReply:
        """This reply with a caption, the findings of both, and lyrics blotted out of every finding."""
        return VettedReply(self.aspects, result.caption, hide_lyrics([*self.findings, *result.findings], traces))


def ground(
    payload: Mapping[str, Any], document_text: str, *, doc_id: str, context: ReplyContext = NO_CONTEXT
) -> VettedReply:
    """Hold a mined reply's aspects and caption against `document_text`.

    An aspect is a verbatim string, or an object of quote and, optionally, text and facet. Evidence offsets count
    characters of `document_text`, [start, end).
    """
    document, names, language = read_document(document_text), context.names, context.language
    reply = VettedReply()
    keys: AspectKeys = set()
    for aspect in payload["aspects"]:
        for text, quote, part_facet in _pieces(aspect, context):
            result = vet_aspect(text, names, keys) or _support(text, quote, document)
            if not isinstance(result, Finding) and fold_text(result.text) != fold_text(text):
                result = _as_phrase(result, context)
                result = vet_aspect(result.text, names, keys) or result
            if isinstance(result, Finding):
                if result.reason in _UNBORNE and fold_text(text) in context.rules.examples:
                    result = Finding(
                        "prompt_echo", f"{text!r} is the prompt's own example; the document does not say it", aspect
                    )
                reply.findings.append(result)
                continue
            if _is_capitalised(result, document_text, language):
                finding = f"{result.text!r} is written as a name, and no word of it is of music"
                reply.findings.append(Finding("aspect_is_name", finding, aspect))
                continue
            if part_facet is None or (isinstance(aspect, str) and part_facet == "other" and language.startswith("en")):
                unknown = f"{text!r} holds no phrase of a known facet, so it may not be about the sound"
                reply.findings.append(Finding("facet_unknown", unknown, aspect))
                continue
            facet = facet_of(result.text, part_facet)
            keys.add(aspect_key(result.text))
            evidence = [{"doc_id": doc_id, "start": result.start, "end": result.end}]
            reply.aspects.append({"text": result.text, "facet": facet, "evidence": evidence})
    _check_language(reply, language)
    caption = vet_caption(payload.get("caption") or "", document, context)
    return reply.add_caption(caption, document.lyric_traces)


def accept(
    payload: Mapping[str, Any], *, context: ReplyContext = NO_CONTEXT, documents: Iterable[str] = ()
) -> VettedReply:
    """Vet a reply that no document can bear out: its phrases and its caption; evidence stays empty.

    `documents` are texts about the track, of whose lyrics the reply may not take too much.
    """
    reply = VettedReply()
    keys: AspectKeys = set()
    sung, traces = _lyrics_near(payload, documents)
    for aspect in payload["aspects"]:
        for text, _, part_facet in _unnamed_pieces(aspect, context):
            finding = vet_aspect(text, context.names, keys)
            if finding is None and sung and takes_lyrics(" ".join((*(a["text"] for a in reply.aspects), text)), sung):
                finding = Finding(
                    "aspect_is_lyric", "with those before it, it takes more than eight words of the lyrics"
                )
            if finding is None and part_facet is None:
                finding = Finding("facet_unknown", f"{text!r} holds no phrase of a known facet", aspect)
            if finding is not None:
                reply.findings.append(finding)
                continue
            keys.add(aspect_key(text))
            own_facet = None if isinstance(aspect, str) else _facet_or_none(aspect.get("facet"))
            reply.aspects.append({"text": text, "facet": own_facet or facet_of(text, part_facet), "evidence": []})
    _check_language(reply, context.language)
    caption = vet_caption(payload.get("caption") or "", None, context, sung=sung)
    return reply.add_caption(caption, traces)


def _lyrics_near(payload: Mapping[str, Any], texts: Iterable[str]) -> tuple[Runs, Runs]:
    """Lyric runs and traces of the documents a reply may have taken lyrics from."""
    documents = [read_document(text) for text in texts]
    if not documents:
        return NO_RUNS, NO_RUNS
    aspects = [aspect if isinstance(aspect, str) else aspect["text"] for aspect in payload["aspects"]]
    tokens = words(" ".join([*aspects, payload.get("caption") or ""]))
    near = [document for document in documents if document.may_be_quoted_in(tokens)]
    runs = (
        frozenset().union(*(getattr(document, name) for document in near)) for name in ("lyric_runs", "lyric_traces")
    )
    return next(runs), next(runs)


def vet_aspect(text: str, names: Names, keys: AspectKeys) -> Finding | None:
    """Finding that a phrase cannot be an aspect whatever its source, or None; `keys` are of the aspects before."""
    if not text or says_nothing(text):
        return Finding("aspect_empty", f"{text!r} states nothing about the sound", text)
    if too_long(text):
        return Finding("aspect_too_long", f"{text!r} is longer than {MAX_ASPECT_WORDS} words", text)
    if is_junk(text):
        return Finding("aspect_is_junk", f"{text!r} speaks of a listener, a shelf, a year or a rating", text)
    if is_name(text, names.whole) or names_somebody(text, names):
        return Finding("aspect_is_name", f"{text!r} names the artist, title or album", text)
    if aspect_key(text) in keys:
        return Finding("aspect_repeated", f"{text!r} was said before", text)
    return aspect_leak(text)


class _Piece(NamedTuple):
    """A phrase of an aspect of a reply, the quote that bears it out, and its facet; None where it is no phrase."""

    text: str
    quote: str
    facet: str | None


def _pieces(aspect: str | Mapping[str, Any], context: ReplyContext) -> list[_Piece]:
    """The phrases of an aspect of a reply.

    A bare string is its own quote and is parted: "slow piano, soft drums and a cello" is three aspects, each with its
    own evidence. So is an object's `text`, the model's own wording, which its quote bears out.
    """
    if isinstance(aspect, str):
        text = quote = tidy_phrase(wording(aspect))
        own_facet = None
    else:
        quote = tidy_phrase(wording(aspect.get("quote") or ""))
        text, own_facet = tidy_phrase(wording(aspect.get("text") or quote)), _facet_or_none(aspect.get("facet"))
        if text != quote and not too_long(text) and not _is_parted(text, context):
            return [_Piece(text, quote, own_facet or facet_of(text))]
    parts = split_phrase(without_names(text, context.names), context.language, own_facet)
    if not parts:
        return [_Piece(text, quote, None)]
    whole = fold(quote) if text == quote else fold("")
    return [_Piece(part.text, part.text if locate(part.text, whole) else quote, part.facet) for part in parts]


def _unnamed_pieces(aspect: str | Mapping[str, Any], context: ReplyContext) -> list[_Piece]:
    """The phrases of an aspect that no document bears out; whole where it compares with somebody."""
    text = tidy_phrase(wording(aspect if isinstance(aspect, str) else aspect["text"]))
    return [_Piece(text, text, None)] if names_somebody(text, context.names) else _pieces(aspect, context)


def _is_parted(text: str, context: ReplyContext) -> bool:
    """True for a model's wording that may hold more than a phrase; False where it denies or names, and stays whole."""
    return has_tagger(context.language) and not negations(fold_text(text)) and not names_somebody(text, context.names)


@dataclass(frozen=True)
class _Support:
    """An aspect in the document's wording, and the span [start, end) of the quote that bears it out."""

    text: str
    start: int
    end: int


def _support(text: str, quote: str, document: QuotedDocument) -> _Support | Finding:
    """The aspect at the first place of the document that bears it out, else the finding of the first place."""
    problem: Finding | None = None
    for place in find_places(quote, document):
        result = _support_at(place, text, quote, document)
        if isinstance(result, _Support):
            return result
        problem = problem or result
    missing = Finding(
        "quote_not_found", f"the quote {quote!r} for {text!r} is not in the document", {"text": text, "quote": quote}
    )
    return problem or missing


def _as_phrase(support: _Support, context: ReplyContext) -> _Support:
    """The aspect without what stands around its phrase in the document's wording, as "Strings" of "Strings swell"."""
    parts = split_phrase(support.text, context.language) if has_tagger(context.language) else []
    return replace(support, text=parts[0].text) if parts else support


def _support_at(place: Place, text: str, quote: str, document: QuotedDocument) -> _Support | Finding:
    piece = {"text": text, "quote": quote}
    start, end = document.original(place)
    passage = document.text[start:end]
    if document.is_lyric(place):
        return Finding("quote_is_lyric", "it is sung there, and lyrics say nothing of the sound")
    is_copy = text == quote and place.score == EXACT
    missing = [] if is_copy else _missing_words(text, passage)
    if missing:
        return Finding("aspect_unsupported", f"the quote {quote!r} does not say {', '.join(missing)}", piece)
    own = place if is_copy else _own_words(text, place, document)
    if own is None:
        finding = f"the document says {text!r} in other words, over more than {MAX_ASPECT_WORDS} of them"
        return Finding("aspect_not_verbatim", finding, piece)
    if _is_negated(own, document):
        return Finding("aspect_negated", f"the document denies {text!r} where it says {quote!r}", piece)
    first, last = document.original(own)
    return _Support(tidy_phrase(wording(document.text[first:last])), start, end)


def _own_words(text: str, place: Place, document: QuotedDocument) -> Place | None:
    """The place in a quote where the document says the aspect: word for word, else the least run with all its words."""
    for start, end in occurrences(text, document.folded_text, start=place.start, end=place.end):
        return Place(start, end, place.score)
    own_stems = set(content_stems(text))
    stems = [stem for stem in stems_at(document.folded_text.text[place.start : place.end]) if stem[0] in own_stems]
    best: tuple[int, int] | None = None
    for first in range(len(stems)):
        run: set[str] = set()
        for stem, _, end in stems[first:]:
            run.add(stem)
            if run == own_stems:
                span = place.start + stems[first][1], place.start + end
                best = min(best or span, span, key=lambda span: span[1] - span[0])
                break
    if best is None:  # written together in one and apart in the other
        best = place.start, place.end
    if not stands_alone(document.folded_text, *best) or too_long(document.folded_text.text[slice(*best)].strip()):
        return None
    return Place(*best, place.score)


def _missing_words(text: str, passage: str) -> list[str]:
    if compact(text) in compact(passage):
        return []
    stems = set(content_stems(passage))
    return [word for word in dict.fromkeys(content_stems(text)) if word not in stems]


def _is_negated(own: Place, document: QuotedDocument) -> bool:
    """True when the document denies the aspect's first word and the aspect itself holds no negation."""
    if not any(start < own.end and own.start < end for start, end in document.denials):
        return False
    passage = document.folded_text.text[own.start : own.end]
    stems = stems_at(passage)
    at = own.start + (stems[0][1] if stems else 0)
    return is_denied(at, document.denials) and not negations(passage)


def _check_language(reply: VettedReply, language: str) -> None:
    """Drop all aspects when together surely in another language; one alone is too short to tell."""
    finding = wrong_language(", ".join(aspect["text"] for aspect in reply.aspects), language, "aspects")
    if finding is not None:
        reply.aspects.clear()
        reply.findings.append(finding)


def _is_capitalised(support: _Support, document_text: str, language: str) -> bool:
    """True for two and more words with capitals throughout, as "Dennis Clay", none of them a word of music.

    German writes all nouns so; "Brass Stabs" at the beginning of a sentence has its words of music.
    """
    tokens = support.text.split()
    if language.startswith("de") or len(tokens) < 2 or not all(token[:1].isupper() for token in tokens):
        return False
    return support.text in document_text and all(facet_of(token) == "other" for token in (support.text, *tokens))


def _facet_or_none(facet: object) -> str | None:
    return facet if isinstance(facet, str) and facet in FACETS else None
