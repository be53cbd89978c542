"""Internet Archive: sound items found by creator and title, read only where the item states a licence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.credits import is_various
from sourcing.crawling.parsing.search_hits import asked_in, plausible
from sourcing.crawling.parsing.values import (
    as_list,
    clean,
    duration_s,
    first_sentences,
    licence_of,
    read_json,
    strip_html,
    tags_of,
    year_of,
)
from sourcing.crawling.source import ErrorRules, Lead, Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "ItemPage", "SearchPage", "tasks"]

NAME = "internetarchive"
MAX_HITS = 3
MAX_TRACKS = 100
_SEARCH_ROWS = 20
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_SOUND_FORMAT = re.compile(r"mp3|flac|ogg|wave|aiff|lossless|m4a|opus|shorten|wma", re.IGNORECASE)
_PHRASE = re.compile(r'"([^"]*)"')
_SOUND_TYPES = ("audio", "etree")  # etree: the Live Music Archive, a concert an item
_SEGUE = re.compile(r"(?<=\S)\s*(?:-*>|\*|\^)+$")  # tapers write "Low Tide >" where one song runs into the next
#: Before a track's title: "01 - ", "d1t05 ", "03. "; a bare number may belong to the title ("99 Luftballons").
_NUMBERED = re.compile(
    r"(?:d\d{1,2}\s*t\d{1,3}|(?P<number>\d{1,3}))(?P<stop>\s*[-–—_)]\s*|\.(?!\d)\s*|:\s+|\s+)(?=\S)", re.IGNORECASE
)


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track, among sound items of its artist: by title, or by album, whose items name their tracks."""
    title, artist, album = (_phrase(track.get(column)) for column in ("title", "artist", "album"))
    about = [f"title:({title})", f"description:({title})", *([f"title:({album})"] if album else [])]
    query = [
        ("q", f"({' OR '.join(about)}) AND creator:({artist}) AND mediatype:(audio)"),
        *(("fl[]", field) for field in ("identifier", "title", "creator", "mediatype", "licenseurl")),
        ("rows", str(_SEARCH_ROWS)),
        ("output", "json"),
    ]
    address = f"{source.base_url}/advancedsearch.php?{urlencode(query, quote_via=quote)}"
    yield TaskSpec(NAME, address, SearchPage.kind, str(track["track_id"]))


def _phrase(text: Any) -> str:
    """A quoted phrase of the search's query language; empty for nothing."""
    bare = " ".join(re.sub(r'["\\]', " ", str(text or "")).split())
    return f'"{bare}"' if bare else ""


def _item_url(identifier: str, source: Source) -> str:
    return f"{source.base_url}/metadata/{quote(identifier, safe='')}"


class SearchPage(Page):
    """A list of hits: it only leads to items with a licence, those named as asked first."""

    kind = "search"

    def documents(self) -> list[dict[str, Any]]:
        self._hits()
        return []

    def follow(self) -> Iterable[Lead]:
        licensed_items = [
            (f"{_joined(hit.get('title'))} {_joined(hit.get('creator'))}", str(hit.get("identifier")))
            for hit in self._hits()
            if hit.get("mediatype") in _SOUND_TYPES
            and licence_of(hit.get("licenseurl"))
            and _IDENTIFIER.fullmatch(str(hit.get("identifier")))
        ]
        phrases = " ".join(_PHRASE.findall(asked_in(self.capture.url, "q")))
        # The query has already held the creator against the artist: an album's name may share no word with its track's.
        for identifier in plausible(phrases, licensed_items, limit=MAX_HITS, least_share=0.0):
            yield Lead(NAME, ItemPage.kind, identifier)

    def _hits(self) -> list[dict[str, Any]]:
        answer = _answer(self)
        response = answer.get("response")
        hits = response.get("docs") if isinstance(response, dict) else None
        if not isinstance(hits, list):
            raise PageError("hits_missing", f"an answer with only {sorted(answer)[:6]}")
        return [hit for hit in hits if isinstance(hit, dict)]


