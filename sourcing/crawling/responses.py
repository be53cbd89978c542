"""A response as the crawl reads it: whether its host says "too much", and the exchange to keep with its consent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from scrapy.http import Response

from sourcing.crawling.capture import Exchange
from sourcing.crawling.consent import SNIPPET_BYTES, decide
from sourcing.crawling.ledger import Task
from sourcing.crawling.sources.base import Captured

__all__ = ["exchange_of", "throttled"]


def throttled(response: Response) -> str:
    """The reason when a host says "too much", else empty; MediaWiki says so with status 200 and a header."""
    if response.status in (429, 503):
        return f"http_{response.status}"
    return "maxlag" if response.headers.get("MediaWiki-API-Error") == b"maxlag" else ""


def exchange_of(response: Response, task: Task, now: float) -> Exchange:
    """Request and response of a fetched task, with what site and page say of our use; `now` in Unix seconds."""
    assert response.request is not None
    response_headers, request_headers = _pairs(response.headers), _pairs(response.request.headers)
    headers: dict[str, str] = {}
    for name, value in response_headers:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    is_html = "html" in headers.get("content-type", "html")
    snippet = response.body[:SNIPPET_BYTES].decode("utf-8", "replace") if is_html else ""
    verdict = decide(headers, snippet, response.meta.get("robots_line", ""))
    captured = Captured(
        source=task.source,
        kind=task.kind,
        task_key=task.key,
        url=response.url,
        status=response.status,
        headers=headers,
        body=response.body,
        retrieved_at=datetime.fromtimestamp(now, UTC),
        track_id=task.track_id,
        consent=verdict.decision,
        consent_evidence=verdict.evidence,
    )
    return Exchange(captured, response_headers, request_headers)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, values in headers.items()
        for value in values
    ]
