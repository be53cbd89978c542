"""The catalogue: a table of the owner's in any common format, or a folder of sound files, read into tracks.

A row is rejected when it has no legal, new `track_id`, no title or artist, or names audio outside the catalogue's
folder. A value that cannot be (an ISRC, a year, audio that is not there ...) is emptied, the track is kept for all
else it says, and a rejected row with one of VALUE_REASONS tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.catalogue.cells import ValueRefused, as_json, cell_text
from sourcing.catalogue.dates import year_form
from sourcing.catalogue.durations import duration_unit
from sourcing.catalogue.folder import audio_files, open_folder
from sourcing.catalogue.formats import HEAD_ROWS, Row, Unreadable, open_file
from sourcing.catalogue.identifiers import is_legal_id
from sourcing.catalogue.mapping import ColumnMap, Wanted, map_columns
from sourcing.catalogue.rows import FAILED, VALUE_REASONS, Forms, RowReader
from sourcing.errors import CatalogueError
from sourcing.store import Rejected, Track
from sourcing.store.audio import AUDIO_SUFFIXES, DECODABLE_SUFFIXES, is_audio_name, is_there
from sourcing.store.workspace import rejected_frame

__all__ = [
    "AUDIO_SUFFIXES",
    "FAILED",
    "VALUE_REASONS",
    "Catalogue",
    "Reading",
    "Wanted",
    "catalogue_sha256",
    "read_catalogue",
]

_PART_ROWS = 20_000
_FIRST = 5  # tracks shown as they will be
_LEGAL_IDS = 0.9  # share of a column's cells that must be legal ids for a guess to take it
_SEPARATORS = (";", "|", " / ", "\n")  # of lists, where any cell of the column has them


@dataclass(frozen=True)
class Catalogue:
    """Tracks by track_id; `audio` of a track is relative to `audio_root`; `rows` counts what the input holds."""

    tracks: dy.DataFrame[Track]
    rejected: dy.DataFrame[Rejected]
    audio_root: Path
    rows: int
    map: ColumnMap
    first: list[dict[str, Any]]  # tracks as the file orders them
    notes: list[str]  # what was guessed, mended or left out, in words


@dataclass(frozen=True)
class Reading:
    """Options for reading a file that the file leaves open: its columns, what parts `tags`, its sheet, its encoding.

    `remembered` are these three of a file before; each counts where it fits this file.
    """

    wanted: Wanted = field(default_factory=Wanted)
    separator: str | None = None
    sheet: str | None = None
    encoding: str | None = None
    remembered: Mapping[str, str] = field(default_factory=dict)


def read_catalogue(
    path: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    reading: Reading | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> Catalogue:
    """Read `path`; `columns` maps our column names to the file's (`reading` says that and more).

    The first rows tell in what units and with which separators cells are written, where nobody says. Labels are
    `facet=value;facet=value` or an object. Columns we have no name for become one JSON object in `extra`. In a folder
    of audio files track_id comes from the path, and a file without an artist tag takes the name of the folder it is
    in, counted from the top. `on_progress` hears of every row. CatalogueError when the input as a whole cannot be read.
    """
    path = Path(path)
    reading = reading or Reading(Wanted(dict(columns or {})))
    is_folder = _is_folder(path)
    root = path if is_folder else path.parent
    columns_wanted = Wanted() if is_folder else reading.wanted
    names = [*columns_wanted.columns.values(), *columns_wanted.remembered.values()]
    if is_folder:
        source = open_folder(path)
    else:
        source = open_file(
            path, sheet=reading.sheet, encoding=reading.encoding, column_names=names, likely=reading.remembered
        )
    head = list(islice(source.rows, HEAD_ROWS))
    if not head:
        cure = f"give a file with rows, or a folder with {' '.join(DECODABLE_SUFFIXES)} files"
        raise CatalogueError(str(path), "; ".join(["it holds no tracks", *source.notes]), cure)
    rows = [row for _, row in head if isinstance(row, dict)]
    column_map = ColumnMap({})  # for a file of which no row can be read
    if source.header:
        column_map = map_columns(str(path), source.header, columns_wanted, _unusable(source.header, rows, root))
    notes = [*column_map.notes]
    forms = Forms(separator=None) if is_folder else _forms(rows, column_map, reading, notes)
    reader = RowReader(root, forms)
    first: list[dict[str, Any]] = []
    parts: list[pl.DataFrame] = []

    def pack() -> None:  # rows as dicts take five times the memory of a table
        first.extend(reader.tracks[: _FIRST - len(first)])
        parts.append(pl.DataFrame(reader.tracks, schema=Track.create_empty().schema, orient="row"))
        reader.tracks.clear()

    for where, row in _renamed(chain(head, source.rows), column_map, source.header):
        reader.take(where, row)
        on_progress()
        if len(reader.tracks) == _PART_ROWS:
            pack()
    pack()
    if mended_counts := {name: count for name, count in reader.mended.items() if count}:
        counts_text = ", ".join(f"{name} {count}" for name, count in mended_counts.items())
        notes.append(f"double encoding, HTML entities or line ends were put right in {counts_text}")
    table, rejected_rows = Track.validate(pl.concat(parts).sort("track_id")), rejected_frame(reader.rejected)
    return Catalogue(table, rejected_rows, root, reader.rows, column_map, first, [*source.notes, *notes])


def catalogue_sha256(path: Path) -> str:
    """Of the file's bytes, or of the names and sizes of a folder's audio files."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    listing = [f"{each.relative_to(path).as_posix()}\t{each.stat().st_size}\n" for each in audio_files(path)]
    return hashlib.sha256("".join(listing).encode("utf-8", "surrogateescape")).hexdigest()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:
        raise CatalogueError(str(path)[:200], f"it cannot be looked up ({error})", "check the path") from None


