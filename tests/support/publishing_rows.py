"""Small workspace tables for publishing tests: tracks by invented artists, documents, descriptions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl

from sourcing.store import Description, Document, Track

THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def track(track_id: str, artist: str = "Ada Loom", **given: Any) -> dict[str, Any]:
    row = dict.fromkeys(Track.column_names())
    return {
        **row,
        "track_id": track_id,
        "title": f"Song {track_id}",
        "artist": artist,
        "tags": [],
        "labels": [],
        **given,
    }


def document(
    doc_id: str, text: str = "A slow piano piece.", licence: str = "CC-BY-SA-4.0", **given: Any
) -> dict[str, Any]:
    row = dict.fromkeys(Document.column_names())
    facts = {
        "source": "wikipedia",
        "url": f"https://example.org/{doc_id}",
        "retrieved_at": THEN,
        "content_sha256": "0" * 64,
        "granularity": "recording",
        "isrcs": [],
        "tags": [],
        "lead": text,
        "text": text,
        "licences": [{"field": "*", "licence": licence, "attribution": None}],
        "consent": "allow",
        "consent_evidence": [],
    }
    return {**row, "doc_id": doc_id, **facts, **given}


def description(description_id: str, track_id: str, text: str = "slow piano", **given: Any) -> dict[str, Any]:
    """One from the catalogue's own words; give `origin` and `doc_ids` for others."""
    row = dict.fromkeys(Description.column_names())
    evidence = [{"doc_id": doc_id, "start": 2, "end": 12} for doc_id in given.get("doc_ids", [])[:1]]
    facts = {
        "origin": "catalogue",
        "language": "en",
        "aspect_list": [text],
        "aspects": [{"text": text, "facet": "instrument", "evidence": evidence}],
        "caption": f"{text}, quietly played",
        "doc_ids": [],
        "licences": ["owner"],
        "created_at": THEN,
    }
    return {**row, "description_id": description_id, "track_id": track_id, **facts, **given}


def frames(
    tracks: list[dict[str, Any]], documents: list[dict[str, Any]], descriptions: list[dict[str, Any]]
) -> dict[str, pl.DataFrame]:
    return {
        "tracks": pl.DataFrame(tracks, schema=Track.create_empty().schema, orient="row"),
        "documents": pl.DataFrame(documents, schema=Document.create_empty().schema, orient="row"),
        "descriptions": pl.DataFrame(descriptions, schema=Description.create_empty().schema, orient="row"),
    }


def small_tables(artists: int = 12, tracks_each: int = 3) -> dict[str, pl.DataFrame]:
    """`artists * tracks_each` tracks, each with a catalogue description and a mined one over its own document."""
    ids = [
        (f"t{artist:02d}-{index}", f"Artist {artist:02d}") for artist in range(artists) for index in range(tracks_each)
    ]
    return frames(
        [track(track_id, artist) for track_id, artist in ids],
        [document(f"doc:{track_id}") for track_id, _ in ids],
        [
            *(description(f"c-{track_id}", track_id) for track_id, _ in ids),
            *(
                description(
                    f"m-{track_id}",
                    track_id,
                    origin="mined",
                    doc_ids=[f"doc:{track_id}"],
                    licences=["CC-BY-SA-4.0"],
                    prompt="mine@1.0.0",
                    prompt_hash="ab" * 32,
                    model="tiny",
                )
                for track_id, _ in ids
            ),
        ],
    )
