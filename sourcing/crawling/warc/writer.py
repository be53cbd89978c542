"""Capture: what the web answered, as gzip WARC 1.1, durable before anyone looks at it.

One exchange is some records, and last a metadata record with what the crawl knew. That is the seal: an exchange
without it was torn by a death and counts as never answered. By the form of the captured answer:

response   a response and a request record
revisit    a revisit record, without the body, that refers to the earlier capture of the same body, and a request
resource   a resource record: one record of a published dump, which no request led to
denial     the metadata record alone: a no that was met before asking

Bodies are stored decoded, with Content-Encoding and Transfer-Encoding dropped and Content-Length adjusted:
the crawl has decoded them once, under its size limit, and no reader of the archive needs a decoder, meets a
decompression bomb, or can disagree with us about the bytes a document was read from. WARC's own payload digest
is therefore the digest of the decoded body, in the same hexadecimal as a document's `content_sha256`.

Records are put together here and not by warcio, whose record objects cost three times what the format needs;
the tests hold the files to its reader.
"""

from __future__ import annotations

import json
import os
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from sourcing.crawling.redaction import strip_header_secrets, strip_secrets
from sourcing.crawling.source import Capture
from sourcing.store.workspace import fsync_folder

__all__ = ["METADATA_TYPE", "CaptureWriter", "Exchange"]

METADATA_TYPE = "application/vnd.crossmusim.capture+json"
_PROFILE = "http://netpreserve.org/warc/1.1/revisit/"
_HOP_BY_HOP = frozenset({"content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"})
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_LEVEL = 6  # a third of the time of level 9 on pages of 12 kB, for 2 % more bytes
_SMALL_BYTES = 4096  # what is no longer than this fits a window that costs 3 microseconds to set up instead of 50
_SMALL_WINDOW, _SMALL_MEMORY = 28, 5
_NO_LINE_ENDS = str.maketrans({"\r": " ", "\n": " ", "\0": " "})

_Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Exchange:
    """A captured answer with the headers of both sides.

    A revisit may say which capture it found unchanged; by default one of its own address, at a time unknown.
    """

    capture: Capture
    response_headers: _Headers = ()
    request_headers: _Headers = ()
    refers_to_url: str | None = None
    refers_to_date: datetime | None = None


class CaptureWriter:
    """Writes exchanges into WARC files of its own in `folder`; nothing is ever appended to an older file.

    A file name starts with the UTC time of its making, so names sort by age; process id and a counter make it
    unique. `flush` is the promise: once it returns, everything written is on the disk.
    """

    def __init__(self, folder: Path, software: str, *, max_bytes: int = 1_000_000_000, label: str = "") -> None:
        self.folder, self.software, self.max_bytes = folder, software, max_bytes
        self.label = label or str(os.getpid())  # names the writing process in the file name
        self._stream: IO[bytes] | None = None
        self._length = 0
        self._serial = 0
        self._new_file = False
        self.file = ""  # name of the file written to last
        self.offset = 0  # where in it the last exchange begins

    def write(self, exchange: Exchange) -> str:
        """Write one exchange, not durable before `flush`; returns the hex sha256 of its body ("" for a denial).

        ValueError for a revisit that does not name the digest of the body it found again.
        """
        members, digest = _exchange_members(exchange)
        if self._stream is None or self._length >= self.max_bytes:
            self._rotate()
        self.offset = self._length
        self._append(members)
        return digest

    def flush(self) -> int:
        """Make all records durable; returns the length of the file now written to."""
        if self._stream is None:
            return 0
        self._stream.flush()
        os.fsync(self._stream.fileno())
        if self._new_file:
            fsync_folder(self.folder)
            self._new_file = False
        return self._length

    def close(self) -> None:
        if self._stream is not None:
            stream = self._stream
            try:
                self.flush()
            finally:
                self._stream = None
                stream.close()

    def _append(self, members: bytes) -> None:
        assert self._stream is not None
        self._stream.write(members)
        self._length += len(members)

    def _rotate(self) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC)
        self.file = f"crossmusim-{now:%Y%m%dT%H%M%S%f}-{self.label}-{self._serial:05d}.warc.gz"
        self._serial += 1
        self._stream = (self.folder / self.file).open("xb")
        self._new_file, self._length = True, 0
        info = f"software: {self.software}\r\nformat: WARC File Format 1.1\r\n".encode()
        fields = [("WARC-Date", _warc_date(now)), ("WARC-Filename", self.file)]
        self._append(_member("warcinfo", _record_id(), fields, "application/warc-fields", info))


