"""Records of a WARC file, however it is packed, one at a time: sound ones, and the places where none can be read.

A file of ours, and of most crawlers, is one gzip member per record, so a spoilt member costs itself alone: reading
goes on at the next member that begins a WARC record. A file packed as one member, or by zstd, is read up to the
fault; a plain one goes on at the next line that begins a record. Block and payload digests are held against the bytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from sourcing.crawling.warc.record_parser import (
    LENGTH,
    MAX_HEAD_BYTES,
    TYPE,
    VERSION,
    Record,
    Spoilt,
    Unsound,
    parse_record,
    url_in,
)

__all__ = ["begins_record", "is_membered", "next_record", "read_records"]

MAX_RECORD_BYTES = 64 * 1024 * 1024
_CHUNK = 1 << 14  # what is left of a chunk is copied by the decoder at the end of every member
_PEEK_BYTES = 4096
_WINDOW = 1 << 16
_LONGEST_MATCH = 258  # of deflate: so far off is the size that a flipped bit leaves, where it leaves the rest readable
_MEMBER = b"\x1f\x8b\x08"  # gzip, deflate
_PLAIN_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"  # as zlib writes it for all records of a file, ours among them
_ZSTD = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # a frame, or one to skip, such as a dictionary's
_NEXT_PLAIN = re.compile(rb"(?=WARC/[01]\.\d\r\n)")


def read_records(path: Path, start: int = 0) -> Iterator[Record | Spoilt]:
    """Records from byte `start`, which is a record's first; in a file packed as a whole only 0 can be one."""
    with path.open("rb", buffering=0) as stream:
        head = stream.read(_PEEK_BYTES)
        if head.startswith(_MEMBER) and not _is_whole(stream):
            yield from _from_members(stream, start, _PLAIN_HEADER if _PLAIN_HEADER in head[1:] else b"")
        elif head.startswith(_MEMBER) or head.startswith(_ZSTD):
            if not start:
                stream.seek(0)
                yield from _from_stream(_unpacked(stream, head))
        elif VERSION.match(head.lstrip(b"\r\n")):
            stream.seek(start)
            yield from _from_stream(iter(lambda: stream.read(_WINDOW), b""), start)
        elif head and not start and (at := next_record(stream, 0)) is not None:
            yield Spoilt(0, at, f"record at byte 0 is no gzip and no WARC: it begins with {head[:16]!r}")
            yield from _from_members(stream, at, b"")
        elif head:
            finding = f"it is no WARC file: it begins with {head[:16]!r}" if not start else "nothing to go on from"
            yield Spoilt(start, path.stat().st_size, finding, last=True)


def is_membered(path: Path) -> bool:
    """True when each record is a separate gzip member, so that reading may begin at any record."""
    with path.open("rb", buffering=0) as stream:
        head = stream.read(len(_MEMBER))
        return head == _MEMBER and not _is_whole(stream)


def next_record(stream: IO[bytes], start: int, stop: int | None = None, kinds: frozenset[str] = frozenset()) -> Any:
    """The first offset from `start` where a gzip member begins a WARC record, of one of `kinds` if any; else None."""
    length = stream.seek(0, 2) if stop is None else stop
    while start < length:
        stream.seek(start)
        window = stream.read(min(_WINDOW, length - start))
        at = window.find(_MEMBER)
        while at >= 0:
            head = window[at : at + _PEEK_BYTES]
            if len(head) < _PEEK_BYTES:
                stream.seek(start + at)
                head = stream.read(_PEEK_BYTES)
            if begins_record(head, kinds):
                return start + at
            at = window.find(_MEMBER, at + 1)
        start += max(len(window) - len(_MEMBER) + 1, 1)
    return None


def begins_record(member: bytes, kinds: frozenset[str] = frozenset()) -> bool:
    head = _beginning(member)
    kind = TYPE.search(head)
    return bool(VERSION.match(head) and kind and (not kinds or kind[1].decode().lower() in kinds))


# --- one gzip member a record ---


def _from_members(stream: IO[bytes], start: int, header: bytes) -> Iterator[Record | Spoilt]:
    """Records of the members from `start`; one that does not open with `header` is named though it can be read."""
    stream.seek(start)
    offset, pending = start, b""
    while True:
        decoder = zlib.decompressobj(31)
        pieces: list[bytes] = []
        pieces_size = size = 0
        finding, first = "", b""
        while not decoder.eof and not finding:
            chunk = pending or decoder.unconsumed_tail or stream.read(_CHUNK)
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
            if fresh and len(first) < len(_PLAIN_HEADER):
                first += chunk[: len(_PLAIN_HEADER)]
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
        following = stream.read(_PEEK_BYTES)
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
    if not head.startswith(_MEMBER) or head[3:4] != b"\0":
        return None
    decoder, end, size, checksum = zlib.decompressobj(-15), offset + 10, 0, 0
    try:
        while not decoder.eof and (chunk := stream.read(_CHUNK)):
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
    while offset < length and (window := stream.read(_WINDOW)):
        if window.strip(b"\0"):
            return True
    return False


def _beginning(member: bytes) -> bytes:
    """Leading content of a damaged gzip member."""
    decoder, out = zlib.decompressobj(31), b""
    try:
        for at in range(0, len(member), 64):
            out += decoder.decompress(member[at : at + 64], _PEEK_BYTES)
            if len(out) >= _PEEK_BYTES or decoder.eof:
                break
    except zlib.error:
        return out
    return out


