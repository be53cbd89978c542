"""Captions held against their source: whole sentences, facts its document bears out, no lyrics, no leaks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sourcing.generation.grounding.finding import Finding
from sourcing.generation.grounding.leaks import NO_RULES, Names, PackRules, caption_leak, sentence_leak, wrong_language
from sourcing.generation.grounding.quotes import Source, number_words
from sourcing.generation.text.folding import fold_text, tidy, wording
from sourcing.generation.text.lexicon import facet_of, spaceless_terms
from sourcing.generation.text.lyrics import NO_RUNS, Runs, lyric_runs, takes_lyrics
from sourcing.generation.text.negation import denied_spans, is_denied
from sourcing.generation.text.phrases import sentences
from sourcing.generation.text.words import content_stems, numbers, stems_at, words, words_at

__all__ = ["MIN_CAPTION_COVER", "cut_lyrics", "join_sentences", "take_caption"]

MIN_CAPTION_COVER = 0.8  # share of a sentence's content words that the document must hold
UNFINISHED_CHARS = 100  # a longer caption without a full stop was cut by the schema's maxLength
_FULL_STOPS = tuple(".!?…。！？\"'”’)」』）")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass
class Taken:
    """What was kept of a caption, and why the rest was not."""

    caption: str | None = None
    findings: list[Finding] = field(default_factory=list)


def take_caption(
    said: str,
    source: Source | None,
    *,
    names: Sequence[str | None] = (),
    named: Names = Names(),  # noqa: B008  (frozen)
    language: str = "und",
    rules: PackRules = NO_RULES,
    sung: Runs = NO_RUNS,
) -> Taken:
    """The caption as it may be published. What leaks or strays as a whole is refused; single sentences that name the
    artist or title, tell a year or take too much of the lyrics, of the source or of `sung`, are cut out.
    """
    caption = tidy(wording(said))
    taken = Taken()
    if not words(caption):
        return taken
    if {fold_text(caption).strip(" .!?")} & {fold_text(name).strip(" .!?") for name in names if name}:
        finding = f"{caption!r} only names the artist, title or album"
        taken.findings.append(Finding("caption_is_name", finding, caption))
        return taken
    whole = sentences(caption)
    if len(caption) > UNFINISHED_CHARS and not caption.endswith(_FULL_STOPS):
        finding = f"its last sentence has no end: {whole[-1]!r}"
        taken.findings.append(Finding("caption_cut", finding, {"caption": caption}))
        whole = whole[:-1]
    told = caption
    caption = join_sentences(whole, told)
    refused = caption and (
        caption_leak(caption, rules=rules, source=source)
        or wrong_language(caption, language, "caption")
        or (source is not None and _unsupported(whole, source))
    )
    if refused:
        taken.findings.append(refused)
        return taken
    sung = sung if source is None else sung | source.lyric_runs
    whole, findings = cut_lyrics(whole, said, sung)
    taken.findings.extend(findings)
    kept = []
    for sentence in whole:
        leak = sentence_leak(sentence, named, rules=rules)
        if leak is None:
            kept.append(sentence)
        else:
            taken.findings.append(leak)
    taken.caption = join_sentences(kept, told) or None
    return taken


def cut_lyrics(whole: Sequence[str], text: str, sung: Runs) -> tuple[list[str], list[Finding]]:
    """Sentences without those that take more than eight words of lyrics: of `sung`, or of what `text` itself marks."""
    sung = sung | lyric_runs(text)
    if not sung:
        return list(whole), []
    kept: list[str] = []
    findings = []
    for sentence in whole:
        if takes_lyrics(" ".join([*kept, sentence]), sung):
            findings.append(Finding("caption_is_lyric", "a sentence takes more than eight words of the lyrics"))
        else:
            kept.append(sentence)
    return kept, findings


def join_sentences(whole: Sequence[str], text: str) -> str:
    """Sentences of `text` in one line, parted as they are there; by a space where others stood between them."""
    joined, done = "", 0
    for sentence in whole:
        at = text.index(sentence, done)
        gap = text[done:at]
        joined += (gap if not gap.strip() else " ") + sentence if joined else sentence
        done = at + len(sentence)
    return joined


def _unsupported(whole: Sequence[str], source: Source) -> Finding | None:
    for sentence in whole:
        stated = content_stems(sentence)
        missing = [word for word in stated if word not in source.held]
        invented = _invented(sentence, source)
        if invented or (stated and 1 - len(missing) / len(stated) < MIN_CAPTION_COVER):
            strays = ", ".join(dict.fromkeys(invented or missing))
            return Finding("caption_unsupported", f"the document does not say {strays}", {"caption": " ".join(whole)})
        turned = _turned(sentence, source)
        if turned:
            finding = f"the document says the opposite of {', '.join(turned)} in {sentence!r}"
            return Finding("caption_contradicted", finding, {"caption": " ".join(whole)})
    return None


def _invented(sentence: str, source: Source) -> list[str]:
    """Names, numbers and words of music that the document does not hold: none of them may be the model's own."""
    counted = [number for number in numbers(sentence) if number not in source.numbers]
    said = _WORD.findall(sentence)
    named = [word for place, word in enumerate(said) if word[0].isupper() and (place or _goes_on_as_name(said))]
    terms = [word for word, _, _ in words_at(fold_text(sentence)) if facet_of(word) != "other"]
    strays = [
        word
        for word in (*number_words(sentence), *named, *terms, *spaceless_terms(sentence))
        if set(content_stems(word)) - source.held
    ]
    return [*counted, *strays]


def _goes_on_as_name(said: list[str]) -> bool:
    """Whether the first word of a sentence, always a capital, is followed by another or is somebody's."""
    return said[0].endswith(("'s", "’s")) or (len(said) > 1 and said[1][0].isupper())


def _turned(sentence: str, source: Source) -> list[str]:
    """Words the sentence affirms and the document only denies, or the other way round."""
    folded = fold_text(sentence)
    spans = denied_spans(folded)
    if not spans and not source.denied_stems:
        return []
    turned = []
    for word, at, _ in stems_at(folded):
        if is_denied(at, spans):
            opposite = word not in source.denied_stems and word in source.held
        else:
            opposite = word in source.denied_stems and word not in source.affirmed_stems
        if opposite:
            turned.append(word)
    return list(dict.fromkeys(turned))
