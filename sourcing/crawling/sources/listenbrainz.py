"""ListenBrainz: what it keeps about a MusicBrainz recording: tags with votes, instruments, artist credit, album."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

from sourcing.crawling.sources.base import Page, PageError, Source, TaskSpec
from sourcing.crawling.sources.musicbrainz import MBID
from sourcing.crawling.sources.reading import as_int, as_list, clean, read_json, year_of

__all__ = ["SOURCE", "RecordingPage", "tasks"]

NAME = "listenbrainz"
_INC = quote("artist tag release", safe="")


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """The recording when its MBID is known; other tracks are led to from MusicBrainz."""
    if track.get("mbid"):
        yield source.ask(RecordingPage.kind, str(track["mbid"]), track_id=str(track["track_id"]))


def _recording_url(mbid: str, source: Source) -> str:
    return f"{source.base_url}/1/metadata/recording/?recording_mbids={quote(mbid, safe='')}&inc={_INC}"


class RecordingPage(Page):
    """Recordings by MBID, each a document. Tags are the recording's own, not those of its artist and album.

    Older entries of the service's cache have no name and length: those columns are null then.
    """

    kind = "recording"

    def documents(self) -> list[dict[str, Any]]:
        answer = read_json(self.captured)
        if isinstance(answer.get("error"), str):
            raise PageError("api_error", answer["error"])
        records = {mbid: record for mbid, record in answer.items() if MBID.fullmatch(mbid) and isinstance(record, dict)}
        if not records:
            raise PageError("recording_missing", "an answer without recordings: the service does not know this MBID")
        return [_document(mbid, record) for mbid, record in records.items()]


def _document(mbid: str, record: Mapping[str, Any]) -> dict[str, Any]:
    recording, artist, release = (_object(record.get(part)) for part in ("recording", "artist", "release"))
    length_ms = as_int(recording.get("length"))
    title = clean(recording.get("name"))
    return {
        "record_id": mbid,
        "permalink": f"https://musicbrainz.org/recording/{mbid}",
        "granularity": "recording",
        "title": title,
        "title_raw": title,
        "artist": clean(artist.get("name")),
        "album": clean(release.get("name")),
        "year": year_of(recording.get("first_release_date")) or as_int(release.get("year")),
        "duration_s": length_ms / 1000 if length_ms and length_ms > 0 else None,
        "mbid": mbid,
        "tags": _tags(record),
    }


def _tags(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Voted tags, most voted first, then the instruments of those who play."""
    counts: dict[str, int] = {}
    for tag in as_list(_object(record.get("tag")).get("recording")):
        name, count = clean(_object(tag).get("tag")), as_int(_object(tag).get("count")) or 0
        if name and count > 0:
            counts[name] = max(counts.get(name, 0), count)
    tags: list[dict[str, Any]] = [
        {"name": name, "count": count} for name, count in sorted(counts.items(), key=lambda tag: (-tag[1], tag[0]))
    ]
    played = (clean(_object(rel).get("instrument")) for rel in as_list(_object(record.get("recording")).get("rels")))
    return tags + [{"name": name, "count": None} for name in dict.fromkeys(played) if name and name not in counts]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


SOURCE = Source(
    name=NAME,
    title="ListenBrainz",
    ship_class="A",
    base_url="https://api.listenbrainz.org",
    rate_per_s=1.0,
    licences={"*": "CC0-1.0", "tags": "CC-BY-NC-SA-3.0"},  # the tags are MusicBrainz's
    attribution="ListenBrainz and MusicBrainz, {permalink}",
    terms_url="https://listenbrainz.org/terms-of-service/",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"recording": _recording_url},
    pages=(RecordingPage,),
    headers={"Accept": "application/json"},
    api_terms="https://listenbrainz.readthedocs.io/en/latest/users/api/index.html",
)
