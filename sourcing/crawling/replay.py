"""Replay: the captured answers read back from the WARC files, one at a time, up to a tear if there is one.

Each record is one gzip member, so a member that does not end is exactly a record that was being written when
its process died. We walk the members ourselves because warcio takes such a record for a short one.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sourcing.crawling.capture import METADATA_TYPE
from sourcing.crawling.sources.base import Captured

__all__ = ["Sealed", "Span", "Tear", "read_captured", "read_sealed", "read_span", "split_file", "warc_files"]

_CHUNK = 1 << 14  # what is left of a chunk is copied by the decoder at the end of every member
_FORMS = frozenset({"response", "revisit", "resource"})  # records an exchange opens with
_TYPE_OF_RECORD = re.compile(rb"\r\nWARC-Type: *([a-z]+)", re.IGNORECASE)
_RECORD_START = b"\x1f\x8b\x08\x00"  # gzip, deflate, no optional fields
_PEEK_BYTES = 4096
_WINDOW = 1 << 16


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


@dataclass
class Span:
    """A part of a WARC file to read on its own; once it is read, `reached` is where the reading really ended.

    `end` is a guess where an exchange begins: it is one when the reading of the span before it reached exactly
    there. Nothing read behind a guess that proves wrong, or behind a tear, counts.
    """

    path: Path
    start: int
    end: int
    reached: int = -1
    tear: Tear | None = None


@dataclass(frozen=True, slots=True)
class _Record:
    headers: dict[str, str]  # names in lower case
    block: memoryview


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
    span = Span(path, start, path.stat().st_size)
    yield from _exchanges(span, to_the_end=True)
    if span.tear is not None and on_tear is not None:
        on_tear(span.tear)


def read_span(span: Span) -> Iterator[Captured]:
    """Complete exchanges that begin inside the span; sets its `reached` and `tear` once all are read."""
    for sealed in _exchanges(span, to_the_end=False):
        yield sealed.captured


def split_file(path: Path, length: int, size: int) -> list[Span]:
    """The first `length` bytes of a file in spans of about `size` bytes that begin where exchanges seem to begin."""
    starts = [0]
    with path.open("rb") as stream:
        while starts[-1] + size < length:
            start = _exchange_after(stream, starts[-1] + size, length)
            if start is None:
                break
            starts.append(start)
    return [Span(path, start, end) for start, end in zip(starts, [*starts[1:], length], strict=True)]


class _Torn(Exception):
    pass


def _exchanges(span: Span, *, to_the_end: bool) -> Iterator[Sealed]:
    main: _Record | None = None
    end = span.start
    try:
        for member, offset in _members(span.path, span.start, None if to_the_end else span.end):
            record, sealed = _parse(member), None
            if record is not None and record.headers.get("warc-type") in _FORMS:
                main = record
            elif record is not None and record.headers.get("content-type") == METADATA_TYPE:
                beside = record.headers.get("warc-concurrent-to")
                if beside is None or (main is not None and beside == main.headers.get("warc-record-id")):
                    sealed = Sealed(_captured(main if beside else None, json.loads(bytes(record.block))), offset)
                main = None
            end = offset
            if sealed is not None:
                yield sealed
    except (_Torn, ValueError, LookupError) as error:
        span.tear = Tear(span.path, end, str(error))
    span.reached = end


def _members(path: Path, start: int, stop: int | None) -> Iterator[tuple[bytes, int]]:
    """Each gzip member's content with the offset behind it; _Torn where one is cut or is no gzip.

    No member is begun at or behind `stop`; one that begins before it is read to its end.
    """
    with path.open("rb", buffering=0) as stream:
        stream.seek(start)
        offset, pending = start, b""
        while stop is None or offset < stop:
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
            yield pieces[0] if len(pieces) == 1 else b"".join(pieces), offset


def _exchange_after(stream: Any, start: int, length: int) -> int | None:
    """The first offset from `start` where a record that opens an exchange seems to begin."""
    while start < length:
        stream.seek(start)
        block = stream.read(min(_WINDOW, length - start))
        at = block.find(_RECORD_START)
        while at >= 0:
            head = block[at : at + _PEEK_BYTES]
            if len(head) < _PEEK_BYTES:
                stream.seek(start + at)
                head = stream.read(_PEEK_BYTES)
            if _opens_exchange(head):
                return int(start + at)
            at = block.find(_RECORD_START, at + 1)
        start += max(len(block) - len(_RECORD_START) + 1, 1)
    return None


def _opens_exchange(member: bytes) -> bool:
    try:
        head = zlib.decompressobj(31).decompress(member, _PEEK_BYTES)
    except zlib.error:
        return False
    found = _TYPE_OF_RECORD.search(head)
    return head.startswith(b"WARC/1.") and found is not None and found[1].decode().lower() in _FORMS


def _parse(member: bytes) -> _Record | None:
    """The record, or None for one that is of no use here: requests, and what describes the file."""
    split = member.find(b"\r\n\r\n")
    kind = _TYPE_OF_RECORD.search(member, 0, split)
    if split < 0 or kind is None or not member.startswith(b"WARC/"):
        raise _Torn(f"a gzip member that begins with {member[:40]!r} is no WARC record")
    if kind[1] in (b"request", b"warcinfo"):
        return None
    headers = _header_lines(member[:split])
    length = int(headers.get("content-length", "0"))
    block = memoryview(member)[split + 4 : split + 4 + length]
    if len(block) < length:
        raise _Torn(f"record {headers.get('warc-record-id')} holds {len(block)} of {length} bytes")
    return _Record(headers, block)


def _header_lines(head: bytes) -> dict[str, str]:
    """Header names in lower case → values; repeated ones are joined by a comma, as HTTP allows."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers


def _captured(main: _Record | None, note: dict[str, Any]) -> Captured:
    form = str(note.get("form", "response"))
    status, headers, body = 0, {}, b""
    if main is not None and form == "resource":
        status, headers, body = 200, {"content-type": main.headers["content-type"]}, bytes(main.block)
    elif main is not None:
        block = bytes(main.block)
        split = block.find(b"\r\n\r\n")
        head = block[:split] if split >= 0 else block
        status, headers = int(head.split(None, 2)[1]), _header_lines(head)
        body = block[split + 4 :] if split >= 0 else b""
    track_id, body_sha256 = note["track_id"], note.get("body_sha256")
    return Captured(
        source=str(note["source"]),
        kind=str(note["kind"]),
        task_key=str(note["task_key"]),
        url=str(note["url"]),
        status=status,
        headers=headers,
        body=body,
        retrieved_at=datetime.fromisoformat(str(note["retrieved_at"])),
        track_id=None if track_id is None else str(track_id),
        consent=str(note["consent"]),
        consent_evidence=tuple(str(line) for line in note["consent_evidence"]),
        form=form,
        body_sha256=None if body_sha256 is None else str(body_sha256),
    )
