"""A folder of sound files as catalogue rows: tags where there are any, names of files and folders where not."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sourcing.catalogue.formats import Doubtful, Opened, Row, Unreadable
from sourcing.store.audio import AUDIO_SUFFIXES, read_wav_header

__all__ = ["COLUMNS", "audio_files", "open_folder"]

COLUMNS = ["track_id", "title", "artist", "album", "year", "isrc", "mbid", "duration_s", "language", "tags", "audio"]

_RECORDING_IDS = ("musicbrainz_trackid", "musicbrainz track id", "musicbrainz recording id", "musicbrainz/track id")
_MAXIMUM_READS = 3_000_000  # of one file: the frames of twenty hours of MP3
_UFID = "http://musicbrainz.org\0"  # whose identifier Picard writes for a recording


def open_folder(folder: Path) -> Opened:
    """Rows for the sound files of a folder, with notes that count files left out."""
    paths, reason_counts = _listed(folder)
    notes = [f"{count} files are left out: {reason}" for reason, count in sorted(reason_counts.items())]
    return Opened(_rows(folder, [path.relative_to(folder).as_posix() for path in paths]), COLUMNS, notes)


def audio_files(folder: Path) -> list[Path]:
    """Sorted; nothing hidden."""
    return _listed(folder)[0]


def _listed(folder: Path) -> tuple[list[Path], Counter[str]]:
    paths, reason_counts = [], Counter[str]()
    unread: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unread.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            path = Path(parent, name)
            suffix = path.suffix.lower()
            if name.startswith("."):
                reason_counts["hidden"] += suffix in AUDIO_SUFFIXES
            elif suffix not in AUDIO_SUFFIXES:
                reason_counts[f"{suffix or 'no ending'} is no sound"] += 1
            elif not path.is_file():
                reason_counts["a link that leads nowhere"] += 1
            else:
                paths.append(path)
    reason_counts["in folders that cannot be opened"] += len(unread)
    return sorted(paths), +reason_counts


def _rows(folder: Path, names: list[str]) -> Iterator[Row]:
    ids = _ids_of_files(names)
    for name in names:
        try:
            tags = _tags(folder / name)
        except Exception as error:  # the library parses foreign bytes: whatever it raises speaks of this file
            yield name, Unreadable(f"its tags cannot be read ({type(error).__name__}: {str(error)[:200]})", name)
            continue
        if isinstance(tags, str):
            yield name, Unreadable(tags, name)
            continue
        top = name.split("/")[0] if "/" in name else None
        tags["title"] = tags["title"] or Path(name).stem
        tags["artist"] = tags["artist"] or top
        missing_bytes = tags.pop("missing_bytes")
        row = {"track_id": ids[name], **tags, "audio": name}
        finding = f"{name} is cut short: {missing_bytes:,} bytes fewer than its header tells of"
        yield name, Doubtful(row, "audio_cut", finding) if missing_bytes else row


class _Bounded(io.BufferedReader):
    """A file that is read so often and no more: among parts of no size the library goes on for hours."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.reads_left = _MAXIMUM_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise ValueError(f"it has more than {_MAXIMUM_READS:,} parts")
        return super().read(size)


def _tags(path: Path) -> dict[str, Any] | str:
    """Tags of a sound file as a row's values, or the reason why the file cannot be used."""
    from tinytag import TinyTag

    if not path.stat().st_size:
        return "it is empty"
    header = read_wav_header(path) if path.suffix.lower() in (".wav", ".wave", ".rf64") else None
    if header and header.fault:
        return f"its sound cannot be used: {header.fault}"
    with _Bounded(path) as stream:
        tag = TinyTag.get(path, file_obj=stream)
    other = {name.casefold(): values for name, values in tag.other.items()}
    duration_s = header.duration_s if header and header.duration_s is not None else tag.duration
    artists = [each for each in [tag.artist, *other.get("artist", [])] if each]
    genres = [each for each in [tag.genre, *other.get("genre", [])] if each]
    picard_ids = (each.removeprefix(_UFID) for each in other.get("ufid", []) if each.startswith(_UFID))
    return {
        "title": tag.title,
        "artist": artists or tag.albumartist,
        "album": tag.album,
        "year": tag.year,
        "isrc": next(iter(other.get("isrc") or []), None),
        "mbid": next((other[name][0] for name in _RECORDING_IDS if other.get(name)), None) or next(picard_ids, None),
        "duration_s": f"{duration_s:.6f} s" if duration_s else None,
        "language": next(iter(other.get("language") or []), None),
        "tags": genres,
        "missing_bytes": header.missing_bytes if header else 0,
    }


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
