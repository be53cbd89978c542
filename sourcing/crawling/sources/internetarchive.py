"""Internet Archive: sound items found by creator and title, read only where the item states a licence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.sources.base import ErrorRules, Lead, Page, PageError, Source, TaskSpec
from sourcing.crawling.sources.hits import asked_in, plausible
from sourcing.crawling.sources.reading import (
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

__all__ = ["SOURCE", "ItemPage", "SearchPage", "tasks"]

NAME = "internetarchive"
MAX_HITS = 3
MAX_TRACKS = 100
_SEARCH_ROWS = 20
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
_SOUND_FORMAT = re.compile(r"mp3|flac|ogg|wave|aiff|lossless|m4a|opus|shorten|wma", re.IGNORECASE)
_PHRASE = re.compile(r'"([^"]*)"')


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
        licensed = [
            (f"{_joined(hit.get('title'))} {_joined(hit.get('creator'))}", str(hit.get("identifier")))
            for hit in self._hits()
            if hit.get("mediatype") == "audio"
            and licence_of(hit.get("licenseurl"))
            and _IDENTIFIER.fullmatch(str(hit.get("identifier")))
        ]
        asked = " ".join(_PHRASE.findall(asked_in(self.captured.url, "q")))
        # The query has already held the creator against the artist: an album's name may share no word with its track's.
        for identifier in plausible(asked, licensed, limit=MAX_HITS, least_share=0.0):
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
        if metadata.get("mediatype") != "audio":
            raise PageError("not_audio", f"the item {identifier} is of mediatype {metadata.get('mediatype')!r}")
        licence = licence_of(metadata.get("licenseurl"))
        if licence is None:
            raise PageError("licence_missing", f"the item {identifier} states no licence")
        files = [file for file in as_list(answer.get("files")) if isinstance(file, dict) and _is_original_sound(file)]
        item = _item(identifier, title, metadata, licence)
        if len(files) == 1:
            album = clean(files[0].get("album"))
            return [{**item, "granularity": "recording", "album": album, "duration_s": _length_s(files[0])}]
        return [item, *(row for file in files[:MAX_TRACKS] if (row := _track(file, item)))]


def _answer(page: Page) -> dict[str, Any]:
    answer = read_json(page.captured)
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
        "artist": _joined(metadata.get("creator")),
        "year": next((year for year in dates if year), None),
        "tags": _tags(metadata.get("subject")),
        "lead": first_sentences(text),
        "text": text,
        "licences": {"*": licence},
    }


def _track(file: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any] | None:
    """A file whose own tags say what it is and sounds like; the item's words are not about it alone."""
    title, tags = clean(file.get("title")), _tags(file.get("genre"))
    if title is None or not tags:
        return None
    return {
        "record_id": f"{item['record_id']}/{file.get('name')}",
        "permalink": item["permalink"],
        "granularity": "recording",
        "title": title,
        "title_raw": title,
        "artist": _joined(file.get("artist")) or _joined(file.get("creator")) or item["artist"],
        "album": clean(file.get("album")) or item["title"],
        "year": item["year"],
        "duration_s": _length_s(file),
        "tags": tags,
        "licences": item["licences"],
    }


def _is_original_sound(file: Mapping[str, Any]) -> bool:
    """Whether it was uploaded, not derived from another file by the archive."""
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
    """Text of an HTML description, or of several, with its line and paragraph breaks."""
    parts = []
    for fragment in as_list(description):
        if isinstance(fragment, str):
            broken = re.sub(r"(?i)<br\s*/?>", "\n", fragment)
            broken = re.sub(r"(?i)(</?(?:p|div|ul|ol|li|h\d)\b[^<>]*>)", "\\1\n\n", broken)
            parts.append(clean(strip_html(broken)))
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
