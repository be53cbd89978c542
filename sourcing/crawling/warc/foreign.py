"""Captures of other crawlers' WARC files: responses without our metadata record, given to a source by their host.

Nobody asked the site for us, so what it says for all its pages is not known, and the evidence says so; what the
page's own headers and markup say is heard. A page that was left out by its site later stays out by the ledger.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

from sourcing.crawling.ledger import task_key
from sourcing.crawling.policy.consent import decide, granted_by, markup_of
from sourcing.crawling.policy.politeness import unusable_url
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.source import Capture, Source
from sourcing.crawling.sources.schemaorg import PAGE_SOURCE
from sourcing.crawling.warc.record_parser import dechunked, header_lines

__all__ = ["attributed", "foreign_capture"]

MAX_BODY_BYTES = 10_000_000
_STATUS = re.compile(rb"[^\s]{1,20} +(\d{3})(?=\s|$)")
_HEAD_END = re.compile(rb"\r?\n\r?\n")  # some servers, and so their captures, end lines with LF alone
_EVIDENCE = "robots.txt: not known (captured by others)"


def foreign_capture(headers: Mapping[str, str], block: memoryview) -> Capture | None:
    """The capture, without source and kind; None for one that holds no page. ValueError says why it cannot be read."""
    url = headers.get("warc-target-uri", "").strip().strip("<>")
    if why := unusable_url(url):
        if headers.get("warc-type") == "resource":
            return None  # a crawler's own logs, screenshots and settings
        raise ValueError(f"{url[:200]!r}: {why}")
    status, http, body = 200, {"content-type": headers.get("content-type", "")}, bytes(block)
    if headers.get("warc-type") != "resource":
        split = _HEAD_END.search(body)
        head, body = (body[: split.start()], body[split.end() :]) if split else (body, b"")
        head = head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        line = _STATUS.match(head)
        if line is None:
            raise ValueError(f"{head[:40]!r} is no status line")
        status, http = int(line[1]), header_lines(head, "\n")  # an agent named in one X-Robots-Tag concerns no other
    if headers.get("warc-type") != "revisit" and not 200 <= status < 300:
        return None
    moment = datetime.fromisoformat(headers.get("warc-date", "").strip())
    return Capture(
        source="",
        kind="",
        task_key="",
        url=strip_secrets(url),
        status=status,
        headers=http,
        body=_decoded(body, http),
        retrieved_at=moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC),
        form=headers.get("warc-type", "response"),
        consent_evidence=(_EVIDENCE,),
        body_sha256="" if headers.get("warc-type") == "revisit" else None,
    )


def attributed(capture: Capture, sources: Mapping[str, Source], name: str = "") -> Capture:
    """The capture with source, kind, task and consent: of the source called `name`, or else of its host's."""
    netloc = urlsplit(capture.url).netloc
    owner = name or next((each.name for each in sources.values() if each.owns(netloc)), PAGE_SOURCE)
    source = sources.get(owner)
    verdict = decide(
        capture.headers,
        markup_of(capture.header("content-type"), capture.body),
        _EVIDENCE,
        url=capture.url,
        grant=granted_by(source, capture.url) if source else None,
    )
    return replace(
        capture,
        source=owner,
        kind=_kind_of(capture.url, source) if source else "",
        task_key=task_key(owner, capture.url),
        consent=verdict.decision,
        consent_evidence=verdict.evidence,
    )


def _kind_of(url: str, source: Source) -> str:
    """Kind of page named in the address, else the source's first kind."""
    parts = set(re.split(r"[^a-z]+", url.lower()))
    kinds = [page.kind for page in source.pages]
    return next((kind for kind in kinds if {kind, f"{kind}s"} & parts), kinds[0] if kinds else "")


def _decoded(body: bytes, headers: Mapping[str, str]) -> bytes:
    """Body with transfer and content encoding undone; ValueError for one that cannot be undone."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        body = dechunked(body)
    for coding in reversed(headers.get("content-encoding", "").lower().replace(" ", "").split(",")):
        if coding in ("gzip", "x-gzip", "deflate"):
            body = _inflated(body)
        elif coding not in ("", "identity"):
            raise ValueError(f"its body is encoded as {coding[:40]!r}")
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"its body is larger than {MAX_BODY_BYTES / 1e6:g} MB")
    return body


def _inflated(body: bytes) -> bytes:
    if not body:
        return body
    for wbits in (47, -15):  # gzip or zlib, then bare deflate, which some servers send
        decoder = zlib.decompressobj(wbits)
        try:
            plain = decoder.decompress(body, MAX_BODY_BYTES + 1)
        except zlib.error:
            continue
        if plain and (decoder.eof or wbits > 0):
            return plain
    if body.lstrip()[:1] in (b"<", b"{", b"["):
        return body  # stored decoded, with the header left as it was
    raise ValueError("its body is not encoded as it says")
