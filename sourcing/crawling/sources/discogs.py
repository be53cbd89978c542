"""Discogs: releases and master releases, by id or found by artist and track, with genres, styles and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from sourcing.crawling.dumps import read_discogs_xml
from sourcing.crawling.parsing.credits import names_nobody
from sourcing.crawling.parsing.values import (
    as_int,
    as_list,
    clean,
    duration_s,
    first_sentences,
    read_json,
    strip_html,
    year_of,
)
from sourcing.crawling.source import ErrorRules, Key, Lead, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "MasterPage", "ReleasePage", "SearchPage", "tasks"]

NAME = "discogs"
MAX_HITS = 2
_SEARCH_LIMIT = 10
_NUMBERED = re.compile(r"\s*\(\d+\)$")  # "Harbour (3)": the third artist of that name
_ARTICLE_LAST = re.compile(r"^(.+), (the|a|an|die|der|das|les?|la|los|las|el|i)$", re.IGNORECASE)
#: [a=Name] and [l=Name] name an artist or label; [a123], [r=123], [m123] point at a record by its number alone.
_NAMED_LINK = re.compile(r"\[[al]=([^\[\]]*?[^\[\]\d][^\[\]]*)\]")
_NUMBERED_LINK = re.compile(r"\[[a-z]=?\d+\]")
_STYLING = re.compile(r"\[/?(?:b|i|u|s|url|img|quote)(?:=[^\[\]]*)?\]", re.IGNORECASE)


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """A search for releases by artist and track: the database knows no identifier of a recording."""
    words = {"type": "release", "artist": track["artist"], "track": track["title"], "per_page": _SEARCH_LIMIT}
    parameters = urlencode({name: " ".join(str(word).split()) for name, word in words.items()}, quote_via=quote)
    yield TaskSpec(NAME, f"{source.base_url}/database/search?{parameters}", SearchPage.kind, str(track["track_id"]))


def _release_url(ref: str, source: Source) -> str:
    return f"{source.base_url}/releases/{quote(ref, safe='')}"


def _master_url(ref: str, source: Source) -> str:
    return f"{source.base_url}/masters/{quote(ref, safe='')}"


class ReleasePage(Page):
    """One edition of an album or single; a row's key `tracks`, which is no column, tells what is on it."""

    kind = "release"

    def documents(self) -> list[dict[str, Any]]:
        answer = read_json(self.capture)
        record_id, title = as_int(answer.get("id")), clean(answer.get("title"))
        if record_id is None or title is None:
            if message := clean(answer.get("message")):
                raise PageError("api_error", message)
            raise PageError("not_a_release", f"a {self.kind} with id {answer.get('id')!r} and title {title!r}")
        artist = _credit(answer.get("artists"))
        notes = _notes(answer.get("notes"))
        row = {
            "record_id": f"{self.kind}/{record_id}",
            "permalink": f"https://www.discogs.com/{self.kind}/{record_id}",
            "granularity": "release",
            "title": title,
            "title_raw": title,
            "artist": artist,
            "album": title,
            "year": _year(answer),
            "tags": _tags(answer),
            "lead": first_sentences(notes),
            "text": notes,
            "tracks": list(_tracks(answer.get("tracklist"), artist)),
        }
        # The dumps are CC0 as a whole, notes included; the API mixes CC0 data with data that is not.
        return [{**row, "licences": {"*": "CC0-1.0"}} if self.capture.form == "resource" else row]


class MasterPage(ReleasePage):
    """A master release, common to all editions of an album or single; without notes."""

    kind = "master"


