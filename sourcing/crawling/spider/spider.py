"""The one spider: asks for what the ledger has pending, and hands every outcome to the recorder.

The seam: response → WARC, durable → ledger (fetched, with the tasks the page leads to) → the task is done.
Retries, pauses and follow-ups all go through the ledger; Scrapy keeps nothing that a death could take.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
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
from sourcing.crawling.spider.download_slots import drain
from sourcing.crawling.spider.host_registry import HostRegistry
from sourcing.crawling.spider.lease_budget import LeaseBudget, capped
from sourcing.crawling.spider.recorder import (
    BARRED_S,
    Answered,
    DeniedTask,
    Entry,
    FailedTask,
    MovedTask,
    PostponedTask,
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
from sourcing.crawling.spider.scrapy_settings import MAX_OUT
from sourcing.crawling.spider.seeding import Seeding
from sourcing.redactor import redact
from sourcing.store.retry_after import retry_after_s

__all__ = ["LedgerSpider"]

_BATCH = 64
_POLL_S = 1.0  # while another process asks what is left
_SHARE_EVERY_S = 0.5
_BEAT_S = CLAIM_S / 3  # claims and leases are renewed so often, however long requests wait for their turn
_HOSTS_TOLD = 5
_MAY_SAY_WHEN = frozenset([403, 413, 429])  # and every 5xx


class LedgerSpider(scrapy.Spider):
    """Spider that leases tasks in small batches until none is due within the run's patience."""

    name = "crossmusim"

    def __init__(
        self,
        *,
        registry: HostRegistry,
        seeding: Seeding,
        on_progress: Callable[[str], None],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.registry, self.seeding, self.on_progress = registry, seeding, on_progress
        self.options, self.sources, self.now = registry.options, registry.sources, registry.now
        self.recorder, self.ledger = registry.recorder, registry.ledger
        self.outcomes: Counter[str] = Counter()  # outcomes of this run: fetched, failed, denied, retried
        self.notes: list[str] = []
        self.refusing: dict[str, str] = {}  # sources that refuse us, with what they say: not asked again in this run
        self.failure: Exception | None = None  # what ended the feeding of tasks; `run` raises it
        self.loop: asyncio.AbstractEventLoop | None = None
        self._asked_count = 0  # this run, to hold its limit
        self._renewed_at = self._shared_at = 0.0

    # --- from the ledger to requests ---

    async def start(self) -> AsyncIterator[Request]:
        self.loop = asyncio.get_running_loop()
        self.crawler.signals.connect(self._downloaded, signals.response_downloaded)
        try:
            while not self.registry.stopping:
                self.registry.changed.clear()
                tasks = await self.recorder.call(self._lease)
                for task in tasks:
                    self._asked_count += 1
                    self.registry.enter(task)
                for task in tasks:
                    if request := await self._request(task):
                        yield request
                if not tasks and not await self._worth_waiting():
                    break
            await self.recorder.call(self.registry.rest)
        except Exception as error:  # Scrapy would end as if all were done
            self.failure = error
            self.registry.stop()

    async def _request(self, task: Task) -> Request | None:
        try:
            return self._request_for(task)
        except ValueError as error:  # of an address that an earlier version took, or that came out of a redirect
            self.registry.leave(task)
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
        now, ledger = self.now(), self.ledger
        self.seeding.feed()
        n = min(_BATCH, MAX_OUT - self.registry.under_way.total())
        if self.options.limit is not None:
            n = min(n, self.options.limit - self._asked_count)
        with ledger.group():
            if now - self._renewed_at > min(60.0, self.options.lease_s / 3):
                ledger.renew(now, self.options.lease_s)
                ledger.release_expired(now)
                ledger.reopen(now)
                self._renewed_at = now
            self.registry.keep_claims(now)
            if now - self._shared_at > _SHARE_EVERY_S:
                self._shared_at = now
                self.registry.share(now, content=n <= 0)
            if n <= 0:
                return []
            left_to_others = self.registry.left_to_others
            budget = LeaseBudget(
                ledger, self.sources, self.registry.hosts, now, left_to_others=left_to_others, barred=self.refusing
            )
            tasks = ledger.lease(n, now, self.options.lease_s, self.sources, room=budget.room)
            for source, count in Counter(task.source for task in tasks).items():
                ledger.tallies.count(source, ASKED, now, count)
        return tasks

    async def _worth_waiting(self) -> bool:
        """Wait for a change; False when the run is over."""
        now = self.now()
        if self.recorder.broken:
            return False
        if self.registry.under_way.total() or self.recorder.writing:
            times = [
                at - now for host in self.registry.hosts.values() if (at := max(host.paused_until, host.due_at)) > now
            ]
            await self._sleep(min([_BEAT_S, self.options.lease_s / 3, *times]))
            return True
        if self.options.limit is not None and self._asked_count >= self.options.limit:
            return False
        wait_s = await self.recorder.call(self._next_in_s)
        if wait_s is None:
            return False
        if wait_s > self.options.patience_s:
            self.notes.append(f"the next task may be asked in {wait_s:.0f} s; run again then")
            self.notes += await self.recorder.call(self._left)
            return False
        await self._sleep(max(wait_s, 0.001))
        return True

    def _next_in_s(self) -> float | None:
        """Seconds until the next task is due, with nothing under way; None when there is nothing left for us."""
        self.registry.rest()
        now, ledger = self.now(), self.ledger
        if not self.seeding.done:
            return 0.0
        folder = self.recorder.writer.folder
        others = bool(ledger.run.others())
        if others:
            bury_dead(ledger, folder, self.recorder.readers, now)
        full = capped(ledger, self.sources, now)
        open_ = [name for name in self.sources if name not in full and name not in self.refusing]
        later = ledger.census.soonest(open_)
        times = [] if later is None else [later]
        for netloc, paused_until in ledger.census.waiting_hosts(open_).items():
            host = self.registry.hosts.get(netloc)
            if host is None or not host.down:
                times.append(max(paused_until, host.paused_until if host else 0.0, now + 0.001))
        if others and ledger.run.others() and ledger.census.totals(open_)["leased"]:
            times = [now + _POLL_S]  # another process is at it, and may leave us something
        return min(times) - now if times else None

    def _left(self) -> list[str]:
        """Hosts paused beyond the run's patience, one line each."""
        paused_hosts = self.ledger.census.paused_tasks(self.now() + self.options.patience_s)
        lines = [
            f"{netloc} is to be left alone until {datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC, longer than"
            f" crawl.patience_s = {self.options.patience_s:g} allows: {n} tasks are left to the next run"
            for netloc, until, n in paused_hosts[:_HOSTS_TOLD]
        ]
        more = len(paused_hosts) - _HOSTS_TOLD
        return lines + ([f"and so are {more} more hosts (`crossmusim crawl status` lists them)"] if more > 0 else [])

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.registry.changed.wait(), seconds)
        except TimeoutError:
            return

    # --- from responses to the ledger ---

    async def answered(self, response: Response) -> None:
        task: Task = response.meta["task"]
        self.registry.leave(task)
        now = self.now()
        source = self.sources[task.source]
        host = self.registry.host(host_of(response.url), task.source)
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
        """Act on an error answer with an error status: it is not kept."""
        status = response.status
        if error.meaning == "no":
            self._bar(task.source, error)
            await self._postpone(task, now + BARRED_S, error.reason)
            return
        again_at = self._told_to_wait(response, task, now, error) if error.meaning == "later" else None
        is_throttled = error.meaning == "later"
        await self._fail(task, error.reason, error.finding, status=status, again_at=again_at, throttled=is_throttled)

    def _bar(self, source: str, error: ErrorAnswer) -> None:
        """Stop asking a source that refuses us: nothing more of it is asked in this run."""
        self.refusing[source] = f"{source} refuses to be asked ({error.reason}: {error.finding})"

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
            host = self.registry.host(host_of(request.url), source.name)
            until = self._told_to_wait(response, task, now, error)
            host.throttled(until, now)
            self.registry.pause(host, until)
        elif asked_s is not None:
            self.registry.pause(self.registry.host(host_of(request.url), source.name), now + asked_s)

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
        self.registry.leave(task)
        now = self.now()
        host = self.registry.host(host_of(request.url), task.source)
        if isinstance(error, Postponed):
            await self._postpone(task, error.until, error.why)
        elif isinstance(error, Moved):
            host.answered(error.latency_s)
            self._asked_count -= 1
            onward = asked_url(error.url, self.sources[task.source])
            await self._record("", MovedTask(task.key, task.source, onward, error.until))
        elif isinstance(error, Unreachable):
            known_as = self.registry.hosts[
                task.host
            ]  # the same, but in the ledger of a version that knew several names of one
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
        self._asked_count -= 1
        await self._record("", PostponedTask(task.key, task.source, until, why))

    async def _deny(self, task: Task, signal: str, *, again_at: float = 0.0) -> None:
        """A no; with `again_at` only until then, and a page fetched earlier stays as it was."""
        was_fetched = task.known.body_sha256 is not None
        stone = tombstone(task, signal, self.now()) if was_fetched and not again_at else None
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
            error = await self.recorder.record(entry)
        except Exception as failure:  # `run` raises it: the recorder keeps it in `broken`
            self.registry.stopping = True
            raise CloseSpider("a group could not be written") from failure
        finally:
            self.registry.changed.set()
        if error is not None and isinstance(entry, Answered):
            later = error.meaning == "later" and entry.again_at is not None
            outcome = "retried" if later or error.meaning == "no" else "failed"
        if outcome:
            self.outcomes[outcome] += 1
            self.on_progress(outcome)
