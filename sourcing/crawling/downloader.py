"""What stands between the spider and the network: robots.txt, pauses, delays, and addresses that are refused.

Scrapy's library defaults are impolite (no robots.txt, no delay, Crawl-delay parsed but not applied), so its
robots and retry middlewares are off and `Politeness` takes their place; `Redirects` follows redirects within a host;
`GuardedHandler` connects.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies

from aiohttp.abc import AbstractResolver, ResolveResult
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)

from sourcing.crawling.consent import granted_by
from sourcing.crawling.hosts import Host
from sourcing.crawling.politeness import (
    ROBOTS_MAX_AGE_S,
    RobotsVerdict,
    forbidden_address,
    host_of,
    origin_of,
    read_robots,
    unusable_url,
)
from sourcing.crawling.responses import verdict_of
from sourcing.crawling.slots import PacedSlot
from sourcing.crawling.wellknown import (
    NOT_KNOWN_AGAIN_S,
    WELL_KNOWN,
    NotKnown,
    SiteSignals,
    file_of,
    read_site_signals,
)
from sourcing.redactor import redact
from sourcing.store.retry_after import retry_after_s

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from sourcing.crawling.spider import LedgerSpider

_KNOWN_ORIGINS = 10_000  # what their site files say is kept in memory
_TURNS_FOR_SITE_FILES = 5  # of a host so slow that its files are a day old before its turns have read them all

__all__ = [
    "Denied",
    "GuardedHandler",
    "Moved",
    "Politeness",
    "Postponed",
    "Redirects",
    "Refused",
    "Unreachable",
    "WholeBodies",
    "failure_told",
    "name_failure",
]


class Refused(IgnoreRequest):
    """We will not ask for this URL; `reason` is short and countable."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(f"{reason}: {finding}")


class Denied(IgnoreRequest):
    """The site says no; `again_s` tells how long a passing one holds, such as a file answered by a 5xx."""

    def __init__(self, signal: str, *, again_s: float = 0.0) -> None:
        self.signal, self.again_s = signal, again_s
        super().__init__(signal)


class Postponed(IgnoreRequest):
    """Not now, and not the task's fault: its host is paused until then, or the crawl is stopping."""

    def __init__(self, until: float, why: str) -> None:
        self.until, self.why = until, why
        super().__init__(why)


class Moved(IgnoreRequest):
    """A redirect leads to another host: whoever asks that one goes on there, from `until` on."""

    def __init__(self, url: str, until: float, latency_s: float) -> None:
        self.url, self.until, self.latency_s = url, until, latency_s
        super().__init__(url)


class Unreachable(IgnoreRequest):
    """The host did not even give us its robots.txt."""


@dataclass(frozen=True)
class Site:
    """What one origin says for all its pages."""

    robots: RobotsVerdict
    signals: SiteSignals


class Redirects(RedirectMiddleware):
    """Follows a redirect within its host; a page's way to another host goes through the ledger, by `Moved`.

    There, that host's own pace, pauses, failures and process count. Where a Location cannot be followed, the redirect
    itself is the answer; one that says no is not followed.
    """

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        is_page = 300 <= response.status < 400 and response.status != 304 and not request.meta.get("is_site_file")
        if is_page:
            source = cast("LedgerSpider", self.crawler.spider).sources[request.meta["source"]]
            if signal := verdict_of(response.replace(request=request), source).denied_by:
                raise Denied(signal)
        try:
            onward = super().process_response(request, response)
        except ValueError:  # a Location that is no URL
            return response
        if not isinstance(onward, Request) or unusable_url(onward.url) or request.meta.get("is_site_file"):
            return onward
        now = cast("LedgerSpider", self.crawler.spider).now()
        wait_s = retry_after_s(response.headers, now=now)
        if wait_s is None and host_of(onward.url) == host_of(request.url):
            return onward
        raise Moved(onward.url, now + wait_s if wait_s else 0.0, float(request.meta.get("download_latency") or 0.0))


class WholeBodies(HttpCompressionMiddleware):
    """Unpacks bodies; a gzip stream that was cut is an answer that was cut, which Scrapy would take for a whole one."""

    @staticmethod
    def _decode(body: bytes, encoding: bytes, max_size: int) -> bytes:
        try:
            plain: bytes = HttpCompressionMiddleware._decode(body, encoding, max_size)
        except EOFError as error:
            raise ResponseDataLossError(str(error)) from error
        if encoding != b"deflate" and int.from_bytes(body[-4:], "little") != len(plain) and _is_cut(body):
            raise ResponseDataLossError("the gzip stream has no end, or not the one that it tells of")
        return plain


def _is_cut(body: bytes) -> bool:
    decoder = zlib.decompressobj(31)
    try:
        decoder.decompress(body)
    except zlib.error:
        return True
    return not decoder.eof


