"""Downloader middleware between spider and network: robots.txt, pauses, delays, and addresses that are refused.

Scrapy's library defaults are impolite (no robots.txt, no delay, Crawl-delay parsed but not applied), so its
robots and retry middlewares are off and `Politeness` takes their place; `Redirects` follows redirects within a host;
`GuardedHandler` connects.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from aiohttp.abc import AbstractResolver, ResolveResult
from scrapy import Request
from scrapy.core.downloader.handlers._aiohttp import AiohttpDownloadHandler
from scrapy.downloadermiddlewares.httpcompression import HttpCompressionMiddleware
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.exceptions import ResponseDataLossError

from sourcing.crawling.policy.politeness import ROBOTS_MAX_AGE_S, forbidden_address, host_of, origin_of, unusable_url
from sourcing.crawling.policy.site_signals import NOT_KNOWN_AGAIN_S
from sourcing.crawling.spider.download_slots import PacedSlot
from sourcing.crawling.spider.host_registry import HostRegistry, registry_of
from sourcing.crawling.spider.hosts import Host
from sourcing.crawling.spider.refusals import Denied, Moved, Postponed, Refused, Unreachable
from sourcing.crawling.spider.responses import verdict_of
from sourcing.crawling.spider.site_files import SiteFiles
from sourcing.redactor import redact
from sourcing.store.retry_after import retry_after_s

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

__all__ = ["GuardedHandler", "Politeness", "Redirects", "WholeBodies"]


class Redirects(RedirectMiddleware):
    """Follow redirects within a host; a page's way to another host goes through the ledger, by `Moved`.

    There, that host's own pace, pauses, failures and process count. Where a Location cannot be followed, the redirect
    itself is the answer; one that says no is not followed.
    """

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        is_page = 300 <= response.status < 400 and response.status != 304 and not request.meta.get("is_site_file")
        if is_page:
            source = registry_of(self.crawler).sources[request.meta["source"]]
            if signal := verdict_of(response.replace(request=request), source).denied_by:
                raise Denied(signal)
        try:
            onward = super().process_response(request, response)
        except ValueError:  # a Location that is no URL
            return response
        if not isinstance(onward, Request) or unusable_url(onward.url) or request.meta.get("is_site_file"):
            return onward
        now = registry_of(self.crawler).now()
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
        self._site_files = SiteFiles(crawler)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Politeness:
        return cls(crawler)

    @property
    def registry(self) -> HostRegistry:
        return registry_of(self.crawler)

    async def process_request(self, request: Request) -> None:
        if why := unusable_url(request.url):
            raise Refused("url_unusable", f"{redact(request.url)[:200]}: {why}")
        parts = urlsplit(request.url)
        if redact(parts.netloc) != parts.netloc:
            raise Refused("url_unusable", "a redirect led to a host with a key of ours in its name")
        if not self.registry.options.allow_private_hosts and (why := forbidden_address([parts.hostname or ""])):
            raise Refused("private_host", why)
        host = self.registry.host(host_of(request.url), request.meta["source"])
        self._set_slot(request, host)
        if request.meta.get("is_site_file"):
            if host.netloc != request.meta["asked_host"]:
                await self.registry.borrow(host, request.meta["borrowed"])
            self._check_pause(host)
            return
        self._check_pause(host)
        site = await self._site_files.of(origin_of(request.url), host, request.meta["source"])
        verdict = site.robots
        host.slow_down_to(verdict.delay_s, theirs=True)
        self._set_slot(request, host)
        self._check_pause(host)
        line = verdict.evidence(request.url)
        if not verdict.allowed(request.url):
            terms = self.registry.api_terms(request.meta["source"], host.netloc)
            if verdict.unavailable or not terms:
                raise Denied(line, again_s=ROBOTS_MAX_AGE_S if verdict.unavailable else 0.0)
            line += f", set aside by {terms}"
        if unknown := next(iter(site.signals.unknown), None):
            raise Denied(str(unknown), again_s=NOT_KNOWN_AGAIN_S)
        request.meta["robots_line"], request.meta["site"] = line, site.signals

    def _check_pause(self, host: Host) -> None:
        if self.registry.stopping:
            raise Postponed(0.0, "stopping")
        if host.down:
            raise Unreachable(host.down)
        if host.paused_until > self.registry.now():
            raise Postponed(host.paused_until, "host_paused")

    def _set_slot(self, request: Request, host: Host) -> None:
        # A redirected request still carries the slot of the host it came from, so it is always set anew.
        request.meta["download_slot"] = host.netloc
        downloader = self.crawler.engine.downloader
        slot = downloader.slots.get(host.netloc)
        if slot is None:
            slot = downloader.slots[host.netloc] = PacedSlot(
                host,
                self.registry.now,
                patience_s=self.registry.options.patience_s,
                on_send=self.registry.note_sent,
                put_off=self.registry.put_off,
            )
            downloader._start_slot_gc()
        slot.concurrency = host.concurrency


class GuardedHandler(AiohttpDownloadHandler):
    """Scrapy's asyncio download handler, connecting only to addresses that may be asked.

    The check sits in the resolver, so it is the very address connected to that is checked: a name that resolves
    to something else a moment later gains nothing. Literal addresses never reach a resolver; Politeness sees them.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        if not registry_of(crawler).options.allow_private_hosts:
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
