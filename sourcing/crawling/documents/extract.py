"""Captured answers → documents: of all captures of an address, the one that counts gives its documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.crawling.documents.facts import with_stated_facts
from sourcing.crawling.documents.page_readings import (
    DOCUMENT,
    EXCERPT_CHARS,
    LIGHT,
    document_id,
    empty_readings,
    read_captures,
)
from sourcing.crawling.ledger import Refusal
from sourcing.crawling.parsing.values import clean
from sourcing.crawling.source import Capture, Source
from sourcing.store.schemas import Document, Rejected
from sourcing.store.workspace import rejected_frame

__all__ = ["Readings", "document_id", "extract_documents", "settle_readings"]

#: A table of readings wherever it lies: hands out the columns asked for, rows in the order of capture.
Readings = Callable[[Sequence[str]], pl.DataFrame]

_ADDRESS = ("source", "url")
_ROW = ("part", "n")  # which table of readings, and which row of it


def extract_documents(
    captures: Iterable[Capture], sources: Mapping[str, Source]
) -> tuple[dy.DataFrame[Document], dy.DataFrame[Rejected]]:
    """Documents sorted by doc_id, and a rejected row per address that failed to give one.

    An address captured several times counts once. Its newest capture, whatever its form and wherever its task was led
    since, says whether its site consents. Its documents come from the newest capture with a body that could be read;
    where a later revisit found another body than that one, from the capture of that body. One doc_id from several
    addresses: the newest stays. `sources` are the effective declarations; bodies are read one at a time and not kept.
    """
    frame = pl.concat([empty_readings(), *read_captures(captures, sources)])
    return settle_readings([frame.select])


def settle_readings(
    parts: Sequence[Readings], refusals: Iterable[Refusal] = ()
) -> tuple[dy.DataFrame[Document], dy.DataFrame[Rejected]]:
    """`extract_documents` from readings already made; `parts` are in the order of capture and are read one at a time.

    `refusals` are noes that hold although their capture may be lost.
    """
    parts = [*parts, _refusal_readings(refusals).select]
    light = pl.concat(
        [pl.DataFrame(schema={"part": pl.UInt32, "n": pl.UInt32, **LIGHT})]
        + [
            part(list(LIGHT)).with_row_index("n").select(pl.lit(number, dtype=pl.UInt32).alias("part"), "n", *LIGHT)
            for number, part in enumerate(parts)
        ]
    )
    newest = _newest(_with_moves(light, is_capture=pl.col("part") < len(parts) - 1))
    light = light.filter(pl.col("part") < len(parts) - 1)
    allowed_addresses = newest.filter(~pl.col("denies")).select(*_ADDRESS, "form")
    readings_to_use = _chosen(light).join(allowed_addresses, on=_ADDRESS, how="semi")
    failures = _newest(light.filter(pl.col("outcome") == "failed")).join(allowed_addresses, on=_ADDRESS, how="semi")
    failures = failures.join(readings_to_use, on=_ADDRESS, how="anti")
    empty = allowed_addresses.join(readings_to_use, on=_ADDRESS, how="anti").join(failures, on=_ADDRESS, how="anti")

    rejected_rows: list[dict[str, Any]] = []
    for row in _rows(parts, newest.filter("denies"), "evidence").iter_rows(named=True):
        signals = ", ".join(row["evidence"]) or "no signal recorded"
        finding = clean(f"the site or page says no: {signals}")
        rejected_rows.append(_rejection(row["url"], reason="consent_denied", finding=finding, row=None))
    for row in _rows(parts, failures, "failure").iter_rows(named=True):
        rejected_rows.append(_rejection(row["url"], **row["failure"]))
    for row in _rows(parts, readings_to_use, "refused").filter(pl.col("refused").list.len() > 0).iter_rows(named=True):
        rejected_rows.extend(_rejection(row["url"], **refusal) for refusal in row["refused"])
    for url in empty.get_column("url"):
        finding = "it was found unchanged, and no capture of it could be read before"
        rejected_rows.append(_rejection(url, reason="revisit_without_body", finding=finding, row=None))

    consent_times = newest.select(*_ADDRESS, pl.col("at").alias("consent_at"))
    documents = with_stated_facts(_documents(parts, readings_to_use))
    documents = documents.drop("consent_at").join(consent_times, on=_ADDRESS, how="left", maintain_order="left")
    good, failure = Document.filter(documents.select(Document.column_names()))
    for row in failure.invalid().iter_rows(named=True):
        finding = f"a document titled {str(row['title_raw'])[:EXCERPT_CHARS]!r} breaks a rule of the schema"
        rejected_rows.append(_rejection(row["url"], reason="document_invalid", finding=finding, row=None))
    rejected_rows.sort(key=lambda row: [row[key] or "" for key in ("key", "reason", "finding", "row")])
    return Document.validate(good.sort("doc_id")), rejected_frame(rejected_rows)


def _refusal_readings(refusals: Iterable[Refusal]) -> pl.DataFrame:
    rows = [
        {
            "source": refusal.source,
            "url": refusal.url,
            "task": refusal.task,
            "at": datetime.fromtimestamp(refusal.at, UTC),
            "sha256": "",
            "form": "denial",
            "denies": True,
            "outcome": "unread",
            "evidence": [refusal.signal],
            "refused": [],
            "documents": [],
        }
        for refusal in refusals
    ]
    return pl.concat([empty_readings(), pl.DataFrame(rows, schema=empty_readings().schema, orient="row")])


def _with_moves(light: pl.DataFrame, *, is_capture: pl.Expr) -> pl.DataFrame:
    """The captures, and each task's last no for every address the task was captured at: a page may move and say no."""
    has_task = pl.col("task") != ""
    noes = _newest(light.filter(has_task), by=("source", "task")).filter("denies")
    if noes.is_empty():
        return light.filter(is_capture)
    addresses = light.filter(is_capture & has_task).select("source", "task", "url").unique()
    moved_noes = noes.drop("url").join(addresses, on=["source", "task"]).select(light.columns)
    return pl.concat([light.filter(is_capture), moved_noes])


