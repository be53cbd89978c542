"""Captured responses → documents: runs each source's page object and fills in what every document carries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.crawling.sources.base import Captured, PageError, Source
from sourcing.crawling.sources.reading import clean
from sourcing.store.schemas import Document, Rejected
from sourcing.store.workspace import rejected_frame

__all__ = ["document_id", "extract_documents"]

_WORDS = ("title", "artist", "album", "tags", "lead", "text")  # columns that carry someone's words
_MAX_TEXT_CHARS = 400_000  # longer prose is cut at a paragraph: no page about a recording is longer
_EXCERPT_CHARS = 200

_Rank = tuple[datetime, str]  # when it was retrieved, then the body's hash, so that ties have an order


@dataclass
class _Address:
    """What the captures of one address came to."""

    newest: tuple[_Rank, Captured] | None = None
    sound: tuple[_Rank, list[dict[str, Any]], list[dict[str, Any]]] | None = None  # documents, rejections
    failed: tuple[_Rank, dict[str, Any]] | None = None


def extract_documents(
    captured: Iterable[Captured], sources: Mapping[str, Source]
) -> tuple[dy.DataFrame[Document], dy.DataFrame[Rejected]]:
    """Documents sorted by doc_id, and a rejected row per address that gave none although it should have.

    An address captured several times counts once: its newest readable capture gives the documents, its newest
    capture says whether its site consents. One doc_id from several addresses: the newest stays. `sources` are
    the effective declarations; bodies are read one at a time and not kept.
    """
    addresses: dict[tuple[str, str], _Address] = {}
    for capture in captured:
        _read(capture, sources, addresses.setdefault((capture.source, capture.url), _Address()))

    documents: dict[str, tuple[_Rank, dict[str, Any]]] = {}
    rejected: list[dict[str, Any]] = []
    for _, address in sorted(addresses.items()):
        assert address.newest is not None
        newest = address.newest[1]
        if newest.consent != "allow":
            signals = ", ".join(newest.consent_evidence) or "no signal recorded"
            rejected.append(_rejection(newest, "consent_denied", f"the site or page says no: {signals}"))
        elif address.sound is not None:
            rank, rows, refused = address.sound
            rejected.extend(refused)
            for row in rows:
                known = documents.get(row["doc_id"])
                if known is None or (rank, row["url"]) > (known[0], known[1]["url"]):
                    documents[row["doc_id"]] = (rank, row)
        elif address.failed is not None:
            rejected.append(address.failed[1])

    rows = [documents[doc_id][1] for doc_id in sorted(documents)]
    good, failure = Document.filter(pl.DataFrame(rows, schema=Document.create_empty().schema, orient="row"))
    for row in failure.invalid().to_dicts():
        finding = f"a document titled {str(row['title_raw'])[:_EXCERPT_CHARS]!r} breaks a rule of the schema"
        rejected.append({"stage": "extract", "key": row["url"], "reason": "document_invalid", "finding": finding})
    return Document.validate(good.sort("doc_id")), rejected_frame(rejected)


def document_id(source: str, record_id: str) -> str:
    """`source:` and 16 hex digits of the record's own id or canonical address."""
    return f"{source}:{hashlib.sha256(record_id.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _read(capture: Captured, sources: Mapping[str, Source], address: _Address) -> None:
    digest = hashlib.sha256(capture.body).hexdigest()
    rank = (capture.retrieved_at, digest)
    if address.newest is None or rank > address.newest[0]:
        address.newest = rank, _without_body(capture)
    if capture.consent != "allow":
        return  # words of a page that says no are not even read
    try:
        rows, refused = _documents(capture, digest, sources)
    except PageError as error:
        rejection = _rejection(capture, error.reason, error.finding)
    except Exception as error:
        # A page object met something its author did not think of: the page is set aside, with the kind of
        # mistake for us to mend, and every other page is still read.
        rejection = _rejection(capture, "page_object_failed", f"{type(error).__name__}: {str(error)[:_EXCERPT_CHARS]}")
    else:
        if address.sound is None or rank > address.sound[0]:
            address.sound = rank, rows, refused
        return
    if address.failed is None or rank > address.failed[0]:
        address.failed = rank, rejection


def _documents(
    capture: Captured, digest: str, sources: Mapping[str, Source]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    source = sources.get(capture.source)
    if source is None:
        raise PageError("source_unknown", f"there is no source called {capture.source!r}")
    page = source.page_for(capture.kind)(capture, source)
    rows = [_filled(row, capture, digest, source) for row in page.documents()]
    return rows, [_rejection(capture, error.reason, error.finding) for error in page.refused]


def _filled(row: Mapping[str, Any], capture: Captured, digest: str, source: Source) -> dict[str, Any]:
    """The page's columns with everything else a document carries."""
    row = {**row, **{key: clean(row.get(key)) for key in ("title", "title_raw", "artist", "album", "lead", "text")}}
    row["text"] = _shortened(row["text"])
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
    }
    nullable = (
        "permalink",
        "title",
        "title_raw",
        "artist",
        "album",
        "year",
        "duration_s",
        "mbid",
        "language",
        "lead",
        "text",
    )
    document.update({key: row.get(key) for key in nullable})
    document["licences"] = _licences(document, source.licences, row.get("licences") or {}, source.attribution)
    return document


def _licences(
    document: Mapping[str, Any], declared: Mapping[str, str], stated: Mapping[str, str], template: str
) -> list[dict[str, Any]]:
    """An entry per column of words it has, and "*" for its facts; what a page states goes before what is declared."""
    columns = [column for column in _WORDS if document.get(column)]
    attribution = template.format_map({key: "" if value is None else value for key, value in document.items()})
    entries = []
    for column in [*columns, "*"]:
        licence = stated.get(column) or stated.get("*") or declared.get(column) or declared.get("*") or "unknown"
        entries.append({"field": column, "licence": licence, "attribution": attribution or None})
    return entries


def _shortened(text: str | None) -> str | None:
    if text is None or len(text) <= _MAX_TEXT_CHARS:
        return text
    return text[:_MAX_TEXT_CHARS].rpartition("\n\n")[0] or text[:_MAX_TEXT_CHARS]


def _rejection(capture: Captured, reason: str, finding: str) -> dict[str, Any]:
    excerpt = clean(capture.body[: 4 * _EXCERPT_CHARS].decode("utf-8", "replace"))
    return {
        "stage": "extract",
        "key": capture.url,
        "reason": reason,
        "finding": clean(finding) or reason,
        "row": excerpt[:_EXCERPT_CHARS] if excerpt else None,
    }


def _without_body(capture: Captured) -> Captured:
    return replace(capture, body=b"")
