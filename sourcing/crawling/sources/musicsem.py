"""MusicSem: how listeners on Reddit describe songs, drawn out of their posts and summed up by language models.

Read: train.csv - song, artist, the summary ("prompt") as text, and the phrases of the lists descriptive, atmospheric
and situational as tags. Not read: raw_text, which is the post itself and its writer's own; contextual, metadata and
pairs, which are about other songs too. A song has a row per post, and each is a document of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from sourcing.crawling.parsing.tables import (
    Row,
    RowPage,
    Table,
    needed,
    phrases,
    read_rows,
    records,
)
from sourcing.crawling.parsing.values import clean, first_sentences, tags_of
from sourcing.crawling.source import DumpRecord, Source, nothing_to_ask

__all__ = ["SOURCE", "PostPage", "read_dump"]

HOME = "https://huggingface.co/datasets/AMSRNA/MusicSem"
_LISTS = ("descriptive", "atmospheric", "situational")
_POSTS = Table(
    required=("unique_id", "song", "artist", "prompt", *_LISTS),
    cure="give train.csv",
)


def read_dump(path: Path) -> Iterator[DumpRecord]:
    return records(path, read_rows(path, _POSTS), HOME, _name)


def _name(row: Row) -> str:
    """The song's number at Spotify, and a hash of the summary: rows of one song have nothing else to tell them."""
    track, summary = str(row.get("unique_id") or "").strip(), str(row.get("prompt") or "").strip()
    digest = hashlib.sha256(summary.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{track}-{digest}" if track and summary else ""


class PostPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        needed(row, "unique_id")
        song, summary = needed(row, "song"), needed(row, "prompt")
        return [
            {
                "record_id": _name(row),
                "permalink": self.capture.url,
                "granularity": "recording",
                "title": song,
                "title_raw": song,
                "artist": clean(row.get("artist")),
                "language": "en",
                "tags": tags_of(*(phrases(row.get(column)) for column in _LISTS)),
                "lead": first_sentences(summary),
                "text": summary,
            }
        ]


SOURCE = Source(
    name="musicsem",
    title="MusicSem",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    # The card says MIT for the set as a whole; the phrases are the posters' own words, which it cannot license.
    licences={"*": "MIT", "tags": "unknown"},
    attribution="MusicSem (Salganik et al., 2026), {permalink}",
    terms_url="https://huggingface.co/datasets/AMSRNA/MusicSem",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(PostPage,),
    read_dump=read_dump,
)
