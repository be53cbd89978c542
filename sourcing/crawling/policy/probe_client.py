"""Asking a site a few questions outside a crawl: politely spaced, size-capped, redirects looked at first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import httpx

from sourcing.crawling.policy.politeness import forbidden_address, unusable_url
from sourcing.crawling.redaction import strip_secrets
from sourcing.errors import UpstreamError
from sourcing.settings import CrawlSettings

__all__ = ["HOPS", "ProbeAnswer", "Prober", "origin_of", "refusal_of"]

HOPS = 5  # redirects followed, as many as RFC 9309 §2.3.1.2 asks for
_LONGEST_WAIT_S = 10.0  # of a longer Crawl-delay a person at a terminal waits this much, for a handful of requests


@dataclass(frozen=True)
class ProbeAnswer:
    status: int
    headers: dict[str, str]  # names in lower case; values of one that was sent several times in lines
    body: bytes  # as much as is looked at
    onward: str = ""  # where a redirect leads
    refusal: str = ""  # why it was not followed


@dataclass
class Prober:
    """Asks at most one request per `interval_s` of a host; `wait` gets the seconds, `tell` each URL once asked."""

    client: httpx.Client
    crawl: CrawlSettings
    wait: Callable[[float], None]
    tell: Callable[[str], None] = lambda url: None
    interval_s: float = 0.0
    _asked: set[str] = field(default_factory=set)
    _known: dict[str, ProbeAnswer] = field(default_factory=dict)

    def get(self, url: str) -> ProbeAnswer:
        """One request; UpstreamError when the host does not answer."""
        origin = origin_of(url)
        if origin in self._asked and self.interval_s:
            self.wait(min(self.interval_s, _LONGEST_WAIT_S))
        self._asked.add(origin)
        try:
            with self.client.stream("GET", url) as response:
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) >= self.crawl.max_body_mb * 1e6:
                        break
        except httpx.HTTPError as error:
            finding = f"no answer ({error or type(error).__name__})"
            raise UpstreamError(origin, finding, "check the URL and network") from None
        self.tell(strip_secrets(url))
        headers: dict[str, str] = {}
        for name, value in response.headers.multi_items():
            name = name.lower()
            headers[name] = f"{headers[name]}\n{value}" if name in headers else value
        onward = _joined(url, response.headers.get("location", "")) if response.is_redirect else ""
        return ProbeAnswer(response.status_code, headers, bytes(body), onward)

    def follow(self, url: str) -> ProbeAnswer:
        """A site's own file, through redirects that may be followed; asked once."""
        if url not in self._known:
            self._known[url] = self._follow(url)
        return self._known[url]

    def _follow(self, url: str) -> ProbeAnswer:
        for _ in range(HOPS + 1):
            answer = self.get(url)
            if not answer.onward:
                return answer
            url = answer.onward
            if refusal := refusal_of(url, self.crawl):
                finding = f"redirect to {strip_secrets(url)}: {refusal}"
                return ProbeAnswer(answer.status, answer.headers, b"", refusal=finding)
        return ProbeAnswer(answer.status, answer.headers, b"", refusal="too_many_redirects")


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def refusal_of(url: str, crawl: CrawlSettings) -> str:
    """Reason why the probe does not request a URL; empty when it is."""
    if why := unusable_url(url):
        return f"url_unusable: {why}"
    if crawl.allow_private_hosts:
        return ""
    parts = urlsplit(url)
    try:
        addresses = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    except OSError:
        return ""  # the request itself will say that there is no such host
    why = forbidden_address(str(address[4][0]) for address in addresses)
    return f"private_host: {why}; set crawl.allow_private_hosts to ask it" if why else ""


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return location  # `refusal_of` says what is wrong with it
