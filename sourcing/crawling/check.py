"""Check one URL outside a crawl: the source it belongs to, what robots.txt and the page say, and the decision."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from sourcing.crawling.consent import SNIPPET_BYTES, decide
from sourcing.crawling.politeness import forbidden_address, read_robots, unusable_url, user_agent
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.sources.base import Source
from sourcing.errors import UpstreamError
from sourcing.settings import CrawlSettings

__all__ = ["Checked", "check_url"]

_PAGE_SOURCE = "schemaorg"
_HOPS = 5


@dataclass(frozen=True)
class Checked:
    """`decision` is allow or deny; `why` is the deciding signal."""

    url: str
    source: str
    decision: str
    why: str
    status: int | None
    crawl_delay_s: float
    evidence: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "evidence": list(self.evidence)}


def check_url(url: str, sources: Mapping[str, Source], crawl: CrawlSettings) -> Checked:
    """Ask for robots.txt, then for the page's first part; UpstreamError when the host does not answer."""
    agent = user_agent(crawl)
    name = source_of(url, sources)
    refusal = _refusal(url, crawl)
    if refusal:
        return Checked(strip_secrets(url), name, "deny", refusal, None, 0.0, ())
    with httpx.Client(headers={"User-Agent": agent}, timeout=crawl.timeout_s) as client:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        status, _, body, refusal = _get(client, f"{origin}/robots.txt", crawl)
        robots = read_robots(404 if refusal else status, body, time.time())
        line = robots.evidence(url)
        if not robots.allowed(url):
            source = sources.get(name)
            terms = source.api_terms if source and source.owns(parts.netloc) else None
            if robots.unavailable or not terms:
                return Checked(strip_secrets(url), name, "deny", line, None, robots.delay_s, (line,))
            line += f", set aside by {terms}"
        status, headers, body, refusal = _get(client, url, crawl)
    verdict = decide(headers, body[:SNIPPET_BYTES].decode("utf-8", "replace"), line)
    why = refusal or verdict.denied_by or ("no signal says no" if status < 400 else f"no signal says no; HTTP {status}")
    decision = "deny" if refusal else verdict.decision
    return Checked(strip_secrets(url), name, decision, why, status, robots.delay_s, verdict.evidence)


def source_of(url: str, sources: Mapping[str, Source]) -> str:
    """The source whose base URL this is; any other page is read as a schema.org page."""
    netloc = urlsplit(url).netloc.lower()
    for name, source in sources.items():
        if source.owns(netloc):
            return name
    return _PAGE_SOURCE


def _refusal(url: str, crawl: CrawlSettings) -> str:
    if why := unusable_url(url):
        return f"url_unusable: {why}"
    if crawl.allow_private_hosts:
        return ""
    parts = urlsplit(url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return ""  # the request itself will say that there is no such host
    why = forbidden_address(str(address[4][0]) for address in found)
    return f"private_host: {why}; set crawl.allow_private_hosts to ask it" if why else ""


def _get(client: httpx.Client, url: str, crawl: CrawlSettings) -> tuple[int, dict[str, str], bytes, str]:
    """Status, headers, the first bytes of the body, and why a redirect was not followed, hop by hop."""
    for _ in range(_HOPS + 1):
        try:
            with client.stream("GET", url) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) >= 8 * SNIPPET_BYTES:
                        break
                headers = {name.lower(): value for name, value in response.headers.items()}
        except httpx.HTTPError as error:
            host = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
            raise UpstreamError(
                host, f"no answer ({error or type(error).__name__})", "check the URL and network"
            ) from None
        if not response.is_redirect:
            return response.status_code, headers, bytes(body), ""
        url = urljoin(url, headers.get("location", ""))
        if refusal := _refusal(url, crawl):
            return response.status_code, headers, b"", f"redirect to {strip_secrets(url)}: {refusal}"
    return response.status_code, headers, b"", "too_many_redirects"