class ItemPage(Page):
    """One item: a recording when it holds one sound file; else a release, and a recording per file with a genre."""

    kind = "item"

    def documents(self) -> list[dict[str, Any]]:
        answer = _answer(self)
        metadata = answer.get("metadata")
        if answer.get("is_dark"):
            raise PageError("item_dark", "the item has been taken out of view")
        if not isinstance(metadata, dict):
            raise PageError("item_missing", "an answer without metadata: there is no such item")
        identifier, title = _joined(metadata.get("identifier")), _joined(metadata.get("title"))
        if identifier is None or not _IDENTIFIER.fullmatch(identifier) or title is None:
            raise PageError("not_an_item", f"a record with identifier {identifier!r} and title {title!r}")
        if metadata.get("mediatype") not in _SOUND_TYPES:
            raise PageError("not_audio", f"the item {identifier} is of mediatype {metadata.get('mediatype')!r}")
        licence = licence_of(metadata.get("licenseurl"))
        if licence is None:
            raise PageError("licence_missing", f"the item {identifier} states no licence")
        live = metadata.get("mediatype") == "etree" or "etree" in as_list(metadata.get("collection"))
        files = _originals(answer.get("files"))
        item = _item(identifier, title, metadata, licence)
        if len(files) == 1 and not live:
            return [_single(files[0], item)]
        return [item, *(row for file in files[:MAX_TRACKS] if (row := _track(file, item, live=live)))]


def _answer(page: Page) -> dict[str, Any]:
    answer = read_json(page.capture)
    if isinstance(answer.get("error"), str):
        raise PageError("api_error", answer["error"][:200])
    return answer


def _item(identifier: str, title: str, metadata: Mapping[str, Any], licence: str) -> dict[str, Any]:
    # What we make of words is a derivative: facts and tags only where the licence allows none.
    text = None if "-ND" in licence else _prose(metadata.get("description"))
    dates = [year_of(value) for key in ("date", "year") for value in as_list(metadata.get(key))]
    return {
        "record_id": identifier,
        "permalink": f"https://archive.org/details/{identifier}",
        "granularity": "release",
        "title": title,
        "title_raw": title,
        "artist": _credit(metadata.get("creator")),
        "year": next((year for year in dates if year), None),
        "tags": _tags(metadata.get("subject")),
        "lead": first_sentences(text),
        "text": text,
        "licences": {"*": licence},
    }


