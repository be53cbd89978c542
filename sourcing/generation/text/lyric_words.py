"""What tells lyrics from prose, lists and tables about music: word lists, marks, sizes and shares of words."""

from __future__ import annotations

import re
from functools import cache

from sourcing.generation.text.words import data_sections, is_written_without_spaces, weight, words

__all__ = [
    "BREAK",
    "MARKS",
    "MIN_LINE_WORDS",
    "RUN_LINES",
    "STRONG",
    "Span",
    "inline_marks",
    "is_credit",
    "mean_size",
    "reads_as_verse",
    "size_of",
    "speaks_about",
    "speaks_of_sound",
    "words_of",
]

Span = tuple[int, int]
BREAK = re.compile(r"[.!?]\s|[。！？]")  # ends the prose before a line, and the line before prose
MARKS = "[](){}<>=#*_-–—:：~ \t【】「」《》0123456789xX×.,"
_INLINE_MARK = re.compile(r"[\[(【]([^\[\]()【】\n]{2,40})[\])】]")
RUN_LINES = 4  # short lines in a row that make verse
_SOUND_SECTIONS = ("genre", "instrument", "vocal", "harmony", "production")
_TITLED = 0.55  # of the words of a list of titles or names begin with a capital
STRONG = 2  # words that speak about a song, in prose that does
MIN_LINE_WORDS = 2.5  # mean over a run: track lists and tables have shorter lines


def speaks_about(text: str, least: int) -> bool:
    """Whether words say that a text is prose about a song: one that no song sings, or `least` that few do."""
    own = set(words(text))
    if not text.isascii():
        own.update(word for word in _spaceless_words() if word in text)
    return bool(own & words_of("about")) or len(own & words_of("perhaps_about")) >= least


def is_credit(text: str) -> bool:
    """Names one after the other."""
    parts = [
        word for word in text.split() if word[:1].isalpha() and word not in ("and", "und", "et", "y", "by", "with")
    ]
    return bool(parts) and sum(word[0].isupper() for word in parts) > 0.7 * len(parts) and text.isascii()


def inline_marks(text: str) -> list[re.Match[str]]:
    found = [mark for mark in _INLINE_MARK.finditer(text) if _is_mark(mark.group(1))]
    return [mark for mark in found if text[mark.start()] in "[【" or _begins_line(text, mark.start())]


def _begins_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _is_mark(words_in_brackets: str) -> bool:
    word = words_in_brackets.split(":")[0].strip(MARKS).casefold()
    return word in words_of("marks") or word in words_of("headings")


def reads_as_verse(lines: list[str], least_words: float) -> bool:
    """Whether lines are as long as sung ones, are no titles or names, and do not speak of sound."""
    if mean_size(lines) < least_words or speaks_of_sound(lines):
        return False
    own = [word for word in " ".join(lines).split() if word[0].isalpha()]
    titled = sum(word[0].isupper() and not (len(word) > 1 and word.isupper()) for word in own)
    return titled < _TITLED * len(own)


def speaks_of_sound(lines: list[str]) -> bool:
    """Whether more than half of some lines have a word of music, and all together two at least."""
    known = _sound_words()
    of_music = [known.intersection(words(line)) for line in lines]
    return 2 * sum(map(bool, of_music)) > len(lines) and len(set().union(*of_music)) > 1


def mean_size(lines: list[str]) -> float:
    return sum(map(size_of, lines)) / len(lines)


def size_of(piece: str) -> float:
    return weight(words(piece)) / 3


@cache
def words_of(section: str) -> frozenset[str]:
    return frozenset(word.strip() for line in data_sections("lyric_marks")[section] for word in line.split(","))


@cache
def _sound_words() -> frozenset[str]:
    """Words about songs, and those of the facet lexicon that say how one sounds."""
    terms = ",".join(line for section in _SOUND_SECTIONS for line in data_sections("facets")[section]).split(",")
    return words_of("about") | words_of("perhaps_about") | {term.strip() for term in terms}


@cache
def _spaceless_words() -> list[str]:
    return [
        word for section in ("about", "perhaps_about") for word in words_of(section) if is_written_without_spaces(word)
    ]
