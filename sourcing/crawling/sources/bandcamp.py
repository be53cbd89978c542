"""Bandcamp: the tags and the artist's own words of a track or album page that another source has linked to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from sourcing.crawling.parsing.credits import is_label, is_various, parted_title, without_catalogue_number
from sourcing.crawling.parsing.html_page import graph
from sourcing.crawling.parsing.music_items import Html, name_of, read_html
from sourcing.crawling.parsing.values import (
    as_list,
    as_object,
    clean,
    decode,
    duration_s,
    first_sentences,
    licence_of,
    strip_html,
    tags_of,
    year_by,
    year_of,
)
from sourcing.crawling.source import Capture, Page, PageError, Source, nothing_to_ask

__all__ = ["SOURCE", "MusicPage"]

NAME = "bandcamp"
BASE_URL = "https://bandcamp.com"
_GRANULARITY = {"MusicRecording": "recording", "MusicAlbum": "release"}
_ADDRESS = re.compile(
    r"https?://(?P<host>[a-z0-9-]+\.bandcamp\.com)(?P<path>/(?:track|album)/[a-z0-9._~%-]+)/?(?:[?#].*)?", re.IGNORECASE
)
_MAX_ARTISTS, _MAX_TAGS = 20, 100
_PLACE = "//*[contains(concat(' ', normalize-space(@class), ' '), ' location ')]//text()"
_RESERVED = re.compile(r"all[ _-]?rights[ _-]?reserved", re.IGNORECASE)
#: A tag as Bandcamp writes a place: capitals where all other tags but the first, the main genre, have none.
_PLACE_CASE = re.compile(r"(?:[A-Z][a-z\u00df-\u024f.'’]+)(?:[ -][A-Z]?[a-z\u00df-\u024f.'’]+)*")
#: What the shop says of a release in its description: what is bought, when it is sent, what it costs.
_SHOP_LINE = re.compile(
    r"\W*(?:includes? (?:unlimited|high[- ]quality|instant|immediate|digital|a download)\b.*"
    r"|(?:digital (?:track|album)|streaming \+ download|buy (?:digital|the|this|now|it)|add to cart|send as gift)\b.*"
    r"|purchas(?:able|e) with gift card.*|name your price.*|sold out\W*|free download\W*|buy now\W*"
    r"|(?:this is an? )?pre-?order\b.*|you (?:get|own) \d+ tracks? now.*"
    r"|ship(?:s|ping) (?:out )?(?:within|on|in|from)\b.*"
    r"|edition of \d+\W*|(?:download )?price:.*|(?:[$€£¥]\s?\d[\d.,]*|\d[\d.,]*\s?(?:USD|EUR|GBP|[$€£]))[^.!?]{0,40}"
    r"|get all \d+ .*releases available on bandcamp.*|limited edition (?:lp|cd|cassette|vinyl)[^.!?]{0,60})",
    re.IGNORECASE,
)
_SHOP_SENTENCE = re.compile(
    r"\bIncludes unlimited streaming of [^\n]{0,300}? via the free Bandcamp app(?:, plus [^\n.]{0,120}\.)?\s*",
    re.IGNORECASE,
)


def _page_url(ref: str, source: Source) -> str:
    """The address of a track or album page, given in full; its path on another host where settings name one."""
    match = _ADDRESS.fullmatch(ref)
    if match is None:
        raise PageError("not_a_bandcamp_page", f"{ref[:120]!r} is no https://NAME.bandcamp.com/track/… or /album/…")
    host = f"https://{match['host'].lower()}" if source.base_url == BASE_URL else source.base_url
    return f"{host}{match['path']}"


class MusicPage(Page):
    """A track or an album; of its JSON-LD the names, dates, keywords and description, and never the lyrics."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        capture = self.capture
        if capture.status != 200:
            raise PageError(f"status_{capture.status}", f"the answer's HTTP status is {capture.status}")
        html = read_html(decode(capture), capture.url)
        for node in graph(html.nodes):
            granularity = next((_GRANULARITY[name] for name in _types(node) if name in _GRANULARITY), None)
            title = name_of(node.get("name"), html)
            if granularity and title:
                return [_document(node, granularity, title, html, capture)]
        if html.broken:
            raise PageError("json_ld_broken", "; ".join(html.broken[:3]))
        raise PageError("not_a_music_page", "no JSON-LD of a track or an album")


def _types(node: Mapping[str, Any]) -> list[str]:
    return [name for name in as_list(node.get("@type")) if isinstance(name, str)]


def _document(node: Mapping[str, Any], granularity: str, title: str, html: Html, capture: Capture) -> dict[str, Any]:
    address = urlunsplit(urlsplit(html.url)._replace(query="", fragment=""))
    text = _text(node)
    artist, plain_title = _credit(node, granularity, title, html)
    album = name_of(node.get("inAlbum"), html) if granularity == "recording" else None
    licence = _licence(node, html)
    return {
        "record_id": address,
        "permalink": address,
        "granularity": granularity,
        "title": plain_title,
        "title_raw": title,
        "artist": artist,
        "album": without_catalogue_number(album) if album else None,
        "year": year_by(capture, _year(node.get("datePublished"))),
        "duration_s": duration_s(node.get("duration")),
        "tags": _tags(node, html),
        "lead": first_sentences(text),
        "text": text,
        **({"licences": {"*": licence}} if licence else {}),
    }


