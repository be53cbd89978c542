"""Last.fm: a track by artist and title, with listeners' tags, their counts, and the wiki text about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus, urlencode

from sourcing.crawling.parsing.values import (
    as_int,
    as_list,
    as_object,
    clean,
    first_sentences,
    read_json,
    seconds_of_ms,
    strip_html,
)
from sourcing.crawling.source import ErrorRules, Key, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "TopTagsPage", "TrackPage", "tasks"]

NAME = "lastfm"
_TERMS = "LicenseRef-lastfm-terms"
_WIKI_LICENCE = "CC-BY-SA-3.0"
#: Error numbers of the API, which come with HTTP status 200 as well, and what they mean for a crawl.
_ERRORS = {
    6: "not_found",
    8: "service_failed",
    10: "key_refused",
    11: "service_failed",
    16: "service_failed",
    26: "key_refused",
    29: "rate_exceeded",
}
#: How wiki texts end: a link back to the site, and since about 2010 a sentence about the licence.
_FOOTER = re.compile(
    r"\s*(?:<a\s[^>]*>[^<]*last\.fm[^<]*</a>\s*\.?\s*)?"
    r"(?:User-contributed text is available under the Creative Commons By-SA License[^<]*)?\s*$",
    re.IGNORECASE,
)


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One seed per track, by artist and title: the site names records so, and few of them by their MBID."""
    url = _method_url("track.getInfo", str(track["artist"]), str(track["title"]), source)
    yield TaskSpec(NAME, url, TrackPage.kind, str(track["track_id"]))


def _track_url(ref: str, source: Source) -> str:
    """`ref` is a path of the site behind /music/, as Wikidata's "Last.fm ID" has it: Harbour+%26+Kite/_/Low+Tide."""
    artist, _, title = ref.strip("/").partition("/_/")
    if not artist or not title:
        raise PageError("reference_unreadable", f"{ref[:100]!r} where Artist/_/Title was expected")
    return _method_url("track.getInfo", unquote_plus(artist), unquote_plus(title), source)


def _method_url(method: str, artist: str, title: str, source: Source) -> str:
    words = {"method": method, "artist": artist, "track": title, "autocorrect": 1, "format": "json"}
    parameters = {name: " ".join(str(word).split()) for name, word in words.items()}
    return f"{source.base_url}/2.0/?{urlencode(parameters, quote_via=quote)}"


class TrackPage(Page):
    """track.getInfo: facts, the five top tags without counts, and the wiki text."""

    kind = "track"

    def documents(self) -> list[dict[str, Any]]:
        track = self._track()
        title, artist = clean(track.get("name")), _artist(track)
        if title is None or artist is None:
            raise PageError("not_a_track", f"a track with name {title!r} by {artist!r}")
        album, wiki = as_object(track.get("album")), as_object(track.get("wiki"))
        text, summary = _wiki_text(wiki.get("content")), _wiki_text(wiki.get("summary"))
        return [
            {
                "record_id": f"{artist}/_/{title}",
                "permalink": _url(track) or _site_url(artist, title),
                "granularity": "recording",
                "title": title,
                "title_raw": title,
                "artist": artist,
                "album": clean(album.get("title")),
                "duration_s": seconds_of_ms(track.get("duration")),
                # Its "mbid" is now a track's, now a recording's that was merged away since: no identifier to go by.
                "tags": _tags(track.get("toptags")),
                "lead": first_sentences(summary or text),
                "text": text or summary,
            }
        ]

    def follow(self) -> Iterable[TaskSpec]:
        """A task for all tags with counts, for tracks with tags."""
        track = self._track()
        artist, title = _artist(track), clean(track.get("name"))
        if artist and title and _tags(track.get("toptags")):
            yield TaskSpec(NAME, _method_url("track.getTopTags", artist, title, self.source), TopTagsPage.kind)

    def _track(self) -> Mapping[str, Any]:
        track = _answer(self).get("track")
        if not isinstance(track, dict):
            raise PageError("not_a_track", "an answer without a track")
        return track


class TopTagsPage(Page):
    """track.getTopTags: up to a hundred tags; a count is relative to the most given tag, which has 100."""

    kind = "toptags"

    def documents(self) -> list[dict[str, Any]]:
        toptags = _answer(self).get("toptags")
        about = as_object(as_object(toptags).get("@attr"))
        title, artist = clean(about.get("track")), clean(about.get("artist"))
        if title is None or artist is None:
            raise PageError("not_a_track", f"tags of a track with name {title!r} by {artist!r}")
        tags = _tags(toptags)
        if not tags:
            return []
        return [
            {
                "record_id": f"toptags {artist}/_/{title}",
                "permalink": f"{_site_url(artist, title)}/+tags",
                "granularity": "recording",
                "title": title,
                "title_raw": title,
                "artist": artist,
                "tags": tags,
            }
        ]


def _answer(page: Page) -> dict[str, Any]:
    answer = read_json(page.capture)
    if "error" in answer:
        code = as_int(answer["error"]) or 0
        raise PageError(_ERRORS.get(code, "api_error"), f"error {code}: {str(answer.get('message'))[:200]}")
    return answer


def _artist(track: Mapping[str, Any]) -> str | None:
    artist = track.get("artist")
    return clean(artist.get("name") if isinstance(artist, dict) else artist)


def _url(track: Mapping[str, Any]) -> str | None:
    url = clean(track.get("url"))
    return url if url and url.startswith(("https://", "http://")) else None


def _site_url(artist: str, title: str) -> str:
    return f"https://www.last.fm/music/{quote_plus(artist)}/_/{quote_plus(title)}"


def _tags(toptags: Any) -> list[dict[str, Any]]:
    """One tag comes as an object, several as a list; tags nobody gives any more have the count 0."""
    counts: dict[str, int | None] = {}
    for tag in as_list(as_object(toptags).get("tag")):
        name = clean(tag.get("name")) if isinstance(tag, dict) else None
        count = as_int(tag.get("count")) if isinstance(tag, dict) else None
        if name is not None and count != 0:
            counts.setdefault(name, count)
    return [{"name": name, "count": count} for name, count in sorted(counts.items(), key=lambda tag: -(tag[1] or 0))]


def _wiki_text(text: Any) -> str | None:
    """Without the footer; the site's wiki writes paragraphs as lines with a blank in front."""
    if not isinstance(text, str):
        return None
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", _FOOTER.sub("", text))
    return clean(strip_html(text))


SOURCE = Source(
    name=NAME,
    title="Last.fm",
    ship_class="B",
    base_url="https://ws.audioscrobbler.com",
    rate_per_s=4.0,
    licences={"*": _TERMS, "lead": _WIKI_LICENCE, "text": _WIKI_LICENCE},
    attribution="Last.fm, powered by AudioScrobbler, {permalink}",
    terms_url="https://www.last.fm/api/tos",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"track": _track_url},
    pages=(TrackPage, TopTagsPage),
    storage_cap_mb=100.0,  # the terms' "reasonable usage cap"
    key=Key(env="LASTFM_API_KEY", parameter="api_key"),
    headers={"Accept": "application/json"},
    errors=ErrorRules(  # https://www.last.fm/api/errorcodes
        codes=("error",),
        message="message",
        rules=(
            (r"^29$", "later", "rate_exceeded"),
            (r"^(?:8|11|16)$", "later", "service_failed"),
            (r"^(?:4|10|26)$", "no", "key_refused"),
            (r"^6$", "gone", "not_found"),
        ),
    ),
    api_terms="https://www.last.fm/api",
)
