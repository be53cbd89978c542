"""Politeness: which host a URL asks, robots.txt, delays between tries, the User-Agent, and which addresses we refuse.

Nothing here touches the network; `downloader` asks, this module decides.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from protego import Protego
from w3lib.url import safe_url_string

from sourcing import __version__
from sourcing.crawling.policy.robots_rules import robots_text
from sourcing.errors import UsageError

if TYPE_CHECKING:
    from sourcing.settings import CrawlSettings

__all__ = [
    "PRODUCT",
    "ROBOTS_MAX_AGE_S",
    "RobotsVerdict",
    "forbidden_address",
    "host_of",
    "origin_of",
    "read_robots",
    "retry_delay_s",
    "unusable_url",
    "user_agent",
    "utc_day",
]

PRODUCT = "crossmusim"  # the product token robots.txt groups are matched with
ROBOTS_MAX_AGE_S = 24 * 3600.0
_LONGEST_DELAY_S = 366 * 86_400.0  # later than a year is never, and fits into a date
_LONGEST_URL = 16_000  # characters; servers take about half of that
_LONGEST_HOST = 253
_PORTS = {"http": 80, "https": 443}


def user_agent(crawl: CrawlSettings) -> str:
    """`crossmusim/<version> (+contact)`; UsageError when no contact is set."""
    contact = (crawl.contact or "").strip()
    if not contact or any(character in contact for character in "\r\n()"):
        raise UsageError(
            "setting crawl.contact",
            "no contact, and sites must be able to reach whoever crawls them"
            if not contact
            else f"{contact!r} does not fit into a User-Agent",
            'set a mail address or URL: [crawl] contact = "me@example.org" in crossmusim.toml',
        )
    return f"{PRODUCT}/{__version__} (+{contact})"


@dataclass(frozen=True)
class RobotsVerdict:
    """Rules of a host's robots.txt: `allowed(url)` and the delay between requests it asks for."""

    status: int
    rules: Protego | None  # None: the file says nothing (4xx) or could not be had (5xx)
    fetched_at: float

    @property
    def unavailable(self) -> bool:
        """A 5xx, or 429: RFC 9309 §2.3.1.4 has us assume a complete disallow."""
        return self.rules is None and (self.status >= 500 or self.status == 429)

    def allowed(self, url: str) -> bool:
        if self.rules is None:
            return not self.unavailable
        return bool(self.rules.can_fetch(url, PRODUCT))

    def evidence(self, url: str) -> str:
        if self.unavailable:
            return f"robots.txt unavailable: HTTP {self.status}"
        if self.rules is None:
            return f"robots.txt: none (HTTP {self.status})"
        return f"robots.txt: {'allowed' if self.allowed(url) else 'disallowed'}"

    @property
    def delay_s(self) -> float:
        if self.rules is None:
            return 0.0
        delay = float(self.rules.crawl_delay(PRODUCT) or 0.0)
        rate = self.rules.request_rate(PRODUCT)
        if rate is not None and rate.requests:
            delay = max(delay, rate.seconds / rate.requests)
        return min(delay, _LONGEST_DELAY_S) if math.isfinite(delay) and delay > 0 else 0.0


def read_robots(status: int, body: bytes, now: float) -> RobotsVerdict:
    """The verdict of a robots.txt response by RFC 9309: 2xx is read, 4xx allows all, anything else denies all."""
    if 200 <= status < 300:
        return RobotsVerdict(status, Protego.parse(robots_text(body, PRODUCT)), now)
    if 300 <= status < 400:  # a redirect loop or one to nowhere counts as unavailable, i.e. absent (§2.3.1.2)
        status = 404
    return RobotsVerdict(status, None, now)


def retry_delay_s(attempt: int, backoff_s: float) -> float:
    """Seconds to wait after the `attempt`-th failure (1-based): doubling, an hour at most."""
    return float(min(3600.0, backoff_s * 2.0 ** (attempt - 1)))


def unusable_url(url: str) -> str:
    """Reason why a URL can never be requested; empty when it can."""
    if len(url) > _LONGEST_URL:
        return f"{len(url)} characters, and no server takes more than {_LONGEST_URL}"
    if not url.isprintable() or " " in url:  # surrogates, which stand for bytes that are no UTF-8, are not printable
        odd = next(character for character in url if character == " " or not character.isprintable())
        return f"{odd!a} in it; write such characters percent-encoded, in UTF-8"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return f"not a URL ({error})"
    if parts.scheme not in _PORTS:
        return f"scheme {parts.scheme[:40] or 'missing'!r}; only http and https are asked"
    if not (parts.hostname or "").strip("."):
        return "no host in it"
    if len(parts.hostname or "") > _LONGEST_HOST:
        return f"a host of {len(parts.hostname or '')} characters, and no name is longer than {_LONGEST_HOST}"
    if port == 0:
        return "port 0"
    return ""


def host_of(url: str) -> str:
    """Canonical host and port of a URL, the same for all spellings: `example.org`, `[::1]:8080`.

    The port is there where it is not the scheme's own: pace and pauses are the machine's, over http and https alike.
    ValueError for what is no URL.
    """
    parts = urlsplit(url)
    return _host(parts.scheme, parts.netloc)


def origin_of(url: str) -> str:
    """Scheme and host, for which a robots.txt speaks."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(parts.scheme, parts.netloc)}"


@lru_cache(4096)
def _host(scheme: str, netloc: str) -> str:
    parts = urlsplit(f"//{netloc}" if netloc.isascii() else safe_url_string(f"http://{netloc}/"))
    name = (parts.hostname or "").rstrip(".")
    address = _address(name)
    if address is not None:
        ipv4_address = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else address
        name = str(ipv4_address) if ipv4_address is not None else f"[{address}]"
    port = parts.port
    return name if port is None or port == _PORTS.get(scheme) else f"{name}:{port}"


def forbidden_address(addresses: Iterable[str]) -> str:
    """First address outside the public internet, with the kind of its network; empty when all are public.

    Names count as public but for those of RFC 6761 §6.3, which mean this machine and to a proxy the proxy's.
    """
    for text in addresses:
        if text.rstrip(".").casefold().rpartition(".")[2] == "localhost":
            return f"{text} is a loopback name"
        address = _address(text)
        if address is None:
            continue
        for inner in _embedded(address):
            if not inner.is_global or inner.is_multicast:
                return f"{text} is {_kind(inner)}"
    return ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a literal stands for, also in the short, decimal and hexadecimal forms C libraries take."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(text.partition("%")[0])
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """IPv4 address inside a mapped, 6to4, Teredo or NAT64 address; other addresses as they are."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _kind(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    for kind in ("loopback", "link_local", "multicast", "unspecified", "private"):
        if getattr(address, f"is_{kind}"):
            return f"a {kind.replace('_', '-')} address"
    return "not a public address"


def utc_day(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).date().isoformat()
