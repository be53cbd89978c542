"""The one spider: asks for what the ledger has pending, and hands every outcome to the scribe.

The seam: response → WARC, durable → ledger (fetched, with the tasks the page leads to) → the task is done.
Retries, pauses and follow-ups all go through the ledger; Scrapy keeps nothing that a death could take.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import scrapy
from scrapy import Request, signals
from scrapy.exceptions import CloseSpider
from scrapy.http import Response
from twisted.python.failure import Failure

from sourcing.crawling.error_answers import ErrorAnswer
from sourcing.crawling.ledger import ASKED, CLAIM_S, Task
from sourcing.crawling.policy.politeness import host_of, retry_delay_s
from sourcing.crawling.source import Source
from sourcing.crawling.spider.download_slots import drain
from sourcing.crawling.spider.hosts import SLOW_S, Host
from sourcing.crawling.spider.lease_budget import Budget, capped
from sourcing.crawling.spider.recorder import (
    BARRED_S,
    Answered,
    DeniedTask,
    Entry,
    FailedTask,
    MovedTask,
    PausedHost,
    PostponedTask,
    Scribe,
    bury_dead,
)
from sourcing.crawling.spider.refusals import Denied, Moved, Postponed, Refused, Unreachable, failure_told, name_failure
from sourcing.crawling.spider.responses import (
    asked_url,
    conditional_headers,
    error_of,
    exchange_of,
    tombstone,
    withdrawal,
)
from sourcing.crawling.spider.scrapy_settings import MAX_OUT, Options
from sourcing.crawling.spider.seeding import Seeding
from sourcing.redactor import redact
from sourcing.store.retry_after import retry_after_s

__all__ = ["LedgerSpider"]

_BATCH = 64
_POLL_S = 1.0  # while another process asks what is left
_SHARE_EVERY_S = 0.5
_HOSTS_KEPT = 20_000
_BEAT_S = CLAIM_S / 3  # claims and leases are renewed so often, however long requests wait for their turn
_HOSTS_TOLD = 5
_MAY_SAY_WHEN = frozenset([403, 413, 429])  # and every 5xx


class LedgerSpider(scrapy.Spider):
    """Leases tasks of `sources` in small batches until none is pending, or only ones too far in the future."""

    name = "crossmusim"

    def __init__(
        self,
        *,
        options: Options,
        sources: Mapping[str, Source],
        scribe: Scribe,
        seeding: Seeding,
        now: Callable[[], float],
        on_done: Callable[[str], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.options, self.sources, self.scribe, self.seeding = options, sources, scribe, seeding
        self.now, self.on_done = now, on_done
        self.hosts: dict[str, Host] = {}
        self.done: Counter[str] = Counter()  # outcomes of this run: fetched, failed, denied, retried
        self.stopping = False
        self.notes: list[str] = []
        self.barred: dict[str, str] = {}  # sources that refuse us, with what they say: not asked again in this run
        self.failure: Exception | None = None  # what ended the feeding of tasks; `run` raises it
        self.loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0  # this run, to hold its limit
        self._out: Counter[str] = Counter()  # tasks under way, by host
        self._released_at = self._shared_at = 0.0
        self._left_to_others: set[str] = set()
        self._borrowed: Counter[str] = Counter()  # hosts that redirects of site files led to, while they are asked
        self._wake = asyncio.Event()

    def host(self, netloc: str, source: str) -> Host:
        """The host's state; where several sources share one, the slower declaration wins."""
        declared = self.sources[source]
        host = self.hosts.get(netloc)
        if host is None:
            self._forget_idle_hosts()
            host = self.hosts[netloc] = Host(netloc, 1 / declared.rate_per_s, declared.concurrency, declared.burst)
        host.slow_down_to(1 / declared.rate_per_s)
        host.concurrency = min(host.concurrency, declared.concurrency)
        host.burst = min(host.burst, declared.burst)
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
        """The terms that let programs ask this source's own host, whatever robots.txt tells page crawlers."""
        declared = self.sources[source]
        return (declared.api_terms or "") if declared.owns(netloc) else ""

    def stop(self) -> None:
        """End soon: what is being transferred is finished and written, the rest stays pending."""
        self.stopping = True
        drain(self.crawler, Postponed(0.0, "stopping"))
        self._wake.set()

    # --- pauses and hosts that all processes share ---

    def pause(self, host: Host, until: float) -> None:
        """Nobody asks this host before `until`, in any process; what waits for its turn there is put off."""
        host.pause(until)
        drain(self.crawler, Postponed(host.paused_until, "host_paused"), host.netloc)
        self.scribe.note(PausedHost(host.netloc, host.paused_until))

    def put_off(self, host: Host, until: float) -> None:
        """The next turn of this host comes later than this run waits."""
        host.pause(until)
        drain(self.crawler, Postponed(until, "crawl_delay"), host.netloc)
        self.scribe.note(PausedHost(host.netloc, until))

    def note_sent(self, host: Host) -> None:
        """A request goes out: should this process die, a slow host is still not asked too early."""
        if host.interval_s >= SLOW_S:
            self.scribe.note(PausedHost(host.netloc, host.due_at))

    async def borrow(self, host: Host, borrowed: list[str]) -> None:
        """Hold a host that a site file's redirect led to, and add it to `borrowed`; Postponed when others keep it."""
        netloc = host.netloc
        self._borrowed[netloc] += 1
        borrowed.append(netloc)
        deadline = self.now() + CLAIM_S
        while until := await self.scribe.call(self._take, netloc):
            if until > deadline or self.stopping:
                raise Postponed(0.0 if self.stopping else until, "host_paused")
            await asyncio.sleep(max(until - self.now(), 0.01))
        host.slow_down_to(await self.scribe.call(self.scribe.ledger.run.delay_s, netloc))

    def _take(self, netloc: str) -> float:
        with self.scribe.ledger.group():
            return self.scribe.ledger.run.take(netloc, self.now())

    async def give_back(self, borrowed: list[str]) -> None:
        """The site file is there, or not to be had."""
        for netloc in borrowed:
            self._borrowed[netloc] -= 1
            if not self._borrowed[netloc]:
                del self._borrowed[netloc]
                if not self._out[netloc]:
                    await self.scribe.call(self._give_up, netloc)

    def _give_up(self, netloc: str) -> None:
        self._note_due(netloc)
        self.scribe.ledger.run.give_up(netloc)

    # --- from the ledger to requests ---

    async def start(self) -> AsyncIterator[Request]:
        self.loop = asyncio.get_running_loop()
        self.crawler.signals.connect(self._downloaded, signals.response_downloaded)
        try:
            while not self.stopping:
                self._wake.clear()
                tasks = await self.scribe.call(self._lease)
                for task in tasks:
                    self._enter(task)
                for task in tasks:
                    if request := await self._request(task):
                        yield request
                if not tasks and not await self._worth_waiting():
                    break
            await self.scribe.call(self._rest)
        except Exception as error:  # Scrapy would end as if all were done
            self.failure = error
            self.stop()

    async def _request(self, task: Task) -> Request | None:
        try:
            return self._request_for(task)
        except ValueError as error:  # of an address that an earlier version took, or that came out of a redirect
            self._leave(task)
            await self._fail(task, "url_unusable", f"{task.address[:200]}: {error}")
            return None

    def _request_for(self, task: Task) -> Request:
        url, headers = self.sources[task.source].signed(task.address, os.environ)
        return Request(
            url,
            headers={**headers, **conditional_headers(task.known)},
            callback=self.answered,
            errback=self.unanswered,
            dont_filter=True,
            meta={"task": task, "source": task.source, "verbatim_url": True, "redirect_times": task.hops},
        )

    def _lease(self) -> list[Task]:
        now, ledger = self.now(), self.scribe.ledger
        self.seeding.feed()
        n = min(_BATCH, MAX_OUT - self._out.total())
        if self.options.limit is not None:
            n = min(n, self.options.limit - self._asked)
        with ledger.group():
            if now - self._released_at > min(60.0, self.options.lease_s / 3):
                ledger.renew(now, self.options.lease_s)
                ledger.release_expired(now)
                ledger.reopen(now)
                self._released_at = now
            active = {*(netloc for netloc, out in list(self._out.items()) if out), *list(self._borrowed)}
            for netloc in ledger.run.keep(active, now):
                self._give_up(netloc)
            if now - self._shared_at > _SHARE_EVERY_S:
                self._shared_at = now
                self._share(now, content=n <= 0)
            if n <= 0:
                return []
            others, barred = self._left_to_others, self.barred
            budget = Budget(ledger, self.sources, self.hosts, now, left_to_others=others, barred=barred)
            tasks = ledger.lease(n, now, self.options.lease_s, self.sources, room=budget.room)
            for source, asked in Counter(task.source for task in tasks).items():
                ledger.tallies.count(source, ASKED, now, asked)
        return tasks

    def _share(self, now: float, *, content: bool) -> None:
        """Leave hosts to processes that have fewer; wish for some where this one has fewer and is not `content`."""
        run = self.scribe.ledger.run
        if not run.others():
            self._left_to_others = set()
            return
        self._left_to_others = run.wished(now)
        for netloc in self._left_to_others:
            if not self._out[netloc] and not self._borrowed[netloc]:
                self._give_up(netloc)
        if not content:
            run.wish(self.sources, now)

    def _enter(self, task: Task) -> None:
        self._asked += 1
        self._out[task.host] += 1
        self.host(task.host, task.source).in_flight += 1

    def _leave(self, task: Task) -> None:
        self._out[task.host] -= 1
        if not self._out[task.host]:
            del self._out[task.host]
        self.hosts[task.host].in_flight -= 1
        self._wake.set()

    async def _worth_waiting(self) -> bool:
        """Wait for something to change; False when the run is over."""
        now = self.now()
        if self.scribe.broken:
            return False
        if self._out.total() or self.scribe.writing:
            times = [at - now for host in self.hosts.values() if (at := max(host.paused_until, host.due_at)) > now]
            await self._sleep(min([_BEAT_S, self.options.lease_s / 3, *times]))
            return True
        if self.options.limit is not None and self._asked >= self.options.limit:
            return False
        wait_s = await self.scribe.call(self._next_in_s)
        if wait_s is None:
            return False
        if wait_s > self.options.patience_s:
            self.notes.append(f"the next task may be asked in {wait_s:.0f} s; run again then")
            self.notes += await self.scribe.call(self._left)
            return False
        await self._sleep(max(wait_s, 0.001))
        return True

    def _next_in_s(self) -> float | None:
        """Seconds until something may be asked, with nothing under way; None when there is nothing left for us."""
        self._rest()
        now, ledger = self.now(), self.scribe.ledger
        if not self.seeding.done:
            return 0.0
        folder = self.scribe.writer.folder
        others = bool(ledger.run.others())
        if others:
            bury_dead(ledger, folder, self.scribe.readers, now)
        full = capped(ledger, self.sources, now)
        open_ = [name for name in self.sources if name not in full and name not in self.barred]
        later = ledger.census.soonest(open_)
        times = [] if later is None else [later]
        for netloc, paused_until in ledger.census.waiting_hosts(open_).items():
            host = self.hosts.get(netloc)
            if host is None or not host.down:
                times.append(max(paused_until, host.paused_until if host else 0.0, now + 0.001))
        if others and ledger.run.others() and ledger.census.totals(open_)["leased"]:
            times = [now + _POLL_S]  # another process is at it, and may leave us something
        return min(times) - now if times else None

    def _left(self) -> list[str]:
        """Hosts that want more patience than this run has, a line each."""
        paused = self.scribe.ledger.census.paused_tasks(self.now() + self.options.patience_s)
        lines = [
            f"{netloc} is to be left alone until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC, longer than"
            f" crawl.patience_s = {self.options.patience_s:g} allows: {n} tasks are left to the next run"
            for netloc, until, n in paused[:_HOSTS_TOLD]
        ]
        more = len(paused) - _HOSTS_TOLD
        return lines + ([f"and so are {more} more hosts (`crossmusim crawl status` lists them)"] if more > 0 else [])

    def _rest(self) -> None:
        """Nothing is in flight: give the hosts back, with the time they are due to be asked again."""
        ledger = self.scribe.ledger
        if not ledger.run.holds_hosts:
            return
        with ledger.group():
            for netloc in list(self.hosts):
                self._note_due(netloc)
            ledger.run.rest()

    def _note_due(self, netloc: str) -> None:
        """Whoever asks this host next keeps the distance to our last request."""
        host = self.hosts.get(netloc)
        if host is not None and host.paced and host.asked_at and not host.in_flight:
            self.scribe.ledger.run.pause(netloc, host.next_at, host.interval_s)

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
        source = self.sources[task.source]
        host = self.host(host_of(response.url), task.source)
        status = response.status
        error: ErrorAnswer | None = response.meta.get("error_answer")
        if status < 500 and (error is None or error.meaning != "later"):
            host.answered(float(response.meta.get("download_latency") or 0.0))
        readable = 200 <= status < 300 and "Content-Encoding" not in response.headers
        if readable or (status == 304 and task.known.body_sha256):
            exchange = exchange_of(response, task, source, now)
            again_at = self._again_at(task, self._told_to_wait(response, task, now, error) if error else now)
            await self._record("fetched", Answered(exchange, task.source, again_at))
        elif error is not None:
            await self._heed(error, response, task, now)
        elif 200 <= status < 300:
            coding = (response.headers.get("Content-Encoding") or b"").decode("latin-1")
            await self._fail(task, "content_encoding", f"body is encoded as {coding!r}", status=status)
        elif status >= 500:
            host.failed(f"HTTP {status}", now, backoff_s=self.options.backoff_s)
            wait = self._told_to_wait(response, task, now)
            await self._fail(task, f"http_{status}", f"HTTP {status}", status=status, again_at=wait)
        elif signal := withdrawal(response, task, source):
            await self._deny(task, signal)
        else:
            finding = f"HTTP {status} from {asked_url(response.url, source)[:300]}"
            if location := response.headers.get("Location"):
                finding += f", Location: {redact(location.decode('latin-1'))[:200]!a}"
            await self._fail(task, f"http_{status}", finding, status=status)

    async def _heed(self, error: ErrorAnswer, response: Response, task: Task, now: float) -> None:
        """An error whose status says so too: it is not kept."""
        status = response.status
        if error.meaning == "no":
            self._bar(task.source, error)
            await self._postpone(task, now + BARRED_S, error.reason)
            return
        again_at = self._told_to_wait(response, task, now, error) if error.meaning == "later" else None
        throttled = error.meaning == "later"
        await self._fail(task, error.reason, error.finding, status=status, again_at=again_at, throttled=throttled)

    def _bar(self, source: str, error: ErrorAnswer) -> None:
        """The source refuses us, whatever we ask it: nothing more of it is asked in this run."""
        self.barred[source] = f"{source} refuses to be asked ({error.reason}: {error.finding})"

    def _downloaded(self, response: Response, request: Request) -> None:
        """A host that says "later" is left alone at once: this runs before its slot sends what is queued."""
        source = self.sources[request.meta["source"]]
        now = self.now()
        task: Task | None = request.meta.get("task")
        may_say_when = response.status >= 500 or response.status in _MAY_SAY_WHEN
        asked_s = retry_after_s(response.headers, now=now) if may_say_when else None
        error = error_of(response, source) if task is not None else None
        request.meta["error_answer"] = error
        if error is not None and error.meaning == "no":
            self._bar(source.name, error)
            drain(self.crawler, Postponed(now + BARRED_S, error.reason), host_of(request.url))
        elif task is not None and error is not None and error.meaning == "later":
            host = self.host(host_of(request.url), source.name)
            until = self._told_to_wait(response, task, now, error)
            host.throttled(until, now)
            self.pause(host, until)
        elif asked_s is not None:
            self.pause(self.host(host_of(request.url), source.name), now + asked_s)

    def _told_to_wait(self, response: Response, task: Task, now: float, error: ErrorAnswer | None = None) -> float:
        """When the host may be asked again: as it says, and never before our own pause."""
        asked_s = retry_after_s(response.headers, now=now) or 0.0
        own_s = retry_delay_s(task.attempts + 1, self.options.backoff_s)
        return now + max(asked_s, own_s, error.wait_s if error else 0.0)

    def _again_at(self, task: Task, at: float) -> float | None:
        """When the task is asked again; None once its attempts are used up."""
        return None if task.attempts + 1 >= self.options.max_attempts else at

    async def unanswered(self, failure: Failure) -> None:
        request: Request = failure.request  # type: ignore[attr-defined]
        task: Task = request.meta["task"]
        error = failure.value
        assert error is not None
        self._leave(task)
        now = self.now()
        host = self.host(host_of(request.url), task.source)
        if isinstance(error, Postponed):
            await self._postpone(task, error.until, error.why)
        elif isinstance(error, Moved):
            host.answered(error.latency_s)
            self._asked -= 1
            onward = asked_url(error.url, self.sources[task.source])
            await self._record("", MovedTask(task.key, task.source, onward, error.until))
        elif isinstance(error, Unreachable):
            known_as = self.hosts[task.host]  # the same, but in the ledger of a version that knew several names of one
            known_as.down = known_as.down or host.down
            known_as.pause(host.paused_until)
            await self._postpone(task, host.paused_until, "connect_failed")
        elif isinstance(error, Denied):
            await self._deny(task, error.signal, again_at=now + error.again_s if error.again_s else 0.0)
        elif isinstance(error, Refused):
            await self._fail(task, error.reason, error.finding)
        else:
            reason, passing = name_failure(error)
            finding = f"{type(error).__name__}: {failure_told(error)}"
            if reason == "connect_failed":
                why = f"{host.netloc} cannot be reached ({failure_told(error)})"
                host.unreachable(why, now, backoff_s=self.options.backoff_s, limit=self.options.max_attempts)
            elif passing:
                host.failed(reason, now, backoff_s=self.options.backoff_s)
            elif reason == "body_too_large":
                finding = f"body is larger than {self.options.max_body_bytes / 1e6:g} MB"
            again_at = now + retry_delay_s(task.attempts + 1, self.options.backoff_s)
            await self._fail(task, reason, finding, again_at=again_at if passing else None)

    async def _postpone(self, task: Task, until: float, why: str) -> None:
        self._asked -= 1
        await self._record("", PostponedTask(task.key, task.source, until, why))

    async def _deny(self, task: Task, signal: str, *, again_at: float = 0.0) -> None:
        """A no; with `again_at` only until then, and a page fetched earlier stays as it was."""
        known = task.known.body_sha256 is not None
        stone = tombstone(task, signal, self.now()) if known and not again_at else None
        await self._record("denied", DeniedTask(task.key, task.source, signal, again_at, stone))

    async def _fail(
        self,
        task: Task,
        reason: str,
        finding: str,
        *,
        status: int | None = None,
        again_at: float | None = None,
        throttled: bool = False,
    ) -> None:
        again_at = None if again_at is None else self._again_at(task, again_at)
        outcome = "failed" if again_at is None else "retried"
        entry = FailedTask(task.key, task.source, reason, finding, status, again_at, throttled)
        await self._record(outcome, entry)

    async def _record(self, outcome: str, entry: Entry) -> None:
        try:
            error = await self.scribe.record(entry)
        except Exception as failure:  # `run` raises it: the scribe keeps it in `broken`
            self.stopping = True
            raise CloseSpider("a group could not be written") from failure
        finally:
            self._wake.set()
        if error is not None and isinstance(entry, Answered):
            later = error.meaning == "later" and entry.again_at is not None
            outcome = "retried" if later or error.meaning == "no" else "failed"
        if outcome:
            self.done[outcome] += 1
            self.on_done(outcome)
