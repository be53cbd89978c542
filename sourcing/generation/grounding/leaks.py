"""The leak lint: findings against aspects and captions, whoever wrote them and whatever bears them out.

Names of artist and title (unless the pack asks for them), numbers that tell a record from another instead of how it
sounds, field labels, refusals, instructions to a model, markup and addresses, copies of the prompt, profanity, and
another language than asked for.
Each comes back as a finding with a countable reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Any

from sourcing.generation.grounding.context import NO_RULES, PackRules
from sourcing.generation.grounding.finding import Finding
from sourcing.generation.grounding.names import TITLE_MARKS, Names, is_named
from sourcing.generation.grounding.quotes import ECHO_WORDS, QuotedDocument
from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.instructions import any_of, holds_markup, speaks_to_model
from sourcing.generation.text.lyrics import TRACE_WORDS, lyric_spans, takes_lyrics
from sourcing.generation.text.words import (
    data_lines,
    data_sections,
    least_runs,
    words,
)
from sourcing.store.language_id import unlike_language

__all__ = [
    "aspect_leak",
    "caption_leak",
    "copied_leak",
    "hide_lyrics",
    "sentence_leak",
    "wrong_language",
]

_LIST_MARK = re.compile(r"^\s*(?:\(?\d{1,2}[.)]\s|[-*•]\s|#{1,6}\s)")
_NUMBER_LEAK = re.compile(
    r"(?<![\d/.:,])(?:1[5-9]|20)\d\d(?![\d'’]|[/:,.]\d|s\b|er\b|年代)"  # a year, not a decade
    r"|[#№]\s?\d+|\b(?:no|nr|number|nummer|numéro|número|track|chapter|top|rank(?:ed)?|position|place)\.?\s?\d+"
    r"|[$€£¥]\s?\d|\d\s?(?:%|percent|€|usd|copies|views|streams|plays|weeks|votes|stars|points)"
    r"|\d{1,3}(?:,\d{3})+|\d{5,}|\b\d{1,2}\s(?:january|february|march|april|may|june|july|august|september|october"
    r"|november|december)\b|第\s?\d+\s?[名位]|\d{4}年(?!代)",
    re.IGNORECASE,
)
_LYRIC_REASONS = frozenset({"aspect_is_lyric", "caption_is_lyric", "quote_is_lyric"})


def hide_lyrics(findings: Iterable[Finding], traces: frozenset[tuple[str, ...]]) -> list[Finding]:
    """Findings without the words of those that speak of lyrics: `traces`, or what they mark themselves.

    Rejected rows are published, and must not tell what their descriptions may not.
    """
    safe_findings = []
    for finding in findings:
        sung = finding.reason in _LYRIC_REASONS
        if not sung:
            pieces = list(_texts(finding.piece))
            sung = any(map(lyric_spans, pieces))
            sung = sung or any(
                takes_lyrics(text, traces, over_words=TRACE_WORDS) for text in (*pieces, finding.finding)
            )
        safe_findings.append(Finding(finding.reason, _HIDDEN) if sung else finding)
    return safe_findings


def _texts(piece: Any) -> Iterator[str]:
    if isinstance(piece, str):
        yield piece
    elif isinstance(piece, (dict, list, tuple)):
        for part in piece.values() if isinstance(piece, dict) else piece:
            yield from _texts(part)


_HIDDEN = "what it speaks of is sung, so it is not shown: the reply has it"


@lru_cache(maxsize=16384)
def aspect_leak(text: str) -> Finding | None:
    """Finding that a phrase leaks markup, instructions or the like and may be no aspect; names and length are
    `vet_aspect`'s.
    """
    folded_text = fold_text(text)
    leak = _common_leak(folded_text, words(text), "aspect")
    if leak is None and _NUMBER_LEAK.search(folded_text):
        leak = ("aspect_number", "holds a number that says nothing of the sound")
    return None if leak is None else Finding(leak[0], f"{text!r} {leak[1]}", text)


def caption_leak(
    caption: str, *, rules: PackRules = NO_RULES, document: QuotedDocument | None = None
) -> Finding | None:
    """The finding that keeps a whole caption from being published.

    What its `document` says word for word is no echo of the prompt.
    """
    leak = _common_leak(fold_text(caption), words(caption), "caption") or _echo(caption, rules, document)
    return None if leak is None else Finding(leak[0], f"the caption {leak[1]}", {"caption": caption})


def sentence_leak(sentence: str, names: Names, *, rules: PackRules = NO_RULES) -> Finding | None:
    """Finding that leaves one sentence of a caption out: a name in it, or a number."""
    for kind, name in names.entries:
        if kind not in rules.may_name and is_named(name, sentence):
            return Finding(f"caption_names_{kind}", f"{sentence!r} names the {kind} {name!r}", {"caption": sentence})
    if _NUMBER_LEAK.search(sentence):
        finding = f"{sentence!r} holds a year, a rank or a count, which says nothing of the sound"
        return Finding("caption_number", finding, {"caption": sentence})
    return None


def copied_leak(caption: str) -> Finding | None:
    """The finding against a caption that no model wrote: names and numbers are its author's to tell."""
    folded_text = fold_text(caption)
    leak = (
        _markup(folded_text, "caption")
        or _instruction_in(folded_text, words(caption), "caption")
        or _profanity_in(folded_text, "caption")
    )
    return None if leak is None else Finding(leak[0], f"the caption {leak[1]}", {"caption": caption})


