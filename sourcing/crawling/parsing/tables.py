"""Rows of a published table, streamed from CSV, TSV, JSON lines or Parquet, and the page object that reads one row.

A row that cannot be read is handed on with what is wrong with it, so that it ends as a rejected row with a reason
and not as a gap in the import.
"""

from __future__ import annotations

import ast
import csv
import itertools
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sourcing.crawling.parsing.values import as_list, clean, read_json
from sourcing.crawling.source import DumpRecord, Page, PageError
from sourcing.errors import InputError
from sourcing.store.schemas import Row

__all__ = [
    "Row",
    "RowPage",
    "Table",
    "first_row_names",
    "needed",
    "phrases",
    "positive",
    "read_rows",
    "records",
]

_UNREADABLE = "unreadable"  # the key that says what is wrong with a row, beside "line" and a piece of the "row"
_MAX_ROW_CHARS = 4 << 20  # of a line or a cell; the longest of the data sets we know is far below
_BATCH_ROWS = 512
_SHOWN_COLUMNS = 12
_EXCERPT_CHARS = 500


def first_row_names(cells: Iterator[list[str]]) -> list[str]:
    """Column names as most files have them: the first row."""
    return [name.strip() for name in next(cells, [])]


@dataclass(frozen=True)
class Table:
    """Layout of a data set's file; columns that are not named here are not read."""

    required: tuple[str, ...]  # tell this file from others
    cure: str  # which file to give instead
    optional: tuple[str, ...] = ()
    quoted: bool = True  # False: a quotation mark is a character like any other
    rest: bool = False  # the last column takes all further cells of its row, as a list
    names: Callable[[Iterator[list[str]]], list[str]] = first_row_names  # reads the rows of the header


