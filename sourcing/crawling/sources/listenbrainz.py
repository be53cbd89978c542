"""ListenBrainz: what it keeps about a MusicBrainz recording: tags with votes, instruments, artist credit, album."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote

from sourcing.crawling.parsing.values import (
    as_int,
    as_list,
    as_object,
    clean,
    read_json,
    seconds_of_ms,
    voted_tags,
    year_of,
)
from sourcing.crawling.source import ErrorRules, Page, PageError, Source, TaskSpec
from sourcing.crawling.sources.musicbrainz import MBID

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
        answer = read_json(self.capture)
        if isinstance(answer.get("error"), str):
            raise PageError("api_error", answer["error"])
        records = {mbid: record for mbid, record in answer.items() if MBID.fullmatch(mbid) and isinstance(record, dict)}
        if not records:
            raise PageError("recording_missing", "an answer without recordings: the service does not know this MBID")
        return [_document(mbid, record) for mbid, record in records.items()]


def _document(mbid: str, record: Mapping[str, Any]) -> dict[str, Any]:
    recording, artist, release = (as_object(record.get(part)) for part in ("recording", "artist", "release"))
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
        "duration_s": seconds_of_ms(recording.get("length")),
        "mbid": mbid,
        "tags": _tags(record),
    }


def _tags(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Voted tags, most voted first, then instruments of the performers."""
    tag_objects = [as_object(tag) for tag in as_list(as_object(record.get("tag")).get("recording"))]
    tags = voted_tags((clean(tag.get("tag")), as_int(tag.get("count")) or 0) for tag in tag_objects)
    tag_names = {tag["name"] for tag in tags}
    rels = as_list(as_object(record.get("recording")).get("rels"))
    instruments = dict.fromkeys(clean(as_object(rel).get("instrument")) for rel in rels)
    return tags + [{"name": name, "count": None} for name in instruments if name and name not in tag_names]


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
    errors=ErrorRules(
        codes=("code", "error"),
        rules=(
            (r"^429$|rate limit|too many", "later", "rate_exceeded"),
            (r"^5\d\d$|try again|time.?out|timed out|unavailable|server error", "later", "service_failed"),
            (r"^401$|authorization token", "no", "key_refused"),
            (r"^404$|not found", "gone", "not_found"),
        ),
    ),
    headers={"Accept": "application/json"},
    api_terms="https://listenbrainz.readthedocs.io/en/latest/users/api/index.html",
)
