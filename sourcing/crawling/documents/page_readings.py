"""Readings: what the page objects made of captured answers, a table with one row per capture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import polars as pl

from sourcing.crawling.error_answers import error_answer
from sourcing.crawling.parsing.credits import names_nobody
from sourcing.crawling.parsing.values import clean
from sourcing.crawling.source import Capture, PageError, Source
from sourcing.store.licences import UNKNOWN, spdx_of
from sourcing.store.schemas import Document

__all__ = [
    "DOCUMENT",
    "EXCERPT_CHARS",
    "LIGHT",
    "TOO_DEEP",
    "document_id",
    "empty_readings",
    "read_answers",
    "read_captures",
]

EXCERPT_CHARS = 200
_WORDS = ("title", "artist", "album", "tags", "lead", "text")  # columns that carry someone's words
_MAX_TEXT_CHARS = 400_000  # longer prose is cut at a paragraph: no page about a recording is longer
TOO_DEEP = "body_too_deep"
_CHUNK = 256  # captures whose rows are held as Python objects at a time
_NULLABLE = (
    "permalink",
    "title",
    "title_raw",
    "artist",
    "other_titles",
    "other_artists",
    "album",
    "year",
    "duration_s",
    "mbid",
    "language",
    "lead",
    "text",
)

#: A document with what joins it to others about the same thing (`facts`).
DOCUMENT = {**Document.create_empty().schema, "subjects": pl.List(pl.String()), "standing": pl.Int8()}
_REFUSED = {"reason": pl.String(), "finding": pl.String(), "row": pl.String()}
#: What decides which captures count; `outcome` is sound, failed (then `failure` says why) or unread.
LIGHT: Mapping[str, pl.DataType] = {
    "source": pl.String(),
    "url": pl.String(),
    "task": pl.String(),
    "at": pl.Datetime("us", "UTC"),
    "sha256": pl.String(),  # of the body; of a revisit, of the body it found unchanged; "" of a denial
    "form": pl.String(),
    "denies": pl.Boolean(),
    "outcome": pl.String(),
}
#: What the captures that count say.
_SAID: Mapping[str, pl.DataType] = {
    "evidence": pl.List(pl.String()),
    "failure": pl.Struct(_REFUSED),
    "refused": pl.List(pl.Struct(_REFUSED)),
}
_SCHEMA = {**LIGHT, **_SAID}
_DOCUMENTS = pl.List(pl.Struct(DOCUMENT))


def read_captures(captures: Iterable[Capture], sources: Mapping[str, Source]) -> Iterator[pl.DataFrame]:
    """Readings of captures in order, in frames of some hundred rows; bodies are read one at a time, not kept."""
    stream = iter(captures)
    while chunk := [_reading(capture, sources) for capture in islice(stream, _CHUNK)]:
        documents, refusals = _document_frame([(n, row) for n, (_, rows) in enumerate(chunk) for row in rows])
        for n, reason in refusals:
            chunk[n][0]["refused"].append(reason)
        frame = pl.DataFrame([values for values, _ in chunk], schema=_SCHEMA, orient="row").with_row_index("n")
        documents_by_number = documents.group_by("n", maintain_order=True).agg(pl.struct(*DOCUMENT).alias("documents"))
        yield (
            frame.join(documents_by_number, on="n", how="left", maintain_order="left")
            .with_columns(pl.col("documents").fill_null(pl.lit([], dtype=_DOCUMENTS)))
            .drop("n")
        )


def read_answers(captures: Iterable[Capture], sources: Mapping[str, Source]) -> Iterator[pl.DataFrame]:
    """Readings of the captures that are no errors: those say nothing of a record, and the ledger counts them."""
    return read_captures((capture for capture in captures if not _is_error(capture, sources)), sources)


def _is_error(capture: Capture, sources: Mapping[str, Source]) -> bool:
    source = sources.get(capture.source)
    return source is not None and capture.consent != "deny" and error_answer(capture, source) is not None


def empty_readings() -> pl.DataFrame:
    return pl.DataFrame(schema={**_SCHEMA, "documents": _DOCUMENTS})


def document_id(source: str, record_id: str) -> str:
    """`source:` and 16 hex digits of the record's own id or canonical address."""
    return f"{source}:{hashlib.sha256(record_id.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _reading(capture: Capture, sources: Mapping[str, Source]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A capture's row, and its documents."""
    has_body = capture.form in ("response", "resource")
    digest = hashlib.sha256(capture.body).hexdigest() if has_body else capture.body_sha256 or ""
    values: dict[str, Any] = {
        "source": capture.source,
        "url": capture.url,
        "task": capture.task_key,
        "at": capture.retrieved_at,
        "sha256": digest,
        "form": capture.form,
        "denies": capture.consent != "allow",
        "outcome": "unread",
        "evidence": list(capture.consent_evidence),
        "failure": None,
        "refused": [],
    }
    if values["denies"] or not has_body:
        return values, []  # words of a page that says no are not even read
    try:
        rows, values["refused"] = _documents(capture, digest, sources)
    except PageError as error:
        values.update(outcome="failed", failure=_refusal(capture, error.reason, error.finding))
    except RecursionError:
        values.update(
            outcome="failed", failure=_refusal(capture, TOO_DEEP, "lists and objects in each other, too deep")
        )
    except Exception as error:
        # A page object met something its author did not think of: the page is set aside, with the kind of
        # mistake for us to mend, and every other page is still read.
        finding = f"{type(error).__name__}: {str(error)[:EXCERPT_CHARS]}"
        values.update(outcome="failed", failure=_refusal(capture, "page_object_failed", finding))
    else:
        values["outcome"] = "sound"
        return values, rows
    return values, []


