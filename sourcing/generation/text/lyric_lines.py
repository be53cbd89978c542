"""Lyrics that stand in lines of their own: below a heading or a mark, quoted, or as a run of short lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property

from sourcing.generation.text.lyric_words import (
    BREAK,
    MARKS,
    MIN_LINE_WORDS,
    RUN_LINES,
    STRONG,
    about_words,
    inline_marks,
    words_of,
)
from sourcing.generation.text.words import Span, data_sections, mean_size, size_of, words

__all__ = ["reads_as_verse", "speaks_of_sound", "sung_lines"]

_LINE = re.compile(r"[^\n\r\u2028\u2029]+")
_LYRICS_OF = re.compile(
    r"(?:Here (?:are|is) )?(?:[Tt]he )?(?:[Ll]yrics|LYRICS) (?:(?:to|of|for|with|and)\b|[-–|(])[^.!?]*"
    r"|(?:[A-Z][\w'’]* |[&(]\w+[)]? ){1,6}(?:Lyrics|LYRICS)"
)
_QUOTED_LINE = re.compile(r"\s*(?:>|\|)\s*\S")
_BULLET = re.compile(r"\s*(?:[-*•·–—]|\(?\d+[.):]?)\s")
_FIELD = re.compile(r".*\d:\d\d|\s*[^:\s][^\n]*[:：=|]\s*\S|\s*(?:https?:|www\.)")
_TIME = re.compile(r"\s*[\[(]?\d{1,3}:\d\d(?:[.:]\d{1,3})?[\])]?\s")
_SPACED_LETTERS = re.compile(r"(?:[^\W\d_] ){2,}[^\W\d_]")
_PROSE_END = re.compile(r"[.。][\"'”’)\]]*\s*$")
_QUOTED_RUN_LINES = 2  # quoted lines in a row
_MARKED_RUN_LINES = 2  # short lines in a row, where a part of the song is marked elsewhere
_MAX_LINE_WORDS = 12
_SOUND_SECTIONS = ("genre", "instrument", "vocal", "harmony", "production")
_CAPITAL_SHARE = 0.55  # of the words of a list of titles or names


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str
    size: float  # words
    after_gap: bool  # a blank line stands before it

    @cached_property
    def about_words(self) -> int:
        return about_words(self.text)

    @cached_property
    def heading(self) -> str | None:
        """ "heading" or "mark" when the line is nothing but a word for lyrics or for a part of a song."""
        if len(self.text) > 60:
            return None
        bare = self.text.strip(MARKS)
        if _SPACED_LETTERS.fullmatch(bare):
            bare = bare.replace(" ", "")
        word = bare.casefold()
        if word in words_of("headings") or _LYRICS_OF.fullmatch(bare):
            return "heading"
        if word in words_of("parts") and len(bare) > 1:
            return "mark"
        in_brackets = self.text.strip(" \t*_#").startswith(("[", "(", "【", "<"))
        return "mark" if word in words_of("marks") and in_brackets else None


def sung_lines(text: str) -> list[Span]:
    """Verses below a heading or mark, and runs of short lines that no prose, list or table would make."""
    lines = _lines(text)
    headings = [line.heading for line in lines]
    spans: list[Span] = []
    if len(lines) < 2 and not any(headings):
        return spans
    run_lines = _MARKED_RUN_LINES if "mark" in headings else RUN_LINES
    at = 0
    while at < len(lines):
        heading = headings[at]
        if heading is not None or _opens_verse(lines[at].text):
            end = _verse_end(lines, at + 1, has_times=heading == "heading")
            below = lines[at + 1 : end]
            if below and not (_is_bare(heading, lines[at].text) and speaks_of_sound([line.text for line in below])):
                spans.append((below[0].start, below[-1].end))
            at = end
        else:
            end = _run_end(lines, at)
            if end > at and _is_verse(lines[at:end], run_lines):
                spans.append((lines[at].start, lines[end - 1].end))
            at = max(end, at + 1)
    return spans


def reads_as_verse(lines: list[str], least_words: float) -> bool:
    """True when lines are as long as sung ones, are no titles or names, and do not speak of sound."""
    if mean_size(lines) < least_words or speaks_of_sound(lines):
        return False
    own = [word for word in " ".join(lines).split() if word[0].isalpha()]
    capitals = sum(word[0].isupper() and not (len(word) > 1 and word.isupper()) for word in own)
    return capitals < _CAPITAL_SHARE * len(own)


def speaks_of_sound(lines: list[str]) -> bool:
    """True when more than half of some lines have a word of music, and all together two at least."""
    sound_words = _sound_words()
    words_of_music = [sound_words.intersection(words(line)) for line in lines]
    return 2 * sum(map(bool, words_of_music)) > len(lines) and len(set().union(*words_of_music)) > 1


def _is_bare(heading: str | None, line: str) -> bool:
    """True when a part of a song is named without brackets, as notes on a recording name it, too."""
    return heading == "mark" and line.lstrip(" \t*_#")[:1] not in ("[", "(", "【", "<")


def _opens_verse(line: str) -> bool:
    """True when the first line of a verse stands behind its mark."""
    marks = inline_marks(line) if ("[" in line or "(" in line or "【" in line) and not _PROSE_END.search(line) else []
    return bool(marks) and 0 < size_of(line[marks[-1].end() :]) <= _MAX_LINE_WORDS


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    gap = False
    for match in _LINE.finditer(text):
        piece = match.group()
        if not any(map(str.isalnum, piece)) and "♪" not in piece:  # blank, or nothing but a separator
            gap = True
            continue
        gap = gap or (bool(lines) and text.count("\n", lines[-1].end, match.start()) > 1)
        size = size_of(piece) if len(piece) <= 200 else _MAX_LINE_WORDS * 2.0
        lines.append(_Line(match.start(), match.end(), piece, size, gap))
        gap = False
    return lines


def _verse_end(lines: list[_Line], start: int, *, has_times: bool) -> int:
    """One past the last line below a heading that is sung: prose, another heading or a list ends it.

    `has_times`: the time before a line makes no list of it.
    """
    end = start
    stops = sum(1 for line in lines[start : start + 3] if _PROSE_END.search(line.text))
    sung = [line for line in lines[start : start + 4] if _is_sung_sentence(line)]
    full_stops = stops and len(sung) > 1 and sung == lines[start : start + len(sung)]
    while end < len(lines):
        line = lines[end]
        if (full_stops or (end > start and not line.after_gap)) and _is_sung_sentence(line):
            end += 1
            continue
        is_prose = bool(_PROSE_END.search(line.text)) or line.size > _MAX_LINE_WORDS
        unbroken = line.size > _MAX_LINE_WORDS and not re.search(r"[.。!?]", line.text)  # verse that lost its lines
        is_field = _FIELD.match(_TIME.sub("", line.text, 1) if has_times else line.text) and not _QUOTED_LINE.match(
            line.text
        )
        if not line.heading and ((is_prose and not unbroken) or is_field):
            break
        if line.heading == "heading" or (_BULLET.match(line.text) and line.about_words >= STRONG):
            break
        end += 1
    return end


def _is_sung_sentence(line: _Line) -> bool:
    """True for a short line of one sentence that does not speak about the song."""
    inner = line.text.strip().rstrip(".。!?！？\"'”’")
    return line.size <= _MAX_LINE_WORDS and not BREAK.search(inner) and line.about_words < 1


def _run_end(lines: list[_Line], start: int) -> int:
    """One past the last of the short lines that begin at `start`."""
    end = start
    while end < len(lines) and _may_be_sung(lines[end]):
        if end > start and _QUOTED_LINE.match(lines[end].text) is None and _QUOTED_LINE.match(lines[start].text):
            break
        end += 1
    return end


def _may_be_sung(line: _Line) -> bool:
    if line.size > _MAX_LINE_WORDS or line.heading:
        return False
    if _QUOTED_LINE.match(line.text):
        return True
    is_list = _BULLET.match(line.text) or _FIELD.match(line.text)
    return not is_list and not _PROSE_END.search(line.text)


def _is_verse(lines: list[_Line], run_lines: int) -> bool:
    quoted_lines = sum(1 for line in lines if _QUOTED_LINE.match(line.text))
    opens_quotation = lines[0].text.lstrip()[:1] in tuple('"“„«「『')
    if quoted_lines == len(lines) or opens_quotation:
        return len(lines) >= _QUOTED_RUN_LINES and sum(line.size for line in lines) / len(lines) >= MIN_LINE_WORDS
    return len(lines) >= run_lines and reads_as_verse([line.text for line in lines], MIN_LINE_WORDS)


@cache
def _sound_words() -> frozenset[str]:
    """Words about songs, and those of the facet lexicon that say how one sounds."""
    terms = ",".join(line for section in _SOUND_SECTIONS for line in data_sections("facets")[section]).split(",")
    return words_of("about") | words_of("perhaps_about") | {term.strip() for term in terms}
