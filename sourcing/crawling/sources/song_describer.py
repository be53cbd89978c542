"""Song Describer: captions that volunteers wrote for Jamendo tracks, up to five of one track.

Read: song_describer.csv - caption_id, track_id, caption, is_valid_subset, duration (of the whole track) - with
titles, artists and albums by number from MTG-Jamendo's raw.meta.tsv. A caption its reviewers marked as not valid is
rejected; one they could not agree on (empty) is kept. Its authors made it for evaluation alone. Not read: the
annotators' familiarity, the audio, and song_describer.mtg-jamendo.tsv, whose tags `mtg_jamendo` imports.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from sourcing.crawling.parsing.tables import (
    RowPage,
    Table,
    needed,
    positive,
    read_rows,
    records,
)
from sourcing.crawling.parsing.values import first_sentences
from sourcing.crawling.source import DumpRecord, PageError, Source, nothing_to_ask
from sourcing.crawling.sources.mtg_jamendo import NAMES_LICENCE, jamendo_names, jamendo_number, named_columns

__all__ = ["SOURCE", "CaptionPage", "read_dump"]

HOME = "https://zenodo.org/records/10072001"
_CAPTIONS = Table(
    required=("caption_id", "track_id", "caption"),
    optional=("is_valid_subset", "duration"),
    cure="give song_describer.csv",
)


def read_dump(path: Path) -> Iterator[DumpRecord]:
    """A record per caption: a track with three captions is three documents."""
    rows, names = read_rows(path, _CAPTIONS), jamendo_names(path)
    named_rows = ({**row, **names.get(jamendo_number(row.get("track_id")), {})} for row in rows)
    return records(path, named_rows, HOME, lambda row: f"caption-{row['caption_id']}" if row.get("caption_id") else "")


class CaptionPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        caption_id, caption = needed(row, "caption_id"), needed(row, "caption")
        if str(row.get("is_valid_subset")).strip().casefold() == "false":
            raise PageError("caption_not_valid", f"its reviewers turned caption {caption_id} down")
        return [
            {
                "record_id": caption_id,
                "permalink": self.capture.url,
                "granularity": "recording",
                **named_columns(row),
                "duration_s": positive(row.get("duration")),
                "language": "en",
                "lead": first_sentences(caption),
                "text": caption,
            }
        ]


SOURCE = Source(
    name="song_describer",
    title="The Song Describer Dataset",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    licences={"*": "CC-BY-SA-4.0", "title": NAMES_LICENCE, "artist": NAMES_LICENCE, "album": NAMES_LICENCE},
    attribution="The Song Describer Dataset (Manco et al., 2023), {permalink}",
    terms_url="https://zenodo.org/records/10072001",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(CaptionPage,),
    read_dump=read_dump,
)
