"""A crawl run from seeds to the documents table, and the table rebuilt from the WARC files alone."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import dataframely as dy
import polars as pl

from sourcing import __version__
from sourcing.crawling.capture import CaptureWriter
from sourcing.crawling.extract import extract_documents
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.politeness import unusable_url, user_agent
from sourcing.crawling.replay import Tear, read_captured
from sourcing.crawling.scribe import Scribe, reconcile
from sourcing.crawling.sources.base import Captured, Source, TaskSpec
from sourcing.errors import StoppedShort, UpstreamError, UsageError
from sourcing.settings import Settings
from sourcing.store import Document, Track, Workspace
from sourcing.store.workspace import rejected_frame

__all__ = ["LEDGER_FILE", "PAGE_SOURCE", "CrawlResult", "read_url_list", "rebuild_documents", "run_crawl"]

PAGE_SOURCE = "schemaorg"  # reads the pages a user lists by URL
_PAGE_KIND = "page"


@dataclass(frozen=True)
class CrawlResult:
    """What the ledger and the tables hold after a run; `asked` counts this run's own outcomes."""

    fetched: int
    failed: int
    denied: int
    pending: int
    documents: int
    rejected: int
    seconds: float
    asked: int = 0
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "notes": list(self.notes), "seconds": round(self.seconds, 3)}


def run_crawl(
    workspace: Workspace,
    settings: Settings,
    sources: Mapping[str, Source],
    tracks: dy.DataFrame[Track] | None,
    *,
    readers: Mapping[str, Source] | None = None,
    urls: Iterable[TaskSpec] = (),
    limit: int | None = None,
    on_progress: Callable[[str], None] = lambda _outcome: None,
    now: Callable[[], float] = time.time,
    backoff_s: float = 1.0,
    patience_s: float = 120.0,
) -> CrawlResult:
    """Seed the ledger, ask what is pending, write documents and rejected rows.

    `sources` are asked; `readers` (default: the same) are all that read what lies in the WARC files, so that asking
    one source only takes no other's documents away. Both have their settings applied.

    UsageError without a contact; UpstreamError when hosts were asked and not one page came back; StoppedShort at
    `limit` with work left, on an interrupt, or on a full disk.
    """
    from sourcing.crawling.spider_settings import Options  # Scrapy is heavy; replay must not pay for it

    readers = sources if readers is None else readers
    crawl = settings.crawl
    options = Options(
        user_agent=user_agent(crawl),
        allow_private_hosts=crawl.allow_private_hosts,
        max_body_bytes=int(crawl.max_body_mb * 1e6),
        timeout_s=crawl.timeout_s,
        max_attempts=crawl.max_attempts,
        lease_s=crawl.lease_s,
        backoff_s=backoff_s,
        patience_s=patience_s,
        limit=limit,
    )
    started = time.monotonic()
    with workspace.lock("crawl"):
        ledger = Ledger(workspace.crawl_dir / LEDGER_FILE)
        try:
            ledger.release_own()
            ledger.reopen(now(), reasons=("private_host",) if crawl.allow_private_hosts else ())
            reconcile(ledger, workspace.crawl_dir, readers, now())
            ledger.add(seeds(sources, tracks, [*_setting_pages(settings, sources), *urls]))
            done, notes, unreachable, interrupted = _crawl(
                workspace, ledger, options, sources, now=now, on_progress=on_progress
            )
            ledger.release_own()
            totals = ledger.totals()
            waiting = totals["pending"]
            if interrupted:
                raise StoppedShort(
                    "crawl",
                    f"interrupted with {waiting} tasks pending",
                    "the same command takes it up; `crossmusim crawl replay` reads what is there",
                )
            documents, rejected = rebuild_documents(workspace, readers, ledger=ledger)
        finally:
            ledger.close()
    asked = sum(done.values())
    if unreachable and not done.get("fetched"):
        raise UpstreamError(
            unreachable[0],
            f"no page could be fetched and {waiting} tasks wait",
            "check the network, or base_url under [sources.<name>]; then run again",
        )
    if limit is not None and waiting and asked >= limit:
        raise StoppedShort("crawl", f"--limit {limit} reached with {waiting} tasks pending", "run again for the rest")
    return CrawlResult(
        fetched=totals["fetched"],
        failed=totals["failed"],
        denied=totals["denied"],
        pending=waiting,
        documents=documents,
        rejected=rejected,
        seconds=time.monotonic() - started,
        asked=asked,
        notes=(*notes, *(f"{why}; its tasks stay pending" for why in unreachable)),
    )


def seeds(
    sources: Mapping[str, Source], tracks: dy.DataFrame[Track] | None, pages: Iterable[TaskSpec]
) -> Iterator[TaskSpec]:
    """Listed pages first, then every source's tasks for every track; made as they are read."""
    yield from pages
    for row in tracks.iter_rows(named=True) if tracks is not None else ():
        for source in sources.values():
            yield from source.tasks(row, source)


