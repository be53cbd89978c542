"""The documents table rebuilt from the WARC files alone, on every core, reading no file twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import dataframely as dy
import polars as pl

from sourcing.crawling.documents.extract import Readings, settle_readings
from sourcing.crawling.documents.page_readings import empty_readings
from sourcing.crawling.documents.parallel import FileReadings, are_settings, overrides_of, read_files
from sourcing.crawling.documents.readings_cache import ReadingsCache, fingerprint
from sourcing.crawling.ledger import LEDGER_FILE, Ledger, Refusal
from sourcing.crawling.ledger.view import looked_at
from sourcing.crawling.parsing.values import clean
from sourcing.crawling.source import Source
from sourcing.crawling.warc.mending import ask_for_lost
from sourcing.crawling.warc.reader import Tear, warc_files
from sourcing.store import Document, Workspace
from sourcing.store.processes import cores
from sourcing.store.schemas import Rejected
from sourcing.store.workspace import rejected_frame

__all__ = ["EXTRACTED_FOLDER", "ReplayOptions", "rebuild_documents"]

EXTRACTED_FOLDER = "extracted"
_SMALL_BYTES = 1_000_000  # of WARC, some hundred pages: read here before another process would have begun


@dataclass(frozen=True)
class ReplayOptions:
    """How WARC files are read anew.

    `workers` are processes (None: all cores, or this process alone where there is little to read); `fresh` leaves
    cached readings aside; records of other crawlers go to the source `foreign`, or to that of their host.
    """

    workers: int | None = None
    fresh: bool = False
    foreign: str = ""


def rebuild_documents(
    workspace: Workspace,
    sources: Mapping[str, Source],
    options: ReplayOptions = ReplayOptions(),
    *,
    ledger: Ledger | None = None,
    live: Collection[str] = (),
    on_read: Callable[[int, int, int], object] = lambda _pages, _bytes_read, _total: None,
) -> tuple[int, int]:
    """Write the documents table from the WARC files; returns its rows and how many rows are rejected.

    Rejected rows of stage extract come from the files and from the noes in the workspace's ledger, which hold also
    where their record is lost; those of stage crawl are the ledger's failed and denied tasks, and are left as they
    lie when no ledger is given.

    The tables are the same, byte for byte, for any number of workers, from cached readings and from fresh ones.
    `on_read` hears how many more pages were read, and how many bytes of the files are done, of how many; kept readings
    are not among them. Files of processes labelled
    `live` are being written: a record cut at their end is no tear. The caller holds the workspace's lock "documents".
    """
    _sweep(workspace)
    stats = {path: path.stat() for path in warc_files(workspace.crawl_dir)}
    files = [(path, stat.st_size) for path, stat in stats.items()]
    overrides = overrides_of(sources)
    little = options.workers is None and sum(length for _, length in files) < _SMALL_BYTES

    def read(unread: list[tuple[Path, int]], *, workers: int) -> Iterator[FileReadings]:
        bytes_read, total = 0, sum(length for _, length in unread)

        def on_pages(pages: int, of_bytes: int) -> None:
            nonlocal bytes_read
            bytes_read = min(bytes_read + of_bytes, total)  # a span whose start was guessed wrong is read twice
            on_read(pages, bytes_read, total)

        return read_files(unread, sources, workers=workers, on_pages=on_pages, foreign=options.foreign)

    refusals = _refusals(workspace, ledger)
    if little or overrides is None:
        documents, rejected_rows, tears = _read_all(files, None, partial(read, workers=1), refusals, fresh=True)
    else:
        folder = workspace.crawl_dir / EXTRACTED_FOLDER
        cache = ReadingsCache(folder, fingerprint(overrides, options.foreign)) if are_settings(overrides) else None
        arguments = files, cache, partial(read, workers=options.workers or cores()), refusals
        try:
            documents, rejected_rows, tears = _read_all(*arguments, fresh=options.fresh)
        except (OSError, pl.exceptions.PolarsError):
            if options.fresh:
                raise
            # Kept readings that cannot be read are worth no more than a second look at the pages.
            documents, rejected_rows, tears = _read_all(*arguments, fresh=True)
        if cache:
            cache.forget_all_but(path for path, _ in files)
    workspace.write(Document, documents)
    tears = [tear for tear in tears if not any(f"-{label}-" in tear.path.name for label in live)]
    torn_rows = _torn_rows(tears)
    workspace.write_rejected("extract", pl.concat([rejected_rows, torn_rows]))
    if ledger is not None:
        spoilt = {tear.path.name for tear in tears}
        for path, stat in stats.items():
            if path.name not in spoilt:
                ledger.archive.note_looked_through(path.name, stat.st_size, stat.st_mtime_ns)
        if spoilt:
            ask_for_lost(ledger, workspace.crawl_dir, live=live, again=spoilt)
    return documents.height, rejected_rows.height + torn_rows.height + _write_crawl_rejections(workspace, ledger)


def _refusals(workspace: Workspace, ledger: Ledger | None) -> list[Refusal]:
    """Refusals recorded in the workspace's ledger, empty without a ledger."""
    if ledger is not None:
        return list(ledger.archive.refusals())
    with looked_at(workspace.crawl_dir / LEDGER_FILE) as view:
        return [] if view is None else list(view.archive.refusals())


