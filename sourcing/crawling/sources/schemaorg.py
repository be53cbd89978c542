"""schema.org page: any web page, by its JSON-LD or microdata about music and its readable prose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
from urllib.parse import urljoin

from sourcing.crawling.sources.base import Page, PageError, Source, TaskSpec
from sourcing.crawling.sources.reading import as_list, clean, decode, duration_s, first_sentences, licence_of, year_of
from sourcing.crawling.sources.structured import (
    Html,
    MusicItem,
    items_about_music,
    name_of,
    read_html,
)

__all__ = ["SOURCE", "MusicPage", "tasks"]

NAME = "schemaorg"
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_MBID = re.compile(r"musicbrainz\.org/recording/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_MAX_TAG_CHARS = 60
_MAX_TAGS = 100


def tasks(track: Mapping[str, Any], source: Source) -> Iterable[TaskSpec]:
    """None: the addresses of pages come from the user's list."""
    return ()


class MusicPage(Page):
    """A document per recording, and per release or artist that has words of its own; else the page's prose alone."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        captured = self.captured
        content_type = captured.header("content-type").casefold()
        if captured.status != 200:
            raise PageError(f"status_{captured.status}", f"the answer's HTTP status is {captured.status}")
        if content_type and not re.search("html|xml|text/plain", content_type):
            raise PageError("not_html", f"a body of type {content_type[:60]!r}")
        if not captured.body.strip():
            raise PageError("body_empty", "the page has no body")
        html = read_html(decode(captured), captured.url)
        items = items_about_music(html)
        recordings = [item for item in items if item.granularity == "recording"]
        wanted = [item for item in items if item.granularity == "recording" or item.stated] or items[:1]
        if not wanted:
            return [_prose_alone(html)]
        about_one = len(wanted) == 1 and len(recordings) <= 1
        prose = html.prose() if about_one else None  # prose of a page about several things is about none of them
        return [_document(item, html, prose, html.canonical if about_one else None) for item in wanted]


def _document(item: MusicItem, html: Html, prose: str | None, record_id: str | None) -> dict[str, Any]:
    facts = item.facts
    text = "\n\n".join(part for part in (item.stated, prose) if part) or None
    if item.stated and prose and " ".join(item.stated.split()) in " ".join(prose.split()):
        text = prose
    address = next((value for value in (facts.get("url"), facts.get("@id")) if isinstance(value, str)), "")
    own_id = f"{html.canonical}#{urljoin(html.url, address) if address else ''}|{facts['name']}|{item.artist or ''}"
    row: dict[str, Any] = {
        "record_id": record_id or own_id,
        "permalink": html.canonical,
        "granularity": item.granularity,
        "title": facts["name"],
        "title_raw": facts["name"],
        "artist": item.artist,
        "album": item.album,
        "year": next(
            (
                year
                for key in ("datePublished", "dateCreated", "copyrightYear")
                if (year := year_of(str(facts.get(key) or "")))
            ),
            None,
        ),
        "duration_s": duration_s(facts.get("duration")),
        "isrcs": _isrcs(facts),
        "mbid": _mbid(facts),
        "language": clean(facts.get("inLanguage")) or html.language,
        "tags": _tags(facts, html),
        "lead": first_sentences(item.stated or text),
        "text": text,
    }
    licence = licence_of(facts.get("license")) or html.stated_licence
    return {**row, "licences": {"*": licence}} if licence else row


def _prose_alone(html: Html) -> dict[str, Any]:
    text = html.prose()
    if text is None:
        if html.broken:
            raise PageError("json_ld_broken", f"no prose, and {'; '.join(html.broken[:3])}")
        raise PageError("nothing_to_read", "neither structured data about music nor readable prose")
    row: dict[str, Any] = {
        "record_id": html.canonical,
        "permalink": html.canonical,
        "granularity": "page",
        "title": html.title,
        "title_raw": html.title,
        "language": html.language,
        "lead": first_sentences(text),
        "text": text,
    }
    licence = html.stated_licence
    return {**row, "licences": {"*": licence}} if licence else row


def _isrcs(facts: Mapping[str, Any]) -> list[str]:
    codes = (re.sub(r"[\s-]", "", code).upper() for code in as_list(facts.get("isrcCode")) if isinstance(code, str))
    return sorted({code for code in codes if _ISRC.fullmatch(code)})


def _mbid(facts: Mapping[str, Any]) -> str | None:
    links = [facts.get("@id"), *as_list(facts.get("sameAs")), *as_list(facts.get("identifier"))]
    found = (_MBID.search(link) for link in links if isinstance(link, str))
    return next((match[1] for match in found if match), None)


def _tags(facts: Mapping[str, Any], html: Html) -> list[dict[str, Any]]:
    """Genres, then keywords, in the page's order; addresses and whole sentences are no tags."""
    names: dict[str, str] = {}
    for value in [*as_list(facts.get("genre")), *as_list(facts.get("keywords"))]:
        for part in re.split(r"[,;|]", name_of(value, html) or ""):
            name = part.strip()
            if name and len(name) <= _MAX_TAG_CHARS and "://" not in name:
                names.setdefault(name.casefold(), name)
    return [{"name": name, "count": None} for name in list(names.values())[:_MAX_TAGS]]


SOURCE = Source(
    name=NAME,
    title="Web page with schema.org data",
    ship_class="A",
    base_url="",
    rate_per_s=1.0,
    licences={"*": "unknown"},
    attribution="{title_raw}, {permalink}",
    terms_url="https://schema.org/docs/gs.html",
    terms_reviewed=date(2026, 11, 1),
    tasks=tasks,
    pages=(MusicPage,),
)
