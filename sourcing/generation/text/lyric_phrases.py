"""Lyrics within lines: run together with slashes, behind times, labels or marks, or in quotation marks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sourcing.generation.text.lyric_lines import reads_as_verse, speaks_of_sound
from sourcing.generation.text.lyric_words import (
    BREAK,
    MARKS,
    RUN_LINES,
    STRONG,
    inline_marks,
    speaks_about,
    words_of,
)
from sourcing.generation.text.words import Span, mean_size, size_of

__all__ = ["sung_phrases"]

_SLASH = re.compile(
    r"(?<=\S)[ \t\u3000]{1,3}[/／|⁄∕•·]{1,2}[ \t\u3000]{1,3}(?=\S)|[ \t]{0,3}<br\s{0,3}/?>[ \t]{0,3}(?=\S)",
    re.IGNORECASE,
)
_DOTTED, _DASHED = re.compile(r"\s[•·]\s"), re.compile(r"\s[-–—]\s")  # of lists of people and their parts
_TIGHT_SLASH = re.compile(r"(?<=[^\W\d_]{2})[,;.]?/(?=[^\W\d_]{2})")
_QUOTATION_MARKS = "\"“„«「『'‘"
_OPENING, _CLOSING = '"“„«「『', '"”»」』'
# Times of an LRC or SRT file before each line.
_TIMED = re.compile(
    r"(\[\d{1,3}:\d\d\]|(?:\[\d{1,3}:\d\d[.:]\d{1,3}\]|<\d{1,3}:\d\d[.:]\d{1,3}>"
    r"|\d\d:\d\d:\d\d[,.]\d{3}\s?-->\s?\d\d:\d\d:\d\d[,.]\d{3}\n))\s*"
    r"([^\[\n<]*)"
)
_VERB = (
    r"(?:sings?|sang|sung|singing|croons?|crooning|chants?|chanting|raps?|rapping|intones?|whispers|goes like this"
    r"|wails|belts|pleads|hums|singt|chante|canta)"
)
_NOUN = r"(?:line|lines|lyrics?|refrain|chorus|hook|verse|couplet|words|singer|vocalist|副歌|歌词|歌詞)"
_SAYS = r"(?:\s(?:is|are|goes|go|reads?|runs?|begins?|opens?|says?|repeats?|geht|lautet|dit|dice))?"
_QUOTED = (
    re.compile(r"[\"“„«「『](?=([^\"“”„«»「」『』\n]{8,600})[\"”»」』])"),
    re.compile(r"['‘](?<![^\W_].)(?=((?:[^'‘’\n]|(?<=\w)['’](?=\w)){8,600})['’](?!\w))"),
)
_SINGING_BEFORE = re.compile(
    rf"\b(?:{_VERB}|{_NOUN}{_SAYS})\b(?:\s?[:,]?\s?(?:[^\W\d_]+\s){{0,3}}|\s(?:[^\W\d_]+\s){{0,6}}[^\W\d_]+:\s)\Z",
    re.IGNORECASE,
)
_SINGING_BEFORE_ZH = re.compile(r"唱(?:道|着|到|出|的是)?[：:，]?\Z")
_SINGING_BEHIND = re.compile(rf".?[,.]?\s(?:[^\W\d_]+\s){{1,3}}{_VERB}\b", re.IGNORECASE)
_QUOTED_CHARS = 25  # a shorter quotation is a title or a word
_VERB_CHARS = 90  # between a word for singing and what is sung
_SENTENCE = re.compile(r"[^.!?。！？]+[.!?。！？]*\s*")
_LABEL = re.compile(
    r"(?:(?<=\n)|(?<=[.!?。！？] )|(?<=[。！？])|\A)[ \t*_#>\"“{]*([^\W\d_][\w' -]{1,24}?)"
    r"(?:[ \t*_\"]*[:：]|[ \t][-–—][ \t])[ \t*_]*(?=\S)"
)
_SEPARATORS = (":", "：", " -", " –", " —")
_LABELLED_WORDS = 5  # "Lyrics: Ann Lee" is a credit
_SLASH_WORDS = 3  # mean words between slashes: "rock / pop / jazz" is no verse
_SLASH_LINE_CHARS = 120  # a longer piece between slashes is no line of verse


def sung_phrases(text: str) -> list[Span]:
    """Lyrics run together with slashes, behind times or labels, in quotation marks, or behind a mark within a line."""
    spans: list[Span] = []
    if any(separator in text for separator in _SEPARATORS):
        spans += _labelled(text)
    if "/" in text or "•" in text or "·" in text or "<" in text or " | " in text or "／" in text:
        spans += _slashed(text) + _tightly_slashed(text)
    if ":" in text:
        spans += _timed(text)
    if any(mark in text for mark in _QUOTATION_MARKS):
        spans += _sung_in_quotation(text)
    if "[" in text or "(" in text or "【" in text:
        spans += _after_inline_marks(text)
    return spans


def _slashed(text: str) -> list[Span]:
    """Lines run together with slashes: one slash within quotation marks, or two anywhere."""
    spans = []
    for start, end, in_quotes, pieces in _chains(text, _SLASH):
        is_list = _DOTTED.search(text, start, end) and (_DASHED.search(text, start, end) or _is_credit(text[start:end]))
        is_list = is_list or (not in_quotes and speaks_of_sound(pieces))
        if len(pieces) > (1 if in_quotes else 2) and mean_size(pieces) >= _SLASH_WORDS and not is_list:
            spans.append((start, end))
    return spans


def _tightly_slashed(text: str) -> list[Span]:
    """Lines run together with slashes that have no spaces around: two slashes at least, in quotation marks."""
    return [
        (start, end)
        for start, end, in_quotes, pieces in _chains(text, _TIGHT_SLASH)
        if in_quotes and len(pieces) > 2 and min(map(size_of, pieces)) >= 2 and _in_quotation(text, start, end)
    ]


def _chains(text: str, slash_pattern: re.Pattern[str]) -> Iterator[tuple[int, int, bool, list[str]]]:
    """Lines parted by slashes, one after the other: their span, whether a quotation mark opens it, and each of them."""
    chains: list[list[re.Match[str]]] = []
    for slash in slash_pattern.finditer(text):
        if chains and _is_line(text[chains[-1][-1].end() : slash.start()]):
            chains[-1].append(slash)
        else:
            chains.append([slash])
    for chain in chains:
        start, in_quotes = _verse_start(text, chain[0].start())
        end = _verse_stop(text, chain[-1].end())
        edges = [start, *(edge for slash in chain for edge in slash.span()), end]
        yield start, end, in_quotes, [text[at:stop] for at, stop in zip(edges[::2], edges[1::2], strict=True)]


def _in_quotation(text: str, start: int, end: int) -> bool:
    """True when quotation marks stand around a piece of prose: no addresses or tags, and none that closes before it."""
    opens = start < 2 or not text[start - 2].isalnum()
    return opens and text[end : end + 1] in tuple(_CLOSING) and not set("<>=_:") & set(text[start:end])


def _is_line(piece: str) -> bool:
    return len(piece) <= _SLASH_LINE_CHARS and "\n\n" not in piece and not BREAK.search(piece)


def _verse_start(text: str, slash: int) -> tuple[int, bool]:
    """The start of the line before a slash, and True when a quotation mark opens it."""
    floor = max(text.rfind("\n", 0, slash) + 1, slash - _SLASH_LINE_CHARS)
    before = text[floor:slash]
    opening = max(before.rfind(mark) for mark in _OPENING)
    if opening >= 0:
        return floor + opening + 1, True
    ends = [match.end() for match in BREAK.finditer(before)]
    return floor + (ends[-1] if ends else 0), False


def _verse_stop(text: str, slash: int) -> int:
    """The end of the line after a slash."""
    ceiling = text.find("\n", slash)
    ceiling = min(len(text) if ceiling < 0 else ceiling, slash + _SLASH_LINE_CHARS)
    stops = [at for mark in _CLOSING if (at := text.find(mark, slash, ceiling)) >= 0]
    match = BREAK.search(text, slash, ceiling)
    return min([*stops, match.start() if match else ceiling])


def _sung_in_quotation(text: str) -> list[Span]:
    """Spans of quotations beside a word for singing, without those that speak about the song."""
    spans = []
    for pattern in _QUOTED:
        for match in pattern.finditer(text):
            start, end = match.span(1)
            before = text[max(0, start - 1 - _VERB_CHARS) : start - 1]
            sung = _SINGING_BEFORE_ZH.search(before) or (
                end - start >= _QUOTED_CHARS and (_SINGING_BEFORE.search(before) or _SINGING_BEHIND.match(text, end))
            )
            if sung and not speaks_about(text[start:end], STRONG):
                spans.append((start, end))
    return spans


def _is_credit(text: str) -> bool:
    """True for names one after the other."""
    parts = [
        word for word in text.split() if word[:1].isalpha() and word not in ("and", "und", "et", "y", "by", "with")
    ]
    return bool(parts) and sum(word[0].isupper() for word in parts) > 0.7 * len(parts) and text.isascii()


def _timed(text: str) -> list[Span]:
    """Lines behind the times of an LRC file, of which there are two at least; more where times are of whole seconds,
    which chapters have, too.
    """
    lines = [match for match in _TIMED.finditer(text) if match.group(2).strip()]
    whole = [match.group(2) for match in lines if match.group(1).count(":") == 1 and "." not in match.group(1)]
    if len(whole) == len(lines) and (len(lines) < RUN_LINES or not reads_as_verse(whole, _SLASH_WORDS + 1)):
        return []
    return [match.span(2) for match in lines] if len(lines) > 1 else []


def _labelled(text: str) -> list[Span]:
    """Text after "Lyrics:" or "Verse 1:" in the same line, up to the first sentence that speaks about the song."""
    spans = []
    for match in _LABEL.finditer(text):
        word = match.group(1).strip(MARKS).casefold()
        if word not in words_of("labels") and word not in words_of("parts"):
            continue
        start, end = match.end(), _sung_end(text, match.end(), 1 if word in words_of("parts") else STRONG)
        sung = text[start:end]
        if size_of(sung) > _LABELLED_WORDS and not _is_credit(sung):
            spans.append((start, end))
    return spans


def _sung_end(text: str, start: int, least: int) -> int:
    """Where the line ends, or the first sentence that speaks about the song begins; `least` is for the first of all.

    Who speaks about a song does so at once: what a long sentence ends in may be prose that lost its line break.
    """
    stop = text.find("\n", start)
    stop = len(text) if stop < 0 else stop
    for sentence in _SENTENCE.finditer(text, start, stop):
        if speaks_about(sentence.group()[:_SLASH_LINE_CHARS], least if sentence.start() == start else STRONG):
            return sentence.start()
    return stop


def _after_inline_marks(text: str) -> list[Span]:
    """Text after a [Chorus] on the same line; `lyric_lines` sees to the lines below it."""
    spans = [(mark.end(), _sung_end(text, mark.end(), STRONG + 1)) for mark in inline_marks(text)]
    return [span for span in spans if text[span[0] : span[1]].strip()]