def _sweep(workspace: Workspace) -> None:
    """Remove half-written files of rebuilds that were killed: each may be as large as what it was to become."""
    tables = [workspace.table_path(Document), *map(workspace.rejected_path, ("extract", "crawl"))]
    halves = [path.parent.glob(f".{path.name}.*.tmp") for path in tables]
    for path in chain(*halves, (workspace.crawl_dir / EXTRACTED_FOLDER).glob(".*.parquet.*.tmp")):
        path.unlink(missing_ok=True)


def _read_all(
    files: list[tuple[Path, int]],
    cache: ReadingsCache | None,
    read: Callable[[list[tuple[Path, int]]], Iterable[FileReadings]],
    refusals: Sequence[Refusal],
    *,
    fresh: bool,
) -> tuple[dy.DataFrame[Document], dy.DataFrame[Rejected], list[Tear]]:
    readings_of = {
        path: cached for path, length in files if cache and not fresh and (cached := cache.find(path, length))
    }
    readings: dict[Path, Readings] = {path: cached for path, (cached, _) in readings_of.items()}
    tears = {path: cached for path, (_, cached) in readings_of.items()}
    for file in read([(path, length) for path, length in files if path not in readings_of]):
        readings[file.path] = cache.keep(file) if cache else pl.concat([empty_readings(), *file.frames]).select
        tears[file.path] = file.tears
    documents, rejected_rows = settle_readings([readings[path] for path, _ in files], refusals)
    return documents, rejected_rows, [tear for path, _ in files for tear in tears[path]]


def _torn_rows(tears: Iterable[Tear]) -> dy.DataFrame[Rejected]:
    """Rejected rows: `warc_torn` where a file ends before its time, `warc_damaged` where it can be read on behind."""
    return rejected_frame(
        [
            {
                "stage": "extract",
                "key": tear.path.name,
                "reason": "warc_torn" if tear.last else "warc_damaged",
                "finding": f"{tear.found}, of {clean(tear.url)}" if tear.url else tear.found,
            }
            for tear in tears
        ]
    )


def _write_crawl_rejections(workspace: Workspace, ledger: Ledger | None) -> int:
    """Failed and denied tasks of the ledger as rejected rows of stage crawl; how many there are."""
    if ledger is None:
        return 0
    lost_rows = rejected_frame(
        [
            {"stage": "crawl", "key": item.url, "reason": item.reason, "finding": item.finding or item.state}
            for item in ledger.census.outcomes()
        ]
    )
    workspace.write_rejected("crawl", lost_rows)
    return lost_rows.height
