"""LP-MusicCaps: captions a language model (GPT-3.5) wrote from the tags of three data sets.

Read: the Parquet files of its three parts - MSD (track_id, title, artist_name, release, year, tag), MTT (tag_top50,
tag_top188) and MC (ytid, start_s, aspect_list) - with caption_writing, caption_summary and caption_paraphrase, the
paragraphs of one text. Not read: caption_attribute_prediction and pseudo_attribute, which its authors advise
against, and caption_ground_truth, which is MusicCaps' own caption under MusicCaps' licence.
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
    phrases,
    read_rows,
    records,
)
from sourcing.crawling.parsing.values import as_int, clean, first_sentences, tags_of, year_of
from sourcing.crawling.source import DumpRecord, PageError, Source, nothing_to_ask

__all__ = ["SOURCE", "CaptionsPage", "read_dump"]

HOME = "https://github.com/seungheondoh/lp-music-caps"
_CAPTIONS = ("caption_writing", "caption_summary", "caption_paraphrase")
_PARTS = Table(
    required=_CAPTIONS,
    optional=(
        *("track_id", "title", "artist_name", "release", "year", "tag"),  # MSD
        *("tag_top188", "tag_top50"),  # MTT, with MSD's first four
        *("ytid", "start_s", "aspect_list"),  # MC
    ),
    cure="give a Parquet file of LP-MusicCaps-MSD, -MTT or -MC",
)
_MUSICCAPS_LICENCE = "CC-BY-SA-4.0"


def read_dump(path: Path) -> Iterator[DumpRecord]:
    return records(path, read_rows(path, _PARTS), HOME, _name)


def _name(row: Row) -> str:
    """Name of a row, by part and identifier: "msd-TR…", "mtt-2", "mc-<video>@<second>"; empty without a name."""
    video, track_id = str(row.get("ytid") or "").strip(), str(row.get("track_id") or "").strip()
    if video:
        return f"mc-{video}@{row.get('start_s') or 0}"
    part = "mtt" if "tag_top188" in row or "tag_top50" in row else "msd"
    return f"{part}-{track_id}" if track_id else ""


class CaptionsPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        name = _name(row)
        if not name:
            raise PageError("id_missing", "a row with neither track_id nor ytid")
        captions = dict.fromkeys(caption for caption in (clean(row.get(column)) for column in _CAPTIONS) if caption)
        if not captions:
            raise PageError("captions_missing", f"row {name} has no caption")  # 4,000 rows of MTT are so
        document: dict[str, Any] = {
            "record_id": name,
            "permalink": self.capture.url,
            "granularity": "recording",
            "title": clean(row.get("title")),
            "title_raw": clean(row.get("title")),
            "artist": clean(row.get("artist_name")),
            "album": clean(row.get("release")),
            "year": year_of(str(as_int(row.get("year")) or "")),  # 0 where MSD knows none
            "language": "en",
            "tags": tags_of(_tags(row)),
            "lead": first_sentences(next(iter(captions))),
            "text": "\n\n".join(captions),
        }
        if "aspect_list" in row:
            document["licences"] = {"tags": _MUSICCAPS_LICENCE}
        return [document]


def _tags(row: Row) -> list[str]:
    columns = ("aspect_list", "tag", "tag_top188", "tag_top50")
    return next((phrases(row[column]) for column in columns if row.get(column)), [])


SOURCE = Source(
    name="lp_musiccaps",
    title="LP-MusicCaps",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    # Its repository says CC-BY-NC-4.0, the cards of its files MIT (read in November 2026): the stricter one holds.
    # The tags are those of other data sets (Million Song Dataset, MagnaTagATune), whose terms it does not state.
    licences={"*": "CC-BY-NC-4.0", "tags": "unknown"},
    attribution="LP-MusicCaps (Doh et al., 2023), captions written by a language model, {permalink}",
    terms_url="https://github.com/seungheondoh/lp-music-caps#license",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(CaptionsPage,),
    read_dump=read_dump,
)
