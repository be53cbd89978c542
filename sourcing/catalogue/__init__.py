"""The catalogue: a CSV, JSONL or Parquet file, or a folder of audio files, read into tracks and rejected rows.

A row is rejected when it has no legal, new `track_id`, no title or artist, or names audio outside the catalogue's
folder. A value that cannot be (an ISRC, a year, audio that is not there ...) is emptied, the track is kept for all
else it says, and a rejected row with one of VALUE_REASONS tells of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.catalogue.formats import AUDIO_SUFFIXES, Numbered, audio_files, open_rows
from sourcing.catalogue.rows import VALUE_REASONS, RowReader
from sourcing.errors import CatalogueError, UsageError
from sourcing.store import Rejected, Track
from sourcing.store.workspace import rejected_frame

__all__ = ["AUDIO_SUFFIXES", "VALUE_REASONS", "Catalogue", "catalogue_sha256", "read_catalogue"]

_REQUIRED = ("track_id", "title", "artist")


@dataclass(frozen=True)
class Catalogue:
    """Tracks by track_id; `audio` of a track is relative to `audio_root`; `rows` counts what the input holds."""

    tracks: dy.DataFrame[Track]
    rejected: dy.DataFrame[Rejected]
    audio_root: Path
    rows: int


def read_catalogue(
    path: Path | str, *, columns: Mapping[str, str] | None = None, advance: Callable[[], None] = lambda: None
) -> Catalogue:
    """Read `path`; `columns` maps our column names to the file's; `advance` is called once a row.

    Lists are `;`-separated in CSV and native elsewhere, labels `facet=value;facet=value` or an object. Columns we
    have no name for become one JSON object in `extra`. In a folder of audio files track_id comes from the path, and
    a file without an artist tag takes the name of the folder it is in, counted from the top. CatalogueError when the
    input as a whole cannot be read.
    """
    path = Path(path)
    root = path if path.is_dir() else path.parent
    reader = RowReader(root)
    for where, found in _renamed(path, open_rows(path), dict(columns or {})):
        reader.take(where, found)
        advance()
    if not reader.rows:
        cure = f"give a file with rows, or a folder with {' '.join(AUDIO_SUFFIXES)} files"
        raise CatalogueError(str(path), "it holds no tracks", cure)
    tracks = pl.DataFrame(reader.tracks, schema=Track.create_empty().schema, orient="row")
    return Catalogue(Track.validate(tracks.sort("track_id")), rejected_frame(reader.rejected), root, reader.rows)


def catalogue_sha256(path: Path) -> str:
    """Of the file's bytes, or of the names and sizes of a folder's audio files."""
    if not path.is_dir():
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    listing = [f"{each.relative_to(path).as_posix()}\t{each.stat().st_size}\n" for each in audio_files(path)]
    return hashlib.sha256("".join(listing).encode("utf-8", "surrogateescape")).hexdigest()


def _renamed(path: Path, rows: Numbered, columns: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any] | str]]:
    """The rows under our column names, whatever their case; CatalogueError when a required column is nowhere."""
    known = [name for name in Track.column_names() if name != "extra"]
    for name in columns:
        if name not in known:
            raise UsageError(f"column {name!r}", "not one of ours", f"map one of: {', '.join(known)}")
    ours = {name: name for name in known if name not in columns}
    ours.update({theirs.strip().casefold(): name for name, theirs in columns.items()})
    seen: dict[str, str] = {}  # the input's column names → ours
    for where, found in rows:
        if isinstance(found, str):
            yield where, found
            continue
        row: dict[str, Any] = {}
        for name, value in found.items():
            if name not in seen:
                seen[name] = ours.get(name.strip().casefold(), name)
            row.setdefault(seen[name], value)
        yield where, row
    missing = [name for name in _REQUIRED if name not in seen.values()]
    if seen and missing:
        found_names = ", ".join(list(seen)[:20])
        cure = f"rename one of them, or say which it is: --column {missing[0]}=NAME"
        raise CatalogueError(str(path), f"no column {' or '.join(missing)}; found {found_names}", cure)