def _url_of(pieces: list[bytes], stream: IO[bytes], offset: int) -> str:
    if pieces and pieces[0]:
        return url_in(pieces[0][:MAX_HEAD_BYTES])
    stream.seek(offset)
    return url_in(_beginning(stream.read(_PEEK_BYTES)))


# --- plain files, and those packed as a whole ---


def _is_whole(stream: IO[bytes]) -> bool:
    """True when the first member holds more than one record and is too large to be taken as a member."""
    stream.seek(0)
    decoder, out, chunk = zlib.decompressobj(31), b"", b"-"
    try:
        while chunk and not decoder.eof and len(out) < 4 * _WINDOW:
            chunk = stream.read(_CHUNK)
            out += decoder.decompress(chunk, 4 * _WINDOW)
        split, kind = out.find(b"\r\n\r\n"), LENGTH.search(out)
        if split < 0 or kind is None or kind.start() > split:
            return False
        following = out[split + 4 + int(kind[1]) :].lstrip(b"\r\n")
        return not decoder.eof and VERSION.match(following) is not None
    except zlib.error:
        return False


def _unpacked(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    """The content in chunks; ends where the packing is broken, with Unsound that says so."""
    if head.startswith(_ZSTD):
        from backports import zstd

        try:
            with zstd.ZstdFile(stream) as plain_stream:
                while chunk := plain_stream.read(_WINDOW):
                    yield chunk
        except (zstd.ZstdError, EOFError, OSError) as error:
            raise Unsound(f"zstd: {error}") from None
        return
    decoder, chunk = zlib.decompressobj(31), b"-"
    while chunk:
        chunk = decoder.unconsumed_tail or decoder.unused_data or stream.read(_CHUNK)
        if decoder.eof:
            if not chunk.strip(b"\0"):
                continue
            decoder = zlib.decompressobj(31)
        try:
            yield decoder.decompress(chunk, 16 * _WINDOW)
        except zlib.error as error:
            raise Unsound(f"gzip: {error}") from None
    if not decoder.eof:
        raise Unsound("gzip: the end is missing")


def _begun_within(window: bytearray, split: int, behind: int) -> int | None:
    """Where the next record begins inside a block without digest that is said to end in the middle of one."""
    following = bytes(window[behind : behind + 64]).lstrip(b"\r\n")
    if not following or following.startswith(b"WARC/") or b"-digest:" in bytes(window[:split]).lower():
        return None
    match = _NEXT_PLAIN.search(window, split + 4)
    return match.start() if match and match.start() < behind else None


def _from_stream(chunks: Iterator[bytes], start: int = 0) -> Iterator[Record | Spoilt]:
    """Records of one run of bytes; offsets count its own."""
    window, base, fault = bytearray(), start, ""

    def fill(size: int) -> bool:
        nonlocal fault
        while len(window) < size and not fault:
            try:
                chunk = next(chunks, None)
            except Unsound as error:
                fault = str(error)
                break
            if chunk is None:
                break
            window.extend(chunk)
        return len(window) >= size

    def drop(size: int) -> None:
        nonlocal base
        del window[:size]
        base += size

    while True:
        fill(4)
        while window[:1] in (bytearray(b"\r"), bytearray(b"\n")):
            drop(len(window) - len(window.lstrip(b"\r\n")))
            fill(4)
        fill(MAX_HEAD_BYTES)
        if not window:
            break
        split, length = window.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES), None
        if split >= 0 and VERSION.match(window) and (length_field := LENGTH.search(window, 0, split)):
            length = int(length_field[1])
        if length is not None and length <= MAX_RECORD_BYTES and fill(split + 4 + length):
            try:
                behind = split + 4 + length
                end = base + behind
                record = parse_record(bytes(window[:behind]), 0, base, end)[0]
                fill(behind + 64)
                if (inner := _begun_within(window, split, behind)) is not None:
                    yield Spoilt(base, base + inner, f"record at byte {base} says it holds more than it does")
                    drop(inner)
                    continue
                yield record
                drop(behind)
                continue
            except Unsound as error:
                finding = f"record at byte {base} {error}"
                if error.behind is not None:
                    yield Spoilt(base, end, finding, url_in(bytes(window[:split])))
                    drop(error.behind)
                    continue
        elif length is not None and length > MAX_RECORD_BYTES:
            finding = f"record at byte {base} says it holds {length} bytes, more than {MAX_RECORD_BYTES}"
        elif length is not None:
            finding = f"record at byte {base} is cut after {len(window)} bytes"
        else:
            finding = f"what begins at byte {base} with {bytes(window[:16])!r} is no WARC record"
        url, at = url_in(bytes(window[:MAX_HEAD_BYTES])), base
        drop(1)
        while not (length_field := _NEXT_PLAIN.search(window)) and fill(len(window) + 1):
            drop(max(len(window) - _WINDOW - 64, 0))
        drop(length_field.end() if length_field else len(window))
        yield Spoilt(at, base, finding, url, last=not window)
    if fault:
        yield Spoilt(
            base, base, f"from byte {base} of the unpacked file on nothing can be unpacked ({fault})", last=True
        )
