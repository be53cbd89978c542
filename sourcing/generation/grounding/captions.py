"""Vets captions against their document: whole sentences, facts that it bears out, no lyrics, no leaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sourcing.generation.grounding.context import ReplyContext
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.grounding.leaks import caption_leak, sentence_leak, wrong_language
from sourcing.generation.grounding.quotes import QuotedDocument, number_words
from sourcing.generation.text.folding import fold_text, tidy, wording
from sourcing.generation.text.lexicon import facet_of, spaceless_terms
from sourcing.generation.text.lyrics import NO_RUNS, Runs, lyric_runs, takes_lyrics
from sourcing.generation.text.negation import denied_spans, is_denied
from sourcing.generation.text.phrases import sentences
from sourcing.generation.text.words import content_stems, numbers, stems_at, words, words_at

__all__ = ["cut_lyrics", "join_sentences", "vet_caption"]

_MIN_CAPTION_COVER = 0.8  # share of a sentence's content words that the document must hold
UNFINISHED_CHARS = 100  # a longer caption without a full stop was cut by the schema's maxLength
_FULL_STOPS = tuple(".!?…。！？\"'”’)」』）")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass
class VettedCaption:
    """A publishable caption, or None, with findings for the parts left out."""

    caption: str | None = None
    findings: list[Finding] = field(default_factory=list)


def vet_caption(
    caption: str, document: QuotedDocument | None, context: ReplyContext, *, sung: Runs = NO_RUNS
) -> VettedCaption:
    """Vet a caption sentence by sentence. What leaks or strays as a whole is refused; single sentences that name the
    artist or title, tell a year or take too much of the lyrics, of the document or of `sung`, are cut out.
    """
    line = tidy(wording(caption))
    if not words(line):
        return VettedCaption()
    if {fold_text(line).strip(" .!?")} & {fold_text(name).strip(" .!?") for name in context.names.whole}:
        finding = f"{line!r} only names the artist, title or album"
        return VettedCaption(None, [Finding("caption_is_name", finding, line)])
    parts, findings = sentences(line), list[Finding]()
    if len(line) > UNFINISHED_CHARS and not line.endswith(_FULL_STOPS):
        finding = f"its last sentence has no end: {parts[-1]!r}"
        findings.append(Finding("caption_cut", finding, {"caption": line}))
        parts = parts[:-1]
    problem = _caption_problem(join_sentences(parts, line), parts, document, context) if parts else None
    if problem:
        return VettedCaption(None, [*findings, problem])
    parts, lyric_findings = cut_lyrics(parts, caption, sung if document is None else sung | document.lyric_runs)
    findings += lyric_findings
    clean_parts = []
    for sentence in parts:
        leak = sentence_leak(sentence, context.names, rules=context.rules)
        if leak is None:
            clean_parts.append(sentence)
        else:
            findings.append(leak)
    return VettedCaption(join_sentences(clean_parts, line) or None, findings)


def _caption_problem(
    caption: str, parts: Sequence[str], document: QuotedDocument | None, context: ReplyContext
) -> Finding | None:
    """Finding against a whole caption made of these sentences; None where it may stand."""
    return (
        caption_leak(caption, rules=context.rules, document=document)
        or wrong_language(caption, context.language, "caption")
        or (None if document is None else _unsupported(parts, document))
    )


def cut_lyrics(parts: Sequence[str], text: str, runs: Runs) -> tuple[list[str], list[Finding]]:
    """Sentences without those that take more than eight words of lyrics: of `runs`, or of what `text` itself marks."""
    runs = runs | lyric_runs(text)
    if not runs:
        return list(parts), []
    free_parts: list[str] = []
    findings = []
    for sentence in parts:
        if takes_lyrics(" ".join([*free_parts, sentence]), runs):
            findings.append(Finding("caption_is_lyric", "a sentence takes more than eight words of the lyrics"))
        else:
            free_parts.append(sentence)
    return free_parts, findings


def join_sentences(parts: Sequence[str], text: str) -> str:
    """Sentences of `text` in one line, separated as in `text`; by a space where others stood between them."""
    caption, end = "", 0
    for sentence in parts:
        at = text.index(sentence, end)
        gap = text[end:at]
        caption += (gap if not gap.strip() else " ") + sentence if caption else sentence
        end = at + len(sentence)
    return caption


def _unsupported(parts: Sequence[str], document: QuotedDocument) -> Finding | None:
    for sentence in parts:
        stems = content_stems(sentence)
        missing = [word for word in stems if word not in document.stems]
        inventions = _inventions(sentence, document)
        if inventions or (stems and 1 - len(missing) / len(stems) < _MIN_CAPTION_COVER):
            strays = ", ".join(dict.fromkeys(inventions or missing))
            return Finding("caption_unsupported", f"the document does not say {strays}", {"caption": " ".join(parts)})
        contradictions = _contradictions(sentence, document)
        if contradictions:
            finding = f"the document says the opposite of {', '.join(contradictions)} in {sentence!r}"
            return Finding("caption_contradicted", finding, {"caption": " ".join(parts)})
    return None


def _inventions(sentence: str, document: QuotedDocument) -> list[str]:
    """Names, numbers and words of music that the document does not hold: none of them may be the model's own."""
    strange_numbers = [number for number in numbers(sentence) if number not in document.numbers]
    tokens = _WORD.findall(sentence)
    capitals = [word for place, word in enumerate(tokens) if word[0].isupper() and (place or _goes_on_as_name(tokens))]
    terms = [word for word, _, _ in words_at(fold_text(sentence)) if facet_of(word) != "other"]
    strays = [
        word
        for word in (*number_words(sentence), *capitals, *terms, *spaceless_terms(sentence))
        if set(content_stems(word)) - document.stems
    ]
    return [*strange_numbers, *strays]


def _goes_on_as_name(tokens: list[str]) -> bool:
    """True when the first word of a sentence, always a capital, is followed by another capital or a possessive."""
    return tokens[0].endswith(("'s", "’s")) or (len(tokens) > 1 and tokens[1][0].isupper())


def _contradictions(sentence: str, document: QuotedDocument) -> list[str]:
    """Words the sentence affirms and the document only denies, or the other way round."""
    folded_sentence = fold_text(sentence)
    spans = denied_spans(folded_sentence)
    if not spans and not document.denied_stems:
        return []
    contradictions = []
    for word, at, _ in stems_at(folded_sentence):
        if is_denied(at, spans):
            opposite = word not in document.denied_stems and word in document.stems
        else:
            opposite = word in document.denied_stems and word not in document.affirmed_stems
        if opposite:
            contradictions.append(word)
    return list(dict.fromkeys(contradictions))
