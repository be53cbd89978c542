"""WARC records in gzip members, one a member, read around spoilt ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import IO, Any

from sourcing.crawling.warc.record_parser import (
    CHUNK_BYTES,
    MAX_HEAD_BYTES,
    MAX_RECORD_BYTES,
    TYPE,
    VERSION,
    WINDOW_BYTES,
    Record,
    Spoilt,
    Unsound,
    parse_record,
    url_in,
)

__all__ = ["MEMBER", "PEEK_BYTES", "PLAIN_HEADER", "begins_record", "next_record", "read_members"]
PEEK_BYTES = 4096
_LONGEST_MATCH = 258  # of deflate: so far off is the size that a flipped bit leaves, where it leaves the rest readable
MEMBER = b"\x1f\x8b\x08"  # gzip, deflate
PLAIN_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"  # as zlib writes it for all records of a file, ours among them


def next_record(stream: IO[bytes], start: int, stop: int | None = None, kinds: frozenset[str] = frozenset()) -> Any:
    """The first offset from `start` where a gzip member begins a WARC record, of one of `kinds` if any; else None."""
    length = stream.seek(0, 2) if stop is None else stop
    while start < length:
        stream.seek(start)
        window = stream.read(min(WINDOW_BYTES, length - start))
        at = window.find(MEMBER)
        while at >= 0:
            head = window[at : at + PEEK_BYTES]
            if len(head) < PEEK_BYTES:
                stream.seek(start + at)
                head = stream.read(PEEK_BYTES)
            if begins_record(head, kinds):
                return start + at
            at = window.find(MEMBER, at + 1)
        start += max(len(window) - len(MEMBER) + 1, 1)
    return None


def begins_record(member: bytes, kinds: frozenset[str] = frozenset()) -> bool:
    head = _beginning(member)
    kind = TYPE.search(head)
    return bool(VERSION.match(head) and kind and (not kinds or kind[1].decode().lower() in kinds))


def read_members(stream: IO[bytes], start: int, header: bytes) -> Iterator[Record | Spoilt]:
    """Records of the members from `start`; one that does not open with `header` is named though it can be read."""
    stream.seek(start)
    offset, pending = start, b""
    while True:
        decoder = zlib.decompressobj(31)
        pieces: list[bytes] = []
        pieces_size = size = 0
        finding, first = "", b""
        while not decoder.eof and not finding:
            chunk = pending or decoder.unconsumed_tail or stream.read(CHUNK_BYTES)
            fresh = not decoder.unconsumed_tail
            pending = b""
            if not chunk:
                if not pieces_size:
                    return
                finding = f"record at byte {offset} is cut after {pieces_size} bytes"
                break
            try:
                piece = decoder.decompress(chunk, MAX_RECORD_BYTES)
            except zlib.error as error:
                finding = f"record at byte {offset} is not gzip ({error})"
                break
            if fresh and len(first) < len(PLAIN_HEADER):
                first += chunk[: len(PLAIN_HEADER)]
            pieces_size += len(chunk) if fresh else 0
            size += len(piece)
            if size <= MAX_RECORD_BYTES:
                pieces.append(piece)
        if finding:
            url = _url_of(pieces, stream, offset)
            following = _after_spoilt(stream, offset)
            length = stream.seek(0, 2)
            last = following is None or following >= length
            if last and "not gzip" in finding and not _any_but_zeros(stream, offset, length):
                finding = f"from byte {offset} on there are only zeros, {length - offset} of them"
            end = length if following is None else following
            yield Spoilt(offset, end, finding, url, last=following is None)
            if last:
                return
            stream.seek(end)
            offset = end
            continue
        pending = decoder.unused_data
        end = offset + pieces_size - len(pending)
        if size > MAX_RECORD_BYTES:
            finding = f"record at byte {offset} unpacks to {size} bytes, more than {MAX_RECORD_BYTES}"
            yield Spoilt(offset, end, finding, _url_of(pieces, stream, offset))
        else:
            records = _records_in(pieces[0] if len(pieces) == 1 else b"".join(pieces), offset, end)
            yield from records if first.startswith(header) else _named(records, first[:10])
        offset = end


def _named(records: Iterable[Record | Spoilt], header: bytes) -> Iterator[Record | Spoilt]:
    """Records, each with a finding when the gzip header of its member was changed."""
    for record in records:
        if isinstance(record, Record):
            finding = f"record at byte {record.offset} is sound, but its member opens with {header.hex(' ')}"
            yield Spoilt(record.offset, record.end, finding, record.headers.get("warc-target-uri", ""))
        yield record


def _records_in(member: bytes, offset: int, end: int) -> Iterator[Record | Spoilt]:
    """The record that a member holds; where it holds several, they share its place in the file."""
    at = 0
    while at < len(member):
        try:
            record, at = parse_record(member, at, offset, end)
        except Unsound as error:
            yield Spoilt(offset, end, f"record at byte {offset} {error}", url_in(member[at : at + MAX_HEAD_BYTES]))
            if error.behind is None:
                return
            at = error.behind
        else:
            yield record


def _after_spoilt(stream: IO[bytes], offset: int) -> int | None:
    """Where reading goes on behind a spoilt member: at its own end if its packing tells, else at the next record."""
    end = _own_end(stream, offset)
    if end is not None:
        stream.seek(end)
        following = stream.read(PEEK_BYTES)
        if begins_record(following) or (not following and end <= stream.seek(0, 2)):
            return end
    next_offset = next_record(stream, offset + 1)
    return None if next_offset is None else int(next_offset)


def _own_end(stream: IO[bytes], offset: int) -> int | None:
    """End offset of a gzip member by its packing, confirmed by the stored size or checksum.

    A flipped bit may hide a member's end, and the packing then ends with the member behind it.
    """
    stream.seek(offset)
    head = stream.read(10)
    if not head.startswith(MEMBER) or head[3:4] != b"\0":
        return None
    decoder, end, size, checksum = zlib.decompressobj(-15), offset + 10, 0, 0
    try:
        while not decoder.eof and (chunk := stream.read(CHUNK_BYTES)):
            end += len(chunk)
            while chunk and not decoder.eof:
                piece = decoder.decompress(chunk, MAX_RECORD_BYTES)
                size, checksum = size + len(piece), zlib.crc32(piece, checksum)
                chunk = decoder.unconsumed_tail
    except zlib.error:
        return None
    if not decoder.eof:
        return None
    end -= len(decoder.unused_data)
    stream.seek(end)
    trailer = stream.read(8)
    stated_size = int.from_bytes(trailer[4:], "little")
    if abs(size - stated_size) > _LONGEST_MATCH and checksum != int.from_bytes(trailer[:4], "little"):
        return None
    return end + 8


def _any_but_zeros(stream: IO[bytes], offset: int, length: int) -> bool:
    stream.seek(offset)
    while offset < length and (window := stream.read(WINDOW_BYTES)):
        if window.strip(b"\0"):
            return True
    return False


def _beginning(member: bytes) -> bytes:
    """Leading content of a damaged gzip member."""
    decoder, out = zlib.decompressobj(31), b""
    try:
        for at in range(0, len(member), 64):
            out += decoder.decompress(member[at : at + 64], PEEK_BYTES)
            if len(out) >= PEEK_BYTES or decoder.eof:
                break
    except zlib.error:
        return out
    return out


def _url_of(pieces: list[bytes], stream: IO[bytes], offset: int) -> str:
    if pieces and pieces[0]:
        return url_in(pieces[0][:MAX_HEAD_BYTES])
    stream.seek(offset)
    return url_in(_beginning(stream.read(PEEK_BYTES)))