class Politeness:
    """Downloader middleware: every request, redirected ones too, passes here before it may reach a host."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._sites: OrderedDict[str, Site] = OrderedDict()  # least recently used first
        self._asking: dict[str, asyncio.Future[Site]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Politeness:
        return cls(crawler)

    @property
    def spider(self) -> LedgerSpider:
        return cast("LedgerSpider", self.crawler.spider)

    async def process_request(self, request: Request) -> None:
        if why := unusable_url(request.url):
            raise Refused("url_unusable", f"{redact(request.url)[:200]}: {why}")
        parts = urlsplit(request.url)
        if redact(parts.netloc) != parts.netloc:
            raise Refused("url_unusable", "a redirect led to a host with a key of ours in its name")
        if not self.spider.options.allow_private_hosts and (why := forbidden_address([parts.hostname or ""])):
            raise Refused("private_host", why)
        host = self.spider.host(host_of(request.url), request.meta["source"])
        self._set_slot(request, host)
        if request.meta.get("is_site_file"):
            if host.netloc != request.meta["asked_host"]:
                await self.spider.borrow(host, request.meta["borrowed"])
            self._check_pause(host)
            return
        self._check_pause(host)
        site = await self._site(origin_of(request.url), host, request.meta["source"])
        verdict = site.robots
        host.slow_down_to(verdict.delay_s)
        self._set_slot(request, host)
        self._check_pause(host)
        line = verdict.evidence(request.url)
        if not verdict.allowed(request.url):
            terms = self.spider.api_terms(request.meta["source"], host.netloc)
            if verdict.unavailable or not terms:
                raise Denied(line, again_s=ROBOTS_MAX_AGE_S if verdict.unavailable else 0.0)
            line += f", set aside by {terms}"
        if unknown := next(iter(site.signals.unknown), None):
            raise Denied(str(unknown), again_s=NOT_KNOWN_AGAIN_S)
        request.meta["robots_line"], request.meta["site"] = line, site.signals

    def _check_pause(self, host: Host) -> None:
        if self.spider.stopping:
            raise Postponed(0.0, "stopping")
        if host.down:
            raise Unreachable(host.down)
        if host.paused_until > self.spider.now():
            raise Postponed(host.paused_until, "host_paused")

    def _set_slot(self, request: Request, host: Host) -> None:
        # A redirected request still carries the slot of the host it came from, so it is always set anew.
        request.meta["download_slot"] = host.netloc
        downloader = self.crawler.engine.downloader
        slot = downloader.slots.get(host.netloc)
        if slot is None:
            slot = downloader.slots[host.netloc] = PacedSlot(
                host,
                self.spider.now,
                patience_s=self.spider.options.patience_s,
                sent=self.spider.note_sent,
                put_off=self.spider.put_off,
            )
            downloader._start_slot_gc()
        slot.concurrency = host.concurrency

    async def _site(self, origin: str, host: Host, source: str) -> Site:
        known = self._sites.get(origin)
        if known is not None and self._is_fresh(known.robots.fetched_at, known.robots.delay_s, known.signals):
            self._sites.move_to_end(origin)
            return known
        asking = self._asking.get(origin)
        if asking is None:
            asking = self._asking[origin] = asyncio.ensure_future(self._ask_site(origin, host, source))
            asking.add_done_callback(lambda _: self._asking.pop(origin, None))
        return await asyncio.shield(asking)

    def _is_fresh(self, fetched_at: float, delay_s: float, signals: SiteSignals | None = None) -> bool:
        """Whether a site's file may be gone by: a day, and longer where asking anew would take a slow host's turns."""
        age_s = NOT_KNOWN_AGAIN_S if signals is not None and signals.unknown else ROBOTS_MAX_AGE_S
        return self.spider.now() - fetched_at < max(age_s, _TURNS_FOR_SITE_FILES * delay_s)

    async def _ask_site(self, origin: str, host: Host, source: str) -> Site:
        try:
            robots, body = await self._ask_robots(origin, host, source)
            host.slow_down_to(robots.delay_s)
            self.spider.note_sent(host)
            found: dict[str, bytes | NotKnown | None] = dict.fromkeys(WELL_KNOWN)
            if not granted_by(self.spider.sources[source], origin):
                for path in WELL_KNOWN:
                    if robots.allowed(origin + path) and not self.spider.stopping:
                        found[path] = await self._ask_well_known(origin + path, host, source)
        except Postponed as postponed:
            if postponed.until:
                self.spider.pause(host, postponed.until)  # without these files nothing of it can be asked
            raise
        site = Site(robots, read_site_signals(body, *(found[path] for path in WELL_KNOWN)))
        self._sites[origin] = site
        if len(self._sites) > _KNOWN_ORIGINS:
            self._sites.popitem(last=False)
        return site

    async def _ask_robots(self, origin: str, host: Host, source: str) -> tuple[RobotsVerdict, bytes | None]:
        spider = self.spider
        try:
            status, body, at = await self._site_file(f"{origin}/robots.txt", host, source)
        except (Refused, Postponed):
            raise
        except Unreachable as error:
            why = f"{origin}/robots.txt leads to a host that fails ({error})"
            host.unreachable(why, spider.now(), backoff_s=spider.options.backoff_s, limit=spider.options.max_attempts)
            raise Unreachable(why) from error
        except IgnoreRequest:
            return read_robots(404, b"", spider.now()), None  # more redirects than RFC 9309 makes us follow
        except Exception as error:
            why = f"{origin} cannot be reached ({failure_told(error) or type(error).__name__})"
            host.unreachable(why, spider.now(), backoff_s=spider.options.backoff_s, limit=spider.options.max_attempts)
            raise Unreachable(why) from error
        robots = read_robots(status, body, at)
        if robots.unavailable and host.paused_until > spider.now():
            host.refusals += 1
            if host.refusals < spider.options.max_attempts:  # it says when to ask again: that is no verdict
                raise Postponed(host.paused_until, "robots.txt_unavailable")
        return robots, body if 200 <= status < 300 else None

    async def _ask_well_known(self, url: str, host: Host, source: str) -> bytes | NotKnown | None:
        """A file in which a site may speak of machine use; None where there is none."""
        try:
            status, body, _ = await self._site_file(url, host, source)
        except Postponed:
            raise
        except IgnoreRequest:
            return None  # it leads in circles, or to where we do not ask: as good as none (RFC 9309 §2.3.1.2)
        except Exception as error:
            return NotKnown(f"{failure_told(error) or type(error).__name__}")
        return file_of(status, body)

    async def _site_file(self, url: str, host: Host, source: str) -> tuple[int, bytes, float]:
        """Status, body and time of a site's own file; at a slow host, that of an earlier turn."""
        spider = self.spider
        kept = await spider.scribe.call(spider.scribe.ledger.site_file, url)
        if kept is not None and self._is_fresh(kept[2], self._delay_s(url, kept, host)):
            return kept
        borrowed: list[str] = []
        meta = {"is_site_file": True, "source": source, "asked_host": host.netloc, "borrowed": borrowed}
        try:
            response: Response = await self.crawler.engine.download_async(Request(url, meta=meta))
        finally:
            await spider.give_back(borrowed)
        file = (response.status, response.body, spider.now())
        if self._delay_s(url, file, host) > spider.options.patience_s and file[0] < 500 and file[0] != 429:
            await spider.scribe.call(spider.scribe.ledger.keep_site_file, url, *file)
        return file

    @staticmethod
    def _delay_s(url: str, file: tuple[int, bytes, float], host: Host) -> float:
        """The delay between turns that a file was read under: what it says itself, or the robots.txt before it."""
        return read_robots(*file).delay_s if url.endswith("/robots.txt") else host.interval_s


