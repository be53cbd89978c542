"""Tracks and documents from the few columns a test cares about."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import polars as pl

from sourcing.matching.banding import Thresholds
from sourcing.store.schemas import Document, Track

DEFAULTS = Thresholds(accept_score=0.90, review_score=0.75, max_duration_gap_s=3.0)


def tracks_of(rows):
    filled = [{"track_id": f"t{n:03}", "tags": [], "labels": [], **row} for n, row in enumerate(rows)]
    return Track.validate(pl.DataFrame(filled, schema=Track.create_empty().schema).sort("track_id"))


def documents_of(rows):
    return Document.validate(
        pl.DataFrame([_document(n, row) for n, row in enumerate(rows)], schema=Document.create_empty().schema).sort(
            "doc_id"
        )
    )


def _document(number, row):
    return {
        "doc_id": f"d{number:03}",
        "source": "test",
        "url": f"https://example.org/{number}",
        "retrieved_at": datetime(2026, 1, 1, tzinfo=UTC),
        "content_sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "granularity": "recording",
        "title_raw": row.get("title"),
        "isrcs": [],
        "tags": [],
        "licences": [],
        "consent": "allow",
        "consent_evidence": [],
        **row,
    }