def read_rows(path: Path, table: Table) -> Iterator[Row]:
    """The rows of a file in its order, one at a time; InputError, at once, when it is not such a table at all."""
    readers = {".csv": _csv, ".tsv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if not path.is_file():
        raise InputError(str(path), "there is no such file", table.cure)
    if reader is None:
        raise InputError(str(path), f"its ending {path.suffix!r} is none of {', '.join(readers)}", table.cure)
    rows = reader(path, table)
    first = next(rows, None)  # reads the header: a wrong file is named before anything else is found missing
    return rows if first is None else itertools.chain((first,), rows)


def records(path: Path, rows: Iterable[Row], home: str, record_id: Callable[[Row], str]) -> Iterator[DumpRecord]:
    """Each row of a file as its page object reads it, at `home?row=id`; one without an id at its place in the file.

    Not `home#id`: fragments are no part of an address where captures are kept, and all rows would be one.
    """
    for number, row in enumerate(rows, start=1):
        name = "" if _UNREADABLE in row else record_id(row)
        try:
            body = json.dumps(row, ensure_ascii=False, default=_text).encode()
        except UnicodeEncodeError:
            name, body = "", _unreadable("it holds bytes that are not UTF-8", row)
        except (RecursionError, ValueError) as error:
            name, body = "", _unreadable(f"it cannot be written as JSON ({error})", row)
        address = name or f"{path.name}:{number}"
        yield DumpRecord(RowPage.kind, f"{home}?row={quote(address, safe='@:')}", body)


def _unreadable(finding: str, row: Row) -> bytes:
    return json.dumps({_UNREADABLE: finding, "row": ascii(reprlib.repr(row))[:_EXCERPT_CHARS]}).encode()


def _text(value: Any) -> str:
    """A value JSON has no form for; the bytes of a binary column are text in UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class RowPage(Page):
    """One row of a data set, as `records` writes it."""

    kind = "row"

    def row(self) -> Row:
        row = read_json(self.capture)
        if _UNREADABLE in row:
            line = f"line {row['line']}: " if "line" in row else ""
            raise PageError("row_unreadable", f"{line}{row[_UNREADABLE]}")
        return row


def needed(row: Mapping[str, Any], column: str, reason: str = "") -> str:
    """Text of a column that every row must have; PageError `<column>_missing` when it is empty."""
    value = row.get(column)
    text = clean(str(value) if isinstance(value, int) and abs(value) < 2**63 else value)
    if text is None:
        raise PageError(reason or f"{column}_missing", f"a row with {column} {reprlib.repr(value)}")
    return text


def positive(value: Any) -> float | None:
    """Number above zero, also from text; None for anything else."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if 0 < number < 1e9 else None


def phrases(value: Any) -> list[str]:
    """The texts of a list, also when it is written as text (`['a', "b"]`); PageError `list_unreadable` otherwise."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value.strip() or "[]")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise PageError("list_unreadable", f"no list: {value[:200]!r}") from None
        if not isinstance(value, list | tuple):
            raise PageError("list_unreadable", f"a {type(value).__name__} where a list was expected")
        value = list(value)
    return [text for text in (clean(part) for part in as_list(value)) if text]


def _csv(path: Path, table: Table) -> Iterator[Row]:
    csv.field_size_limit(_MAX_ROW_CHARS)  # the module's own 128 KiB is less than a long biography
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # Bytes that are not UTF-8 become lone surrogates, which `records` refuses row by row.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        lines = iter(lambda: stream.readline(_MAX_ROW_CHARS), "")
        cells = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if table.quoted else csv.QUOTE_NONE)
        try:
            names = table.names(cells)
        except csv.Error as error:
            raise InputError(str(path), f"it does not begin as such a file ({error})", table.cure) from None
        columns = _kept(path, names, table)
        while True:
            line = cells.line_num + 1  # a row can span lines; it is named by its first
            try:
                row = next(cells, None)
            except csv.Error as error:
                yield {_UNREADABLE: f"it is not CSV ({error})", "line": line}
                continue
            if row is None:
                return
            if row:
                yield _named(row, names, columns, table, line)


def _named(cells: list[str], names: list[str], columns: list[tuple[str, int]], table: Table, line: int) -> Row:
    """A row's cells by column name; a row that ends early lacks its last columns."""
    last = len(names) - 1
    if len(cells) > len(names) and not table.rest:
        finding = f"it has {len(cells)} cells, the header names {len(names)}"
        return {_UNREADABLE: finding, "line": line, "row": " | ".join(cells)[:_EXCERPT_CHARS]}
    row: Row = {name: cells[place] for name, place in columns if place < len(cells)}
    if table.rest:
        row[names[last]] = cells[last:]
    return row


def _jsonl(path: Path, table: Table) -> Iterator[Row]:
    is_first_checked = False
    with path.open("rb") as stream:
        for number, line in enumerate(iter(lambda: stream.readline(_MAX_ROW_CHARS), b""), start=1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not text:
                continue
            try:
                value = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield {_UNREADABLE: f"it is not JSON ({error})", "line": number, "row": ascii(text[:_EXCERPT_CHARS])}
                continue
            if not isinstance(value, dict):
                yield {_UNREADABLE: "it is not a JSON object", "line": number, "row": ascii(text[:_EXCERPT_CHARS])}
                continue
            if not is_first_checked:
                _kept(path, list(value), table)
                is_first_checked = True
            yield {name: value[name] for name in (*table.required, *table.optional) if name in value}


def _parquet(path: Path, table: Table) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            columns = [name for name, _ in _kept(path, file.schema_arrow.names, table)]
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
                yield from ({name: _plain(value) for name, value in row.items()} for row in batch.to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        finding = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(str(path), f"not Parquet, or torn ({finding})", "fetch the file anew") from None


def _plain(value: Any) -> Any:
    """The cell, None for NaN (a missing number in tables of numbers); JSON has no word for it."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _kept(path: Path, names: list[str], table: Table) -> list[tuple[str, int]]:
    """Columns to read with their positions; InputError when one that must be there is not."""
    missing = [name for name in table.required if name not in names]
    if missing:
        first_names = ", ".join(name[:40] for name in names[:_SHOWN_COLUMNS])
        more = ", …" if len(names) > _SHOWN_COLUMNS else ""
        finding = f"its columns are {first_names}{more}" if names else "it is empty"
        raise InputError(str(path), f"{finding}; {', '.join(missing)} not among them" if names else finding, table.cure)
    return [(name, names.index(name)) for name in (*table.required, *table.optional) if name in names]
