"""Recorder: writes what became of tasks, in groups and in its own thread, in the one order that loses nothing.

For every group: WARC records → fsync → follow-up tasks are read from the pages → one ledger transaction. A caller
of `record` resumes only after that, so a crawl never holds more than Scrapy's own limits allow.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sourcing.crawling.error_answers import ErrorAnswer, error_answer
from sourcing.crawling.ledger import Ledger, Validators
from sourcing.crawling.source import Capture, PageError, Source, TaskSpec
from sourcing.crawling.sources import resolved
from sourcing.crawling.warc.reader import read_sealed, warc_files
from sourcing.crawling.warc.writer import CaptureWriter, Exchange

__all__ = ["Answered", "DeniedTask", "Entry", "FailedTask", "MovedTask", "PausedHost", "PostponedTask", "Recorder"]
__all__ += ["BARRED_S", "bury_dead"]

T = TypeVar("T")
BARRED_S = 60.0  # what a source refused to us is not asked anew before
Place = tuple[str, int, str, bool]
_TASK_KEY = re.compile(r"(?:[0-9a-f]{2})+")


@dataclass(frozen=True)
class Answered:
    """A response to keep; its consent decides between fetched and denied.

    One that turns out to be an error which says "later" is asked again at `again_at`; None: it was the last attempt.
    """

    exchange: Exchange
    source: str
    again_at: float | None = None


@dataclass(frozen=True)
class FailedTask:
    key: str
    source: str
    reason: str
    finding: str
    http_status: int | None = None
    retry_at: float | None = None
    throttled: bool = False


@dataclass(frozen=True)
class DeniedTask:
    """A no met before asking; `tombstone` is kept in the WARC files where a page was fetched earlier."""

    key: str
    source: str
    signal: str
    again_at: float = 0.0
    tombstone: Capture | None = None


@dataclass(frozen=True)
class PostponedTask:
    key: str
    source: str
    until: float
    why: str


@dataclass(frozen=True)
class MovedTask:
    """A redirect to another host: the task goes on there, from `until` on."""

    key: str
    source: str
    url: str
    until: float = 0.0


@dataclass(frozen=True)
class PausedHost:
    host: str
    until: float


Unanswered = FailedTask | DeniedTask | PostponedTask | MovedTask | PausedHost
Entry = Answered | Unanswered


class Recorder:
    """Owns the ledger and the WARC writer of one crawl process; everything touches them through its one thread.

    `readers` are all sources, also those not asked in this run: pages may lead to them.
    """

    def __init__(
        self, ledger: Ledger, writer: CaptureWriter, readers: Mapping[str, Source], now: Callable[[], float]
    ) -> None:
        self.ledger, self.writer, self.readers, self.now = ledger, writer, readers, now
        self.broken: Exception | None = None  # a group could not be written: nothing more may be asked
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._waiting: list[tuple[Entry, asyncio.Future[ErrorAnswer | None]]] = []
        self._writing: asyncio.Task[None] | None = None

    @property
    def writing(self) -> bool:
        """True while entries are being written."""
        return self._writing is not None

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a ledger call in the recorder's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def record(self, entry: Entry) -> ErrorAnswer | None:
        """Resumes once the entry is durable, with the error that an answer turned out to be.

        What arrives while a group is being written makes up the next one.
        """
        return await self.note(entry)

    def note(self, entry: Entry) -> asyncio.Future[ErrorAnswer | None]:
        """Record without waiting; the future is done once the entry is durable."""
        future: asyncio.Future[ErrorAnswer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return future

    async def _write(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                error: Exception | None = None
                answers: list[ErrorAnswer | None] = []
                try:
                    answers = await self.call(self._write_group, [entry for entry, _ in group])
                except Exception as failure:  # whoever waits must hear of it, else the crawl would hang
                    error = self.broken = failure
                for n, (_, future) in enumerate(group):
                    if not future.done():
                        future.set_exception(error) if error else future.set_result(answers[n])
        finally:
            self._writing = None

    def _write_group(self, entries: list[Entry]) -> list[ErrorAnswer | None]:
        """Make the entries durable; returns for each the error that it turned out to be."""
        entries = self._within_storage_caps(entries)
        digests: dict[str, str] = {}  # by task
        places: list[Place] = []
        for entry in entries:
            if isinstance(entry, Answered):
                digests[entry.exchange.capture.task_key] = self.writer.write(entry.exchange)
                places.append(place_of(self.writer.file, self.writer.offset, entry.exchange.capture))
            elif isinstance(entry, DeniedTask) and entry.tombstone is not None:
                self.writer.write(Exchange(entry.tombstone, (), ()))
                places.append(place_of(self.writer.file, self.writer.offset, entry.tombstone))
        offset = self.writer.flush()
        now = self.now()
        pages_read = [
            read_page(entry.exchange.capture, self.readers) if isinstance(entry, Answered) else None
            for entry in entries
        ]
        tally: Counter[tuple[str, str]] = Counter()
        size: Counter[str] = Counter()
        with self.ledger.group():
            for entry, page in zip(entries, pages_read, strict=True):
                if isinstance(entry, Answered):
                    capture = entry.exchange.capture
                    digest, again_at = digests[capture.task_key], entry.again_at
                    outcome = settle(self.ledger, capture, page, now, body_sha256=digest, again_at=again_at)
                    size[entry.source] += len(capture.body)
                    tally[entry.source, outcome] += 1
                    if page is not None and page.error is not None and page.error.meaning == "later":
                        tally[entry.source, "throttled"] += 1
                else:
                    self._settle(entry, tally)
            for (source, outcome), n in tally.items():
                size_bytes = size.pop(source, 0)
                self.ledger.tallies.count(source, outcome, now, n, size_bytes)
            self.ledger.archive.enter(places)
            if offset:
                self.ledger.mark_warc(self.writer.file, offset)
        return [page.error if page is not None else None for page in pages_read]

    def _settle(self, entry: Unanswered, tally: Counter[tuple[str, str]]) -> None:
        ledger = self.ledger
        if isinstance(entry, PausedHost):
            ledger.run.pause(entry.host, entry.until)
        elif isinstance(entry, PostponedTask):
            ledger.postpone(entry.key, entry.until, entry.why)
            tally[entry.source, "asked"] -= 1  # a lease counts as asked, and we never got to
        elif isinstance(entry, MovedTask):
            ledger.moved(entry.key, entry.source, entry.url, entry.until)
        elif isinstance(entry, FailedTask):
            ledger.failed(entry.key, entry.reason, entry.retry_at, finding=entry.finding, http_status=entry.http_status)
            tally[entry.source, "failed" if entry.retry_at is None else "retried"] += 1
            tally[entry.source, "throttled"] += entry.throttled
        else:
            ledger.denied(entry.key, entry.signal, again_at=entry.again_at)
            if entry.tombstone is not None:
                ledger.archive.refuse(entry.key, entry.tombstone.retrieved_at.timestamp(), entry.signal)
            tally[entry.source, "denied"] += 1

    def _within_storage_caps(self, entries: list[Entry]) -> list[Entry]:
        """Entries with answers beyond a source's storage cap turned into failures."""
        bytes_left: dict[str, float] = {}
        checked_entries: list[Entry] = []
        for entry in entries:
            cap = self.readers[entry.source].storage_cap_mb if isinstance(entry, Answered) else None
            if cap is None or not isinstance(entry, Answered):
                checked_entries.append(entry)
                continue
            capture = entry.exchange.capture
            if entry.source not in bytes_left:
                bytes_left[entry.source] = cap * 1e6 - self.ledger.tallies.stored_bytes(entry.source)
            bytes_left[entry.source] -= len(capture.body)
            if bytes_left[entry.source] >= 0:
                checked_entries.append(entry)
            else:
                finding = f"{entry.source} may keep {cap:g} MB, and this answer would pass that"
                checked_entries.append(FailedTask(capture.task_key, entry.source, "storage_cap", finding))
        return checked_entries

    def close(self) -> None:
        """A disk that refuses the last flush too is told of by `broken`; the next run reads up to the tear."""
        self._thread.shutdown(wait=True)
        try:
            self.writer.close()
        except OSError as failure:
            self.broken = self.broken or failure


