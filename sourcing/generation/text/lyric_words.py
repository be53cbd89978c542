"""Word lists and marks of lyrics: words by which prose speaks about a song, and marks such as [Chorus] in a line."""

from __future__ import annotations

import re
from functools import cache

from sourcing.generation.text.words import data_sections, is_written_without_spaces, words

__all__ = [
    "BREAK",
    "MARKS",
    "MIN_LINE_WORDS",
    "RUN_LINES",
    "STRONG",
    "about_words",
    "inline_marks",
    "speaks_about",
    "words_of",
]

BREAK = re.compile(r"[.!?]\s|[。！？]")  # ends the prose before a line, and the line before prose
MARKS = "[](){}<>=#*_-–—:：~ \t【】「」《》0123456789xX×.,"
_INLINE_MARK = re.compile(r"[\[(【]([^\[\]()【】\n]{2,40})[\])】]")
RUN_LINES = 4  # short lines in a row that make verse
STRONG = 2  # words that speak about a song, in prose that does
SURELY = 1 << 30  # more of them than any text has
MIN_LINE_WORDS = 2.5  # mean over a run: track lists and tables have shorter lines


def speaks_about(text: str, least: int) -> bool:
    """True when a text is prose about a song: it has one word that no song sings, or `least` words that few do."""
    return about_words(text) >= least


def about_words(text: str) -> int:
    """How many words a text has that few songs sing; `SURELY` where it has one that none does."""
    own = set(words(text))
    if not text.isascii():
        own.update(word for word in _spaceless_words() if word in text)
    return len(own & words_of("perhaps_about")) if own.isdisjoint(words_of("about")) else SURELY


def inline_marks(text: str) -> list[re.Match[str]]:
    """The marks of parts of a song in a text: in square brackets anywhere, in round ones where they begin a line."""
    marks = [mark for mark in _INLINE_MARK.finditer(text) if _is_mark(mark.group(1))]
    return [mark for mark in marks if text[mark.start()] in "[【" or _begins_line(text, mark.start())]


def _begins_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _is_mark(words_in_brackets: str) -> bool:
    word = words_in_brackets.split(":")[0].strip(MARKS).casefold()
    return word in words_of("marks") or word in words_of("headings")


@cache
def words_of(section: str) -> frozenset[str]:
    return frozenset(word.strip() for line in data_sections("lyric_marks")[section] for word in line.split(","))


@cache
def _spaceless_words() -> list[str]:
    return [
        word for section in ("about", "perhaps_about") for word in words_of(section) if is_written_without_spaces(word)
    ]
