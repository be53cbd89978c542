"""The lyric guard: which parts of a text are lyrics, and whether another text takes too much from them.

A part is lyrics when it is marked so: between <poem> or <lyrics> tags, under a heading such as "Lyrics" or 歌词, behind
"Lyrics:" or "Verse 1:", after a [Chorus] mark or the times of an LRC file, between ♪ signs, as lines parted by " / " or
<br>, in quotation marks after "she sings", as quoted lines, or as a run of short lines that no prose, list or table
would make. Prose under such a heading, which speaks about the lyrics, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from sourcing.generation.folding import fold
from sourcing.generation.words import data_sections, is_written_without_spaces, least_runs, weight, words, words_at

__all__ = [
    "MAX_LYRIC_WORDS",
    "NO_RUNS",
    "TRACE_WORDS",
    "Runs",
    "lyric_runs",
    "lyric_spans",
    "mask_lyrics",
    "shared_runs",
    "takes_lyrics",
]

#: Consecutive words of lyrics that may be published. Twelve characters of a script without spaces count as eight words:
#: running Chinese has about three characters to two words, and a sung line of it five to ten.
MAX_LYRIC_WORDS = 8
#: Of these in a row, more than which show that a finding speaks of lyrics: line by line, findings would tell them all.
TRACE_WORDS = 3

Span = tuple[int, int]
Runs = frozenset[tuple[str, ...]]
NO_RUNS: Runs = frozenset()

_TAGGED = re.compile(r"<(poem|lyrics?|verse)\b[^<>]{0,100}>(.*?)(?:</\1\s{0,9}>|\Z)", re.DOTALL | re.IGNORECASE)
_SUNG = re.compile(r"[♪♫♬]+([^♪♫♬]+)(?:[♪♫♬]+|$)", re.MULTILINE)
_SLASH = re.compile(
    r"(?<=\S)[ \t\u3000]{1,3}[/／|⁄∕•·]{1,2}[ \t\u3000]{1,3}(?=\S)|[ \t]{0,3}<br\s{0,3}/?>[ \t]{0,3}(?=\S)",
    re.IGNORECASE,
)
_DOTTED, _DASHED = re.compile(r"\s[•·]\s"), re.compile(r"\s[-–—]\s")  # of lists of people and their parts
_TIGHT_SLASH = re.compile(r"(?<=[^\W\d_]{2})[,;.]?/(?=[^\W\d_]{2})")
_OPENING, _CLOSING = '"“„«「『', '"”»」』'
# Times of an LRC or SRT file before each line.
_TIMED = re.compile(
    r"(?:\[\d{1,3}:\d\d[.:]\d{1,3}\]|<\d{1,3}:\d\d[.:]\d{1,3}>"
    r"|\d\d:\d\d:\d\d[,.]\d{3}\s?-->\s?\d\d:\d\d:\d\d[,.]\d{3}\n)\s*"
    r"([^\[\n<]*)"
)
_BETWEEN_LINES = re.compile(r"<[^<>\n]{1,40}>|\[[^\[\]\n]{1,40}\]|^[ \t]*\(?\d{1,3}[.):]+[ \t]", re.MULTILINE)
_SINGING = re.compile(
    r"\b(?:sings?|sang|sung|singing|croons?|crooning|chants?|chanting|raps?|rapping|intones?|whispers|wails|belts"
    r"|(?:line|lines|lyrics?|refrain|chorus|hook|verse|couplet|words|singt|sang|chante|canta)"
    r"(?:\s(?:is|are|goes|go|reads?|runs?|begins?|opens?|says?|repeats?|geht|lautet|dit|dice))?)"
    r"\b\s?[:,]?\s?(?:[^\W\d_]+\s){0,3}[\"“„«「『]([^\"“”„«»「」『』\n]{25,600})[\"”»」』]|唱(?:道|着|：|:)?[“「『]([^“”「」『』\n]{8,300})[”」』]",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]*\s*")
_BREAK = re.compile(r"[.!?]\s|[。！？]")  # ends the prose before a line, and the line before prose
_LINE = re.compile(r"[^\n\r\u2028\u2029]+")
_LYRICS_OF = re.compile(
    r"(?:[Ll]yrics|LYRICS) (?:to|of|for)\b[^.!?]*|(?:[A-Z][\w'’]* |[&(]\w+[)]? ){1,6}(?:Lyrics|LYRICS)"
)
_MARKS = "[](){}<>=#*_-–—:：~ \t【】「」《》0123456789xX×.,"
_QUOTED_LINE = re.compile(r"\s*(?:>|\|)\s*\S")
_BULLET = re.compile(r"\s*(?:[-*•·–—]|\(?\d+[.):]?)\s")
_FIELD = re.compile(r".*\d:\d\d|[^\n]*[:：=|]\s*\S|\s*(?:https?:|www\.)")
_SPACED_LETTERS = re.compile(r"(?:[^\W\d_] ){2,}[^\W\d_]")
_LABEL = re.compile(
    r"(?:(?<=\n)|(?<=[.!?。！？] )|(?<=[。！？])|\A)[ \t*_#>\"“]*([^\W\d_][\w' -]{1,24}?)[ \t*_]*[:：][ \t*_]*(?=\S)"
)
_PROSE_END = re.compile(r"[.。][\"'”’)\]]*\s*$")
_INLINE_MARK = re.compile(r"[\[(【]([^\[\]()【】\n]{2,40})[\])】]")

_RUN_LINES, _QUOTED_RUN_LINES = 4, 2  # short lines in a row that make verse, and quoted ones
_STRONG = 2  # words that speak about a song, in prose that does
_LABELLED_WORDS = 5  # "Lyrics: Ann Lee" is a credit
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
    if "/" in text or "•" in text or "·" in text or "<" in text or " | " in text or "／" in text:
        spans += _slashed(text) + _tightly_slashed(text)
    if ":" in text or "：" in text:
        spans += _timed(text) + _labelled(text)
    if any(mark in text for mark in _OPENING):
        spans += [found.span(found.lastindex or 1) for found in _SINGING.finditer(text)]
    if "[" in text or "(" in text or "【" in text:
        spans += _after_inline_marks(text)
    if "\n" in text or "\r" in text or "\u2028" in text or "\u2029" in text:
        spans += _by_lines(text)
    return _merged(spans)


def mask_lyrics(text: str, sung: Runs = NO_RUNS) -> str:
    """The text with spaces where lyrics stand, and line breaks as they are: every other character keeps its place.

    Lyrics are those it marks, and what it repeats of them, or of `sung`, elsewhere.
    """
    spans = lyric_spans(text)
    runs = sung | lyric_runs(text, spans)
    if runs:
        folded = fold(text)
        tokens = words_at(folded.text)
        for start, end in least_runs([word for word, _, _ in tokens], over_words=MAX_LYRIC_WORDS):
            if tuple(word for word, _, _ in tokens[start:end]) in runs:
                spans.append(folded.original(tokens[start][1], tokens[end - 1][2]))
    for start, end in _merged(spans):
        text = text[:start] + "".join(c if c == "\n" else " " for c in text[start:end]) + text[end:]
    return text


def lyric_runs(text: str, spans: Sequence[Span] | None = None, *, over_words: int = MAX_LYRIC_WORDS) -> Runs:
    """The `shared_runs` of what a text marks as lyrics, as it stands and without numbers, times and tags between lines.

    `spans` are its `lyric_spans`, where they are known.
    """
    parts = [text[start:end] for start, end in (lyric_spans(text) if spans is None else spans)]
    if not parts:
        return NO_RUNS
    bare = "\n".join(parts)
    return shared_runs([*parts, bare, _BETWEEN_LINES.sub("\n", bare)], over_words=over_words)


def shared_runs(texts: Iterable[str], *, over_words: int = MAX_LYRIC_WORDS) -> Runs:
    """The runs of words of which no other text may hold one: the shortest that are longer than is allowed."""
    runs: set[tuple[str, ...]] = set()
    for text in texts:
        tokens = words(text)
        runs.update(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=over_words))
    return frozenset(runs)


def takes_lyrics(text: str, runs: Runs, *, over_words: int = MAX_LYRIC_WORDS) -> bool:
    """Whether a text holds more than eight consecutive words of the lyrics whose `shared_runs` are given."""
    if not runs:
        return False
    tokens = words(text)
    return any(tuple(tokens[start:end]) in runs for start, end in least_runs(tokens, over_words=over_words))


def _slashed(text: str) -> list[Span]:
    """Lines run together with slashes: one slash within quotation marks, or two anywhere."""
    spans = []
    for start, end, quoted, sizes in _chains(text, _SLASH):
        listed = _DOTTED.search(text, start, end) and (_DASHED.search(text, start, end) or _is_credit(text[start:end]))
        if len(sizes) > (1 if quoted else 2) and sum(sizes) / len(sizes) >= _SLASH_WORDS and not listed:
            spans.append((start, end))
    return spans


def _tightly_slashed(text: str) -> list[Span]:
    """The same with no spaces around the slashes, of which there are two at least, in quotation marks."""
    return [
        (start, end)
        for start, end, quoted, sizes in _chains(text, _TIGHT_SLASH)
        if quoted and len(sizes) > 2 and min(sizes) >= 2 and _in_quotation(text, start, end)
    ]


def _chains(text: str, slash_pattern: re.Pattern[str]) -> Iterator[tuple[int, int, bool, list[float]]]:
    """Lines parted by slashes, one after the other: their span, whether a quotation mark opens it, words of each."""
    chains: list[list[re.Match[str]]] = []
    for slash in slash_pattern.finditer(text):
        if chains and _is_line(text[chains[-1][-1].end() : slash.start()]):
            chains[-1].append(slash)
        else:
            chains.append([slash])
    for chain in chains:
        start, quoted = _verse_start(text, chain[0].start())
        end = _verse_stop(text, chain[-1].end())
        edges = [start, *(edge for slash in chain for edge in slash.span()), end]
        yield start, end, quoted, [_size(text[at:stop]) for at, stop in zip(edges[::2], edges[1::2], strict=True)]


def _in_quotation(text: str, start: int, end: int) -> bool:
    """Whether quotation marks stand around a piece of prose: no addresses or tags, and none that closes before it."""
    opens = start < 2 or not text[start - 2].isalnum()
    return opens and text[end : end + 1] in tuple(_CLOSING) and not set("<>=_:") & set(text[start:end])


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


def _timed(text: str) -> list[Span]:
    """Lines behind the times of an LRC file, of which there are two at least."""
    lines = [found.span(1) for found in _TIMED.finditer(text) if found.group(1).strip()]
    return lines if len(lines) > 1 else []


def _labelled(text: str) -> list[Span]:
    """What follows "Lyrics:" or "Verse 1:" in its line, up to the first sentence that speaks about the song."""
    spans = []
    for found in _LABEL.finditer(text):
        word = found.group(1).strip(_MARKS).casefold()
        if word not in _words_of("labels") and word not in _words_of("parts"):
            continue
        stop = text.find("\n", found.end())
        end = stop = len(text) if stop < 0 else stop
        start = found.end()
        for sentence in _SENTENCE.finditer(text, start, stop):
            if _speaks_about(
                sentence.group(), 1 if word in _words_of("parts") and sentence.start() == start else _STRONG
            ):
                end = sentence.start()
                break
        sung = text[start:end]
        if _size(sung) > _LABELLED_WORDS and not _is_credit(sung):
            spans.append((start, end))
    return spans


def _speaks_about(text: str, least: int) -> bool:
    """Whether words say that a text is prose about a song: one that no song sings, or `least` that few do."""
    own = set(words(text))
    if not text.isascii():
        own.update(word for word in _spaceless_words() if word in text)
    return bool(own & _words_of("about")) or len(own & _words_of("perhaps_about")) >= least


def _is_credit(text: str) -> bool:
    """Names one after the other."""
    parts = [
        word for word in text.split() if word[:1].isalpha() and word not in ("and", "und", "et", "y", "by", "with")
    ]
    return bool(parts) and sum(word[0].isupper() for word in parts) > 0.7 * len(parts) and text.isascii()


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
        if not any(map(str.isalnum, piece)) and "♪" not in piece:  # blank, or nothing but a separator
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
    bare = line.strip(_MARKS)
    if _SPACED_LETTERS.fullmatch(bare):
        bare = bare.replace(" ", "")
    word = bare.casefold()
    if word in _words_of("headings") or _LYRICS_OF.fullmatch(bare):
        return "heading"
    if word in _words_of("parts") and len(bare) > 1:
        return "mark"
    return "mark" if word in _words_of("marks") and line.strip(" \t*_#").startswith(("[", "(", "【", "<")) else None


def _is_mark(words_in_brackets: str) -> bool:
    word = words_in_brackets.split(":")[0].strip(_MARKS).casefold()
    return word in _words_of("marks") or word in _words_of("headings")


def _verse_end(lines: list[_Line], start: int) -> int:
    """One past the last line below a heading that is sung: prose, another heading or a list ends it."""
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
        is_field = _FIELD.match(line.text) and not _QUOTED_LINE.match(line.text)
        heading = _heading(line.text)
        if not heading and ((is_prose and not unbroken) or is_field):
            break
        if heading == "heading" or (_BULLET.match(line.text) and _speaks_about(line.text, _STRONG)):
            break
        end += 1
    return end


def _is_sung_sentence(line: _Line) -> bool:
    """A short line of one sentence that does not speak about the song."""
    inner = line.text.strip().rstrip(".。!?！？\"'”’")
    return line.size <= _MAX_LINE_WORDS and not _BREAK.search(inner) and not _speaks_about(line.text, 1)


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
    listed = _BULLET.match(line.text) or _FIELD.match(line.text)
    return not listed and not _PROSE_END.search(line.text)


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


@cache
def _spaceless_words() -> list[str]:
    return [
        word for section in ("about", "perhaps_about") for word in _words_of(section) if is_written_without_spaces(word)
    ]