def _setting_pages(settings: Settings, sources: Mapping[str, Source]) -> list[TaskSpec]:
    if PAGE_SOURCE not in sources:
        return []
    for url in settings.crawl.page_urls:
        if why := unusable_url(url):
            raise UsageError(f"setting crawl.page_urls, {url!r}", why, "list http or https pages")
    return [TaskSpec(PAGE_SOURCE, url, _PAGE_KIND) for url in settings.crawl.page_urls]


def read_url_list(path: Path) -> list[TaskSpec]:
    """Page tasks from a text file: one URL a line, optionally a tab and a track_id; # starts a comment line.

    UsageError names the first line that cannot be used.
    """
    specs = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        url, _, track_id = line.strip().partition("\t")
        if not url or url.startswith("#"):
            continue
        if why := unusable_url(url.strip()):
            raise UsageError(f"{path} line {number}", why, "write one http or https URL a line")
        specs.append(TaskSpec(PAGE_SOURCE, url.strip(), _PAGE_KIND, track_id.strip() or None))
    return specs


def rebuild_documents(
    workspace: Workspace,
    sources: Mapping[str, Source],
    *,
    ledger: Ledger | None = None,
    on_page: Callable[[], None] = lambda: None,
) -> tuple[int, int]:
    """Write the documents table from the WARC files; returns its rows and how many rows are rejected.

    Rejected rows of stage extract come from the files alone; those of stage crawl are the ledger's failed and
    denied tasks, and are left as they lie when no ledger is given.
    """
    tears: list[Tear] = []

    def pages() -> Iterator[Captured]:
        for captured in read_captured(workspace.crawl_dir, tears.append):
            on_page()
            yield captured

    documents, rejected = extract_documents(pages(), sources)
    workspace.write(Document, documents)
    torn = rejected_frame(
        [{"stage": "extract", "key": tear.path.name, "reason": "warc_torn", "finding": tear.found} for tear in tears]
    )
    rejected_rows: pl.DataFrame = pl.concat([rejected, torn])
    workspace.write_rejected("extract", rejected_rows)
    total = rejected_rows.height
    if ledger is not None:
        lost = rejected_frame(
            [
                {"stage": "crawl", "key": item.url, "reason": item.reason, "finding": item.finding or item.state}
                for item in ledger.outcomes()
            ]
        )
        workspace.write_rejected("crawl", lost)
        total += lost.height
    return documents.height, total


def _crawl(
    workspace: Workspace,
    ledger: Ledger,
    options: Any,
    sources: Mapping[str, Source],
    *,
    now: Callable[[], float],
    on_progress: Callable[[str], None],
) -> tuple[Mapping[str, int], list[str], list[str], bool]:
    """Run the spider until it ends; returns outcomes, notes, why hosts are unreachable, and whether interrupted."""
    from scrapy.crawler import AsyncCrawlerProcess

    from sourcing.crawling.spider import LedgerSpider
    from sourcing.crawling.spider_settings import scrapy_settings

    writer = CaptureWriter(workspace.crawl_dir, f"crossmusim/{__version__}")
    scribe = Scribe(ledger, writer, sources, now)
    process = AsyncCrawlerProcess(scrapy_settings(options, sources))
    for name in ("scrapy", "py.warnings", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # outcomes are told by ledger and tables
    crawler = process.create_crawler(LedgerSpider)
    running = process.crawl(crawler, options=options, sources=sources, scribe=scribe, now=now, on_done=on_progress)
    try:
        with _graceful_signals(lambda: crawler.spider) as interrupts:
            process.start(install_signal_handlers=False)
    finally:
        scribe.close()
    if scribe.broken is not None:
        if not isinstance(scribe.broken, OSError | sqlite3.Error):
            raise scribe.broken
        raise StoppedShort(
            str(workspace.crawl_dir), f"the disk refused a write ({scribe.broken})", "make room and run again"
        ) from scribe.broken
    if not running.cancelled() and (error := running.exception()):
        raise error
    spider = crawler.spider
    assert isinstance(spider, LedgerSpider)
    unreachable = [host.down for host in spider.hosts.values() if host.down]
    capped = [f"{name}: the daily cap of {sources[name].daily_cap} requests is used up" for name in spider.capped()]
    return spider.done, [*spider.notes, *capped], unreachable, bool(interrupts)


@contextmanager
def _graceful_signals(spider: Callable[[], Any]) -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM lets the spider finish what is in flight; the second stops at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        running = spider()
        if len(received) > 1 or running is None or running.loop is None:
            raise KeyboardInterrupt
        running.loop.call_soon_threadsafe(running.stop)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