def _exchange_members(exchange: Exchange) -> tuple[bytes, str]:
    """The gzip members of one exchange and the digest of its body."""
    capture = exchange.capture
    url = strip_secrets(capture.url)
    about = [("WARC-Target-URI", url), ("WARC-Date", _warc_date(capture.retrieved_at))]
    note, main_id = _note(capture, url), _record_id()
    if capture.form == "denial":
        return _member("metadata", main_id, about, METADATA_TYPE, note), ""
    beside = [*about, ("WARC-Concurrent-To", main_id)]
    digest = capture.body_sha256 if capture.form == "revisit" else sha256(capture.body).hexdigest()
    if digest is None:
        raise ValueError(f"revisit of {url}: body_sha256 is not set; name the digest of the body found unchanged")
    payload = ("WARC-Payload-Digest", f"sha256:{digest}")
    if capture.form == "resource":
        content_type = capture.header("content-type") or "application/octet-stream"
        members = _member("resource", main_id, [*about, payload], content_type, capture.body)
    else:
        body = b"" if capture.form == "revisit" else capture.body
        block = _response_head(capture, exchange.response_headers) + body
        fields = [*about, payload, *(_revisit_fields(exchange) if capture.form == "revisit" else ())]
        members = _member(capture.form, main_id, fields, "application/http; msgtype=response", block)
        head = _request_head(url, exchange.request_headers)
        members += _member("request", _record_id(), beside, "application/http; msgtype=request", head)
    return members + _member("metadata", _record_id(), beside, METADATA_TYPE, note), digest


def _member(kind: str, record_id: str, fields: _Headers, content_type: str, block: bytes) -> bytes:
    """One WARC record as one gzip member."""
    fields = [
        ("WARC-Type", kind),
        ("WARC-Record-ID", record_id),
        *fields,
        ("WARC-Block-Digest", f"sha256:{sha256(block).hexdigest()}"),
        ("Content-Type", content_type),
        ("Content-Length", str(len(block))),
    ]
    head = _lines("WARC/1.1", fields)
    if len(head) + len(block) <= _SMALL_BYTES:
        encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, _SMALL_WINDOW, _SMALL_MEMORY)
    else:
        encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, 31)
    return encoder.compress(b"".join((head, block, b"\r\n\r\n"))) + encoder.flush()


def _lines(first: str, fields: _Headers) -> bytes:
    """A head of header lines, closed by an empty one; no value can begin a line of its own."""
    lines = [first, *[f"{name}: {value}" for name, value in fields]]
    if any("\n" in line or "\r" in line or "\0" in line for line in lines):
        lines = [line.translate(_NO_LINE_ENDS) for line in lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace")


def _response_head(capture: Capture, headers: _Headers) -> bytes:
    headers_to_write = [
        (name, value) for name, value in strip_header_secrets(headers) if name.lower() not in _HOP_BY_HOP
    ]
    if capture.form == "response":
        headers_to_write.append(("Content-Length", str(len(capture.body))))
    return _lines(f"HTTP/1.1 {capture.status} {_PHRASES.get(capture.status, '')}".rstrip(), headers_to_write)


def _request_head(url: str, headers: _Headers) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers_to_write = [(name, value) for name, value in strip_header_secrets(headers) if name.lower() != "host"]
    return _lines(f"GET {target} HTTP/1.1", [("Host", parts.netloc), *headers_to_write])


def _revisit_fields(exchange: Exchange) -> list[tuple[str, str]]:
    is_not_modified = exchange.capture.status == HTTPStatus.NOT_MODIFIED
    fields = [("WARC-Profile", _PROFILE + ("server-not-modified" if is_not_modified else "identical-payload-digest"))]
    fields.append(("WARC-Refers-To-Target-URI", strip_secrets(exchange.refers_to_url or exchange.capture.url)))
    if exchange.refers_to_date:
        fields.append(("WARC-Refers-To-Date", _warc_date(exchange.refers_to_date)))
    return fields


def _record_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _warc_date(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _note(capture: Capture, url: str) -> bytes:
    note: Mapping[str, object] = {
        "source": capture.source,
        "kind": capture.kind,
        "form": capture.form,
        "task_key": capture.task_key,
        "track_id": capture.track_id,
        "url": url,
        "body_sha256": capture.body_sha256 if capture.form == "revisit" else None,
        "consent": capture.consent,
        "consent_evidence": list(capture.consent_evidence),
        "retrieved_at": capture.retrieved_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return json.dumps(note, ensure_ascii=False, sort_keys=True).encode("utf-8", "replace")
