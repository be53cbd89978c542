"""Spans that a text denies: "no drums", "without bass or synths", "the choir is absent", 没有鼓点."""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache

from sourcing.generation.text.words import Span, data_sections, merge_spans, word_set
from sourcing.store.language_id import simplified

__all__ = ["denied_spans", "is_denied", "negations"]

_KINDS = ("", "after", "unlike", "another")  # headings of the word list
_REACH = 4  # words after a negation that it may deny
_REACH_CHARACTERS = 8  # the same in a script without spaces
_REACH_BEFORE = 6  # words before "is absent"
_SCOPE_CHARS = 160  # nothing further away is looked at
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)|[。！？;；\n…]")
_CLAUSE_END = re.compile(r"[,:()\[\]，：]|\s-\s")
_ANOTHER_END = re.compile(r"[.!?;](?=\s|$)|[。！？；\n]|,\s+(?:this|here|now|it|she|he|is)\b|\bis all\b|\bit\b")
_ALTERNATIVE = re.compile(r"\b(?:or|nor|oder|noch|ou|ni|o|né)\b|或|、")
_TOKEN = re.compile(r"[^\W_]+(?:['/-][^\W_]+)*")
_WIDE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\ua4cf\uac00-\ud7a3\uf900-\ufaff]")


def denied_spans(folded_text: str) -> list[Span]:
    """Spans of a folded text denied by a negation of the same sentence, in order.

    A negation reaches four words, or eight characters of a script without spaces, and no further than its clause;
    over an "or" it reaches on. "Not only" and its like are none.
    """
    text = simplified(folded_text)
    spans: list[Span] = []
    for kind, start, end in _negating_phrases(text):
        if kind == "after":
            spans.append((_scope_start(text, start), start))
        elif kind == "another":
            spans.append((end, _before(_until(), text, end, _before(_ANOTHER_END, text, end, len(text)))))
        elif kind == "":
            spans.append((end, _scope_end(text, end)))
    return merge_spans(spans)


def is_denied(at: int, spans: list[Span]) -> bool:
    """True when a place lies in one of the spans, which are in order and apart."""
    last = bisect_right(spans, (at, sys.maxsize)) - 1
    return last >= 0 and at < spans[last][1]


def negations(folded_text: str) -> list[str]:
    """The negating phrases of a folded text, in order."""
    text = simplified(folded_text)
    return [text[start:end] for kind, start, end in _negating_phrases(text) if kind not in ("unlike", "another")]


def _scope_end(text: str, start: int) -> int:
    end = _before(_SENTENCE_END, text, start, min(len(text), start + _SCOPE_CHARS))
    end = _before(_until(), text, start, end)
    clause = _before(_CLAUSE_END, text, start, end)
    reach = _reach(text, start, clause)
    ends = [match.end() for match in _ALTERNATIVE.finditer(text, start, end)]
    return max(reach, _reach(text, ends[-1], _before(_CLAUSE_END, text, ends[-1], end))) if ends else reach


def _reach(text: str, start: int, end: int) -> int:
    """End of the first few words in [start, end), in any script."""
    for place, token in enumerate(_TOKEN.finditer(text, start, end)):
        if _WIDE.match(token.group()):
            return min(end, token.start() + _REACH_CHARACTERS)
        if place == _REACH - 1:
            return token.end()
    return end


def _scope_start(text: str, end: int) -> int:
    start = 0
    for pattern in (_SENTENCE_END, _CLAUSE_END, _until()):
        for match in pattern.finditer(text, max(0, end - _SCOPE_CHARS), end):
            start = max(start, match.end())
    tokens = list(_TOKEN.finditer(text, start, end))[-_REACH_BEFORE:]
    return tokens[0].start() if tokens else start


def _before(pattern: re.Pattern[str], text: str, start: int, end: int) -> int:
    match = pattern.search(text, start, end)
    return match.start() if match else end


def _negating_phrases(text: str) -> list[tuple[str, int, int]]:
    """The (kind, start, end) of every negating phrase; kinds are the word list's headings."""
    narrow, wide = _patterns()
    spans, next_at = [], 0
    for at in sorted({place for word in _first_words() & word_set(text) for place in _places(word, text)}):
        match = narrow.match(text, at) if at >= next_at else None
        if match is not None:
            spans.append(match.span())
            next_at = match.end()
    if not text.isascii() and _WIDE.search(text):
        spans = sorted(spans + [match.span() for match in wide.finditer(text)])
    return [(_kinds()[text[start:end].replace(" ", "-")], start, end) for start, end in spans]


def _places(word: str, text: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        if at == 0 or not text[at - 1].isalnum():
            yield at
        at = text.find(word, at + 1)


@cache
def _first_words() -> frozenset[str]:
    """The words phrases begin with: only where they stand need the pattern be tried."""
    return frozenset(phrase.partition("-")[0] for phrase in _kinds() if not _WIDE.match(phrase))


@cache
def _kinds() -> dict[str, str]:
    """Phrase → the heading it stands under."""
    sections = data_sections("negations")
    return {phrase: kind for kind in _KINDS for phrase in " ".join(sections[kind]).split()}


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Patterns of the phrases parted by spaces, and of those in scripts without."""
    wide = [phrase for phrase in _kinds() if _WIDE.match(phrase)]
    narrow = [phrase for phrase in _kinds() if not _WIDE.match(phrase)]
    return re.compile(rf"(?:{_any_of(narrow)})(?![^\W_'])"), re.compile(_any_of(wide))


@cache
def _until() -> re.Pattern[str]:
    phrases = " ".join(data_sections("negations")["until"]).split()
    wide = [phrase for phrase in phrases if _WIDE.match(phrase)]
    narrow = [phrase for phrase in phrases if not _WIDE.match(phrase)]
    return re.compile(rf"(?<![^\W_])(?:{_any_of(narrow)})(?![^\W_])|{_any_of(wide)}")


def _any_of(phrases: list[str]) -> str:
    """A pattern of any of the phrases, longest first, grouped by first letter for speed; "-" is a space or a hyphen."""
    by_letter: dict[str, list[str]] = {}
    for phrase in sorted(phrases, key=lambda phrase: (-len(phrase), phrase)):
        by_letter.setdefault(phrase[0], []).append(re.escape(phrase[1:]).replace(r"\-", "[ -]"))
    return "|".join(f"{re.escape(letter)}(?:{'|'.join(rest)})" for letter, rest in by_letter.items())
