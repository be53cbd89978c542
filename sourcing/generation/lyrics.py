"""The lyric guard: which parts of a text are lyrics, and whether another text takes too much from them.

A part is lyrics when it is marked so: between <poem> or <lyrics> tags, under a heading such as "Lyrics" or 歌词, after
a [Chorus] or [Verse 1] mark, between ♪ signs, as lines parted by " / ", as quoted lines, or as a run of short lines
that no prose, list or table would make. Prose under such a heading, which speaks about the lyrics, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sourcing.generation.words import data_sections, least_runs, weight, words

__all__ = ["MAX_LYRIC_WORDS", "lyric_spans", "mask_lyrics", "shared_runs", "takes_lyrics"]

#: Consecutive words of lyrics that may be published. Twelve characters of a script without spaces count as eight words:
#: running Chinese has about three characters to two words, and a sung line of it five to ten.
MAX_LYRIC_WORDS = 8

Span = tuple[int, int]

_TAGGED = re.compile(r"<(poem|lyrics?|verse)\b[^<>]{0,100}>(.*?)(?:</\1\s{0,9}>|\Z)", re.DOTALL | re.IGNORECASE)
_SUNG = re.compile(r"[♪♫♬]+([^♪♫♬]+)(?:[♪♫♬]+|$)", re.MULTILINE)
_SLASH = re.compile(r"(?<=\S)[ \t\u3000]{1,3}[/／|]{1,2}[ \t\u3000]{1,3}(?=\S)")
_OPENING, _CLOSING = '"“„«「『', '"”»」』'
_BREAK = re.compile(r"[.!?]\s|[。！？]")  # ends the prose before a line, and the line before prose
_LINE = re.compile(r"[^\n\r\u2028\u2029]+")
_MARKS = "[](){}<>=#*_-–—:：~ \t【】「」《》0123456789xX×.,"
_QUOTED_LINE = re.compile(r"\s*(?:>|\|)\s*\S")
_LISTED = re.compile(r"\s*(?:[-*•·–—]|\(?\d+[.):]?)\s|.*\d:\d\d|[^\n]*[:：=|]\s*\S|\s*(?:https?:|www\.)")
_PROSE_END = re.compile(r"[.。][\"'”’)\]]*\s*$")
_INLINE_MARK = re.compile(r"[\[(【]([^\[\]()【】\n]{2,40})[\])】]")

_RUN_LINES, _QUOTED_RUN_LINES = 4, 2  # short lines in a row that make verse, and quoted ones
_MIN_LINE_WORDS = 2.5  # mean over a run: track lists and tables have shorter lines
_MAX_LINE_WORDS = 12
_SLASH_WORDS = 3  # mean words between slashes: "rock / pop / jazz" is no verse
_SLASH_LINE_CHARS = 120  # a longer piece between slashes is no line of verse


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str
    size: float  # words
    after_gap: bool  # whether a blank line stands before it


def lyric_spans(text: str) -> list[Span]:
    """Spans [start, end) of the text that are marked as lyrics, in order, none touching another."""
    spans = [found.span(2) for found in _TAGGED.finditer(text)] if "<" in text else []
    if "♪" in text or "♫" in text or "♬" in text:
        spans += [found.span(1) for found in _SUNG.finditer(text)]
    if "/" in text:
        spans += _slashed(text)
    if "[" in text or "(" in text or "【" in text:
        spans += _after_inline_marks(text)
    spans += _by_lines(text)
    return _merged(spans)


def mask_lyrics(text: str) -> str:
    """The text with spaces where lyrics stand, and line breaks as they are: every other character keeps its place."""
    for start, end in lyric_spans(text):
        text = text[:start] + "".join(c if c == "\n" else " " for c in text[start:end]) + text[end:]
    return text


def shared_runs(texts: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """The runs of words of which no other text may hold one: the shortest that are longer than is allowed."""
    runs: set[tuple[str, ...]] = set()
    for text in texts:
        tokens = words(text)
        runs.update(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=MAX_LYRIC_WORDS))
    return frozenset(runs)


def takes_lyrics(text: str, runs: frozenset[tuple[str, ...]]) -> bool:
    """Whether a text holds more than eight consecutive words of the lyrics whose `shared_runs` are given."""
    if not runs:
        return False
    tokens = words(text)
    return any(tuple(tokens[start:end]) in runs for start, end in least_runs(tokens, over_words=MAX_LYRIC_WORDS))


def _slashed(text: str) -> list[Span]:
    """Lines run together with slashes: one slash within quotation marks, or two anywhere."""
    chains: list[list[re.Match[str]]] = []
    for slash in _SLASH.finditer(text):
        if chains and _is_line(text[chains[-1][-1].end() : slash.start()]):
            chains[-1].append(slash)
        else:
            chains.append([slash])
    spans = []
    for chain in chains:
        start, quoted = _verse_start(text, chain[0].start())
        end = _verse_stop(text, chain[-1].end())
        edges = [start, *(edge for slash in chain for edge in slash.span()), end]
        sizes = [_size(text[at:stop]) for at, stop in zip(edges[::2], edges[1::2], strict=True)]
        if len(chain) >= (1 if quoted else 2) and sum(sizes) / len(sizes) >= _SLASH_WORDS:
            spans.append((start, end))
    return spans


def _is_line(piece: str) -> bool:
    return len(piece) <= _SLASH_LINE_CHARS and "\n\n" not in piece and not _BREAK.search(piece)


def _verse_start(text: str, slash: int) -> tuple[int, bool]:
    """Where the line before a slash begins, and whether a quotation mark opens it."""
    floor = max(text.rfind("\n", 0, slash) + 1, slash - _SLASH_LINE_CHARS)
    before = text[floor:slash]
    opening = max(before.rfind(mark) for mark in _OPENING)
    if opening >= 0:
        return floor + opening + 1, True
    ends = [found.end() for found in _BREAK.finditer(before)]
    return floor + (ends[-1] if ends else 0), False


def _verse_stop(text: str, slash: int) -> int:
    """Where the line after a slash ends."""
    ceiling = text.find("\n", slash)
    ceiling = min(len(text) if ceiling < 0 else ceiling, slash + _SLASH_LINE_CHARS)
    stops = [at for mark in _CLOSING if (at := text.find(mark, slash, ceiling)) >= 0]
    found = _BREAK.search(text, slash, ceiling)
    return min([*stops, found.start() if found else ceiling])


def _after_inline_marks(text: str) -> list[Span]:
    """What follows a [Chorus] on its own line; `_by_lines` sees to the lines below it."""
    spans = []
    for found in _INLINE_MARK.finditer(text):
        if _is_mark(found.group(1)) and (text[found.start()] in "[【" or _begins_line(text, found.start())):
            end = text.find("\n", found.end())
            spans.append((found.end(), len(text) if end < 0 else end))
    return [span for span in spans if text[span[0] : span[1]].strip()]


def _begins_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip()


def _by_lines(text: str) -> list[Span]:
    lines = _lines(text)
    spans: list[Span] = []
    if len(lines) < 2 and not any(_heading(line.text) for line in lines):
        return spans
    at = 0
    while at < len(lines):
        heading = _heading(lines[at].text)
        if heading is not None:
            end = _verse_end(lines, at + 1)
            if end > at + 1:
                spans.append((lines[at + 1].start, lines[end - 1].end))
            at = end
        else:
            end = _run_end(lines, at)
            if end > at and _is_verse(lines[at:end]):
                spans.append((lines[at].start, lines[end - 1].end))
            at = max(end, at + 1)
    return spans


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    gap = False
    for found in _LINE.finditer(text):
        piece = found.group()
        if not piece.strip():
            gap = True
            continue
        gap = gap or (bool(lines) and text.count("\n", lines[-1].end, found.start()) > 1)
        size = _size(piece) if len(piece) <= 200 else _MAX_LINE_WORDS * 2.0
        lines.append(_Line(found.start(), found.end(), piece, size, gap))
        gap = False
    return lines


def _heading(line: str) -> str | None:
    """ "heading" or "mark" when the line is nothing but a word for lyrics or for a part of a song."""
    if len(line) > 60:
        return None
    word = line.strip(_MARKS).casefold()
    if word in _words_of("headings"):
        return "heading"
    return "mark" if word in _words_of("marks") and line.strip(" \t*_#").startswith(("[", "(", "【", "<")) else None


def _is_mark(words_in_brackets: str) -> bool:
    word = words_in_brackets.split(":")[0].strip(_MARKS).casefold()
    return word in _words_of("marks") or word in _words_of("headings")


def _verse_end(lines: list[_Line], start: int) -> int:
    """One past the last line below a heading that is sung: prose, another heading or a list ends it."""
    end = start
    while end < len(lines):
        line = lines[end]
        is_prose = bool(_PROSE_END.search(line.text)) or line.size > _MAX_LINE_WORDS
        unbroken = line.size > _MAX_LINE_WORDS and not re.search(r"[.。!?]", line.text)  # verse that lost its lines
        if (is_prose and not unbroken) or (_LISTED.match(line.text) and not _QUOTED_LINE.match(line.text)):
            break
        if _heading(line.text) == "heading":
            break
        end += 1
    return end


def _run_end(lines: list[_Line], start: int) -> int:
    """One past the last of the short lines that begin at `start`."""
    end = start
    while end < len(lines) and _may_be_sung(lines[end]):
        if end > start and _QUOTED_LINE.match(lines[end].text) is None and _QUOTED_LINE.match(lines[start].text):
            break
        end += 1
    return end


def _may_be_sung(line: _Line) -> bool:
    if line.size > _MAX_LINE_WORDS or _heading(line.text):
        return False
    if _QUOTED_LINE.match(line.text):
        return True
    return not _LISTED.match(line.text) and not _PROSE_END.search(line.text)


def _is_verse(lines: list[_Line]) -> bool:
    mean = sum(line.size for line in lines) / len(lines)
    quoted = sum(1 for line in lines if _QUOTED_LINE.match(line.text))
    opens_quotation = lines[0].text.lstrip()[:1] in tuple('"“„«「『')
    least = _QUOTED_RUN_LINES if quoted == len(lines) or opens_quotation else _RUN_LINES
    return len(lines) >= least and mean >= _MIN_LINE_WORDS


def _size(piece: str) -> float:
    return weight(words(piece)) / 3


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


@cache
def _words_of(section: str) -> frozenset[str]:
    return frozenset(word.strip() for line in data_sections("lyric_marks")[section] for word in line.split(","))
