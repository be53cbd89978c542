"""The lyric guard: which parts of a text are lyrics, and whether another text takes too much from them.

A part is lyrics when it is marked so: between <poem> or <lyrics> tags, under a heading such as "Lyrics" or 歌词, behind
"Lyrics:" or "Verse 1:", after a [Chorus] mark or the times of an LRC file, between ♪ signs, as lines parted by " / " or
<br>, in quotation marks after "she sings", as quoted lines, or as a run of short lines that no prose, list or table
would make. Prose under such a heading, which speaks about the lyrics, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sourcing.generation.text.folding import fold
from sourcing.generation.text.lyric_lines import sung_lines
from sourcing.generation.text.lyric_phrases import sung_phrases
from sourcing.generation.text.words import Span, least_runs, merge_spans, words, words_at

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
Runs = frozenset[tuple[str, ...]]
NO_RUNS: Runs = frozenset()
_NOTES = "♪♫♬🎵🎶"
_TAGGED = re.compile(
    r"<(poem|lyrics?|verse|[a-z]{1,10}(?=[^<>]{1,100}[\"'\s_-]lyric))\b[^<>]{0,100}>(.*?)(?:</\1\s{0,9}>|\Z)",
    re.DOTALL | re.IGNORECASE,
)
_SUNG = re.compile(rf"[{_NOTES}]+([^{_NOTES}]+)(?:[{_NOTES}]+|$)", re.MULTILINE)
_BETWEEN_LINES = re.compile(r"<[^<>\n]{1,40}>|\[[^\[\]\n]{1,40}\]|^[ \t]*\(?\d{1,3}(?:[.):]+|:\d\d)[ \t]", re.MULTILINE)
_COLUMNS = re.compile(r"[ \t]\|[ \t]|\t|[ \u3000]{3,}")
_INTERLEAVED = 3  # lines: a script, its transliteration, its translation


def lyric_spans(text: str) -> list[Span]:
    """Spans [start, end) of the text that are marked as lyrics, in order, none touching another."""
    spans = [match.span(2) for match in _TAGGED.finditer(text)] if "<" in text else []
    if any(note in text for note in _NOTES):
        spans += [match.span(1) for match in _SUNG.finditer(text)]
    spans += sung_phrases(text)
    if "\n" in text or "\r" in text or "\u2028" in text or "\u2029" in text:
        spans += sung_lines(text)
    return merge_spans(spans)


def mask_lyrics(text: str, sung: Runs = NO_RUNS) -> str:
    """The text with spaces where lyrics stand, and line breaks as they are: every other character keeps its place.

    Lyrics are those it marks, and what it repeats of them, or of `sung`, elsewhere.
    """
    spans = lyric_spans(text)
    runs = sung | lyric_runs(text, spans)
    if runs:
        folded_text = fold(text)
        tokens = words_at(folded_text.text)
        for start, end in least_runs([word for word, _, _ in tokens], over_words=MAX_LYRIC_WORDS):
            if tuple(word for word, _, _ in tokens[start:end]) in runs:
                spans.append(folded_text.original(tokens[start][1], tokens[end - 1][2]))
    for start, end in merge_spans(spans):
        text = text[:start] + "".join(c if c == "\n" else " " for c in text[start:end]) + text[end:]
    return text


def lyric_runs(text: str, spans: Sequence[Span] | None = None, *, over_words: int = MAX_LYRIC_WORDS) -> Runs:
    """The `shared_runs` of a text's marked lyrics, verbatim and without lines in between.

    `spans` are its `lyric_spans`, where they are known.
    """
    parts = [text[start:end] for start, end in (lyric_spans(text) if spans is None else spans)]
    if not parts:
        return NO_RUNS
    bare = "\n".join(parts)
    lines = [line for line in _BETWEEN_LINES.sub("\n", bare).splitlines() if line.strip()]
    return shared_runs([*parts, bare, "\n".join(lines), *_apart(lines)], over_words=over_words)


def _apart(lines: list[str]) -> Iterator[str]:
    """Each voice of lines that chords, translations or another script stand between or beside."""
    for every in range(2, min(_INTERLEAVED, len(lines)) + 1):
        yield from ("\n".join(lines[first::every]) for first in range(every))
    rows = [_COLUMNS.split(line) for line in lines]
    for column in range(1, max(map(len, rows), default=0)):
        yield "\n".join(row[column] for row in rows if column < len(row))
    if any(len(row) > 1 for row in rows):
        yield "\n".join(row[0] for row in rows)


def shared_runs(texts: Iterable[str], *, over_words: int = MAX_LYRIC_WORDS) -> Runs:
    """The runs of words of which no other text may hold one: the shortest that are longer than is allowed."""
    runs: set[tuple[str, ...]] = set()
    for text in texts:
        tokens = words(text)
        runs.update(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=over_words))
    return frozenset(runs)


def takes_lyrics(text: str, runs: Runs, *, over_words: int = MAX_LYRIC_WORDS) -> bool:
    """True when a text holds more than eight consecutive words of the lyrics whose `shared_runs` are given."""
    if not runs:
        return False
    tokens = words(text)
    return any(tuple(tokens[start:end]) in runs for start, end in least_runs(tokens, over_words=over_words))
