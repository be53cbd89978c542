"""The alarms of a workspace: sources whose documents lost a field, or whose pages can no longer be read."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import polars as pl

from sourcing import __version__
from sourcing.crawling.documents.rebuild import EXTRACTED_FOLDER
from sourcing.crawling.monitoring.coverage import PAGES, drifts, seen_documents
from sourcing.crawling.warc.reader import read_captured, warc_files
from sourcing.store import Document, Workspace
from sourcing.store.workspace import write_json

__all__ = ["alarms", "documents_of", "pages_of"]

_KEPT_FILE = "alarms.json"  # in the crawl folder; a cache, for `crawl status` to be quick beside millions of documents
_SMALL_BYTES = 2_000_000  # of WARC: readings of so few pages may not be kept, and looking through them is quick
_WITH_BODY = ("response", "resource")


def alarms(workspace: Workspace) -> list[str]:
    """Alarms by `drifts` over the workspace's tables, one line each; reckoned once per documents table."""
    path = workspace.table_path(Document)
    if not path.exists():
        return []
    file_stat, kept_path = path.stat(), workspace.crawl_dir / _KEPT_FILE
    stamp = [__version__, file_stat.st_mtime_ns, file_stat.st_size]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # never kept, or not readable: reckon it anew
        record = json.loads(kept_path.read_text(encoding="utf-8"))
        if record["of"] == stamp:
            return [str(line) for line in record["alarms"]]
    lines = [str(alarm) for alarm in drifts(documents_of(workspace), pages_of(workspace))]
    if workspace.crawl_dir.exists():
        with contextlib.suppress(OSError):  # a workspace one may only look at
            write_json(kept_path, {"of": stamp, "alarms": lines})
    return lines


def documents_of(workspace: Workspace) -> pl.DataFrame:
    """Documents of the workspace as `seen_documents` selects them; InputError where there is none."""
    path = workspace.table_path(Document)
    return seen_documents(pl.scan_parquet(path) if path.exists() else workspace.read(Document).lazy())


def pages_of(workspace: Workspace) -> pl.DataFrame:
    """Answers that page objects were given, as `PAGES` says, from the readings that the last rebuild kept.

    A small crawl keeps none: its WARC files are looked through, and held against the tables. Empty where neither
    can be had.
    """
    readings = sorted((workspace.crawl_dir / EXTRACTED_FOLDER).glob("*.parquet"))
    if readings:
        pages = pl.scan_parquet(readings).filter(
            pl.col("form").is_in(_WITH_BODY) & pl.col("outcome").is_in(["sound", "failed"])
        )
        is_read = (pl.col("outcome") == "sound").alias("read")
        return pages.select("source", "url", "at", is_read).collect(engine="streaming")
    if sum(path.stat().st_size for path in warc_files(workspace.crawl_dir)) > _SMALL_BYTES:
        return pl.DataFrame(schema=dict(PAGES))
    return _from_warc(workspace)


def _from_warc(workspace: Workspace) -> pl.DataFrame:
    rejected_path, documents = workspace.rejected_path("extract"), workspace.table_path(Document)
    lost_urls = _column(rejected_path, "key") - _column(documents, "url")  # not of pages that gave documents
    rows = [
        (page.source, page.url, page.retrieved_at, page.url not in lost_urls)
        for page in read_captured(workspace.crawl_dir)
        if page.source and page.form in _WITH_BODY and page.consent == "allow"
    ]
    return pl.DataFrame(rows, schema=dict(PAGES), orient="row")


def _column(path: Path, name: str) -> set[str]:
    return set(pl.read_parquet(path, columns=[name])[name]) if path.exists() else set()
