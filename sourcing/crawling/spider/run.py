"""A crawl run from seeds to the documents table."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sourcing import __version__
from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.policy.politeness import unusable_url, user_agent
from sourcing.crawling.policy.site_signals import NOT_KNOWN_AGAIN_S
from sourcing.crawling.source import Source, TaskSpec
from sourcing.crawling.sources.schemaorg import PAGE_KIND, PAGE_SOURCE
from sourcing.crawling.spider.lease_budget import capped
from sourcing.crawling.spider.recorder import Scribe, bury_dead
from sourcing.crawling.spider.seeding import Feed, Seeding, catalogue_feeds, list_feed, plain_feed
from sourcing.crawling.warc.mending import ask_for_lost
from sourcing.crawling.warc.writer import CaptureWriter
from sourcing.errors import CrossmusimError, InputError, StoppedShort, UpstreamError, UsageError
from sourcing.settings import Settings
from sourcing.store import Workspace
from sourcing.store.interrupts import interrupts
from sourcing.store.shard import Shard

__all__ = ["LEDGER_FILE", "PAGE_SOURCE", "CrawlResult", "run_crawl"]

_LOCK_WAIT_S = 3600.0  # another process is reading what a dead one left, or writing the documents table


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
    catalogue: Path | None = None,
    *,
    readers: Mapping[str, Source] | None = None,
    urls: Iterable[TaskSpec] = (),
    lists: Iterable[Path] = (),
    shard: Shard | None = None,
    again_after_s: float | None = None,
    retry: Collection[str] = (),
    limit: int | None = None,
    on_progress: Callable[[str], None] = lambda _outcome: None,
    now: Callable[[], float] = time.time,
    backoff_s: float = 1.0,
    patience_s: float | None = None,
) -> CrawlResult:
    """Ask what is pending, seeds of the tracks table at `catalogue`, of `urls` and of `lists` among it; write tables.

    `sources` are asked; `readers` (default: the same) are all that read what lies in the WARC files, so that asking
    one source only takes no other's documents away. Both have their settings applied. With `again_after_s`, pages
    fetched longer ago are asked again, by conditional requests where the site offers them; tasks lost for one of the
    reasons in `retry` ("failed" and "denied" are all of theirs) are asked as if for the first time. Several processes
    may run this on one workspace.

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
        backoff_s=backoff_s,
        patience_s=crawl.patience_s if patience_s is None else patience_s,
        limit=limit,
    )
    started = time.monotonic()
    feeds = _feeds(settings, sources, catalogue, urls, lists, shard)
    path = workspace.crawl_dir / LEDGER_FILE
    with _in_words(path), closing(Ledger(path)) as ledger:
        seeding = Seeding(ledger, feeds, shard)
        with ledger.run.entered(now()):
            with workspace.lock("crawl-start", wait_s=_LOCK_WAIT_S):
                bury_dead(ledger, workspace.crawl_dir, readers, now())
                lost = ask_for_lost(ledger, workspace.crawl_dir, live=ledger.run.others())
            ledger.reopen(now() + NOT_KNOWN_AGAIN_S, reasons=("private_host",) if crawl.allow_private_hosts else ())
            if again_after_s is not None:
                ledger.ask_again(now() - again_after_s, sources)
            retried = ledger.retry(retry, sources) if retry else 0
            done, notes, unreachable, interrupted = _crawl(
                workspace, ledger, options, sources, readers, seeding, now, on_progress
            )
        totals = ledger.census.totals(sources)
        waiting = totals["pending"]
        if interrupted:
            raise StoppedShort(
                "crawl",
                f"interrupted with {waiting} tasks pending",
                "the same command takes it up; `crossmusim crawl replay` reads what is there",
            )
        with workspace.lock("documents", wait_s=_LOCK_WAIT_S):
            documents, rejected = rebuild_documents(workspace, readers, ledger=ledger, live=ledger.run.others())
    if seeding.failures:
        raise _named(seeding.failures[0])
    asked = sum(done.values())
    if unreachable and not done.get("fetched"):
        raise UpstreamError(
            unreachable[0],
            f"no page could be fetched and {waiting} tasks wait",
            "check the network, the key, or base_url under [sources.<name>]; then run again",
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
        notes=(
            *_spoilt(lost),
            *_told(retry, retried),
            *notes,
            *(f"{why}; its tasks stay pending" for why in unreachable),
        ),
    )


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """What SQLite refuses at the ledger, said in words, wherever it meets us."""
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


