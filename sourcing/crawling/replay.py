"""Replay: the captured responses read back from the WARC files, one at a time, up to a tear if there is one.

Each record is one gzip member, so a member that does not end is exactly a record that was being written when
its process died. We walk the members ourselves because warcio takes such a record for a short one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sourcing.crawling.capture import METADATA_TYPE
from sourcing.crawling.sources.base import Captured

__all__ = ["Sealed", "Tear", "read_captured", "read_sealed", "warc_files"]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Tear:
    """Where a WARC file stops making sense."""

    path: Path
    offset: int
    found: str


@dataclass(frozen=True)
class Sealed:
    """A complete exchange and the offset in its file just behind it."""

    captured: Captured
    end: int


@dataclass(frozen=True)
class _Record:
    headers: dict[str, str]  # names in lower case
    block: bytes


def warc_files(folder: Path) -> list[Path]:
    """WARC files, oldest first."""
    return sorted(folder.glob("*.warc.gz"))


def read_captured(folder: Path, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Captured]:
    """Every complete exchange of every WARC file, in the order of writing; holds one in memory at a time.

    A torn file is read up to the tear, which is handed to `on_tear`; the files after it are read as well.
    """
    for path in warc_files(folder):
        for sealed in read_sealed(path, on_tear=on_tear):
            yield sealed.captured


def read_sealed(path: Path, *, start: int = 0, on_tear: Callable[[Tear], None] | None = None) -> Iterator[Sealed]:
    """Complete exchanges of one file from byte `start`, which must be a record's first."""
    response: _Record | None = None
    end = start
    try:
        for member, end in _members(path, start):
            record = _parse(member)
            if record.headers.get("warc-type") == "response":
                response = record
            elif record.headers.get("content-type") == METADATA_TYPE and response is not None:
                if record.headers.get("warc-concurrent-to") == response.headers.get("warc-record-id"):
                    yield Sealed(_captured(response, json.loads(record.block)), end)
                response = None
    except (_Torn, ValueError, LookupError) as error:
        if on_tear is not None:
            on_tear(Tear(path, end, str(error)))


class _Torn(Exception):
    pass


def _members(path: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """Each gzip member's content with the offset behind it; _Torn where one is cut or is no gzip."""
    with path.open("rb") as stream:
        stream.seek(start)
        offset, pending = start, b""
        while True:
            decoder = zlib.decompressobj(31)
            pieces: list[bytes] = []
            taken = 0
            while not decoder.eof:
                chunk = pending or stream.read(_CHUNK)
                pending = b""
                if not chunk:
                    if taken:
                        raise _Torn(f"record at byte {offset} is cut after {taken} bytes")
                    return
                try:
                    pieces.append(decoder.decompress(chunk))
                except zlib.error as error:
                    raise _Torn(f"record at byte {offset} is not gzip ({error})") from None
                taken += len(chunk)
            pending = decoder.unused_data
            offset += taken - len(pending)
            yield b"".join(pieces), offset


def _parse(member: bytes) -> _Record:
    head, _, rest = member.partition(b"\r\n\r\n")
    headers = _header_lines(head)
    length = int(headers.get("content-length", "0"))
    if len(rest) < length:
        raise _Torn(f"record {headers.get('warc-record-id')} holds {len(rest)} of {length} bytes")
    return _Record(headers, rest[:length])


def _header_lines(head: bytes) -> dict[str, str]:
    """Header names in lower case → values; repeated ones are joined by a comma, as HTTP allows."""
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.decode("utf-8", "replace").partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers


def _captured(response: _Record, note: dict[str, object]) -> Captured:
    head, _, body = response.block.partition(b"\r\n\r\n")
    status = int(head.split(b"\r\n", 1)[0].split()[1])
    evidence = note["consent_evidence"]
    assert isinstance(evidence, list)
    track_id = note["track_id"]
    return Captured(
        source=str(note["source"]),
        kind=str(note["kind"]),
        task_key=str(note["task_key"]),
        url=str(note["url"]),
        status=status,
        headers=_header_lines(head),
        body=body,
        retrieved_at=datetime.fromisoformat(str(note["retrieved_at"])),
        track_id=None if track_id is None else str(track_id),
        consent=str(note["consent"]),
        consent_evidence=tuple(str(line) for line in evidence),
    )
