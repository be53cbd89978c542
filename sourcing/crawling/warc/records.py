"""Records of a WARC file, however it is packed, one at a time: sound ones, and the places where none can be read.

A file of ours, and of most crawlers, is one gzip member per record, so a spoilt member costs itself alone: reading
goes on at the next member that begins a WARC record. A file packed as one member, or by zstd, is read up to the
fault; a plain one goes on at the next line that begins a record. Block and payload digests are held against the bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sourcing.crawling.warc.gzip_members import MEMBER, PEEK_BYTES, PLAIN_HEADER, next_record, read_members
from sourcing.crawling.warc.plain_records import ZSTD, read_plain, unpacked_chunks
from sourcing.crawling.warc.record_parser import (
    CHUNK_BYTES,
    LENGTH,
    VERSION,
    WINDOW_BYTES,
    Record,
    Spoilt,
)

__all__ = ["is_membered", "read_records"]


def read_records(path: Path, start: int = 0) -> Iterator[Record | Spoilt]:
    """Records from byte `start`, which is a record's first; in a file packed as a whole only 0 can be one."""
    with path.open("rb", buffering=0) as stream:
        head = stream.read(PEEK_BYTES)
        if head.startswith(MEMBER) and not _is_whole(stream):
            yield from read_members(stream, start, PLAIN_HEADER if PLAIN_HEADER in head[1:] else b"")
        elif head.startswith((MEMBER, *ZSTD)):
            if not start:
                stream.seek(0)
                yield from read_plain(unpacked_chunks(stream, head))
        elif VERSION.match(head.lstrip(b"\r\n")):
            stream.seek(start)
            yield from read_plain(iter(lambda: stream.read(WINDOW_BYTES), b""), start)
        elif head and not start and (at := next_record(stream, 0)) is not None:
            yield Spoilt(0, at, f"record at byte 0 is no gzip and no WARC: it begins with {head[:16]!r}")
            yield from read_members(stream, at, b"")
        elif head:
            finding = f"it is no WARC file: it begins with {head[:16]!r}" if not start else "nothing to go on from"
            yield Spoilt(start, path.stat().st_size, finding, last=True)


def is_membered(path: Path) -> bool:
    """True when each record is a separate gzip member, so that reading may begin at any record."""
    with path.open("rb", buffering=0) as stream:
        head = stream.read(len(MEMBER))
        return head == MEMBER and not _is_whole(stream)


def _is_whole(stream: IO[bytes]) -> bool:
    """True when the first member holds more than one record and is too large to be taken as a member."""
    stream.seek(0)
    decoder, out, chunk = zlib.decompressobj(31), b"", b"-"
    try:
        while chunk and not decoder.eof and len(out) < 4 * WINDOW_BYTES:
            chunk = stream.read(CHUNK_BYTES)
            out += decoder.decompress(chunk, 4 * WINDOW_BYTES)
        split, kind = out.find(b"\r\n\r\n"), LENGTH.search(out)
        if split < 0 or kind is None or kind.start() > split:
            return False
        following = out[split + 4 + int(kind[1]) :].lstrip(b"\r\n")
        return not decoder.eof and VERSION.match(following) is not None
    except zlib.error:
        return False