@dataclass(frozen=True)
class PageRead:
    """Follow-up tasks of a page by its page object, or the error that the answer stands for."""

    follow: list[TaskSpec]
    reason: str | None = None
    finding: str | None = None
    error: ErrorAnswer | None = None


def read_page(capture: Capture, readers: Mapping[str, Source]) -> PageRead:
    """Tasks a captured page leads to; none where consent is denied, the page is as it was, or it was imported."""
    if capture.consent == "deny" or capture.form != "response":
        return PageRead([])
    source = readers.get(capture.source)
    if source is not None and (error := error_answer(capture, source)):
        return PageRead([], error.reason, error.finding, error)
    refusals: list[str] = []
    try:
        page = readers[capture.source].page_for(capture.kind)(capture, readers[capture.source])
        leads = resolved(page.follow(), readers, lambda lead, why: refusals.append(f"{lead.source} {lead.ref}: {why}"))
        follow = [
            replace(spec, parent_key=capture.task_key, track_id=spec.track_id or capture.track_id) for spec in leads
        ]
    except PageError as error:
        return PageRead([], error.reason, str(error))  # extract rejects the page with the same reason
    except Exception as error:
        # A page must not stop a crawl of days; the response is safe, and a mended page object reads it again.
        return PageRead([], "page_object_broke", f"{type(error).__name__}: {error}")
    if refusals:
        return PageRead(follow, "lead_unreadable", "; ".join(refusals)[:500])
    return PageRead(follow)


