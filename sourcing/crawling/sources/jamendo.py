"""Jamendo: facts and tags of tracks found by title and artist, each under the track's own licence; no prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.search_hits import asked_in, plausible
from sourcing.crawling.parsing.values import as_int, as_list, as_object, clean, licence_of, read_json, tags_of, year_of
from sourcing.crawling.source import ErrorRules, Key, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "SearchPage", "TrackPage", "tasks"]

NAME = "jamendo"
MAX_HITS = 3
_SEARCH_LIMIT = 10
_SPEEDS = {
    "verylow": "very slow",
    "low": "slow",
    "medium": "medium tempo",
    "high": "fast",
    "veryhigh": "very fast",
}
_LANGUAGES = {
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "zh": "Chinese",
}


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track, by title among the artist's tracks."""
    query = {
        "namesearch": " ".join(str(track["title"]).split()),
        "artist_name": " ".join(str(track["artist"]).split()),
        "limit": _SEARCH_LIMIT,
    }
    yield TaskSpec(NAME, _url(source, query), SearchPage.kind, str(track["track_id"]))


def _url(source: Source, query: Mapping[str, Any]) -> str:
    query = {"format": "json", **query, "include": "musicinfo licenses"}
    return f"{source.base_url}/v3.0/tracks/?{urlencode(query, quote_via=quote)}"


def _track_url(track_id: str, source: Source) -> str:
    return _url(source, {"id": track_id})


class TrackPage(Page):
    """A list of tracks; each is a document."""

    kind = "track"

    def documents(self) -> list[dict[str, Any]]:
        return self.read_each(self._records(), _document)

    def _records(self) -> list[dict[str, Any]]:
        return _results(self)


class SearchPage(TrackPage):
    """Hits come as whole records, so the most plausible ones are documents and need no second request."""

    kind = "search"

    def _records(self) -> list[dict[str, Any]]:
        names_with_records = [
            (f"{record.get('name')} {record.get('artist_name')}", record) for record in _results(self)
        ]
        return plausible(asked_in(self.capture.url, "namesearch", "artist_name"), names_with_records, limit=MAX_HITS)


def _results(page: Page) -> list[dict[str, Any]]:
    """The answer's tracks; a refusal too comes with HTTP 200 and tells of itself in `headers`."""
    answer = read_json(page.capture)
    headers = answer.get("headers")
    if not isinstance(headers, dict):
        raise PageError("headers_missing", f"an answer with only {sorted(answer)[:6]}")
    code = as_int(headers.get("code"))
    if code != 0 or headers.get("status") == "failed":
        message = re.sub(r"\b[0-9a-f]{8}\b", "…", str(headers.get("error_message")))  # client ids look so
        raise PageError(f"api_error_{code or 0}", f"status {str(headers.get('status'))[:20]!r}: {message[:200]}")
    results = answer.get("results")
    if not isinstance(results, list):
        raise PageError("results_missing", "an answer without a list of results")
    return [record for record in results if isinstance(record, dict)]


def _document(record: Mapping[str, Any]) -> dict[str, Any]:
    track_id, title = as_int(record.get("id")), _line(record.get("name"))
    if track_id is None or title is None:
        raise PageError("not_a_track", f"a record with id {record.get('id')!r} and name {title!r}")
    length_s = as_int(record.get("duration"))
    licence = licence_of(record.get("license_ccurl"))
    return {
        "record_id": str(track_id),
        "permalink": f"https://www.jamendo.com/track/{track_id}",
        "granularity": "recording",
        "title": title,
        "title_raw": title,
        "artist": _line(record.get("artist_name")),
        "album": _line(record.get("album_name")),  # a single has an empty one
        "year": year_of(record.get("releasedate")),
        "duration_s": float(length_s) if length_s and length_s > 0 else None,
        "tags": _tags(record.get("musicinfo")),
        "licences": {"*": licence} if licence else {},
    }


def _line(value: Any) -> str | None:
    """Names may hold line breaks."""
    return " ".join((clean(value) or "").split()) or None


def _tags(musicinfo: Any) -> list[dict[str, Any]]:
    """Genres, instruments and free tags, then the closed fields in words."""
    info = as_object(musicinfo)
    groups = as_object(info.get("tags"))
    names = [clean(name) for group in ("genres", "instruments", "vartags") for name in as_list(groups.get(group))]
    values = {key: clean(info.get(key)) for key in ("vocalinstrumental", "gender", "acousticelectric", "speed", "lang")}
    sings = values["vocalinstrumental"] != "instrumental"
    names += [values["vocalinstrumental"], values["acousticelectric"], _SPEEDS.get(values["speed"] or "")]
    if sings and values["gender"]:
        names.append(f"{values['gender']} vocals")
    if sings and values["lang"]:
        names.append(f"{_LANGUAGES.get(values['lang'], values['lang'])} lyrics")
    return tags_of(names)


SOURCE = Source(
    name=NAME,
    title="Jamendo",
    ship_class="B",
    base_url="https://api.jamendo.com",
    rate_per_s=1.0,
    licences={"*": "unknown"},
    attribution="“{title}” by {artist}, Jamendo, {permalink}",
    terms_url="https://devportal.jamendo.com/api_terms_of_use",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"track": _track_url},
    pages=(SearchPage, TrackPage),
    daily_cap=1000,  # a free client id is granted about 35,000 requests a month
    key=Key("JAMENDO_CLIENT_ID", parameter="client_id"),
    headers={"Accept": "application/json"},
    errors=ErrorRules(  # https://developer.jamendo.com/v3.0/response-codes
        codes=("headers.code",),
        hint=rb'"code"\s*:\s*"?-?[1-9]',
        rules=(
            (r"^6$", "later", "rate_exceeded"),
            (r"^1$", "later", "service_failed"),
            (r"^(?:5|10|11|12|13)$", "no", "key_refused"),
        ),
    ),
    api_terms="https://developer.jamendo.com/v3.0",
)
