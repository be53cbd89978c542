"""Formats a catalogue comes in: each is opened as a header, notes, and rows that say where they stand."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from sourcing.catalogue.cells import as_json
from sourcing.catalogue.delimited import find_layout, lines_of, read_records
from sourcing.catalogue.encodings import open_text
from sourcing.catalogue.mapping import field_of
from sourcing.errors import CatalogueError, UsageError

__all__ = ["HEAD_ROWS", "Opened", "Row", "Unreadable", "open_file"]

HEAD_ROWS = 10_000  # looked at before the first is read: which columns there are, in what units
_HEAD_LINES = 30
_JSON_BYTES = 1_000_000_000
_SHEET_BYTES = 2_000_000_000
_DEPTH = 32
_SHORT_FIELDS = ("track_id", "title", "artist", "album", "isrc", "year", "duration_s")
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SHEET_SUFFIXES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
Knows = Callable[[Sequence["str | None"]], int]
OpensText = Callable[[], AbstractContextManager[tuple[TextIO, list[str]]]]


@dataclass(frozen=True)
class Unreadable:
    """A row that is no row: what is wrong with it, and the row itself."""

    finding: str
    raw: str


@dataclass(frozen=True)
class Doubtful:
    """A row that is accepted with a finding."""

    row: dict[str, Any]
    reason: str
    finding: str


#: ("catalogue.csv row 812", its columns by the file's names, or what is wrong with it as a whole)
Row = tuple[str, "dict[str, Any] | Doubtful | Unreadable"]


@dataclass(frozen=True)
class Opened:
    """A catalogue that can be read: its rows, columns and notes on sheet, header and encoding."""

    rows: Iterator[Row]
    header: list[str]
    notes: list[str] = field(default_factory=list)


def open_file(
    path: Path,
    *,
    sheet: str | None = None,
    encoding: str | None = None,
    column_names: Iterable[str] = (),
    likely: Mapping[str, str] | None = None,
) -> Opened:
    """The rows of a file; CatalogueError when there is nothing we can read there.

    The header is the first line with two column names that are known or `named`. `remembered` are the sheet and the
    encoding of a file before, which count where they fit this one.
    """
    likely = likely or {}
    own = {name.strip().casefold() for name in column_names}

    def knows(cells: Sequence[str | None]) -> int:
        return _known_names(cells) + sum(bool(cell) and str(cell).strip().casefold() in own for cell in cells)

    if not path.is_file():
        raise CatalogueError(str(path), "there is no such file or folder", "check the path")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else "".join(suffixes[-1:])
    if sheet is not None and suffix not in _SHEET_SUFFIXES:
        raise UsageError("--sheet", f"{path.name} has no sheets", "leave it out")
    text = partial(open_text, path, encoding, likely.get("encoding"))
    if suffix in _TEXT_SUFFIXES:
        return _primed(_read_delimited(path, text, knows))
    if suffix in _JSON_SUFFIXES:
        return _with_columns(_read_json(path, text))
    if suffix == ".parquet":
        return _read_parquet(path)
    if suffix in _SHEET_SUFFIXES:
        return _read_sheet(path, sheet, knows, likely.get("sheet"))
    cure = "give a .csv, .tsv, .jsonl, .json, .parquet or .xlsx file, or a folder of audio files"
    raise CatalogueError(str(path), f"its ending {path.suffix!r} says no format we read", cure)


def _known_names(cells: Sequence[str | None]) -> int:
    return len({name for cell in cells if cell and (name := field_of(cell))})


def _primed(steps: Iterator[Any]) -> Opened:
    """The rows of a generator whose first value is (header, notes)."""
    header, notes = next(steps)
    return Opened(steps, header, notes)


def _with_columns(steps: Iterator[Any]) -> Opened:
    """As `_primed`, with the columns of the first rows as header."""
    source = _primed(steps)
    head = list(islice(source.rows, HEAD_ROWS))
    columns: dict[str, str] = {}  # of spellings that differ in case the first
    for name in (name for _, row in head if isinstance(row, dict) for name in row):
        columns.setdefault(name.strip().casefold(), name)
    return Opened(chain(head, source.rows), list(columns.values()), source.notes)


def _read_delimited(path: Path, text: OpensText, knows: Knows) -> Iterator[Any]:
    with text() as (stream, notes):
        lines = lines_of(stream)
        head = list(islice(lines, _HEAD_LINES))
        layout = find_layout([line.text for line in head], knows)
        if any(line.text.strip() for line in head[: layout.skipped]):
            notes.append(f"the header is line {layout.skipped + 1}; what stands above it is left out")
        body = chain(head[layout.skipped :], lines)
        first = next(read_records(body, layout.delimiter), None)
        if first is None:
            yield [], notes
            return
        if isinstance(first[1], str):
            raise CatalogueError(f"{path} line {first[0].number}", f"its header cannot be read: {first[1]}", "mend it")
        names = _named(first[1])
        yield names, notes
        short = {place for place, name in enumerate(names) if field_of(name) in _SHORT_FIELDS}
        blank = 0
        for line, cells in read_records(body, layout.delimiter, width=len(names), names=short):
            where = f"{path.name} row {line.number}"  # a row can span lines; it is named by its first
            if isinstance(cells, str):
                yield where, Unreadable(cells, line.text)
            elif any(cell.strip() for cell in cells[len(names) :]):
                yield where, Unreadable(f"it has {len(cells)} cells, the header names {len(names)}", line.text)
            elif any(cell.strip() for cell in cells):
                yield where, dict(zip(names, cells, strict=False))
            else:
                blank += bool(cells)
        if blank:
            notes.append(f"{blank} rows without a filled cell are left out")


def _named(cells: Sequence[str | None]) -> list[str]:
    """Column names; those without one are called by their place, save for what ends every line."""
    names = [" ".join((cell or "").split()) for cell in cells]
    while names and not names[-1]:
        names.pop()
    return [name or f"column {place}" for place, name in enumerate(names, start=1)]


def _read_json(path: Path, text: OpensText) -> Iterator[Any]:
    """A line a row, or one array of objects, bare or as the only list of an object."""
    with text() as (stream, notes):
        yield [], notes
        lines = lines_of(stream)
        full_lines = (line for line in lines if line.text.strip())
        head = list(islice(full_lines, 2))
        row = _json_row(head[0].text) if head else None
        if head and (not isinstance(row, dict) or (len(head) == 1 and not _known_names(list(row)))):
            with text() as (whole, _):
                items = _listed(whole.read(_JSON_BYTES))
            if items is not None:
                for number, item in enumerate(items, start=1):
                    yield f"{path.name} item {number}", _checked(item, item)
                return
        for line in chain(head, full_lines):
            yield f"{path.name} row {line.number}", _checked(_json_row(line.text), line.text)


def _json_row(text: str) -> Any:
    """Value of a line of JSON, or Unreadable."""
    try:
        return json.loads(text.strip().removeprefix("\ufeff"), object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        return Unreadable(f"it is not JSON ({error})", text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in it")
    return row


def _listed(text: str) -> list[Any] | None:
    content = _json_row(text)
    if isinstance(content, dict):
        lists = [
            value for value in content.values() if isinstance(value, list) and any(isinstance(v, dict) for v in value)
        ]
        content = lists[0] if len(lists) == 1 else [content]
    return content if isinstance(content, list) and any(isinstance(item, dict) for item in content) else None


def _checked(row: Any, raw: Any) -> dict[str, Any] | Unreadable:
    if isinstance(row, Unreadable):
        return row
    raw = raw if isinstance(raw, str) else as_json(raw)
    if not isinstance(row, dict):
        return Unreadable("it is not a JSON object", raw)
    level: list[Any] = [row]
    for _ in range(_DEPTH):
        level = [
            each
            for value in level
            for each in (value.values() if isinstance(value, dict) else value)
            if isinstance(each, dict | list)
        ]
        if not level:
            return row
    return Unreadable(f"it is nested deeper than {_DEPTH}", raw)


class OutOfRange:
    """A cell whose value Python cannot hold."""


def _read_parquet(path: Path) -> Opened:
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise CatalogueError(str(path), f"not Parquet that can be read ({str(error)[:200]})", "write it anew") from None
    moments = [name for name, dtype in frame.schema.items() if dtype in (pl.Date, pl.Datetime)]
    frame = frame.with_columns(pl.col(moments).cast(pl.String))  # beyond the years Python counts, too
    return Opened(_frame_rows(path.name, frame), frame.columns)


def _frame_rows(name: str, frame: pl.DataFrame) -> Iterator[Row]:
    number = 0
    for part in frame.iter_slices(HEAD_ROWS):
        for cells in zip(*(_values(column) for column in part), strict=True):
            number += 1
            yield f"{name} row {number}", dict(zip(frame.columns, cells, strict=True))


def _values(column: pl.Series) -> list[Any]:
    try:
        return column.to_list()
    except (ValueError, OverflowError, pl.exceptions.PanicException):  # a moment inside a list, a length of aeons
        return [_value(column, place) for place in range(len(column))]


def _value(column: pl.Series, place: int) -> Any:
    try:
        return column.slice(place, 1).to_list()[0]
    except (ValueError, OverflowError, pl.exceptions.PanicException):
        return OutOfRange()


def _read_sheet(path: Path, sheet: str | None, knows: Knows, likely_sheet: str | None = None) -> Opened:
    """A sheet of a workbook, its cells as the text a person would see but for dates and times, which are ISO."""
    try:
        import fastexcel
    except ModuleNotFoundError:
        cure = "run `pip install '.[excel]'` in the checkout, or save the sheet as CSV in UTF-8"
        raise UsageError(str(path), "Excel files need fastexcel, which is not installed", cure) from None
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                size = sum(entry.file_size for entry in archive.infolist())
            if size > _SHEET_BYTES:
                raise CatalogueError(str(path), f"unpacked it has {size:,} bytes", "save the sheet as CSV")
        sheets = fastexcel.read_excel(path).sheet_names
        sheet_title = sheet or (likely_sheet if likely_sheet in sheets else sheets[0])
        if sheet_title not in sheets:
            raise UsageError(
                "--sheet", f"{path.name} has no sheet {sheet_title!r}", f"give one of: {', '.join(sheets)}"
            )
        options: dict[str, Any] = {"drop_empty_rows": False, "drop_empty_cols": False, "raise_if_empty": False}
        frame = pl.read_excel(path, sheet_name=sheet_title, has_header=False, infer_schema_length=0, **options)
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise CatalogueError(
            str(path), f"not an Excel file ({str(error).splitlines()[0][:200]})", "save it anew"
        ) from None
    except (OSError, zipfile.BadZipFile, ValueError, IndexError) as error:
        raise CatalogueError(str(path), f"not an Excel file ({str(error)[:200]})", "save it anew") from None
    notes = (
        [f"sheet {sheet_title!r} of {', '.join(map(repr, sheets))} is read (--sheet takes another)"]
        if len(sheets) > 1
        else []
    )
    rows = frame.rows()
    place = next((place for place, row in enumerate(rows[:_HEAD_LINES]) if knows(row) > 1), 0)
    if place:
        notes.append(f"the header is row {place + 1}; what stands above it is left out")
    names = _named(rows[place]) if rows else []
    return Opened(_sheet_rows(path.name, names, rows, place + 1), names, notes)


def _sheet_rows(name: str, names: list[str], rows: Sequence[tuple[Any, ...]], start: int) -> Iterator[Row]:
    for number, cells in enumerate(rows[start:], start=start + 1):
        if any(cells):
            yield f"{name} row {number}", dict(zip(names, cells, strict=False))
