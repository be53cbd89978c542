"""MusicCaps: aspect lists and captions by musicians, of ten-second clips of YouTube videos.

Read: musiccaps-public.csv (or the same columns as Parquet or JSON lines) - ytid, start_s, aspect_list, caption.
The set names neither title nor artist, so its rows match no catalogue by text. Not read: AudioSet's labels, author
and subset columns, and end_s - the clip's length is not the recording's.
"""

from __future__ import annotations

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
from sourcing.crawling.parsing.values import first_sentences, tags_of
from sourcing.crawling.source import DumpRecord, Source, nothing_to_ask

__all__ = ["SOURCE", "ClipPage", "read_dump"]

HOME = "https://huggingface.co/datasets/google/MusicCaps"
_CLIPS = Table(
    required=("ytid", "start_s", "aspect_list", "caption"),
    cure="give musiccaps-public.csv",
)


def read_dump(path: Path) -> Iterator[DumpRecord]:
    return records(path, read_rows(path, _CLIPS), HOME, _name)


def _name(row: Row) -> str:
    """One video may hold several clips."""
    video, start_s = str(row.get("ytid") or "").strip(), str(row.get("start_s") or "0").strip()
    return f"{video}@{start_s}" if video else ""


class ClipPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        needed(row, "ytid")
        caption = needed(row, "caption")
        return [
            {
                "record_id": _name(row),
                "permalink": self.capture.url,
                "granularity": "recording",
                "language": "en",
                "tags": tags_of(phrases(row.get("aspect_list"))),
                "lead": first_sentences(caption),
                "text": caption,
            }
        ]


SOURCE = Source(
    name="musiccaps",
    title="MusicCaps",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    licences={"*": "CC-BY-SA-4.0"},
    attribution="MusicCaps (Agostinelli et al., 2023), {permalink}",
    terms_url="https://huggingface.co/datasets/google/MusicCaps",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(ClipPage,),
    read_dump=read_dump,
)
