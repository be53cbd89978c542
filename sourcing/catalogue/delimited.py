"""Delimited text read record by record: an open quote costs its own line and no other."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

__all__ = ["DELIMITERS", "Layout", "Line", "find_layout", "read_records"]

DELIMITERS = ",\t;|"
_LINE_CHARACTERS = 4_000_000  # a longer line is no row
_RECORD_LINES = 500  # that one quoted cell may span
_LAYOUT_LINES = 30  # that may stand before the header

csv.field_size_limit(_LINE_CHARACTERS)


@dataclass(frozen=True)
class Line:
    """One line of the file, numbered from 1, with its line end."""

    number: int
    text: str


@dataclass(frozen=True)
class Layout:
    """Delimiter of the cells, and number of lines above the header."""

    delimiter: str
    skipped: int


def lines_of(stream: TextIO) -> Iterator[Line]:
    """The lines; of one that is too long the beginning alone, without a line end."""
    number = 0
    while text := stream.readline(_LINE_CHARACTERS):
        number += 1
        piece = text
        while len(piece) == _LINE_CHARACTERS and not piece.endswith("\n"):
            piece = stream.readline(_LINE_CHARACTERS)
        yield Line(number, text)


def find_layout(lines: Sequence[str], knows: Callable[[Sequence[str]], int]) -> Layout:
    """The delimiter and the first line that has two known column names; else the first line, its commonest delimiter.

    `knows` counts the known names among a record's cells.
    """
    for place, line in enumerate(lines[:_LAYOUT_LINES]):
        known_names, delimiter = max((knows(_cells(line, sign)), sign) for sign in DELIMITERS)
        if known_names > 1:
            return Layout(delimiter, place)
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if lines and (separator_line := re.fullmatch(r"sep=(.)\s*", lines[first])):  # Excel's own word for it
        return Layout(separator_line[1], first + 1)
    header = lines[first] if lines else ""
    return Layout(max(DELIMITERS, key=header.count), first)


def read_records(
    lines: Iterator[Line], delimiter: str, *, width: int = 0, names: Collection[int] = ()
) -> Iterator[tuple[Line, list[str] | str]]:
    """Records with their first line: the cells, or a sentence on the fault.

    Quotes are read strictly where a cell spans lines. Where one is not closed, or where a cell of `names` (places of
    columns that hold no line ends) spans lines of which each makes a row of `width` cells by itself, the first line is
    given up and the others are read anew.
    """
    waiting: deque[Line] = deque()
    while (first := waiting.popleft() if waiting else next(lines, None)) is not None:
        if len(first.text) >= _LINE_CHARACTERS:
            yield first, f"its line has more than {_LINE_CHARACTERS:,} characters"
            continue
        if '"' not in first.text:
            cells = first.text.rstrip("\n").split(delimiter)
            yield first, [] if cells == [""] else cells
            continue
        record_lines: list[Line] = []

        def pulled(first: Line = first, record_lines: list[Line] = record_lines) -> Iterator[str]:
            yield first.text
            while len(record_lines) < _RECORD_LINES:
                line = waiting.popleft() if waiting else next(lines, None)
                if line is None:
                    return
                record_lines.append(line)
                yield line.text

        try:
            cells = next(csv.reader(pulled(), delimiter=delimiter, strict=True))
            spans = record_lines and any("\n" in cell for place, cell in enumerate(cells) if place in names)
            if spans and all(line.text.count(delimiter) + 1 == width for line in (first, *record_lines)):
                raise csv.Error("rows inside a cell")
        except csv.Error:
            waiting.extendleft(reversed(record_lines))
            if record_lines or _is_open(first.text, delimiter):
                yield first, 'a quote " is opened on this line and not closed; close it, or write "" for a quote'
            else:
                yield first, _cells(first.text, delimiter)
            continue
        yield first, cells


def _is_open(text: str, delimiter: str) -> bool:
    try:
        next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end" in str(error)
    return False


def _cells(text: str, delimiter: str) -> list[str]:
    """One line as cells, quotes read leniently."""
    return next(csv.reader([text], delimiter=delimiter), [])
