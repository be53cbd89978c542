"""One WARC record in memory: its head, its block, and whether they are what its digests say."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

__all__ = [
    "CHUNK_BYTES",
    "LENGTH",
    "MAX_HEAD_BYTES",
    "MAX_RECORD_BYTES",
    "TYPE",
    "VERSION",
    "WINDOW_BYTES",
    "Record",
    "Spoilt",
    "Unsound",
    "dechunked",
    "header_lines",
]
__all__ += ["parse_record", "url_in"]

MAX_HEAD_BYTES = 64 * 1024
MAX_RECORD_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1 << 14  # what is left of a chunk is copied by the decoder at the end of every member
WINDOW_BYTES = 1 << 16
TYPE = re.compile(rb"\r\nWARC-Type: *([a-z]+)", re.IGNORECASE)
LENGTH = re.compile(rb"\r\nContent-Length: *(\d{1,15}) *(?=\r\n|\Z)", re.IGNORECASE)
VERSION = re.compile(rb"WARC/[01]\.\d")
_OF_NO_USE = frozenset({b"request", b"conversion", b"continuation"})
_DIGESTS = {"sha1": 20, "sha256": 32, "sha512": 64, "md5": 16}
_CHUNK_HEAD = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]{0,200}\r\n")


class Record(NamedTuple):
    """A sound record; `headers` has names in lower case. Of kinds that no capture is made from it is empty."""

    offset: int
    end: int
    kind: bytes
    headers: dict[str, str]
    block: memoryview


class Spoilt(NamedTuple):
    """Bytes that are no record; reading goes on at `end`. `last` when nothing behind them can be read."""

    offset: int
    end: int
    finding: str
    url: str = ""
    last: bool = False


class Unsound(ValueError):
    """`behind` is where the next record begins, if that can be told."""

    def __init__(self, finding: str, behind: int | None = None) -> None:
        self.behind = behind
        super().__init__(finding)


def header_lines(head: bytes, joint: str = ", ") -> dict[str, str]:
    """Header names in lower case → values; repeated ones are joined by a comma, as HTTP allows, or by `joint`."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}{joint}{value.strip()}" if key in headers else value.strip()
    return headers


def url_in(head: bytes) -> str:
    """Address in a record's head, when the head is whole."""
    for line in head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")[1:-1]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"warc-target-uri":
            return value.strip().decode("utf-8", "replace")[:2000]
    return ""


def parse_record(data: bytes, at: int, offset: int, end: int) -> tuple[Record, int]:
    """The record at `at`, and where the next one in `data` would begin; Unsound says what is wrong with it."""
    split = data.find(b"\r\n\r\n", at)
    kind = TYPE.search(data, at, split)
    if split < 0 or kind is None or not data.startswith(b"WARC/", at):
        raise Unsound(f"begins with {data[at : at + 40]!r} and is no WARC record")
    length_field = LENGTH.search(data, at, split)
    if length_field is None:
        raise Unsound("has no Content-Length that is a number")
    length = int(length_field[1])
    behind = split + 4 + length
    if behind > len(data):
        raise Unsound(f"holds {len(data) - split - 4} of {length} bytes")
    following = len(data) if len(data) <= behind + 4 else _skipped_ends(data, behind)
    if following < len(data) and not data.startswith(b"WARC/", following):
        raise Unsound(f"holds {len(data) - split - 4} bytes and says {length}")
    name = kind[1].lower()
    if name in _OF_NO_USE:
        return Record(offset, end, name, {}, memoryview(b"")), following
    headers = header_lines(data[at:split])
    block = memoryview(data)[split + 4 : behind]
    if wrong := _wrong_digest(headers, block):
        raise Unsound(f"does not have its {wrong}", following)
    return Record(offset, end, name, headers, block), following


def _skipped_ends(data: bytes, at: int) -> int:
    while at < len(data) and data[at] in b"\r\n":
        at += 1
    return at


def _wrong_digest(headers: dict[str, str], block: memoryview) -> str:
    """First digest header that does not match the bytes, or None. Of a sound block the payload is sound."""
    if digest := headers.get("warc-block-digest"):
        return "" if _agrees(digest, block) else f"block digest {digest[:80]}"
    if not (digest := headers.get("warc-payload-digest")) or headers.get("warc-type") not in ("response", "resource"):
        return ""
    payload = block
    if headers.get("content-type", "").startswith("application/http"):
        at = bytes(block[:MAX_HEAD_BYTES]).find(b"\r\n\r\n")
        payload = block[at + 4 :] if at >= 0 else block[len(block) :]
        if not _agrees(digest, payload):
            payload = memoryview(dechunked(bytes(payload)))
    return "" if _agrees(digest, payload) else f"payload digest {digest[:80]}"


def _agrees(digest: str, data: memoryview) -> bool:
    """True also where the digest is of a kind, or in a spelling, that is not known."""
    if digest.startswith("sha256:") and len(digest) == 71:  # ours
        return digest[7:].lower() == hashlib.sha256(data).hexdigest()
    algorithm, _, value = digest.partition(":")
    algorithm = algorithm.lower().replace("-", "")
    size = _DIGESTS.get(algorithm)
    if size is None:
        return True
    own = hashlib.new(algorithm, data, usedforsecurity=False).digest()
    if len(value) == 2 * size:
        return value.lower() == own.hex()
    bare = value.rstrip("=")
    if len(bare) == -(-8 * size // 5):
        return bare.upper() == base64.b32encode(own).decode().rstrip("=")
    return True


def dechunked(body: bytes) -> bytes:
    """The body of a chunked transfer, also of one that breaks off; the bytes themselves where they are none."""
    at = 0
    pieces: list[bytes] = []
    while head := _CHUNK_HEAD.match(body, at):
        size = int(head[1], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[head.end() : head.end() + size])
        at = head.end() + size
        if body[at : at + 2] not in (b"\r\n", b""):
            return body
        at += 2
    return b"".join(pieces) if pieces and at >= len(body) else body
