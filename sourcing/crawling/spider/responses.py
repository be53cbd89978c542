"""Responses read by the crawl: whether it is an error, and the exchange to keep with its consent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scrapy.http import Response
from w3lib.url import url_query_cleaner

from sourcing.crawling.error_answers import ErrorAnswer, error_in
from sourcing.crawling.ledger import Task, Validators
from sourcing.crawling.policy.consent import ConsentVerdict, decide, granted_by, markup_of
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.source import Capture, Source
from sourcing.crawling.warc.writer import Exchange
from sourcing.redactor import redact, redact_bytes

__all__ = ["asked_url", "conditional_headers", "error_of", "exchange_of", "tombstone", "verdict_of", "withdrawal"]

_TAKEN_BACK = {410: "the page was taken back", 451: "the page was taken back for legal reasons"}


def error_of(response: Response, source: Source) -> ErrorAnswer | None:
    """Error behind a response, by its status or by the body of a source's API."""
    if response.status in (429, 503):
        reason = f"http_{response.status}"
        return ErrorAnswer("later", reason, f"HTTP {response.status}, {reason}")
    if response.status < 200 or 300 <= response.status < 400:
        return None
    wiki_code = (response.headers.get("MediaWiki-API-Error") or b"").decode("latin-1")
    return error_in(redact_bytes(response.body), source, wiki_code=wiki_code)


def conditional_headers(known: Validators) -> dict[str, str]:
    """Headers of a conditional request (RFC 9110 §13) from an earlier answer's validators."""
    headers = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    return {name: value for name, value in headers.items() if value and known.body_sha256}


def exchange_of(response: Response, task: Task, source: Source, now: float) -> Exchange:
    """Exchange of a fetched task with the consent of site and page; `now` in Unix seconds.

    A page that is as it was, by its status or by its bytes, becomes a revisit without body. Keys are blotted out
    wherever they stand: APIs echo them in headers and bodies.
    """
    assert response.request is not None
    response_headers = _pairs(response.headers)
    request_headers = _pairs(response.request.headers)
    headers = _folded(response_headers)
    body = redact_bytes(response.body)
    url = asked_url(response.url, source)
    verdict = verdict_of(response, source)
    is_unchanged = response.status == 304 or (
        task.known.body_sha256 is not None and hashlib.sha256(body).hexdigest() == task.known.body_sha256
    )
    capture = Capture(
        source=task.source,
        kind=task.kind,
        task_key=task.key,
        url=url,
        status=response.status,
        headers=headers,
        body=b"" if is_unchanged else body,
        retrieved_at=datetime.fromtimestamp(now, UTC),
        track_id=task.track_id,
        consent=verdict.decision,
        consent_evidence=tuple(map(redact, verdict.evidence)),
        form="revisit" if is_unchanged else "response",
        body_sha256=task.known.body_sha256 if is_unchanged else None,
    )
    return Exchange(capture, response_headers, request_headers)


def asked_url(url: str, source: Source) -> str:
    """The address without secrets, and without the key the source was asked with."""
    url = strip_secrets(url)
    if source.key and source.key.parameter:
        url = url_query_cleaner(url, [source.key.parameter], remove=True, keep_fragments=True)
    return str(url)


def verdict_of(response: Response, source: Source) -> ConsentVerdict:
    """Consent verdict on a response of any status and its site."""
    lines = _folded(_pairs(response.headers), "\n")
    return decide(
        lines,
        markup_of(lines.get("content-type", ""), response.body),
        response.meta.get("robots_line", ""),
        site=response.meta.get("site"),
        url=response.url,
        grant=granted_by(source, response.url),
    )


def withdrawal(response: Response, task: Task, source: Source) -> str:
    """The no in a refusal (4xx); empty when there is none. A page that was here once says no by being taken back."""
    if denied_by := verdict_of(response, source).denied_by:
        return denied_by
    if response.status in _TAKEN_BACK and task.known.body_sha256 is not None:
        return f"http_{response.status}: {_TAKEN_BACK[response.status]}"
    return ""


def tombstone(task: Task, signal: str, now: float) -> Capture:
    """Capture of a refusal for a page fetched earlier."""
    return Capture(
        source=task.source,
        kind=task.kind,
        task_key=task.key,
        url=task.known.found_at or task.url,
        status=0,
        headers={},
        body=b"",
        retrieved_at=datetime.fromtimestamp(now, UTC),
        track_id=task.track_id,
        consent="deny",
        consent_evidence=(redact(signal),),
        form="denial",
    )


def _folded(pairs: list[tuple[str, str]], joint: str = ", ") -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        headers[name] = f"{headers[name]}{joint}{value}" if name in headers else value
    return headers


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [
        (redact(name.decode("latin-1")), redact(value.decode("utf-8", "replace")))
        for name, values in headers.items()
        for value in values
    ]