def settle(
    ledger: Ledger,
    capture: Capture,
    page_read: PageRead | None,
    now: float,
    *,
    body_sha256: str | None = None,
    again_at: float | None = None,
) -> str:
    """Enter a durable capture into the ledger, with the tasks it leads to; returns the outcome's name."""
    if capture.consent == "deny":
        signal = next(iter(capture.consent_evidence[-1:]), "consent: denied")
        ledger.denied(capture.task_key, signal, http_status=capture.status)
        ledger.archive.refuse(capture.task_key, capture.retrieved_at.timestamp(), signal)
        return "denied"
    if capture.form == "resource":
        return "imported"  # a dump's record was never a task
    if page_read is not None and page_read.error is not None:
        return _settle_error(ledger, capture, page_read.error, now, again_at)
    validators = Validators(
        capture.header("etag") or None,
        capture.header("last-modified") or None,
        body_sha256 or capture.body_sha256 or hashlib.sha256(capture.body).hexdigest(),
        capture.url,
    )
    reason, finding = (page_read.reason, page_read.finding) if page_read else (None, None)
    ledger.fetched(
        capture.task_key, now=now, http_status=capture.status, reason=reason, finding=finding, known=validators
    )
    ledger.archive.allow(capture.task_key)
    ledger.add(page_read.follow if page_read else ())
    return "unchanged" if capture.form == "revisit" else "fetched"


def _settle_error(ledger: Ledger, capture: Capture, error: ErrorAnswer, now: float, again_at: float | None) -> str:
    key = capture.task_key
    if error.meaning == "no":
        ledger.postpone(key, now + BARRED_S, error.reason)  # the source's fault, or the key's: no attempt of the task
        return "retried"
    asked_again = error.meaning == "later" and again_at is not None
    again_at = max(again_at or 0.0, now + error.wait_s) if asked_again else None
    ledger.failed(key, error.reason, again_at, finding=error.finding, http_status=capture.status)
    return "failed" if again_at is None else "retried"


def bury_dead(ledger: Ledger, folder: Path, readers: Mapping[str, Source], now: float) -> int:
    """Take over the work of killed processes: answers they had no time to note, then their leases and hosts.

    Returns how many answers there were. Costs nothing when nothing is missing.
    """
    dead = ledger.run.dead()
    alive = [owner for owner in ledger.run.others() if owner not in dead]
    count = _reconcile(ledger, folder, readers, now, alive=alive)
    for owner in dead:
        ledger.run.forget(owner)
    return count


def _reconcile(
    ledger: Ledger, folder: Path, readers: Mapping[str, Source], now: float, *, alive: Collection[str]
) -> int:
    """Enter captures beyond the ledger's marks in the WARC files."""
    count = 0
    for path in warc_files(folder):
        start = ledger.warc_mark(path.name)
        if path.stat().st_size <= start or any(f"-{owner}-" in path.name for owner in alive):
            continue
        places: list[Place] = []
        with ledger.group():
            end = start
            for exchange in read_sealed(path, start=start):
                if not _TASK_KEY.fullmatch(exchange.capture.task_key):
                    continue  # another crawler's, or nobody's
                settle(ledger, exchange.capture, read_page(exchange.capture, readers), now, again_at=now)
                places.append(place_of(path.name, exchange.start, exchange.capture))
                end, count = exchange.end, count + 1
            ledger.archive.enter(places)
            ledger.mark_warc(path.name, end)
    return count


def place_of(file: str, offset: int, capture: Capture) -> Place:
    """Place of a capture, with its task and form: a revisit that allows has no body."""
    return file, offset, capture.task_key, capture.form != "revisit" or capture.consent == "deny"
