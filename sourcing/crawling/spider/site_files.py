"""Site-wide files, requested once per origin: robots.txt, tdmrep.json, ai.txt."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from sourcing.crawling.spider.host_registry import HostRegistry, registry_of
from sourcing.crawling.spider.hosts import Host
from sourcing.crawling.spider.refusals import Postponed, Refused, Unreachable, failure_told

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.http import Response

__all__ = ["Site", "SiteFiles"]

_KNOWN_ORIGINS = 10_000  # what their site files say is kept in memory
_TURNS_FOR_SITE_FILES = 5  # of a host so slow that its files are a day old before its turns have read them all


@dataclass(frozen=True)
class Site:
    """Site-wide rules and signals of one origin."""

    robots: RobotsVerdict
    signals: SiteSignals


class SiteFiles:
    """Site-wide files of the run's origins, requested with the first page."""

    def __init__(self, crawler: Crawler) -> None:
        self.crawler = crawler
        self._sites: OrderedDict[str, Site] = OrderedDict()  # least recently used first
        self._asking: dict[str, asyncio.Future[Site]] = {}

    @property
    def registry(self) -> HostRegistry:
        return registry_of(self.crawler)

    async def of(self, origin: str, host: Host, source: str) -> Site:
        site = self._sites.get(origin)
        if site is not None and self._is_fresh(site.robots.fetched_at, site.robots.delay_s, site.signals):
            self._sites.move_to_end(origin)
            return site
        asking = self._asking.get(origin)
        if asking is None:
            asking = self._asking[origin] = asyncio.ensure_future(self._ask(origin, host, source))
            asking.add_done_callback(lambda _: self._asking.pop(origin, None))
        return await asyncio.shield(asking)

    def _is_fresh(self, fetched_at: float, delay_s: float, signals: SiteSignals | None = None) -> bool:
        """Whether a site's file may be gone by: a day, and longer where asking anew would take a slow host's turns."""
        age_s = NOT_KNOWN_AGAIN_S if signals is not None and signals.unknown else ROBOTS_MAX_AGE_S
        return self.registry.now() - fetched_at < max(age_s, _TURNS_FOR_SITE_FILES * delay_s)

    async def _ask(self, origin: str, host: Host, source: str) -> Site:
        try:
            robots, body = await self._ask_robots(origin, host, source)
            host.slow_down_to(robots.delay_s, theirs=True)
            self.registry.note_sent(host)
            bodies: dict[str, bytes | NotKnown | None] = dict.fromkeys(WELL_KNOWN)
            if not granted_by(self.registry.sources[source], origin):
                for path in WELL_KNOWN:
                    if robots.allowed(origin + path) and not self.registry.stopping:
                        bodies[path] = await self._ask_well_known(origin + path, host, source)
        except Postponed as postponement:
            if postponement.until:
                self.registry.pause(host, postponement.until)  # without these files nothing of it can be asked
            raise
        site = Site(robots, read_site_signals(body, *(bodies[path] for path in WELL_KNOWN)))
        self._sites[origin] = site
        if len(self._sites) > _KNOWN_ORIGINS:
            self._sites.popitem(last=False)
        return site

    async def _ask_robots(self, origin: str, host: Host, source: str) -> tuple[RobotsVerdict, bytes | None]:
        registry = self.registry
        try:
            status, body, at = await self._site_file(f"{origin}/robots.txt", host, source)
        except (Refused, Postponed):
            raise
        except Unreachable as error:
            why = f"{origin}/robots.txt leads to a host that fails ({error})"
            host.unreachable(
                why, registry.now(), backoff_s=registry.options.backoff_s, limit=registry.options.max_attempts
            )
            raise Unreachable(why) from error
        except IgnoreRequest:
            return read_robots(404, b"", registry.now()), None  # more redirects than RFC 9309 makes us follow
        except Exception as error:
            why = f"{origin} cannot be reached ({failure_told(error) or type(error).__name__})"
            host.unreachable(
                why, registry.now(), backoff_s=registry.options.backoff_s, limit=registry.options.max_attempts
            )
            raise Unreachable(why) from error
        robots = read_robots(status, body, at)
        if robots.unavailable and host.paused_until > registry.now():
            host.refusals += 1
            if host.refusals < registry.options.max_attempts:  # it says when to ask again: that is no verdict
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
        registry = self.registry
        stored_file = await registry.recorder.call(registry.ledger.site_file, url)
        if stored_file is not None and self._is_fresh(stored_file[2], self._delay_s(url, stored_file, host)):
            return stored_file
        netlocs: list[str] = []
        meta = {"is_site_file": True, "source": source, "asked_host": host.netloc, "borrowed": netlocs}
        try:
            response: Response = await self.crawler.engine.download_async(Request(url, meta=meta))
        finally:
            await registry.give_back(netlocs)
        file = (response.status, response.body, registry.now())
        if self._delay_s(url, file, host) > registry.options.patience_s and file[0] < 500 and file[0] != 429:
            await registry.recorder.call(registry.ledger.keep_site_file, url, *file)
        return file

    @staticmethod
    def _delay_s(url: str, file: tuple[int, bytes, float], host: Host) -> float:
        """The delay between turns that a file was read under: what it says itself, or the robots.txt before it."""
        return read_robots(*file).delay_s if url.endswith("/robots.txt") else host.interval_s