def _credit(node: Mapping[str, Any], granularity: str, title: str, html: Html) -> tuple[str | None, str]:
    """Artist and plain title. A label is no artist: on its pages a track is called "Artist - Title"."""
    makers = (name_of(maker, html) for maker in as_list(node.get("byArtist"))[:_MAX_ARTISTS])
    artist = ", ".join(dict.fromkeys(name for name in makers if name)) or None
    publisher = as_object(node.get("publisher"))
    account = name_of(node.get("publisher"), html)
    title = without_catalogue_number(title)
    by_account = artist is not None and _same(artist, account or urlsplit(html.url).netloc.split(".")[0])
    of_label = by_account and (
        is_label(artist or "", name_of(publisher.get("description"), html) or "", _types(publisher))
        or _are_by_others(node, html)
    )
    performer, rest = parted_title(title)
    if (
        performer
        and artist
        and (_same(performer, artist) or of_label or (is_various(artist) and granularity == "recording"))
    ):
        return (None if is_various(performer) and granularity == "recording" else performer), rest
    if of_label or (granularity == "recording" and artist and is_various(artist)):
        return ("Various Artists" if granularity == "release" and _are_by_others(node, html) else None), title
    return artist, title


def _are_by_others(node: Mapping[str, Any], html: Html) -> bool:
    """True when the tracks listed are called "Artist - Title", by three artists or more."""
    entries = as_list(as_object(node.get("track")).get("itemListElement"))[:_MAX_TAGS]
    names = [name_of(as_object(as_object(entry).get("item")).get("name"), html) or "" for entry in entries]
    artists = [artist.casefold() for artist, _ in map(parted_title, names) if artist]
    return len(set(artists)) >= 3 and 2 * len(artists) > len(names)


def _same(one: str, other: str) -> bool:
    return _letters(one) == _letters(other)


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold().replace("&", "and") if letter.isalnum())


def _licence(node: Mapping[str, Any], html: Html) -> str | None:
    """As the page's button says; where the record says all rights are reserved, a link elsewhere is another's."""
    fields = [as_object(field) for field in as_list(node.get("additionalProperty"))]
    name = next((field.get("value") for field in fields if field.get("name") == "license_name"), None)
    if isinstance(name, str) and _RESERVED.fullmatch(name.strip()):
        return None
    return licence_of(node.get("license")) or html.licence or licence_of(name)


def _year(date_text: Any) -> int | None:
    """Of "14 Sep 2013 00:00:00 GMT"."""
    match = re.search(r"\b\d{4}\b", date_text[:100]) if isinstance(date_text, str) else None
    return year_of(match[0]) if match else None


def _text(node: Mapping[str, Any]) -> str | None:
    """Description without the shop's words and without lines of the record's lyrics."""
    words = node.get("description")
    if not isinstance(words, str):
        return None
    sung = {line.strip().casefold() for line in _lyrics(node).splitlines()} - {""}
    text = _SHOP_SENTENCE.sub("", clean(strip_html(words)) or "")
    lines = [
        line for line in text.split("\n") if line.strip().casefold() not in sung and not _SHOP_LINE.fullmatch(line)
    ]
    return clean("\n".join(lines))


def _lyrics(node: Mapping[str, Any]) -> str:
    composition = as_object(node.get("recordingOf"))
    sung = [as_object(owner.get("lyrics")).get("text") for owner in (composition, node)]
    return "\n".join(strip_html(part) for part in sung if isinstance(part, str))


def _tags(node: Mapping[str, Any], html: Html) -> list[dict[str, Any]]:
    """Keywords in the page's order; the artist's town and the names of artist and label say nothing of the music."""
    keywords = node.get("keywords")
    texts = [text for text in as_list(keywords) if isinstance(text, str)][:_MAX_TAGS]
    if isinstance(keywords, list) and texts and "," in texts[-1]:
        del texts[-1]  # no tag holds a comma; "Portland, Oregon" does
    makers = [maker for key in ("publisher", "byArtist") for maker in as_list(node.get(key))[:_MAX_ARTISTS]]
    own = {name.casefold() for maker in makers if (name := name_of(maker, html))}
    keyword_names = (name for text in texts for part in text.split(",") if (name := clean(part)))
    names = [name for name in keyword_names if name.casefold() not in own]
    places = _places(node, html)
    if not places and _ends_with_place(names):
        del names[-1]
    return tags_of(name for name in names if name.casefold() not in places)


def _places(node: Mapping[str, Any], html: Html) -> set[str]:
    """Place names of the page's artist, whole and in parts."""
    publisher = as_object(node.get("publisher"))
    places = [name_of(owner.get(key), html) for owner in (publisher, node) for key in ("foundingLocation", "location")]
    if html.tree is not None:
        places += [str(text)[:200] for text in html.tree.xpath(_PLACE)[:3]]
    whole = {clean(place.casefold()) or "" for place in places if place}
    return {part.strip() for place in whole for part in (place, *place.split(","))} - {""}


def _ends_with_place(names: Iterable[str]) -> bool:
    _, *others = names or [""]
    return len(others) > 1 and _PLACE_CASE.fullmatch(others[-1]) is not None and all(map(str.islower, others[:-1]))


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
