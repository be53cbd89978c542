"""Capture: what the web answered, as gzip WARC 1.1, durable before anyone looks at it.

One exchange is three records: response, request, and last a metadata record with what the crawl knew. The
metadata record is the seal: an exchange without it was torn by a death and counts as never answered.

Bodies are stored decoded, with Content-Encoding and Transfer-Encoding dropped and Content-Length adjusted:
the crawl has decoded them once, under its size limit, and no reader of the archive needs a decoder, meets a
decompression bomb, or can disagree with us about the bytes a document was read from. WARC's own payload digest
is therefore the digest of the decoded body.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from sourcing.crawling.redaction import strip_header_secrets, strip_secrets
from sourcing.crawling.sources.base import Captured
from sourcing.store.workspace import fsync_folder

__all__ = ["METADATA_TYPE", "CaptureWriter", "Exchange"]

METADATA_TYPE = "application/vnd.crossmusim.capture+json"
_HOP_BY_HOP = frozenset({"content-encoding", "transfer-encoding", "content-length", "connection", "keep-alive"})


@dataclass(frozen=True)
class Exchange:
    """A captured response with the request that led to it."""

    captured: Captured
    response_headers: Sequence[tuple[str, str]]
    request_headers: Sequence[tuple[str, str]]


class CaptureWriter:
    """Writes exchanges into WARC files of its own in `folder`; nothing is ever appended to an older file.

    A file name starts with the UTC time of its making, so names sort by age; process id and a counter make it
    unique. `flush` is the promise: once it returns, everything written is on the disk.
    """

    def __init__(self, folder: Path, software: str, *, max_bytes: int = 1_000_000_000) -> None:
        self.folder, self.software, self.max_bytes = folder, software, max_bytes
        self._stream: IO[bytes] | None = None
        self._writer: WARCWriter | None = None
        self._serial = 0
        self._new_file = False
        self.file = ""  # name of the file written to last

    def write(self, exchange: Exchange) -> None:
        """Write one exchange; not durable before `flush`."""
        if self._stream is None or self._stream.tell() >= self.max_bytes:
            self._rotate()
        assert self._writer is not None
        captured = exchange.captured
        url = strip_secrets(captured.url)
        date = captured.retrieved_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        dated = {"WARC-Date": date}
        response = self._writer.create_warc_record(
            url,
            "response",
            payload=io.BytesIO(captured.body),
            length=len(captured.body),
            http_headers=_response_head(captured.status, exchange.response_headers, len(captured.body)),
            warc_headers_dict=dict(dated),
        )
        response_id = response.rec_headers.get_header("WARC-Record-ID")
        request = self._writer.create_warc_record(
            url,
            "request",
            payload=io.BytesIO(b""),
            length=0,
            http_headers=_request_head(url, exchange.request_headers),
            warc_headers_dict={**dated, "WARC-Concurrent-To": response_id},
        )
        note = _metadata(captured)
        metadata = self._writer.create_warc_record(
            url,
            "metadata",
            payload=io.BytesIO(note),
            length=len(note),
            warc_content_type=METADATA_TYPE,
            warc_headers_dict={**dated, "WARC-Concurrent-To": response_id},
        )
        for record in (response, request, metadata):
            self._writer.write_record(record)

    def flush(self) -> int:
        """Make everything written durable; returns the length of the file now written to."""
        if self._stream is None:
            return 0
        self._stream.flush()
        os.fsync(self._stream.fileno())
        if self._new_file:
            fsync_folder(self.folder)
            self._new_file = False
        return self._stream.tell()

    def close(self) -> None:
        if self._stream is not None:
            stream = self._stream
            try:
                self.flush()
            finally:
                self._stream = self._writer = None
                stream.close()

    def _rotate(self) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        made = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        self.file = f"crossmusim-{made}-{os.getpid()}-{self._serial:05d}.warc.gz"
        self._serial += 1
        self._stream = (self.folder / self.file).open("xb")
        self._new_file = True
        self._writer = WARCWriter(self._stream, gzip=True, warc_version="WARC/1.1")
        info = {"software": self.software, "format": "WARC File Format 1.1"}
        self._writer.write_record(self._writer.create_warcinfo_record(self.file, info))


def _response_head(status: int, headers: Sequence[tuple[str, str]], length: int) -> StatusAndHeaders:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    kept = [(name, value) for name, value in strip_header_secrets(headers) if name.lower() not in _HOP_BY_HOP]
    return StatusAndHeaders(f"{status} {phrase}".strip(), [*kept, ("Content-Length", str(length))], protocol="HTTP/1.1")


def _request_head(url: str, headers: Sequence[tuple[str, str]]) -> StatusAndHeaders:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    kept = [(name, value) for name, value in strip_header_secrets(headers) if name.lower() != "host"]
    return StatusAndHeaders(
        f"GET {target} HTTP/1.1", [("Host", parts.netloc), *kept], protocol="", is_http_request=True
    )


def _metadata(captured: Captured) -> bytes:
    note: Mapping[str, object] = {
        "source": captured.source,
        "kind": captured.kind,
        "task_key": captured.task_key,
        "track_id": captured.track_id,
        "url": strip_secrets(captured.url),
        "consent": captured.consent,
        "consent_evidence": list(captured.consent_evidence),
        "retrieved_at": captured.retrieved_at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return json.dumps(note, ensure_ascii=False, sort_keys=True).encode()
