"""The hosts of a crawl: their pace and pauses, the tasks under way there, and which of several processes asks them.

Spider, middleware and site files share one registry; `registry_of` finds it at the crawler that all of them know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from sourcing.crawling.ledger import CLAIM_S, Task
from sourcing.crawling.source import Source
from sourcing.crawling.spider.download_slots import drain
from sourcing.crawling.spider.hosts import SLOW_S, Host
from sourcing.crawling.spider.recorder import PausedHost, Recorder
from sourcing.crawling.spider.refusals import Postponed
from sourcing.crawling.spider.scrapy_settings import Options

if TYPE_CHECKING:
    from scrapy.crawler import Crawler

__all__ = ["HostRegistry", "registry_of"]

_HOSTS_KEPT = 20_000


def registry_of(crawler: Crawler) -> HostRegistry:
    """The host registry of a crawler."""
    return cast("HostRegistry", crawler.host_registry)  # type: ignore[attr-defined]


class HostRegistry:
    """Hosts that the process asks, with pace, pauses and claims; `changed` is set when there may be something to do."""

    def __init__(
        self,
        crawler: Crawler,
        options: Options,
        sources: Mapping[str, Source],
        recorder: Recorder,
        now: Callable[[], float],
    ) -> None:
        self.crawler, self.options, self.sources = crawler, options, sources
        self.recorder, self.ledger, self.now = recorder, recorder.ledger, now
        self.hosts: dict[str, Host] = {}
        self.under_way: Counter[str] = Counter()  # tasks, by host
        self.left_to_others: set[str] = set()
        self.stopping = False
        self.changed = asyncio.Event()
        self._borrowed: Counter[str] = Counter()  # hosts that redirects of site files led to, while they are asked
        crawler.host_registry = self  # type: ignore[attr-defined]

    def host(self, netloc: str, source: str) -> Host:
        """The host's state; where several sources share one, the slower declaration wins."""
        declaration = self.sources[source]
        host = self.hosts.get(netloc)
        if host is None:
            self._forget_idle_hosts()
            host = self.hosts[netloc] = Host(
                netloc, 1 / declaration.rate_per_s, declaration.concurrency, declaration.burst
            )
        host.slow_down_to(1 / declaration.rate_per_s)
        host.concurrency = min(host.concurrency, declaration.concurrency)
        host.burst = min(host.burst, declaration.burst)
        return host

    def _forget_idle_hosts(self) -> None:
        """A list of a million sites must not become a million hosts in memory."""
        if len(self.hosts) < _HOSTS_KEPT:
            return
        now = self.now()
        idle = [h.netloc for h in self.hosts.values() if not h.in_flight and not h.down and h.paused_until < now - 60]
        for netloc in idle[: _HOSTS_KEPT // 2]:
            del self.hosts[netloc]

    def api_terms(self, source: str, netloc: str) -> str:
        """API terms that permit programs on the source's own host, despite robots.txt; "" without any."""
        declaration = self.sources[source]
        return (declaration.api_terms or "") if declaration.owns(netloc) else ""

    def stop(self) -> None:
        """End soon: what is being transferred is finished and written, the rest stays pending."""
        self.stopping = True
        drain(self.crawler, Postponed(0.0, "stopping"))
        self.changed.set()

    def pause(self, host: Host, until: float) -> None:
        """Pause the host until `until`, for all processes; what waits for its turn there is put off."""
        host.pause(until)
        drain(self.crawler, Postponed(host.paused_until, "host_paused"), host.netloc)
        self.recorder.note(PausedHost(host.netloc, host.paused_until))

    def put_off(self, host: Host, until: float) -> None:
        """Leave the host's queue to a later run, as its next turn comes too late for this one."""
        host.pause(until)
        drain(self.crawler, Postponed(until, "crawl_delay"), host.netloc)
        self.recorder.note(PausedHost(host.netloc, until))

    def note_sent(self, host: Host) -> None:
        """A request goes out: should this process die, a slow host is still not asked too early."""
        if host.interval_s >= SLOW_S:
            self.recorder.note(PausedHost(host.netloc, host.due_at))

    async def borrow(self, host: Host, netlocs: list[str]) -> None:
        """Claim a host that a site file's redirect leads to, and add it to `netlocs`; Postponed when others keep it."""
        netloc = host.netloc
        self._borrowed[netloc] += 1
        netlocs.append(netloc)
        deadline = self.now() + CLAIM_S
        while until := await self.recorder.call(self._take, netloc):
            if until > deadline or self.stopping:
                raise Postponed(0.0 if self.stopping else until, "host_paused")
            await asyncio.sleep(max(until - self.now(), 0.01))
        host.slow_down_to(await self.recorder.call(self.ledger.run.delay_s, netloc))

    def _take(self, netloc: str) -> float:
        with self.ledger.group():
            return self.ledger.run.take(netloc, self.now())

    async def give_back(self, netlocs: list[str]) -> None:
        """Release hosts claimed for a site file."""
        for netloc in netlocs:
            self._borrowed[netloc] -= 1
            if not self._borrowed[netloc]:
                del self._borrowed[netloc]
                if not self.under_way[netloc]:
                    await self.recorder.call(self.release, netloc)

    def release(self, netloc: str) -> None:
        """Release the host to other processes, with its next due time."""
        self._note_due(netloc)
        self.ledger.run.give_up(netloc)

    def keep_claims(self, now: float) -> None:
        """Renew claims on hosts in use, and release idle hosts."""
        active = {*(netloc for netloc, count in list(self.under_way.items()) if count), *list(self._borrowed)}
        for netloc in self.ledger.run.keep(active, now):
            self.release(netloc)

    def share(self, now: float, *, content: bool) -> None:
        """Leave hosts to processes that have fewer; wish for some where this one has fewer and is not `content`."""
        run = self.ledger.run
        if not run.others():
            self.left_to_others = set()
            return
        self.left_to_others = run.wished(now)
        for netloc in self.left_to_others:
            if not self.under_way[netloc] and not self._borrowed[netloc]:
                self.release(netloc)
        if not content:
            run.wish(self.sources, now)

    def enter(self, task: Task) -> None:
        self.under_way[task.host] += 1
        self.host(task.host, task.source).in_flight += 1

    def leave(self, task: Task) -> None:
        self.under_way[task.host] -= 1
        if not self.under_way[task.host]:
            del self.under_way[task.host]
        self.hosts[task.host].in_flight -= 1
        self.changed.set()

    def rest(self) -> None:
        """Release all hosts when nothing is in flight: give the hosts back, with the time they are due to be asked
        again.
        """
        ledger = self.ledger
        if not ledger.run.holds_hosts:
            return
        with ledger.group():
            for netloc in list(self.hosts):
                self._note_due(netloc)
            ledger.run.rest()

    def _note_due(self, netloc: str) -> None:
        """Record the host's next due time, so that the next process keeps the distance to our last request."""
        host = self.hosts.get(netloc)
        if host is not None and host.paced and host.asked_at and not host.in_flight:
            self.ledger.run.pause(netloc, host.next_at, host.interval_s)