def wrong_language(text: str, language: str, what: str) -> Finding | None:
    """A finding when a text is surely in another language than asked for (see `unlike_language`)."""
    other_language = unlike_language(text, language)
    if other_language is None:
        return None
    return Finding(f"{what}_wrong_language", f"asked for in {language}, it is in {other_language}", {what: text})


def _common_leak(folded_text: str, tokens: Sequence[str], what: str) -> tuple[str, str] | None:
    markup = _markup(folded_text, what)
    if markup:
        return markup
    if _LIST_MARK.match(folded_text) or _labels().match(folded_text):
        return "label_echo", "begins with the name of a field or the mark of a list"
    if _refuses(folded_text):
        return f"{what}_refusal", "is the model speaking of itself instead of the sound"
    return _instruction_in(folded_text, tokens, what) or _profanity_in(folded_text, what)


def _markup(folded_text: str, what: str) -> tuple[str, str] | None:
    return (f"{what}_markup", "holds markup, code or an address") if holds_markup(folded_text) else None


def _instruction_in(folded_text: str, tokens: Sequence[str], what: str) -> tuple[str, str] | None:
    speaks = speaks_to_model(folded_text, tokens)
    return (f"{what}_instruction", "speaks to a model instead of about the sound") if speaks else None


def _profanity_in(folded_text: str, what: str) -> tuple[str, str] | None:
    match = _profanity().search(folded_text)
    return (f"{what}_profane", f"holds the word {match.group()!r} of the profanity list") if match else None


def _echo(caption: str, rules: PackRules, document: QuotedDocument | None) -> tuple[str, str] | None:
    if not rules.word_runs:
        return None
    tokens = words(caption)
    for start, end in least_runs(tokens, over_words=ECHO_WORDS):
        run = tuple(tokens[start:end])
        if run in rules.word_runs and (document is None or run not in document.word_runs):
            return "prompt_echo", f"repeats the prompt: {' '.join(run)!r}"
    return None


def _refuses(folded_text: str) -> bool:
    anywhere, beginning = _refusals()
    if anywhere.search(folded_text):
        return True
    return any(beginning.match(sentence.lstrip(TITLE_MARKS + " ")) for sentence in _SENTENCES.split(folded_text))


_SENTENCES = re.compile(r"(?<=[.!?。！？])\s*")


@cache
def _refusals() -> tuple[re.Pattern[str], re.Pattern[str]]:
    sections = data_sections("refusals")
    anywhere, beginning = (any_of(map(fold_text, sections[name])) for name in ("anywhere", "beginning"))
    return re.compile(anywhere), re.compile(beginning)


@cache
def _profanity() -> re.Pattern[str]:
    return re.compile(any_of(word for line in data_lines("profanity") for word in fold_text(line).split()))


@cache
def _labels() -> re.Pattern[str]:
    """A field's name with a colon, an equals sign or a number behind, at the beginning of a text."""
    names = "|".join(
        sorted({re.escape(name) for line in data_lines("labels") for name in line.split()}, key=len, reverse=True)
    )
    return re.compile(
        rf"\W*(?:{names})[\"'*_ ]*(?:[:=：]|\d+\s*(?:[:=.)：-]|$))|(?:aspects?|facets?|captions?|tags?)\s*#?\d+\b"
    )
