"""ccMixter: uploads found by title and artist, with their tags, tempo and description, each under its own licence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import quote, urlencode

from sourcing.crawling.parsing.search_hits import asked_in, plausible
from sourcing.crawling.parsing.values import (
    as_int,
    as_list,
    as_object,
    clean,
    duration_s,
    first_sentences,
    licence_of,
    read_json_value,
    tags_of,
)
from sourcing.crawling.source import Page, PageError, Source, TaskSpec

__all__ = ["SOURCE", "SearchPage", "UploadPage", "tasks"]

NAME = "ccmixter"
MAX_HITS = 3
_SEARCH_LIMIT = 10
_MAX_BPM = 400
#: Tags the site sets from the file, where an answer does not list them apart.
_OF_THE_FILE = re.compile(
    r"media|audio|archive|zip|mp3|flac|ogg|wav|aiff?|\d\dk|mono|stereo|[cv]br|bpm \d{3} \d{3}", re.IGNORECASE
)
_STRING_OR_ZEROS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|(?<![\w.])0+(?=\d)', re.DOTALL)


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """One search per track: it looks through names and words of an upload and both names of its uploader."""
    query = {
        "search": " ".join(f"{track['title']} {track['artist']}".split()),
        "search_type": "all",
        "limit": _SEARCH_LIMIT,
    }
    yield TaskSpec(NAME, _url(source, query), SearchPage.kind, str(track["track_id"]))


def _url(source: Source, query: Mapping[str, Any]) -> str:
    """In the format `js`: `json` has the same body, and repeats all of it in a header no client reads to its end."""
    return f"{source.base_url}/api/query?{urlencode({'f': 'js', **query}, quote_via=quote)}"


def _upload_url(upload_id: str, source: Source) -> str:
    return _url(source, {"ids": upload_id})


class UploadPage(Page):
    """A list of uploads; each is a document."""

    kind = "upload"

    def documents(self) -> list[dict[str, Any]]:
        return self.read_each(self._uploads(), _document)

    def _uploads(self) -> list[dict[str, Any]]:
        return _read_list(self)


class SearchPage(UploadPage):
    """Hits come as whole records, so the most plausible ones are documents and need no second request."""

    kind = "search"

    def _uploads(self) -> list[dict[str, Any]]:
        names_with_hits = [(f"{hit.get('upload_name')} {_uploader(hit)}", hit) for hit in _read_list(self)]
        return plausible(asked_in(self.capture.url, "search"), names_with_hits, limit=MAX_HITS)


def _read_list(page: Page) -> list[dict[str, Any]]:
    """The answer's uploads; its JSON begins with a byte order mark and may have numbers like 092 (bpm)."""
    value = read_json_value(page.capture, mend=_without_leading_zeros)
    if not isinstance(value, list):
        raise PageError("uploads_missing", f"a JSON {type(value).__name__} where a list of uploads was expected")
    return [upload for upload in value if isinstance(upload, dict)]


def _without_leading_zeros(text: str) -> str:
    return _STRING_OR_ZEROS.sub(lambda match: match[0] if match[0].startswith('"') else "", text)


def _document(upload: Mapping[str, Any]) -> dict[str, Any]:
    upload_id, title = as_int(upload.get("upload_id")), clean(upload.get("upload_name"))
    if upload_id is None or title is None:
        raise PageError("not_an_upload", f"a record with id {upload.get('upload_id')!r} and name {title!r}")
    licence = licence_of(upload.get("license_url"))
    if licence is None:
        raise PageError("licence_missing", f"upload {upload_id} states no licence")
    text = clean(upload.get("upload_description_plain"))
    if "-ND" in licence:
        text = None  # what we make of words is a derivative: facts and tags only
    page = upload.get("file_page_url")
    return {
        "record_id": str(upload_id),
        "permalink": page if isinstance(page, str) and re.match(r"https?://\S+$", page) else None,
        "granularity": "recording",
        "title": title,
        "title_raw": title,
        "artist": _uploader(upload) or None,
        "duration_s": _duration_s(upload.get("files")),
        "tags": _tags(upload),
        "lead": first_sentences(text),
        "text": text,
        "licences": {"*": licence},
    }


def _uploader(upload: Mapping[str, Any]) -> str:
    """The name as the site shows it, else the login name."""
    return clean(upload.get("user_real_name")) or clean(upload.get("user_name")) or ""


def _duration_s(files: Any) -> float | None:
    """Length of the first sound file; others may be stems or archives."""
    for file in as_list(files):
        about = file.get("file_format_info") if isinstance(file, dict) else None
        if isinstance(about, dict) and about.get("media-type") == "audio" and (length_s := duration_s(about.get("ps"))):
            return length_s
    return None


def _tags(upload: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The uploader's tags and the tempo; without usertags, all tags but those the site sets by itself."""
    extra = as_object(upload.get("upload_extra"))
    names = _names(extra.get("usertags"))
    if not names:
        by_site = {*_names(extra.get("systags")), *_names(extra.get("ccud"))}
        tags = _names(upload.get("upload_tags"))
        names = [name for name in tags if name not in by_site and not _OF_THE_FILE.fullmatch(name)]
    bpm = as_int(extra.get("bpm"))
    if bpm and 0 < bpm < _MAX_BPM:
        names.append(f"{bpm} bpm")
    return tags_of(names)


def _names(tags: Any) -> list[str]:
    """ ",female_vocals,drums," → female vocals, drums."""
    parts = tags.split(",") if isinstance(tags, str) else []
    return [name for part in parts if (name := clean(part.replace("_", " ")))]


SOURCE = Source(
    name=NAME,
    title="ccMixter",
    ship_class="A",
    base_url="https://ccmixter.org",
    rate_per_s=0.5,
    licences={"*": "unknown"},
    attribution="“{title}” by {artist}, ccMixter, {permalink}",
    terms_url="https://ccmixter.org/terms",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    asks={"upload": _upload_url},
    pages=(SearchPage, UploadPage),
    headers={"Accept": "text/javascript, application/json"},
    api_terms="https://ccmixter.org/query-api",
)
