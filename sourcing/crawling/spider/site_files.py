"""Files in which a site speaks for all its pages, asked for once and kept: robots.txt, tdmrep.json, ai.txt."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from scrapy import Request
from scrapy.exceptions import IgnoreRequest

from sourcing.crawling.policy.consent import granted_by
from sourcing.crawling.policy.politeness import ROBOTS_MAX_AGE_S, RobotsVerdict, read_robots
from sourcing.crawling.policy.site_signals import (
    NOT_KNOWN_AGAIN_S,
    WELL_KNOWN,
    NotKnown,
    SiteSignals,
    file_of,
    read_site_signals,
)
from sourcing.crawling.spider.hosts import Host
from sourcing.crawling.spider.refusals import Postponed, Refused, Unreachable, failure_told

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

    from sourcing.crawling.spider.spider import LedgerSpider

__all__ = ["Site", "SiteFiles"]

_KNOWN_ORIGINS = 10_000  # what their site files say is kept in memory
_TURNS_FOR_SITE_FILES = 5  # of a host so slow that its files are a day old before its turns have read them all


@dataclass(frozen=True)
class Site:
    """What one origin says for all its pages."""

    robots: RobotsVerdict
    signals: SiteSignals


class SiteFiles:
    """What each origin of this run says, asked for when its first page is."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._sites: OrderedDict[str, Site] = OrderedDict()  # least recently used first
        self._asking: dict[str, asyncio.Future[Site]] = {}

    @property
    def spider(self) -> LedgerSpider:
        return cast("LedgerSpider", self.crawler.spider)

    async def of(self, origin: str, host: Host, source: str) -> Site:
        known = self._sites.get(origin)
        if known is not None and self._is_fresh(known.robots.fetched_at, known.robots.delay_s, known.signals):
            self._sites.move_to_end(origin)
            return known
        asking = self._asking.get(origin)
        if asking is None:
            asking = self._asking[origin] = asyncio.ensure_future(self._ask(origin, host, source))
            asking.add_done_callback(lambda _: self._asking.pop(origin, None))
        return await asyncio.shield(asking)

    def _is_fresh(self, fetched_at: float, delay_s: float, signals: SiteSignals | None = None) -> bool:
        """Whether a site's file may be gone by: a day, and longer where asking anew would take a slow host's turns."""
        age_s = NOT_KNOWN_AGAIN_S if signals is not None and signals.unknown else ROBOTS_MAX_AGE_S
        return self.spider.now() - fetched_at < max(age_s, _TURNS_FOR_SITE_FILES * delay_s)

    async def _ask(self, origin: str, host: Host, source: str) -> Site:
        try:
            robots, body = await self._ask_robots(origin, host, source)
            host.slow_down_to(robots.delay_s, theirs=True)
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
