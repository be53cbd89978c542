"""The scribe: writes what became of tasks, in groups and in its own thread, in the one order that loses nothing.

For every group: WARC records → fsync → follow-up tasks are read from the pages → one ledger transaction. A caller
of `record` resumes only after that, so a crawl never holds more than Scrapy's own limits allow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sourcing.crawling.capture import CaptureWriter, Exchange
from sourcing.crawling.ledger import Ledger
from sourcing.crawling.politeness import utc_day
from sourcing.crawling.replay import read_sealed, warc_files
from sourcing.crawling.sources import resolved
from sourcing.crawling.sources.base import Captured, PageError, Source, TaskSpec

__all__ = ["Answered", "DeniedTask", "Entry", "FailedTask", "PostponedTask", "Scribe", "reconcile"]

T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """A response to keep; its consent decides between fetched and denied."""

    exchange: Exchange


@dataclass(frozen=True)
class FailedTask:
    key: str
    source: str
    reason: str
    finding: str
    http_status: int | None = None
    retry_at: float | None = None


@dataclass(frozen=True)
class DeniedTask:
    key: str
    source: str
    signal: str
    again_at: float = 0.0


@dataclass(frozen=True)
class PostponedTask:
    key: str
    until: float
    why: str


Entry = Answered | FailedTask | DeniedTask | PostponedTask


class Scribe:
    """Owns the ledger and the WARC writer of one crawl process; everything touches them through its one thread."""

    def __init__(
        self, ledger: Ledger, writer: CaptureWriter, sources: Mapping[str, Source], now: Callable[[], float]
    ) -> None:
        self.ledger, self.writer, self.sources, self.now = ledger, writer, sources, now
        self.broken: Exception | None = None  # a group could not be written: nothing more may be asked
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="scribe")
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def writing(self) -> bool:
        """Whether entries are on their way to the disk."""
        return self._writing is not None

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a ledger call in the scribe's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def record(self, entry: Entry) -> None:
        """Resumes once the entry is durable. What arrives while a group is being written makes up the next one."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await done

    async def _write(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                error: Exception | None = None
                try:
                    await self.call(self._write_group, [entry for entry, _ in group])
                except Exception as refused:  # whoever waits must hear of it, else the crawl would hang
                    error = self.broken = refused
                for _, done in group:
                    if not done.done():
                        done.set_exception(error) if error else done.set_result(None)
        finally:
            self._writing = None

    def _write_group(self, entries: list[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, Answered):
                self.writer.write(entry.exchange)
        offset = self.writer.flush()
        now = self.now()
        with self.ledger.group():
            for entry in entries:
                self._settle(entry, now)
            if offset:
                self.ledger.mark_warc(self.writer.file, offset)

    def _settle(self, entry: Entry, now: float) -> None:
        ledger = self.ledger
        if isinstance(entry, PostponedTask):
            ledger.postpone([entry.key], entry.until, entry.why, now=now)
            return
        if isinstance(entry, Answered):
            source = entry.exchange.captured.source
            settle_captured(ledger, entry.exchange.captured, self.sources, now)
        elif isinstance(entry, FailedTask):
            source = entry.source
            ledger.failed(
                entry.key,
                entry.reason,
                entry.retry_at,
                now=now,
                finding=entry.finding,
                http_status=entry.http_status,
            )
        else:
            source = entry.source
            ledger.denied(entry.key, entry.signal, now=now, again_at=entry.again_at)
        ledger.count_requests(source, utc_day(now), 1)

    def close(self) -> None:
        """A disk that refuses the last flush too is told of by `broken`; the next run reads up to the tear."""
        self._thread.shutdown(wait=True)
        try:
            self.writer.close()
        except OSError as refused:
            self.broken = self.broken or refused


def settle_captured(ledger: Ledger, captured: Captured, sources: Mapping[str, Source], now: float) -> None:
    """Enter a durable response into the ledger, with the tasks it leads to."""
    if captured.consent == "deny":
        signal = next(iter(captured.consent_evidence[-1:]), "consent: denied")
        ledger.denied(captured.task_key, signal, now=now, http_status=captured.status)
        return
    follow: list[TaskSpec] = []
    reason = finding = None
    try:
        source = sources[captured.source]
        page = source.page_for(captured.kind)(captured, source)
        follow = [
            replace(spec, parent_key=captured.task_key, track_id=spec.track_id or captured.track_id)
            for spec in resolved(page.follow(), sources)
        ]
    except PageError as error:
        reason, finding = error.reason, str(error)  # extract rejects the page with the same reason
    except Exception as error:
        # A page must not stop a crawl of days; the response is safe, and a mended page object reads it again.
        reason, finding = "page_object_broke", f"{type(error).__name__}: {error}"
    ledger.fetched(captured.task_key, now=now, http_status=captured.status, reason=reason, finding=finding)
    ledger.add(follow)


def reconcile(ledger: Ledger, folder: Path, sources: Mapping[str, Source], now: float) -> int:
    """Enter what lies in the WARC files beyond the ledger's marks: answers a killed run had no time to note.

    Returns how many there were. Starts where the ledger left off, so it costs nothing when nothing is missing.
    """
    found = 0
    for path in warc_files(folder):
        start = ledger.warc_mark(path.name)
        if path.stat().st_size <= start:
            continue
        with ledger.group():
            end = start
            for sealed in read_sealed(path, start=start):
                settle_captured(ledger, sealed.captured, sources, now)
                end, found = sealed.end, found + 1
            ledger.mark_warc(path.name, end)
    return found