def _renamed(rows: Iterator[Row], column_map: ColumnMap, header: Sequence[str]) -> Iterator[Row]:
    """Rows with columns renamed to our names, in any case of letters; a row that names one of ours twice is none."""
    exact = {theirs: ours for ours, theirs in column_map.columns.items()}
    ours_by_folded_name = {theirs.strip().casefold(): ours for theirs, ours in exact.items()}
    of_their_own = {name for name in header if name not in exact}
    names: dict[str, str] = {}  # the input's column names → ours
    for where, row in rows:
        if not isinstance(row, dict):
            yield where, row
            continue
        our_row: dict[str, Any] = {}
        twice = None
        for theirs, value in row.items():
            if (name := names.get(theirs)) is None:
                alike = None if theirs in of_their_own else ours_by_folded_name.get(theirs.strip().casefold())
                name = names[theirs] = exact.get(theirs) or alike or _free(theirs)
            if name in our_row and name in column_map.columns:
                twice = name
            our_row[name] = value
        yield where, Unreadable(f"it names {twice} twice", as_json(row)) if twice else our_row


def _free(theirs: str) -> str:
    """A column name for `extra` that differs from our columns' names."""
    return f"{theirs} (other)" if theirs in Track.column_names() and theirs != "extra" else theirs


def _unusable(header: Sequence[str], rows: Sequence[dict[str, Any]], root: Path) -> dict[str, list[str]]:
    """Columns that no guess may take: ids that are not unique or not legal, files that are not in our folder."""
    no_ids, no_audio = [], []
    for name in header:
        values = [text for text in (_quietly_text(row.get(name)) for row in rows[:1_000]) if text]
        legal = sum(is_legal_id(text) for text in values)
        if len(set(values)) < len(values) or legal < max(_LEGAL_IDS * len(values), 1):
            no_ids.append(name)
        there = any(is_there(root / text) for text in values[:100])
        if not there or not any(map(is_audio_name, values)):
            no_audio.append(name)
    return {"track_id": no_ids, "audio": no_audio}


def _forms(rows: Sequence[dict[str, Any]], column_map: ColumnMap, reading: Reading, notes: list[str]) -> Forms:
    """How cells are written; says in `notes` what was guessed."""

    def column(ours: str) -> tuple[list[Any], str]:
        theirs = column_map.columns.get(ours)
        return ([row.get(theirs) for row in rows] if theirs else []), theirs or ours

    unit, told_unit = duration_unit(*column("duration_s"))
    form, told_form = year_form(*column("year"))
    values, name = column("tags")
    if (separator := reading.separator) is None:
        likely = (*filter(None, [reading.remembered.get("separator")]), *_SEPARATORS)
        texts = [text for text in (_quietly_text(value) for value in values if isinstance(value, str)) if text]
        separator = next((sign for sign in likely if any(sign in text for text in texts)), None)
        comma_texts = [text for text in texts if "," in text and text[0] not in "[({"]
        parts = [part.strip() for text in comma_texts for part in text.split(",")]
        if separator is None and comma_texts and all(0 < len(part) <= 30 and part[0] != "&" for part in parts):
            separator = ","
        if separator not in (None, ";"):
            notes.append(f"{name} is parted at {separator!r} (--separator takes another)")
    notes += [note for note in (told_unit, told_form) if note]
    return Forms(unit, form, separator, column_map.ids_made)


def _quietly_text(value: Any) -> str | None:
    try:
        return cell_text(value)
    except ValueRefused:
        return None
