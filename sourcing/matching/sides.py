"""Both sides of a comparison, a track and a document, parsed once from table rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sourcing.matching.names import Artist, Title, read_artist, read_title
from sourcing.matching.othernames import NO_OTHER_NAMES, OtherNames, folded_names, folded_titles, with_other_names

__all__ = [
    "DOCUMENT_COLUMNS",
    "TEXT_CHARS",
    "TRACK_COLUMNS",
    "DocumentSide",
    "TrackSide",
    "read_document",
    "read_track",
]

TRACK_COLUMNS = ("track_id", "title", "artist", "mbid", "isrc", "duration_s")
TEXT_CHARS = 6000  # how far into the prose an artist is looked for
DOCUMENT_COLUMNS = (
    *("doc_id", "title", "title_raw", "artist", "mbid", "isrcs", "duration_s"),
    *("other_titles", "other_artists", "granularity", "lead_track_id", "lead", "text"),
)


@dataclass(frozen=True)
class TrackSide:
    """A track's fields, parsed once for comparing."""

    track_id: str
    title: Title
    artist: Artist
    mbid: str | None
    isrc: str | None
    duration_s: float | None
    other_titles: frozenset[str]  # folded


@dataclass(frozen=True)
class DocumentSide:
    """A document's fields, parsed once for comparing; `artist` is None where the source names no artist."""

    doc_id: str
    title: Title | None
    artist: Artist | None
    mbid: str | None
    isrcs: frozenset[str]
    duration_s: float | None
    granularity: str
    lead_track_id: str | None
    heading: str  # title as found
    lead: str
    text: str
    other_titles: frozenset[str]  # folded


def read_track(row: Mapping[str, object], *, other_names: OtherNames = NO_OTHER_NAMES) -> TrackSide:
    artist = with_other_names(read_artist(str(row["artist"])), other_names.artists)
    title = read_title(str(row["title"]), artist=artist)
    return TrackSide(
        track_id=str(row["track_id"]),
        title=title,
        artist=artist,
        mbid=_text(row["mbid"]) or None,
        isrc=_text(row["isrc"]) or None,
        duration_s=_number(row["duration_s"]),
        other_titles=other_names.titles.get((artist.whole, title.full), frozenset()),
    )


def read_document(row: Mapping[str, object]) -> DocumentSide:
    title, title_raw = _text(row["title"]), _text(row["title_raw"])
    isrcs = row["isrcs"]
    artist = read_artist(_text(row["artist"])) if row["artist"] else None
    if artist is not None and (aliases := folded_names(row["other_artists"])):
        artist = with_other_names(artist, {artist.whole: aliases})
    return DocumentSide(
        doc_id=str(row["doc_id"]),
        title=read_title(title or title_raw, title_raw or None, artist=artist) if title or title_raw else None,
        artist=artist,
        mbid=_text(row["mbid"]) or None,
        isrcs=frozenset(isrcs) if isinstance(isrcs, list) else frozenset(),
        duration_s=_number(row["duration_s"]),
        granularity=str(row["granularity"]),
        lead_track_id=_text(row["lead_track_id"]) or None,
        heading=title_raw or title,
        lead=_text(row["lead"]),
        text=_text(row["text"]),
        other_titles=folded_titles(row["other_titles"]),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