class GuardedHandler(AiohttpDownloadHandler):
    """Scrapy's asyncio download handler, connecting only to addresses that may be asked.

    The check sits in the resolver, so it is the very address connected to that is checked: a name that resolves
    to something else a moment later gains nothing. Literal addresses never reach a resolver; Politeness sees them.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        if not cast("LedgerSpider", crawler.spider).options.allow_private_hosts:
            connector: Any = self._session.connector
            connector._resolver = _GuardedResolver(connector._resolver)


class _GuardedResolver(AbstractResolver):
    def __init__(self, inner: AbstractResolver) -> None:
        self._inner = inner
        # A configured proxy commonly lives on a private address; it was the user who named it.
        self._proxies = {urlsplit(url).hostname for url in getproxies().values()}

    async def resolve(self, host: str, *args: Any, **options: Any) -> list[ResolveResult]:
        results = await self._inner.resolve(host, *args, **options)
        if host not in self._proxies and (why := forbidden_address(result["host"] for result in results)):
            raise Refused("private_host", f"{host}: {why}")
        return results

    async def close(self) -> None:
        await self._inner.close()


def failure_told(error: BaseException) -> str:
    """What the error says, without the address in memory of the TLS settings that some name."""
    return redact(re.sub(r" ssl:(?:<[^>]*>|\w+)", "", str(error)))[:200]


def name_failure(error: BaseException) -> tuple[str, bool]:
    """A countable reason, and whether trying again may help."""
    if isinstance(error, DownloadConnectionRefusedError | CannotResolveHostError):
        return "connect_failed", True
    if isinstance(error, DownloadTimeoutError):
        return "timeout", True
    if isinstance(error, ResponseDataLossError):
        return "cut_short", True
    if isinstance(error, DownloadFailedError):
        return "connection_lost", True
    if isinstance(error, DownloadCancelledError) or "DOWNLOAD_MAXSIZE" in str(error):
        return "body_too_large", False
    if isinstance(error, UnsupportedURLSchemeError):
        return "url_unusable", False
    if isinstance(error, IgnoreRequest):
        return "too_many_redirects", False
    if isinstance(error, OSError | EOFError):
        return "body_undecodable", False
    return "download_error", True