def _newest(captures: pl.DataFrame, *, by: Sequence[str] = _ADDRESS) -> pl.DataFrame:
    """Newest capture per address, or per group of the columns `by`.

    Ties of one moment have an order too: a no before a yes, then by the body's hash, then what was written first.
    """
    order = [*by, "at", "denies", "sha256", *_ROW]
    down = [*(False for _ in by), True, True, True, False, False]
    return captures.sort(order, descending=down).unique(by, keep="first", maintain_order=True)


def _chosen(light: pl.DataFrame) -> pl.DataFrame:
    """The counting capture for each address with a sound capture."""
    sound = light.filter(pl.col("outcome") == "sound")
    revisits = _newest(light.filter(pl.col("form") == "revisit")).select(*_ADDRESS, "at", "sha256")
    latest = _newest(sound)
    later = latest.join(revisits, on=_ADDRESS, suffix="_found").filter(pl.col("at_found") > pl.col("at"))
    later_bodies = later.select(*_ADDRESS, pl.col("sha256_found").alias("sha256"))
    again = _newest(sound.join(later_bodies, on=[*_ADDRESS, "sha256"], how="semi"))
    return pl.concat([again, latest.join(again, on=_ADDRESS, how="anti")])


def _documents(parts: Sequence[Readings], readings_to_use: pl.DataFrame) -> pl.DataFrame:
    """The documents of the chosen captures, one per doc_id: the newest, then by hash, address and place in the page."""
    frames = [pl.DataFrame(schema=DOCUMENT)]
    for part, rows in _by_part(readings_to_use):
        # Exploded first: polars picks rows of flat columns at a tenth of the time and memory of nested ones.
        flat = parts[part](["documents"]).with_row_index("n").explode("documents").unnest("documents")
        frames.append(flat.filter(pl.col("n").is_in(rows.get_column("n").implode())).drop("n"))
    documents = pl.concat(frames)
    newest_first = ("retrieved_at", "content_sha256", "url")
    rank = documents.select("doc_id", *newest_first).with_row_index("n")
    rank = rank.sort("doc_id", *newest_first, "n", descending=[False, True, True, True, False])
    return documents[rank.unique("doc_id", keep="first", maintain_order=True).get_column("n")]


def _rows(parts: Sequence[Readings], places: pl.DataFrame, column: str) -> pl.DataFrame:
    """`column` of the wanted rows with the `url` wanted for, in the order of capture; one part in memory at a time."""
    frames = [empty_readings().select("url", column)]
    for part, rows in _by_part(places):
        frames.append(pl.concat([rows.select("url"), parts[part]([column])[rows.get_column("n")]], how="horizontal"))
    return pl.concat(frames)


def _by_part(places: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Parts with the wanted rows of each, in order of capture."""
    for (part,), rows in places.sort(*_ROW).partition_by("part", as_dict=True, maintain_order=True).items():
        yield part, rows


def _rejection(url: str, *, reason: str, finding: str | None, row: str | None) -> dict[str, Any]:
    return {"stage": "extract", "key": url, "reason": reason, "finding": finding or reason, "row": row}
