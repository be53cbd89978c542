"""Bandcamp: the tags and the artist's own words of a track or album page that another source has linked to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sourcing.crawling.sources.base import Page, PageError, Source, nothing_to_ask
from sourcing.crawling.sources.reading import (
    as_list,
    clean,
    decode,
    duration_s,
    first_sentences,
    strip_html,
    tags_of,
    year_of,
)
from sourcing.crawling.sources.structured import Html, name_of, read_html

__all__ = ["SOURCE", "MusicPage"]

NAME = "bandcamp"
BASE_URL = "https://bandcamp.com"
_GRANULARITY = {"MusicRecording": "recording", "MusicAlbum": "release"}
_ADDRESS = re.compile(
    r"https?://(?P<host>[a-z0-9-]+\.bandcamp\.com)(?P<path>/(?:track|album)/[a-z0-9._~%-]+)/?(?:[?#].*)?", re.IGNORECASE
)


def _page_url(ref: str, source: Source) -> str:
    """The address of a track or album page, given in full; its path on another host where settings name one."""
    found = _ADDRESS.fullmatch(ref)
    if found is None:
        raise PageError("not_a_bandcamp_page", f"{ref[:120]!r} is no https://NAME.bandcamp.com/track/… or /album/…")
    host = f"https://{found['host'].lower()}" if source.base_url == BASE_URL else source.base_url
    return f"{host}{found['path']}"


class MusicPage(Page):
    """A track or an album; of its JSON-LD the names, dates, keywords and description, and never the lyrics."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        captured = self.captured
        if captured.status != 200:
            raise PageError(f"status_{captured.status}", f"the answer's HTTP status is {captured.status}")
        html = read_html(decode(captured), captured.url)
        for node in html.nodes:
            granularity = next((_GRANULARITY[name] for name in _types(node) if name in _GRANULARITY), None)
            title = name_of(node.get("name"), html)
            if granularity and title:
                return [_document(node, granularity, title, html)]
        if html.broken:
            raise PageError("json_ld_broken", "; ".join(html.broken[:3]))
        raise PageError("not_a_music_page", "no JSON-LD of a track or an album")


def _types(node: Mapping[str, Any]) -> list[str]:
    return [name for name in as_list(node.get("@type")) if isinstance(name, str)]


def _document(node: Mapping[str, Any], granularity: str, title: str, html: Html) -> dict[str, Any]:
    address = urlunsplit(urlsplit(html.url)._replace(query="", fragment=""))
    words = node.get("description")
    text = clean(strip_html(words)) if isinstance(words, str) else None
    return {
        "record_id": address,
        "permalink": address,
        "granularity": granularity,
        "title": title,
        "title_raw": title,
        "artist": name_of(node.get("byArtist"), html),
        "album": name_of(node.get("inAlbum"), html) if granularity == "recording" else None,
        "year": _year(node.get("datePublished")),
        "duration_s": _duration_s(node.get("duration")),
        "tags": _tags(node, html),
        "lead": first_sentences(text),
        "text": text,
    }


def _year(published: Any) -> int | None:
    """Of "14 Sep 2013 00:00:00 GMT"."""
    found = re.search(r"\b\d{4}\b", published) if isinstance(published, str) else None
    return year_of(found[0]) if found else None


def _duration_s(value: Any) -> float | None:
    """Of "P00H03M46S", an ISO 8601 duration but for its T (seen November 2026)."""
    return duration_s(re.sub(r"^P(?=\d+H)", "PT", value)) if isinstance(value, str) else None


def _tags(node: Mapping[str, Any], html: Html) -> list[dict[str, Any]]:
    """Keywords in the page's order; the artist's town, which Bandcamp puts among them, is not about the music."""
    publisher = node.get("publisher")
    place = name_of(publisher.get("foundingLocation"), html) if isinstance(publisher, dict) else None
    town = (place or "").split(",")[0].casefold()
    texts = (text for text in as_list(node.get("keywords")) if isinstance(text, str))
    names = (clean(part) for text in texts for part in text.split(","))
    return tags_of(name for name in names if name and name.casefold() != town)


SOURCE = Source(
    name=NAME,
    title="Bandcamp",
    ship_class="C",
    base_url=BASE_URL,
    rate_per_s=0.5,
    licences={"*": "unknown"},
    attribution="“{title}” by {artist}, {permalink}",
    terms_url="https://bandcamp.com/terms_of_use",
    terms_reviewed=date(2026, 11, 1),
    tasks=nothing_to_ask,  # no search is open to programs
    asks={"page": _page_url},
    pages=(MusicPage,),
    acknowledgement=(
        "Bandcamp's policy bars text and data mining and the training of models on what it shows: you have the "
        "permission of Bandcamp or of the artists whose pages you read"
    ),
)
