"""WARC records in plain files, and in files packed as a whole by gzip or zstd."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import IO

from sourcing.crawling.warc.record_parser import (
    CHUNK_BYTES,
    LENGTH,
    MAX_HEAD_BYTES,
    MAX_RECORD_BYTES,
    VERSION,
    WINDOW_BYTES,
    Record,
    Spoilt,
    Unsound,
    parse_record,
    url_in,
)

__all__ = ["ZSTD", "read_plain", "unpacked_chunks"]
ZSTD = (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18")  # a frame, or one to skip, such as a dictionary's
_NEXT_PLAIN = re.compile(rb"(?=WARC/[01]\.\d\r\n)")


def unpacked_chunks(stream: IO[bytes], head: bytes) -> Iterator[bytes]:
    """The content in chunks; ends where the packing is broken, with Unsound that says so."""
    if head.startswith(ZSTD):
        from backports import zstd

        try:
            with zstd.ZstdFile(stream) as plain_stream:
                while chunk := plain_stream.read(WINDOW_BYTES):
                    yield chunk
        except (zstd.ZstdError, EOFError, OSError) as error:
            raise Unsound(f"zstd: {error}") from None
        return
    decoder, chunk = zlib.decompressobj(31), b"-"
    while chunk:
        chunk = decoder.unconsumed_tail or decoder.unused_data or stream.read(CHUNK_BYTES)
        if decoder.eof:
            if not chunk.strip(b"\0"):
                continue
            decoder = zlib.decompressobj(31)
        try:
            yield decoder.decompress(chunk, 16 * WINDOW_BYTES)
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


def read_plain(chunks: Iterator[bytes], start: int = 0) -> Iterator[Record | Spoilt]:
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
            drop(max(len(window) - WINDOW_BYTES - 64, 0))
        drop(length_field.end() if length_field else len(window))
        yield Spoilt(at, base, finding, url, last=not window)
    if fault:
        yield Spoilt(
            base, base, f"from byte {base} of the unpacked file on nothing can be unpacked ({fault})", last=True
        )
