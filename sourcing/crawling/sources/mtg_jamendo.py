"""MTG-Jamendo: genre, instrument and mood/theme tags of Jamendo tracks, from the data set's TSV files.

Read: any of its tag files (raw.tsv, autotagging.tsv, the splits: TRACK_ID, ARTIST_ID, ALBUM_ID, PATH, DURATION and
one TAGS column that goes on to the end of the row), with titles, artists and albums by number from raw.meta.tsv.
Not read: audio, spectrograms and the licences of the audio files, which are no licence of the tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sourcing.crawling.parsing.tables import (
    Row,
    RowPage,
    Table,
    needed,
    positive,
    read_rows,
    records,
)
from sourcing.crawling.parsing.values import as_list, clean, tags_of, year_of
from sourcing.crawling.source import DumpRecord, PageError, Source, nothing_to_ask
from sourcing.errors import InputError

__all__ = ["NAMES_LICENCE", "SOURCE", "TrackPage", "jamendo_names", "jamendo_number", "named_columns", "read_dump"]

HOME = "https://mtg.github.io/mtg-jamendo-dataset"
NAMES_LICENCE = "CC-BY-NC-SA-4.0"
NAMES_FILE = "raw.meta.tsv"
_NUMBER = re.compile(r"(?:track_)?0*([1-9]\d*)")
_TAG = re.compile(r"(?:genre|instrument|mood/theme)---(.+)")
_TAGS = Table(
    required=("TRACK_ID", "DURATION", "TAGS"),
    quoted=False,
    rest=True,
    cure="give one of the set's tag files, such as data/autotagging.tsv",
)
_META = Table(
    required=("TRACK_ID", "TRACK_NAME", "ARTIST_NAME", "ALBUM_NAME", "RELEASEDATE", "URL"),
    quoted=False,  # titles hold single quotation marks: read as CSV, they would join rows
    rest=True,
    cure="fetch it anew from the data folder of MTG-Jamendo",
)


def read_dump(path: Path) -> Iterator[DumpRecord]:
    """A record per track of a tag file; the names, of 56,639 tracks in all, are held in memory, the file is not."""
    rows, names = read_rows(path, _TAGS), jamendo_names(path)
    named_rows = ({**row, **names.get(jamendo_number(row.get("TRACK_ID")), {})} for row in rows)
    return records(path, named_rows, HOME, lambda row: str(row.get("TRACK_ID") or "").strip())


def jamendo_names(path: Path) -> Mapping[str, Row]:
    """Jamendo's number of a track → TRACK_NAME, ARTIST_NAME, ALBUM_NAME, RELEASEDATE.

    From raw.meta.tsv in the folder of `path` or the two above it (the splits lie two below); InputError without it,
    because rows that name their tracks by number alone match no catalogue.
    """
    folders = [path.parent, *path.absolute().parent.parents[:2]]
    names_path = next((folder / NAMES_FILE for folder in folders if (folder / NAMES_FILE).is_file()), None)
    if names_path is None:
        finding = f"it names tracks by Jamendo's numbers alone, and there is no {NAMES_FILE} beside it"
        raise InputError(str(path), finding, f"put {NAMES_FILE} of MTG-Jamendo into its folder")
    names = {}
    for row in read_rows(names_path, _META):
        number, end = (
            jamendo_number(row.get("TRACK_ID")),
            as_list(row.get("URL")),
        )  # the last column and what follows it
        if len(end) == 2 and not row["ARTIST_NAME"]:
            # Two rows of the published file are said to hold an empty cell between title and artist.
            row = {**row, "ARTIST_NAME": row["ALBUM_NAME"], "ALBUM_NAME": row["RELEASEDATE"], "RELEASEDATE": end[0]}
        if number:
            names[number] = {column: row[column] for column in _META.required[1:-1] if row.get(column)}
    return names


def jamendo_number(track_id: Any) -> str:
    """Jamendo's number of a track, which is written "track_0000214" and 214; empty for anything else."""
    match = _NUMBER.fullmatch(str(track_id).strip())
    return match[1] if match else ""


def named_columns(row: Row) -> dict[str, Any]:
    """Columns of a document from a row that `jamendo_names` has completed."""
    title = clean(row.get("TRACK_NAME"))
    return {
        "title": title,
        "title_raw": title,
        "artist": clean(row.get("ARTIST_NAME")),
        "album": clean(row.get("ALBUM_NAME")),
        "year": year_of(row.get("RELEASEDATE")),
    }


class TrackPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        track_id = needed(row, "TRACK_ID")
        tags = [_TAG.fullmatch(str(tag).strip()) for tag in as_list(row.get("TAGS"))]
        if not any(tags):
            raise PageError("tags_missing", f"track {track_id} has no tag of a category the data set knows")
        return [
            {
                "record_id": track_id,
                "permalink": self.capture.url,
                "granularity": "recording",
                **named_columns(row),
                "duration_s": positive(row.get("DURATION")),
                "tags": tags_of(clean(tag[1]) for tag in tags if tag),
            }
        ]


SOURCE = Source(
    name="mtg_jamendo",
    title="MTG-Jamendo",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    licences={"*": NAMES_LICENCE},
    attribution="The MTG-Jamendo Dataset (Bogdanov et al., 2019), {permalink}",
    terms_url="https://github.com/MTG/mtg-jamendo-dataset#license",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(TrackPage,),
    read_dump=read_dump,
)