def _single(file: Mapping[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    """An item that is one recording, by its own title without the artist's name in front."""
    title = str(item["title"])
    if item["artist"]:
        title = re.sub(rf"^{re.escape(item['artist'])}\s+[-–—]\s+(?=\S)", "", title, flags=re.IGNORECASE)
    facts = {"title": _unnumbered(title, file), "album": clean(file.get("album")), "duration_s": _length_s(file)}
    return {**item, "granularity": "recording", **facts}


def _track(file: Mapping[str, Any], item: Mapping[str, Any], *, live: bool) -> dict[str, Any] | None:
    """Document of a file with tags on title and sound; of a concert, what was played is enough."""
    title_raw, tags = clean(file.get("title")), _tags(file.get("genre"))
    if title_raw is None or not (tags or live):
        return None
    item_artist = None if item["artist"] and is_various(item["artist"]) else item["artist"]
    return {
        "record_id": f"{item['record_id']}/{file.get('name')}",
        "permalink": item["permalink"],
        "granularity": "recording",
        "title": _SEGUE.sub("", _unnumbered(title_raw, file)) if live else _unnumbered(title_raw, file),
        "title_raw": f"{title_raw} (live)" if live and "live" not in title_raw.casefold() else title_raw,
        "artist": _joined(file.get("artist")) or _joined(file.get("creator")) or item_artist,
        "album": clean(file.get("album")) or item["title"],
        "year": item["year"],
        "duration_s": _length_s(file),
        "tags": tags,
        "licences": item["licences"],
    }


def _unnumbered(title: str, file: Mapping[str, Any]) -> str:
    """Without the track number in front: one in two digits or equal to the file's own, or of disc and track."""
    match = _NUMBERED.match(title)
    if match is None:
        return title
    number, own = match["number"], re.match(r"0*(\d{1,3})(?!\d)", str(file.get("track") or ""))
    if number is not None and not number.startswith("0"):
        equal = own is not None and own[1] == number
        if not equal or not match["stop"].strip():
            return title
    return title[match.end() :]


def _originals(files: Any) -> list[dict[str, Any]]:
    """The uploaded sound files, each once where it was uploaded in several formats."""
    once: dict[Any, dict[str, Any]] = {}
    for number, file in enumerate(as_list(files)):
        if isinstance(file, dict) and _is_original_sound(file):
            name = file.get("name")
            once.setdefault(name.rpartition(".")[0] if isinstance(name, str) and "." in name else number, file)
    return list(once.values())


def _credit(creator: Any) -> str | None:
    """The artists; of a compilation nobody, whoever else is named beside "Various Artists"."""
    names = [name for part in as_list(creator) if (name := clean(part))]
    various = next((name for name in names if is_various(name)), None)
    return various or _joined(creator)


def _is_original_sound(file: Mapping[str, Any]) -> bool:
    """True for an uploaded file, False for one that the archive derived."""
    return file.get("source") == "original" and _SOUND_FORMAT.search(str(file.get("format"))) is not None


def _length_s(file: Mapping[str, Any]) -> float | None:
    """Lengths are seconds ("245.12") or a clock ("04:05")."""
    length = str(file.get("length") or "")
    if re.fullmatch(r"\d{1,6}(\.\d+)?", length):
        return float(length) or None
    return duration_s(length)


def _joined(value: Any) -> str | None:
    """A field that may be a text or a list of them."""
    return ", ".join(dict.fromkeys(text for part in as_list(value) if (text := clean(part)))) or None


def _prose(description: Any) -> str | None:
    """Text of one or several HTML descriptions with line and paragraph breaks."""
    parts = []
    for fragment in as_list(description):
        if isinstance(fragment, str):
            with_breaks = re.sub(r"(?i)<br\s*/?>", "\n", fragment)
            with_breaks = re.sub(r"(?i)(</?(?:p|div|ul|ol|li|h\d)\b[^<>]*>)", "\\1\n\n", with_breaks)
            parts.append(clean(strip_html(with_breaks)))
    return "\n\n".join(part for part in parts if part) or None


def _tags(subject: Any) -> list[dict[str, Any]]:
    """Subjects are a list, or one text with semicolons or commas; in their order, each once."""
    texts = (text for text in as_list(subject) if isinstance(text, str))
    return tags_of(clean(part) for text in texts for part in text.split(";" if ";" in text else ","))


SOURCE = Source(
    name=NAME,
    title="Internet Archive",
    ship_class="A",
    base_url="https://archive.org",
    rate_per_s=1.0,
    licences={"*": "unknown"},
    attribution="“{title}” by {artist}, Internet Archive, {permalink}",
    terms_url="https://archive.org/about/terms",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"item": _item_url},
    pages=(SearchPage, ItemPage),
    errors=ErrorRules(
        codes=("error",),
        rules=(
            (r"too many|rate limit|slow.?down|over (?:your|the) limit", "later", "rate_exceeded"),
            (
                r"busy|try again|time.?out|timed out|unavailable|temporar|server error|overload",
                "later",
                "service_failed",
            ),
            (r"not found|couldn.t locate|no such|dark", "gone", "not_found"),
        ),
    ),
    headers={"Accept": "application/json"},
    api_terms="https://archive.org/help/aboutsearch.htm",
)