class SearchPage(Page):
    """A list of releases that carry the track: it only leads to lookups of the most plausible ones."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        _hits(self)
        return []

    def follow(self) -> Iterable[Lead]:
        """Masters rather than editions, by the artist that was asked for; else the first hit by a single artist."""
        artist_asked = parse_qs(urlsplit(self.capture.url).query).get("artist", [""])[0]
        hits = [(_plain(artist), lead) for artist, lead in _hits(self) if not names_nobody(artist, "recording")]
        equal = [lead for artist, lead in hits if artist == _plain(artist_asked)]
        yield from list(dict.fromkeys(equal))[:MAX_HITS] or [lead for _, lead in hits[:1]]


def _hits(page: Page) -> list[tuple[str, Lead]]:
    """(artist, lead) of every hit that can be looked up, best first; titles read "Artist - Release"."""
    results = read_json(page.capture).get("results")
    if not isinstance(results, list):
        raise PageError("results_missing", "a search answer without a list of results")
    hits = []
    for hit in results:
        if not isinstance(hit, dict):
            continue
        master_id, record_id = as_int(hit.get("master_id")), as_int(hit.get("id"))
        kind, number = ("master", master_id) if master_id else (str(hit.get("type")), record_id)
        artist, dash, _ = (clean(hit.get("title")) or "").partition(" - ")
        if dash and number and kind in ("release", "master"):
            hits.append((_name(artist.removesuffix("*")), Lead(NAME, kind, str(number))))
    return hits


def _credit(artists: Any) -> str | None:
    """Artist names as printed on the release, with the joins between them: "Harbour & Kite"."""
    parts: list[str] = []
    for artist in as_list(artists):
        name = clean(artist.get("anv")) or _name(clean(artist.get("name")) or "") if isinstance(artist, dict) else ""
        if name:
            join = clean(artist.get("join")) or ","
            parts += [name, ", " if join == "," else f" {join} "]
    return clean("".join(parts[:-1]))


def _name(name: str) -> str:
    """Without the number that tells namesakes apart, and with the article in front: "Persuader, The (2)"."""
    name = _NUMBERED.sub("", name)
    return _ARTICLE_LAST.sub(r"\2 \1", name)


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", name.casefold()).split()).removeprefix("the ")


def _year(answer: Mapping[str, Any]) -> int | None:
    year = as_int(answer.get("year")) or 0  # 0 where nobody knows
    return year if 1000 <= year <= 2999 else year_of(answer.get("released"))


def _tags(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Genres, which are broad, then styles; the site has no votes on them."""
    names = [clean(name) for name in [*as_list(answer.get("genres")), *as_list(answer.get("styles"))]]
    return [{"name": name, "count": None} for name in dict.fromkeys(names) if name]


def _notes(notes: Any) -> str | None:
    """Notes without markup: links by name keep the name, links by number go."""
    if not isinstance(notes, str):
        return None
    text = _NUMBERED_LINK.sub("", _NAMED_LINK.sub(lambda match: _name(match[1]), notes))
    return clean(strip_html(_STYLING.sub("", text)))


def _tracks(tracklist: Any, artist: str | None) -> Iterator[dict[str, Any]]:
    """Titles with their own credit or else the release's; parts of an index track, but no headings."""
    for track in as_list(tracklist):
        if not isinstance(track, dict) or track.get("type_") == "heading":
            continue
        parts = as_list(track.get("sub_tracks"))
        if parts:
            yield from _tracks(parts, _credit(track.get("artists")) or artist)
        if (title := clean(track.get("title"))) is not None:
            credit = _credit(track.get("artists")) or artist
            yield {"title": title, "artist": credit, "duration_s": duration_s(track.get("duration"))}


SOURCE = Source(
    name=NAME,
    title="Discogs",
    ship_class="B",
    base_url="https://api.discogs.com",
    rate_per_s=1.0,
    licences={"*": "CC0-1.0", "lead": "unknown", "text": "unknown"},
    attribution="Discogs, {permalink}",
    terms_url="https://support.discogs.com/hc/en-us/articles/360009334593-API-Terms-of-Use",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"release": _release_url, "master": _master_url},
    pages=(ReleasePage, MasterPage, SearchPage),
    errors=ErrorRules(
        codes=("message",),
        hint=rb'"message"',
        rules=(
            (r"too quickly|too many|rate limit|slow down", "later", "rate_exceeded"),
            (r"try again|time.?out|timed out|unavailable|server error|query time", "later", "service_failed"),
            (r"must authenticate|invalid (?:consumer|token|credential)", "no", "key_refused"),
            (r"not found|deleted", "gone", "not_found"),
        ),
    ),
    key=Key(env="DISCOGS_TOKEN", header="Authorization", template="Discogs token={key}"),
    headers={"Accept": "application/json"},
    api_terms="https://www.discogs.com/developers",
    read_dump=read_discogs_xml,
)
