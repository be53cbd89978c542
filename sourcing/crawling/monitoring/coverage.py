"""Coverage: how many documents of a source have each field, week by week, and an alarm where that drops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sourcing.crawling.monitoring.drift import BATCH, Drop, RowBatch, find_drop

__all__ = ["FIELDS", "PAGES", "Alarm", "coverage", "drifts", "seen_documents"]

FIELDS = ("title", "artist", "album", "year", "duration_s", "isrcs", "mbid", "tags", "lead", "text")
_LISTS = ("isrcs", "tags")
#: Answers a page object was given: `read` is false where it rejected the page.
PAGES: Mapping[str, pl.DataType] = {
    "source": pl.String(),
    "url": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "read": pl.Boolean(),
}
_HOST = pl.col("url").str.extract(r"^[a-z]+://([^/?#]+)").fill_null("")


@dataclass(frozen=True)
class Alarm:
    """A drop of one field of one kind of document from one host, or of the pages there that can be read."""

    source: str
    host: str
    granularity: str  # empty: it is about pages
    field: str  # empty: it is about pages
    drop: Drop

    def __str__(self) -> str:
        drop, what = self.drop, f"{self.granularity} documents have {self.field}" if self.field else "pages can be read"
        return (
            f"{self.source}: since {drop.since:%Y-%m-%d %H:%M} UTC {_percent(drop.share)} of {drop.rows} {what},"
            f" {_percent(drop.share_before)} of {drop.rows_before} before; has {self.host} changed?"
        )

    def as_dict(self) -> dict[str, Any]:
        drop = self.drop
        return {
            "source": self.source,
            "host": self.host,
            "granularity": self.granularity or None,
            "field": self.field or None,
            "since": drop.since.isoformat(timespec="seconds"),
            "share": round(drop.share, 4),
            "rows": drop.rows,
            "share_before": round(drop.share_before, 4),
            "rows_before": drop.rows_before,
            "message": str(self),
        }


def seen_documents(documents: pl.LazyFrame) -> pl.DataFrame:
    """Columns of a documents table that coverage counts: a truth value for each field instead of its content."""
    return documents.select(
        "doc_id",
        "source",
        "granularity",
        "retrieved_at",
        _HOST.alias("host"),
        *(pl.col(name).list.len() > 0 if name in _LISTS else pl.col(name).is_not_null() for name in FIELDS),
    ).collect(engine="streaming")


def coverage(documents: pl.DataFrame, pages: pl.DataFrame, *, weeks: int = 4) -> pl.DataFrame:
    """Share of documents that have each field, per source and week of `retrieved_at`, sorted.

    `documents` are as `seen_documents` gives them, `pages` as `PAGES` says. The newest so many weeks of a source
    have a row each, named by the Monday they begin on (`week`); everything earlier is one row without one. `read`
    is the share of that week's pages that were not rejected, null where nothing is known of them.
    """
    by_week = (
        _in_weeks(documents, "retrieved_at")
        .group_by("source", "week")
        .agg(pl.len().alias("documents"), *(pl.col(name).sum() for name in FIELDS))
    )
    pages_by_week = _in_weeks(pages, "at").group_by("source", "week").agg(pl.len().alias("pages"), pl.col("read").sum())
    weekly = by_week.join(pages_by_week, on=["source", "week"], how="full", coalesce=True).with_columns(
        pl.col("documents", "pages").fill_null(0)
    )
    newest = pl.col("week").rank("dense", descending=True).over("source") <= weeks
    rows = (
        weekly.with_columns(pl.when(newest).then("week"))
        .group_by("source", "week")
        .agg(pl.col("documents", "pages", *FIELDS, "read").sum())
    )
    return rows.select(
        "source",
        "week",
        "documents",
        *(pl.when(pl.col("documents") > 0).then(pl.col(name) / pl.col("documents")).alias(name) for name in FIELDS),
        "pages",
        pl.when(pl.col("pages") > 0).then(pl.col("read") / pl.col("pages")).alias("read"),
    ).sort("source", "week", nulls_last=False)


def drifts(documents: pl.DataFrame, pages: pl.DataFrame) -> list[Alarm]:
    """Every drop, sorted, by the rule of `find_drop` over batches of 50 in the order of retrieval.

    A series is one kind of document (granularity) from one host of a source: a site changes by itself, and a run
    that gets to releases after recordings is no change. Pages of a host are a series too.
    """
    by = ["source", "host", "granularity"]
    alarms = [
        Alarm(source, host, granularity, name, drop)
        for (source, host, granularity), batches in _series(documents, by, "retrieved_at", FIELDS)
        for name in FIELDS
        if (drop := find_drop(batches[name]))
    ]
    hosts = pages.select("source", "at", "read", "url", _HOST.alias("host"))
    alarms += [
        Alarm(source, host, "", "", drop)
        for (source, host), batches in _series(hosts, ["source", "host"], "at", ["read"])
        if (drop := find_drop(batches["read"]))
    ]
    return sorted(alarms, key=lambda alarm: (alarm.source, alarm.host, alarm.granularity, alarm.field))


def _in_weeks(frame: pl.DataFrame, at: str) -> pl.DataFrame:
    return frame.with_columns(pl.col(at).dt.truncate("1w").dt.date().alias("week"))


def _series(
    frame: pl.DataFrame, by: list[str], at: str, names: tuple[str, ...] | list[str]
) -> Iterator[tuple[tuple[str, ...], dict[str, list[RowBatch]]]]:
    """Group → field → batches, oldest first; the newest batch of a group is full, its oldest is what remains."""
    tie = "doc_id" if "doc_id" in frame.columns else "url"
    place = pl.int_range(pl.len()).over(by)
    batches = (
        frame.filter(pl.len().over(by) >= 2 * BATCH)
        .sort(*by, at, tie)
        .with_columns(((pl.len().over(by) - 1 - place) // BATCH).alias("age"))
        .group_by(*by, "age")
        .agg(pl.col(at).min().alias("begins"), pl.len().alias("rows"), *(pl.col(name).sum() for name in names))
        .sort(*by, "age", descending=[*[False] * len(by), True])
    )
    for key, rows in batches.group_by(by, maintain_order=True):
        yield (
            tuple(str(part) for part in key),
            {name: [RowBatch(*row) for row in rows.select("begins", "rows", name).iter_rows()] for name in names},
        )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