def _document_frame(
    rows: list[tuple[int, dict[str, Any]]],
) -> tuple[pl.DataFrame, list[tuple[int, dict[str, Any]]]]:
    """Frame of documents with their capture's number, and refusals of rows that fit no column."""
    schema = {"n": pl.UInt32(), **DOCUMENT}
    try:
        return pl.DataFrame([{"n": n, **row} for n, row in rows], schema=schema, orient="row"), []
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        if len(rows) == 1:
            n, row = rows[0]
            finding = f"a document titled {str(row['title_raw'])[:EXCERPT_CHARS]!r}: {str(error)[:EXCERPT_CHARS]}"
            refusal = {"reason": "document_invalid", "finding": clean(finding), "row": None}
            return pl.DataFrame(schema=schema), [(n, refusal)]
    parts = [_document_frame([row]) for row in rows]
    return pl.concat([frame for frame, _ in parts]), [refusal for _, refusals in parts for refusal in refusals]


def _documents(
    capture: Capture, digest: str, sources: Mapping[str, Source]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    source = sources.get(capture.source)
    if source is None:
        raise PageError("source_unknown", f"there is no source called {capture.source!r}")
    page = source.page_for(capture.kind)(capture, source)
    rows = [_filled(row, capture, digest, source) for row in page.documents()]
    return rows, [_refusal(capture, error.reason, error.finding) for error in page.refused]


def _filled(row: Mapping[str, Any], capture: Capture, digest: str, source: Source) -> dict[str, Any]:
    """A complete document row from the columns of a page."""
    row = {**row, **{key: clean(row.get(key)) for key in ("title", "title_raw", "artist", "album", "lead", "text")}}
    row["text"] = _shortened(row["text"])
    if row["artist"] and names_nobody(row["artist"], row["granularity"]):
        row.update(artist=None, other_artists=None)
    document: dict[str, Any] = {
        "doc_id": document_id(source.name, str(row.get("record_id") or capture.url)),
        "source": source.name,
        "url": capture.url,
        "retrieved_at": capture.retrieved_at,
        "content_sha256": digest,
        "granularity": row["granularity"],
        "lead_track_id": capture.track_id,
        "isrcs": list(row.get("isrcs") or []),
        "tags": [tag for tag in row.get("tags") or [] if tag.get("name")],
        "consent": capture.consent,
        "consent_evidence": list(capture.consent_evidence),
        "subjects": row.get("subjects"),
        "standing": row.get("standing"),
    }
    document.update({key: row.get(key) for key in _NULLABLE})
    stated_licences = row.get("licences") or {}
    document["licences"] = _licences(document, source, stated_licences)
    unread = dict.fromkeys(statement for statement in stated_licences.values() if spdx_of(statement) == UNKNOWN)
    document["consent_evidence"] += [f"licence: {statement}" for statement in unread]
    return document


def _licences(document: Mapping[str, Any], source: Source, stated_licences: Mapping[str, str]) -> list[dict[str, Any]]:
    """Licence entries of a document: one per text column, and "*" for facts."""
    columns = [column for column in _WORDS if document.get(column)]
    attribution = source.attribution.format_map(
        {key: "" if value is None else value for key, value in document.items()}
    )
    return [
        {"field": column, "licence": source.licence_for(column, stated_licences), "attribution": attribution or None}
        for column in [*columns, "*"]
    ]


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= _MAX_TEXT_CHARS:
        return text
    return text[:_MAX_TEXT_CHARS].rpartition("\n\n")[0] or text[:_MAX_TEXT_CHARS]


def _refusal(capture: Capture, reason: str, finding: str) -> dict[str, Any]:
    excerpt = clean(capture.body[: 4 * EXCERPT_CHARS].decode("utf-8", "replace"))
    return {
        "reason": reason,
        "finding": clean(finding) or reason,
        "row": excerpt[:EXCERPT_CHARS] if excerpt else None,
    }
