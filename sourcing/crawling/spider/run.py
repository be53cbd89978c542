"""A crawl run from seeds to the documents table."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcing import __version__
from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.policy.politeness import unusable_url, user_agent
from sourcing.crawling.policy.site_signals import NOT_KNOWN_AGAIN_S
from sourcing.crawling.source import Source, TaskSpec
from sourcing.crawling.sources.schemaorg import PAGE_KIND, PAGE_SOURCE
from sourcing.crawling.spider.lease_budget import capped
from sourcing.crawling.spider.recorder import Recorder, bury_dead
from sourcing.crawling.spider.seeding import Feed, Seeding, catalogue_feeds, list_feed, plain_feed
from sourcing.crawling.warc.mending import ask_for_lost
from sourcing.crawling.warc.writer import CaptureWriter
from sourcing.errors import CrossmusimError, InputError, StoppedShort, UpstreamError, UsageError
from sourcing.settings import Settings
from sourcing.store import Workspace
from sourcing.store.interrupts import interrupts
from sourcing.store.shard import Shard

if TYPE_CHECKING:
    from sourcing.crawling.spider.scrapy_settings import Options

__all__ = ["LEDGER_FILE", "PAGE_SOURCE", "CrawlRequest", "CrawlResult", "Pace", "run_crawl"]

_LOCK_WAIT_S = 3600.0  # another process is reading what a dead one left, or writing the documents table


@dataclass(frozen=True)
class CrawlRequest:
    """Request to a crawl: pages beside those of the settings, a part of them, what to ask again, and how much.

    `catalogue` is a tracks table, `lists` are files of addresses. Pages fetched more than `again_after_s` ago are asked
    again, by conditional requests where the site offers them; tasks lost for a reason in `retry` ("failed" and
    "denied" are all of theirs) as if for the first time. `limit` counts requests of this run.
    """

    catalogue: Path | None = None
    urls: Sequence[TaskSpec] = ()
    lists: Sequence[Path] = ()
    shard: Shard | None = None
    again_after_s: float | None = None
    retry: Collection[str] = ()
    limit: int | None = None


@dataclass(frozen=True)
class Pace:
    """The clock (Unix seconds), the pause before a second try, and the longest wait (None: that of the settings)."""

    now: Callable[[], float] = time.time
    backoff_s: float = 1.0
    patience_s: float | None = None


@dataclass(frozen=True)
class CrawlResult:
    """Totals of ledger and tables after a run; `asked` counts this run's own outcomes."""

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
    request: CrawlRequest = CrawlRequest(),
    *,
    readers: Mapping[str, Source] | None = None,
    pace: Pace = Pace(),
    on_progress: Callable[[str], None] = lambda _outcome: None,
) -> CrawlResult:
    """Ask what is pending, the seeds of `request` among it, and write tables; `on_progress` hears of every outcome.

    `sources` are asked; `readers` (default: the same) are all that read what lies in the WARC files, so that asking
    one source only takes no other's documents away. Both have their settings applied. Several processes may run
    this on one workspace.

    UsageError without a contact; UpstreamError when hosts were asked and not one page came back; StoppedShort at
    `limit` with work left, on an interrupt, on a full disk, or where the ledger stays locked; what kept a catalogue or
    a list from being read to its end, once everything else is done.
    """
    from sourcing.crawling.spider.scrapy_settings import Options  # Scrapy is heavy; replay must not pay for it

    readers = sources if readers is None else readers
    crawl = settings.crawl
    options = Options(
        user_agent=user_agent(crawl),
        allow_private_hosts=crawl.allow_private_hosts,
        max_body_bytes=int(crawl.max_body_mb * 1e6),
        timeout_s=crawl.timeout_s,
        max_attempts=crawl.max_attempts,
        lease_s=crawl.lease_s,
        backoff_s=pace.backoff_s,
        patience_s=crawl.patience_s if pace.patience_s is None else pace.patience_s,
        limit=request.limit,
    )
    start_s, now = time.monotonic(), pace.now
    feeds = _feeds(settings, sources, request)
    path = workspace.crawl_dir / LEDGER_FILE
    with _in_words(path), closing(Ledger(path)) as ledger:
        seeding = Seeding(ledger, feeds, request.shard)
        with ledger.run.entered(now()):
            with workspace.lock("crawl-start", wait_s=_LOCK_WAIT_S):
                bury_dead(ledger, workspace.crawl_dir, readers, now())
                lost_count = ask_for_lost(ledger, workspace.crawl_dir, live=ledger.run.others())
            ledger.reopen(now() + NOT_KNOWN_AGAIN_S, reasons=("private_host",) if crawl.allow_private_hosts else ())
            if request.again_after_s is not None:
                ledger.ask_again(now() - request.again_after_s, sources)
            retry_count = ledger.retry(request.retry, sources) if request.retry else 0
            writer = CaptureWriter(workspace.crawl_dir, f"crossmusim/{__version__}", label=ledger.run.owner)
            recorder = Recorder(ledger, writer, readers, now)
            crawl_end = _crawl(options, sources, recorder, seeding, now, on_progress)
        totals = ledger.census.totals(sources)
        waiting = totals["pending"]
        if crawl_end.interrupt:
            raise StoppedShort(
                "crawl",
                f"interrupted with {waiting} tasks pending",
                "the same command takes it up; `crossmusim crawl replay` reads what is there",
            )
        with workspace.lock("documents", wait_s=_LOCK_WAIT_S):
            documents, rejected_rows = rebuild_documents(workspace, readers, ledger=ledger, live=ledger.run.others())
    if seeding.failures:
        raise _named(seeding.failures[0])
    outcome_count = sum(crawl_end.outcomes.values())
    if crawl_end.unreachable and not crawl_end.outcomes.get("fetched"):
        raise UpstreamError(
            crawl_end.unreachable[0],
            f"no page could be fetched and {waiting} tasks wait",
            "check the network, the key, or base_url under [sources.<name>]; then run again",
        )
    if request.limit is not None and waiting and outcome_count >= request.limit:
        finding = f"--limit {request.limit} reached with {waiting} tasks pending"
        raise StoppedShort("crawl", finding, "run again for the rest")
    return CrawlResult(
        fetched=totals["fetched"],
        failed=totals["failed"],
        denied=totals["denied"],
        pending=waiting,
        documents=documents,
        rejected=rejected_rows,
        seconds=time.monotonic() - start_s,
        asked=outcome_count,
        notes=(
            *_spoilt(lost_count),
            *_retry_notes(request.retry, retry_count),
            *crawl_end.notes,
            *(f"{why}; its tasks stay pending" for why in crawl_end.unreachable),
        ),
    )


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """Turn SQLite's refusals at the ledger into errors with a cure."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _worded(path, error) from error


def _worded(path: Path, error: Exception) -> CrossmusimError:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return InputError(str(path), f"not a sound ledger ({error})", "put a copy of it back, or move it away")
    if "locked" in str(error) or "busy" in str(error):
        finding = f"another process has kept it locked for a minute ({error})"
        return StoppedShort(str(path), finding, "end what holds it and run again; nothing is lost")
    return StoppedShort(str(path.parent), f"the disk refused a write ({error})", "make room and run again")


def _named(error: Exception) -> CrossmusimError:
    if isinstance(error, CrossmusimError):
        return error
    return InputError("seeds of the crawl", f"they cannot be read to the end ({error})", "mend that file and run again")


def _spoilt(lost_count: int) -> list[str]:
    return [f"lost with spoilt records of WARC files and asked again: {lost_count} tasks"] if lost_count else []


def _retry_notes(retry: Collection[str], retry_count: int) -> list[str]:
    return [f"lost for {', '.join(retry)} and asked again: {retry_count} tasks"] if retry else []


def _feeds(settings: Settings, sources: Mapping[str, Source], request: CrawlRequest) -> list[Feed]:
    pages = [*_setting_pages(settings, sources), *request.urls]
    feeds = [plain_feed(pages)] if pages else []
    feeds += [list_feed(path, request.shard) for path in request.lists]
    return feeds + (catalogue_feeds(request.catalogue, sources, request.shard) if request.catalogue else [])


def _setting_pages(settings: Settings, sources: Mapping[str, Source]) -> list[TaskSpec]:
    if PAGE_SOURCE not in sources:
        return []
    for url in settings.crawl.page_urls:
        if why := unusable_url(url):
            raise UsageError(f"setting crawl.page_urls, {url!r}", why, "list http or https pages")
    return [TaskSpec(PAGE_SOURCE, url, PAGE_KIND) for url in settings.crawl.page_urls]


@dataclass(frozen=True)
class _CrawlEnd:
    """How the spider ended: its outcomes, notes, why hosts are unreachable, and whether it was interrupted."""

    outcomes: Mapping[str, int]
    notes: list[str]
    unreachable: list[str]
    interrupt: bool


def _crawl(
    options: Options,
    sources: Mapping[str, Source],
    recorder: Recorder,
    seeding: Seeding,
    now: Callable[[], float],
    on_progress: Callable[[str], None],
) -> _CrawlEnd:
    from scrapy.crawler import AsyncCrawlerProcess

    from sourcing.crawling.spider.host_registry import HostRegistry
    from sourcing.crawling.spider.scrapy_settings import scrapy_settings
    from sourcing.crawling.spider.spider import LedgerSpider

    process = AsyncCrawlerProcess(scrapy_settings(options, sources))
    for name in ("scrapy", "py.warnings", "asyncio", "trafilatura"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # outcomes are told by ledger and tables
    crawler = process.create_crawler(LedgerSpider)
    registry = HostRegistry(crawler, options, sources, recorder, now)
    running = process.crawl(crawler, registry=registry, seeding=seeding, on_progress=on_progress)

    def end_soon() -> None:
        """Let the spider finish what is in flight."""
        spider: Any = crawler.spider
        if spider is None or spider.loop is None:
            raise KeyboardInterrupt
        spider.loop.call_soon_threadsafe(registry.stop)

    try:
        with interrupts(end_soon) as signals:
            process.start(install_signal_handlers=False)
    finally:
        recorder.close()
    if recorder.broken is not None:
        if not isinstance(recorder.broken, OSError | sqlite3.Error):
            raise recorder.broken
        raise _worded(recorder.writer.folder / LEDGER_FILE, recorder.broken) from recorder.broken
    if not running.cancelled() and (error := running.exception()):
        raise error
    spider = crawler.spider
    assert isinstance(spider, LedgerSpider)
    if spider.failure is not None:
        raise spider.failure
    unreachable = [*spider.refusing.values(), *(host.down for host in registry.hosts.values() if host.down)]
    notes = [*spider.notes, *capped(recorder.ledger, sources, now()).values()]
    return _CrawlEnd(spider.outcomes, notes, unreachable, bool(signals))
