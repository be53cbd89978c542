"""FMA: genres, tags and notes of Free Music Archive tracks, from the tables of fma_metadata.zip.

Read: tracks.csv (two rows of header over a third that names the index) - title, artist, album and its date,
duration, genre_top, genres, tags, information - with the names of genres from genres.csv beside it.
Not read: artists' biographies and albums' notes, counts of listens, the audio's own licence, features.csv,
echonest.csv and the raw_*.csv tables that tracks.csv was made from.
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
    phrases,
    positive,
    read_rows,
    records,
)
from sourcing.crawling.parsing.values import clean, first_sentences, strip_html, tags_of, year_of
from sourcing.crawling.source import DumpRecord, Source, nothing_to_ask
from sourcing.errors import InputError

__all__ = ["SOURCE", "TrackPage", "read_dump"]

HOME = "https://github.com/mdeff/fma"
GENRES_FILE = "genres.csv"


def _header(cells: Iterator[list[str]]) -> list[str]:
    """ "album", "title" in two rows are "album.title"; the third names the index, in its first cell."""
    upper, lower, index = (next(cells, []) for _ in range(3))
    if not index or index[0] != "track_id" or len(upper) != len(lower):
        return upper  # no header of this table, which the columns missing from it will say
    return ["track_id", *(f"{group}.{name}" for group, name in zip(upper[1:], lower[1:], strict=True))]


_TRACKS = Table(
    required=("track_id", "track.title", "track.genres", "track.tags", "artist.name"),
    optional=("album.title", "album.date_released", "track.duration", "track.genre_top", "track.information"),
    names=_header,
    cure="give tracks.csv of fma_metadata.zip",
)
_GENRES = Table(required=("genre_id", "title"), cure="unpack fma_metadata.zip anew")


def read_dump(path: Path) -> Iterator[DumpRecord]:
    """A record per track, its genres' names under `genre_names`."""
    rows, genres = read_rows(path, _TRACKS), _genres(path.parent / GENRES_FILE, path)
    named_rows = ({**row, "genre_names": _named(row, genres)} for row in rows)
    return records(path, named_rows, HOME, lambda row: f"track-{row['track_id']}" if row.get("track_id") else "")


def _genres(table: Path, tracks: Path) -> Mapping[str, str]:
    if not table.is_file():
        finding = f"its genres are numbers, and {GENRES_FILE}, which names them, is not beside it"
        raise InputError(str(tracks), finding, "unpack fma_metadata.zip whole and give its tracks.csv")
    return {str(row.get("genre_id")).strip(): row["title"] for row in read_rows(table, _GENRES) if "title" in row}


def _named(row: Row, genres: Mapping[str, str]) -> list[str]:
    return [genres[number] for number in re.findall(r"\d+", str(row.get("track.genres"))) if number in genres]


class TrackPage(RowPage):
    def documents(self) -> list[dict[str, Any]]:
        row = self.row()
        track_id, title = needed(row, "track_id"), needed(row, "track.title", "title_missing")
        words = row.get("track.information")
        text = clean(strip_html(words)) if isinstance(words, str) else None
        return [
            {
                "record_id": track_id,
                "permalink": self.capture.url,
                "granularity": "recording",
                "title": title,
                "title_raw": title,
                "artist": clean(row.get("artist.name")),
                "album": clean(row.get("album.title")),
                "year": year_of(row.get("album.date_released")),
                "duration_s": positive(row.get("track.duration")),
                "tags": tags_of(
                    [clean(row.get("track.genre_top"))],
                    phrases(row.get("genre_names")),
                    phrases(row.get("track.tags")),
                ),
                "lead": first_sentences(text),
                "text": text,
            }
        ]


SOURCE = Source(
    name="fma",
    title="FMA: A Dataset For Music Analysis",
    ship_class="import",
    base_url=HOME,
    rate_per_s=1.0,
    licences={"*": "CC-BY-4.0"},  # of the metadata; each recording has one of its own
    attribution="FMA: A Dataset For Music Analysis (Defferrard et al., 2017), {permalink}",
    terms_url="https://github.com/mdeff/fma#readme",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,
    pages=(TrackPage,),
    read_dump=read_dump,
)
