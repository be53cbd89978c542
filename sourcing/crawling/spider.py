"""The one spider: asks for what the ledger has pending, and hands every outcome to the scribe.

The seam: response → WARC, durable → ledger (fetched, with the tasks the page leads to) → the task is done.
Retries, pauses and follow-ups all go through the ledger; Scrapy keeps nothing that a death could take.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import scrapy
from scrapy import Request, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from twisted.python.failure import Failure

from sourcing.crawling.downloader import Denied, Postponed, Refused, Unreachable, drain, name_failure
from sourcing.crawling.ledger import Task
from sourcing.crawling.politeness import Host, retry_at, retry_delay_s, utc_day
from sourcing.crawling.responses import exchange_of, throttled
from sourcing.crawling.scribe import Answered, DeniedTask, Entry, FailedTask, PostponedTask, Scribe
from sourcing.crawling.sources.base import Source
from sourcing.crawling.spider_settings import Options

__all__ = ["LedgerSpider"]

_ROBOTS_AGAIN_S = 24 * 3600.0
_BATCH = 32


class LedgerSpider(scrapy.Spider):
    """Leases tasks of `sources` in small batches until none is pending, or only ones too far in the future."""

    name = "crossmusim"

    def __init__(
        self,
        *,
        options: Options,
        sources: Mapping[str, Source],
        scribe: Scribe,
        now: Callable[[], float],
        on_done: Callable[[str], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options, self.sources, self.scribe, self.now, self.on_done = options, sources, scribe, now, on_done
        self.hosts: dict[str, Host] = {}
        self.done: Counter[str] = Counter()  # outcomes of this run: fetched, failed, denied, retried
        self.stopping = False
        self.notes: list[str] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self._asked: Counter[tuple[str, str]] = Counter()  # by source and UTC day, this run
        today = utc_day(now())
        self._asked_before = {(name, today): scribe.ledger.requests_on(name, today) for name in sources}
        self._in_flight: Counter[str] = Counter()  # by source
        self._wake = asyncio.Event()

    def host(self, netloc: str, source: str) -> Host:
        """The host's state; where several sources share one, the slower declaration wins."""
        declared = self.sources[source]
        host = self.hosts.get(netloc)
        if host is None:
            host = self.hosts[netloc] = Host(netloc, 1 / declared.rate_per_s, declared.concurrency)
        host.slow_down_to(1 / declared.rate_per_s)
        host.concurrency = min(host.concurrency, declared.concurrency)
        return host

    def api_terms(self, source: str, netloc: str) -> str:
        """The terms that let programs ask this source's own host, whatever robots.txt tells page crawlers."""
        declared = self.sources[source]
        own = declared.owns(netloc)
        return (declared.api_terms or "") if own else ""

    def capped(self) -> list[str]:
        """Sources whose daily cap is used up."""
        return [name for name in self.sources if self._left_today(name, self.now()) <= 0]

    def stop(self) -> None:
        """End soon: what is being transferred is finished and written, the rest stays pending."""
        self.stopping = True
        drain(self.crawler, Postponed(0.0, "stopping"))
        self._wake.set()

    # --- from the ledger to requests ---

    async def start(self) -> AsyncIterator[Request]:
        self.loop = asyncio.get_running_loop()
        self.crawler.signals.connect(self._downloaded, signals.response_downloaded)
        while not self.stopping:
            self._wake.clear()
            tasks = await self.scribe.call(self._lease)
            for task in tasks:
                self._enter(task)
            for task in tasks:
                yield Request(
                    task.url,
                    headers=dict(self.sources[task.source].headers),
                    callback=self.answered,
                    errback=self.unanswered,
                    dont_filter=True,
                    meta={"task": task, "source": task.source, "verbatim_url": True},
                )
            if not tasks and not await self._worth_waiting():
                return

    def _lease(self) -> list[Task]:
        now = self.now()
        full = [host.netloc for host in self.hosts.values() if self._closed(host, now)]
        tasks: list[Task] = []
        for name, source in self.sources.items():
            free = sum(max(0, host.window - host.in_flight) for host in self.hosts.values())
            fresh = Host("", 1 / source.rate_per_s, source.concurrency).window  # room to meet a new host
            room = min(_BATCH, free + fresh, 2 * _BATCH + fresh - self._in_flight[name])
            room = min(room, self._left_today(name, now))
            if self.options.limit is not None:
                room = min(room, self.options.limit - self._asked.total() - len(tasks))
            if room > 0:
                tasks += self.scribe.ledger.lease(room, now, self.options.lease_s, [name], not_hosts=full)
        return tasks

    def _closed(self, host: Host, now: float) -> bool:
        return bool(host.down) or host.paused_until > now or host.in_flight >= host.window

    def _enter(self, task: Task) -> None:
        self._asked[task.source, utc_day(self.now())] += 1
        self._in_flight[task.source] += 1
        self.host(task.host, task.source).in_flight += 1

    def _leave(self, task: Task) -> None:
        self._in_flight[task.source] -= 1
        self.hosts[task.host].in_flight -= 1
        self._wake.set()

    async def _worth_waiting(self) -> bool:
        """Wait for something to change; False when the run is over."""
        now = self.now()
        if self.scribe.broken:
            return False
        if sum(self._in_flight.values()) or self._busy():
            paused = [host.paused_until - now for host in self.hosts.values() if host.paused_until > now]
            await self._sleep(min([self.options.patience_s, *paused]))
            return True
        if self.options.limit is not None and self._asked.total() >= self.options.limit:
            return False
        down = [host.netloc for host in self.hosts.values() if host.down]
        open_ = [name for name in self.sources if self._left_today(name, now) > 0]
        soonest = await self.scribe.call(lambda: self.scribe.ledger.soonest(open_, not_hosts=down))
        if soonest is None:
            return False
        paused = [h.paused_until for h in self.hosts.values() if h.paused_until > now and not h.down]
        wait_s = (min([soonest, *paused]) if soonest > now else min(paused, default=now + 1.0)) - now
        if wait_s > self.options.patience_s:
            self.notes.append(f"the next task may be asked in {wait_s:.0f} s; run again then")
            return False
        await self._sleep(max(wait_s, 0.001))
        return True

    def _busy(self) -> bool:
        """Responses are on their way to the disk, and may lead to further tasks."""
        return self.scribe.writing

    def _left_today(self, name: str, now: float) -> int:
        """Requests the source's daily cap leaves; counted when asked, so that none slips past it in flight."""
        cap = self.sources[name].daily_cap
        if cap is None:
            return sys.maxsize
        today = (name, utc_day(now))
        return cap - self._asked_before.get(today, 0) - self._asked[today]

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    # --- from responses to the ledger ---

    async def answered(self, response: Response) -> None:
        task: Task = response.meta["task"]
        self._leave(task)
        now = self.now()
        host = self.host(urlsplit(response.url).netloc.lower(), task.source)
        host.strikes = 0
        status = response.status
        if reason := throttled(response):
            wait = self._told_to_wait(response, task, now)
            await self._fail(task, reason, f"HTTP {status}, {reason}", status=status, again_at=wait)
        elif 200 <= status < 300 and "Content-Encoding" not in response.headers:
            await self._record("fetched", Answered(exchange_of(response, task, now)))
        elif 200 <= status < 300:
            coding = (response.headers.get("Content-Encoding") or b"").decode("latin-1")
            await self._fail(task, "content_encoding", f"body is encoded as {coding!r}", status=status)
        elif status >= 500:
            wait = self._told_to_wait(response, task, now)
            await self._fail(task, f"http_{status}", f"HTTP {status}", status=status, again_at=wait)
        else:
            await self._fail(task, f"http_{status}", f"HTTP {status} from {response.url[:300]}", status=status)

    def _downloaded(self, response: Response, request: Request) -> None:
        """A host that says "too much" is left alone at once: this runs before its slot sends what is queued."""
        task: Task | None = request.meta.get("task")
        if task is None or not throttled(response):
            return
        host = self.host(urlsplit(request.url).netloc.lower(), task.source)
        host.pause(self._told_to_wait(response, task, self.now()))
        drain(self.crawler, Postponed(host.paused_until, "host_paused"), host.netloc)

    def _told_to_wait(self, response: Response, task: Task, now: float) -> float:
        until = retry_at((response.headers.get("Retry-After") or b"").decode("latin-1"), now)
        return until if until is not None else now + retry_delay_s(task.attempts + 1, self.options.backoff_s)

    async def unanswered(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        task: Task = request.meta["task"]
        error = failure.value
        assert error is not None
        self._leave(task)
        now = self.now()
        host = self.host(urlsplit(request.url).netloc.lower(), task.source)
        if isinstance(error, Postponed):
            await self._postpone(task, error.until, error.why)
        elif isinstance(error, Unreachable):
            await self._postpone(task, host.paused_until, "connect_failed")
        elif isinstance(error, Denied):
            again_at = now + _ROBOTS_AGAIN_S if error.again else 0.0
            await self._record("denied", DeniedTask(task.key, task.source, error.signal, again_at))
        elif isinstance(error, Refused):
            await self._fail(task, error.reason, error.finding)
        else:
            reason, passing = name_failure(error)
            if reason == "connect_failed":
                why = f"{host.netloc} cannot be reached ({str(error)[:200]})"
                host.struck(why, now, backoff_s=self.options.backoff_s, limit=self.options.max_attempts)
            again_at = now + retry_delay_s(task.attempts + 1, self.options.backoff_s)
            finding = f"{type(error).__name__}: {error}"[:500]
            if reason == "body_too_large":
                finding = f"body is larger than {self.options.max_body_bytes / 1e6:g} MB"
            await self._fail(task, reason, finding, again_at=again_at if passing else None)

    async def _postpone(self, task: Task, until: float, why: str) -> None:
        self._asked[task.source, utc_day(self.now())] -= 1
        await self._record("", PostponedTask(task.key, until, why))

    async def _fail(
        self, task: Task, reason: str, finding: str, *, status: int | None = None, again_at: float | None = None
    ) -> None:
        if task.attempts + 1 >= self.options.max_attempts:
            again_at = None
        outcome = "failed" if again_at is None else "retried"
        await self._record(
            outcome, FailedTask(task.key, task.source, reason, finding, http_status=status, retry_at=again_at)
        )

    async def _record(self, outcome: str, entry: Entry) -> None:
        try:
            await self.scribe.record(entry)
        except Exception as error:  # `run` raises it: the scribe keeps it in `broken`
            self.stopping = True
            raise CloseSpider("a group could not be written") from error
        finally:
            self._wake.set()
        if outcome:
            self.done[outcome] += 1
            self.on_done(outcome)