def _spoilt(lost: int) -> list[str]:
    return [f"lost with spoilt records of WARC files and asked again: {lost} tasks"] if lost else []


def _told(retry: Collection[str], retried: int) -> list[str]:
    return [f"lost for {', '.join(retry)} and asked again: {retried} tasks"] if retry else []


def _feeds(
    settings: Settings,
    sources: Mapping[str, Source],
    catalogue: Path | None,
    urls: Iterable[TaskSpec],
    lists: Iterable[Path],
    shard: Shard | None,
) -> list[Feed]:
    pages = [*_setting_pages(settings, sources), *urls]
    feeds = [plain_feed(pages)] if pages else []
    feeds += [list_feed(path, shard) for path in lists]
    return feeds + (catalogue_feeds(catalogue, sources, shard) if catalogue else [])


def _setting_pages(settings: Settings, sources: Mapping[str, Source]) -> list[TaskSpec]:
    if PAGE_SOURCE not in sources:
        return []
    for url in settings.crawl.page_urls:
        if why := unusable_url(url):
            raise UsageError(f"setting crawl.page_urls, {url!r}", why, "list http or https pages")
    return [TaskSpec(PAGE_SOURCE, url, PAGE_KIND) for url in settings.crawl.page_urls]


def _crawl(
    workspace: Workspace,
    ledger: Ledger,
    options: Any,
    sources: Mapping[str, Source],
    readers: Mapping[str, Source],
    seeding: Seeding,
    now: Callable[[], float],
    on_progress: Callable[[str], None],
) -> tuple[Mapping[str, int], list[str], list[str], bool]:
    """Run the spider until it ends; returns outcomes, notes, why hosts are unreachable, and whether interrupted."""
    from scrapy.crawler import AsyncCrawlerProcess

    from sourcing.crawling.spider.scrapy_settings import scrapy_settings
    from sourcing.crawling.spider.spider import LedgerSpider

    writer = CaptureWriter(workspace.crawl_dir, f"crossmusim/{__version__}", label=ledger.run.owner)
    scribe = Scribe(ledger, writer, readers, now)
    process = AsyncCrawlerProcess(scrapy_settings(options, sources))
    for name in ("scrapy", "py.warnings", "asyncio", "trafilatura"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # outcomes are told by ledger and tables
    crawler = process.create_crawler(LedgerSpider)
    running = process.crawl(
        crawler, options=options, sources=sources, scribe=scribe, seeding=seeding, now=now, on_done=on_progress
    )

    def end_soon() -> None:
        """The spider finishes what is in flight."""
        spider: Any = crawler.spider
        if spider is None or spider.loop is None:
            raise KeyboardInterrupt
        spider.loop.call_soon_threadsafe(spider.stop)

    try:
        with interrupts(end_soon) as received:
            process.start(install_signal_handlers=False)
    finally:
        scribe.close()
    if scribe.broken is not None:
        if not isinstance(scribe.broken, OSError | sqlite3.Error):
            raise scribe.broken
        raise _worded(workspace.crawl_dir / LEDGER_FILE, scribe.broken) from scribe.broken
    if not running.cancelled() and (error := running.exception()):
        raise error
    spider = crawler.spider
    assert isinstance(spider, LedgerSpider)
    if spider.failure is not None:
        raise spider.failure
    unreachable = [*spider.barred.values(), *(host.down for host in spider.hosts.values() if host.down)]
    notes = [*spider.notes, *capped(ledger, sources, now()).values()]
    return spider.done, notes, unreachable, bool(received)
