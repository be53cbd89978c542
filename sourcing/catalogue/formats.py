"""Formats a catalogue comes in: each is read into rows that say where they stand and what their columns hold."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from sourcing.errors import CatalogueError

__all__ = ["AUDIO_SUFFIXES", "Numbered", "audio_files", "open_rows"]

AUDIO_SUFFIXES = (".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav")

#: ("catalogue.csv row 812", its columns, or what is wrong with the row as a whole)
Numbered = Iterator[tuple[str, dict[str, Any] | str]]


def open_rows(path: Path) -> Numbered:
    """Rows of a file or of a folder's audio files; CatalogueError when there is nothing we can read there."""
    if path.is_dir():
        return _read_folder(path)
    readers = {
        ".csv": _read_csv,
        ".tsv": _read_csv,
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if not path.is_file():
        raise CatalogueError(str(path), "there is no such file or folder", "check the path")
    if path.suffix.lower() not in readers:
        cure = "give a .csv, .tsv, .jsonl, .ndjson or .parquet file, or a folder of audio files"
        raise CatalogueError(str(path), f"its ending {path.suffix!r} says no format we read", cure)
    return readers[path.suffix.lower()](path)


def _read_csv(path: Path) -> Numbered:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            first = stream.readline()
            delimiter = max(",\t;", key=first.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter)
            names = [name.strip() for name in next(reader, [])]
            while True:
                where = f"{path.name} row {reader.line_num + 1}"  # a row can span lines; it is named by its first
                try:
                    cells = next(reader, None)
                except csv.Error as error:
                    yield where, f"it is not CSV ({error})"
                    continue
                if cells is None:
                    return
                if len(cells) > len(names):
                    yield where, f"it has {len(cells)} cells, the header names {len(names)}"
                elif cells:
                    yield where, dict(zip(names, cells, strict=False))
        except UnicodeDecodeError as error:
            raise CatalogueError(str(path), f"not UTF-8 (byte {error.start})", "save it as UTF-8") from None


def _read_jsonl(path: Path) -> Numbered:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            where = f"{path.name} row {number}"
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if not text:
                continue
            try:
                found = json.loads(text)
            except (ValueError, RecursionError) as error:
                yield where, f"it is not JSON ({error})"
                continue
            yield where, found if isinstance(found, dict) else "it is not a JSON object"


def _read_parquet(path: Path) -> Numbered:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise CatalogueError(str(path), f"not Parquet ({error})", "write it anew") from None
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        yield f"{path.name} row {number}", row


def _read_folder(folder: Path) -> Numbered:
    from tinytag import TinyTag, TinyTagException

    names = [path.relative_to(folder).as_posix() for path in audio_files(folder)]
    ids = _ids_of_files(names)
    for name in names:
        try:
            found = TinyTag.get(folder / name)
        except (TinyTagException, OSError) as error:
            yield name, f"its tags cannot be read ({error})"
            continue
        if not found.filesize:
            yield name, "it is empty"
            continue
        top = name.split("/")[0] if "/" in name else None
        yield (
            name,
            {
                "track_id": ids[name],
                "title": found.title or Path(name).stem,
                "artist": found.artist or found.albumartist or top,
                "album": found.album,
                "year": found.year,
                "isrc": next(iter(found.other.get("isrc") or []), None),
                "mbid": next(iter(found.other.get("musicbrainz_trackid") or []), None),
                "duration_s": found.duration,
                "tags": found.genre,
                "audio": name,
            },
        )


def audio_files(folder: Path) -> list[Path]:
    """Sorted; nothing hidden."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _ids_of_files(names: list[str]) -> dict[str, str]:
    """A legal id per relative path: its words, and a hash of the path where they are too many or not alone."""
    from anyascii import anyascii

    words = {}
    for name in names:
        bare = anyascii(name.removesuffix(Path(name).suffix)).replace("/", ":")
        words[name] = re.sub(r"[^A-Za-z0-9._:-]+", "_", bare).strip("_") or "track"
    alone = Counter(words.values())
    digests = {name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8] for name in names}
    return {
        name: word if alone[word] == 1 and len(word) <= 128 else f"{word[:119]}-{digests[name]}"
        for name, word in words.items()
    }
