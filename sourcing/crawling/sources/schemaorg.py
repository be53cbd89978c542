"""schema.org page: any web page, by its JSON-LD or microdata about music and its readable prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, ClassVar

from sourcing.crawling.parsing.html_page import Html, joined, read_html
from sourcing.crawling.parsing.interface_text import reading_matter, too_little, without_interface
from sourcing.crawling.parsing.music_items import MusicItem, item_of_page, items_about_music, name_of
from sourcing.crawling.parsing.sitemaps import read_sitemap
from sourcing.crawling.parsing.values import as_list, decode, duration_s, first_sentences, licence_of, year_by, year_of
from sourcing.crawling.source import Capture, Page, PageError, Source, TaskSpec, nothing_to_ask
from sourcing.store.language_id import language_of
from sourcing.store.language_tags import language_tag

__all__ = ["PAGE_KIND", "PAGE_SOURCE", "SOURCE", "MusicPage", "SitemapPage"]

NAME = "schemaorg"
_ISRC = re.compile(r"[A-Z]{2}[A-Z0-9]{3}[0-9]{7}")
_MBID = re.compile(r"musicbrainz\.org/recording/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_ISRC_NAMES = ("ISRC", "isrc")
_MAX_TAG_CHARS = 60
_MAX_KEYWORD_CHARS = 20_000
_MAX_TAGS = 100
_MAX_LINKS = 1000


class MusicPage(Page):
    """A document per recording, and per release or artist that has words of its own; else the page's prose alone."""

    kind = "page"

    def documents(self) -> list[dict[str, Any]]:
        capture = self.capture
        content_type = capture.header("content-type").casefold()
        if capture.status != 200:
            raise PageError(f"status_{capture.status}", f"the answer's HTTP status is {capture.status}")
        if content_type and not re.search("html|xml|text/plain", content_type):
            raise PageError("not_html", f"a body of type {content_type[:60]!r}")
        if not capture.body.strip():
            raise PageError("body_empty", "the page has no body")
        html = read_html(decode(capture), capture.url)
        items = items_about_music(html)
        recordings = [item for item in items if item.granularity == "recording"]
        items_to_read = [item for item in items if item.granularity == "recording" or item.stated] or items[:1]
        if not items_to_read:
            return [_prose_alone(html)]
        albums = {item.facts["name"] for item in items if item.granularity == "release"}
        alone = len(items_to_read) == 1 and len(recordings) <= 1 and items_to_read[0].album not in albums
        main = items_to_read[0] if alone else item_of_page(items, html)  # of a track and its album both may be meant
        if main is None:  # prose of a page about several things is about none of them
            return [_document(item, html, capture) for item in items_to_read]
        prose = reading_matter(html.prose())
        others = [_document(item, html, capture) for item in items_to_read if item is not main]
        return [_document(main, html, capture, prose=prose, record_id=html.canonical), *others]


def _document(
    item: MusicItem, html: Html, capture: Capture, *, prose: str | None = None, record_id: str | None = None
) -> dict[str, Any]:
    facts, wording = item.facts, without_interface(item.stated)
    if prose and prose.casefold() == facts["name"].casefold():
        prose = None  # a heading alone says nothing about the thing it names
    text = "\n\n".join(part for part in (wording, prose) if part) or None
    if wording and prose and " ".join(wording.split()) in " ".join(prose.split()):
        text = prose
    address = next((value for value in (facts.get("url"), facts.get("@id")) if isinstance(value, str)), "")
    address = (joined(html.url, address) or address) if address else ""
    own_id = f"{html.canonical}#{address}|{facts['name']}|{item.artist or ''}"
    row: dict[str, Any] = {
        "record_id": record_id or own_id,
        "permalink": html.canonical,
        "granularity": item.granularity,
        "title": facts["name"],
        "title_raw": facts["name"],
        "artist": item.artist,
        "album": item.album,
        "year": year_by(capture, _year(facts)),
        "duration_s": duration_s(facts.get("duration")),
        "isrcs": _isrcs(facts),
        "mbid": _mbid(facts),
        "language": language_of(text, _language(facts) or html.language),
        "tags": _tags(facts, html),
        "lead": first_sentences(wording or text),
        "text": text,
    }
    licence = (None if html.is_article else licence_of(facts.get("license"))) or html.licence
    return {**row, "licences": {"*": licence}} if licence else row


def _prose_alone(html: Html) -> dict[str, Any]:
    text = html.prose()
    if text is None:
        if html.too_large:
            raise PageError("page_too_large", f"{html.too_large}, and no structured data about music")
        if html.broken:
            what = re.sub("[^a-z]+", "_", html.broken[0].split(":")[0].split(" block")[0].casefold())
            raise PageError(f"{what}_broken", f"no prose, and {'; '.join(html.broken[:3])}")
        raise PageError("nothing_to_read", "neither structured data about music nor readable prose")
    prose, text = text, reading_matter(text)
    if reason := too_little(prose, text):
        raise PageError(reason, f"no structured data about music, and of prose only {prose[:200]!r}")
    row: dict[str, Any] = {
        "record_id": html.canonical,
        "permalink": html.canonical,
        "granularity": "page",
        "title": html.title,
        "title_raw": html.title,
        "language": language_of(text, html.language),
        "lead": first_sentences(text),
        "text": text,
    }
    licence = html.licence
    return {**row, "licences": {"*": licence}} if licence else row


def _year(facts: Mapping[str, Any]) -> int | None:
    dates = (facts.get(key) for key in ("datePublished", "dateCreated", "copyrightYear"))
    dates_as_text = (str(date) if isinstance(date, int) else date for value in dates for date in as_list(value)[:3])
    return next((year for date in dates_as_text if (year := year_of(date))), None)


def _language(facts: Mapping[str, Any]) -> str | None:
    """Of `inLanguage`, a tag or a name, bare, in a list or as a Language with both."""
    parts = [part for value in as_list(facts.get("inLanguage"))[:3] for part in _parts(value)]
    return next((tag for value in parts if isinstance(value, str) and (tag := language_tag(value))), None)


def _parts(value: Any) -> list[Any]:
    keys = ("alternateName", "identifier", "@value", "name")
    return [value.get(key) for key in keys] if isinstance(value, dict) else [value]


def _isrcs(facts: Mapping[str, Any]) -> list[str]:
    """Of `isrcCode`, and of identifiers that say they are an ISRC: {"propertyID": "ISRC", "value": …}."""
    codes = as_list(facts.get("isrcCode"))[:_MAX_LINKS]
    for identifier in as_list(facts.get("identifier"))[:_MAX_LINKS]:
        if isinstance(identifier, dict) and str(identifier.get("propertyID") or identifier.get("name")) in _ISRC_NAMES:
            codes = [*codes, identifier.get("value")]
    plain = (re.sub(r"[\s-]", "", code[:40]).upper() for code in codes if isinstance(code, str))
    return sorted({code for code in plain if _ISRC.fullmatch(code)})


def _mbid(facts: Mapping[str, Any]) -> str | None:
    links = [facts.get("@id"), *as_list(facts.get("sameAs")), *as_list(facts.get("identifier"))]
    matches = (_MBID.search(link) for link in links[:_MAX_LINKS] if isinstance(link, str))
    return next((match[1] for match in matches if match), None)


def _tags(facts: Mapping[str, Any], html: Html) -> list[dict[str, Any]]:
    """Genres, then keywords, in the page's order; addresses and whole sentences are no tags."""
    names: dict[str, str] = {}
    for value in [*as_list(facts.get("genre"))[:_MAX_LINKS], *as_list(facts.get("keywords"))[:_MAX_LINKS]]:
        parts = value[:_MAX_KEYWORD_CHARS].split(",") if isinstance(value, str) else [value]
        for part in (part for whole in parts for part in re.split("[;|,]", name_of(whole, html) or "")):
            name = part.strip()
            if name and len(name) <= _MAX_TAG_CHARS and "://" not in name:
                names.setdefault(name.casefold(), name)
    return [{"name": name, "count": None} for name in list(names.values())[:_MAX_TAGS]]


class SitemapPage(Page):
    """A sitemap, whose pages become tasks for `MusicPage`, or an index of sitemaps."""

    kind = "sitemap"
    below: ClassVar[str] = "sitemap_in_index"  # kind of the lists an index names; "" where there may be none

    def documents(self) -> list[dict[str, Any]]:
        """None; entries that are not followed are counted by reason."""
        sitemap = read_sitemap(self.capture)
        if sitemap.is_index and not self.below:
            raise PageError("sitemaps_too_deep", "an index of sitemaps in an index in an index")
        address_count = sum(1 for _ in sitemap.addresses(self.capture.url))
        self.refused = sitemap.refused()
        if not address_count and self.refused:
            raise self.refused.pop(0)
        return []

    def follow(self) -> Iterator[TaskSpec]:
        """A task for each address, yielded as the list is read."""
        sitemap = read_sitemap(self.capture)
        kind = self.below if sitemap.is_index else MusicPage.kind
        if not kind:
            return
        for url in sitemap.addresses(self.capture.url):
            yield TaskSpec(NAME, url, kind)


class IndexedSitemap(SitemapPage):
    """A sitemap that an index named."""

    kind = "sitemap_in_index"
    below = "sitemap_in_nested_index"


class DeeplyIndexedSitemap(SitemapPage):
    """One that an index in an index named; deeper ones are refused, for a hostile site could nest them forever."""

    kind = "sitemap_in_nested_index"
    below = ""


#: The source and kind that read pages a user lists by URL.
PAGE_SOURCE, PAGE_KIND = NAME, MusicPage.kind

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
    tasks=nothing_to_ask,  # addresses come from the user's list or a site's sitemap
    pages=(MusicPage, SitemapPage, IndexedSitemap, DeeplyIndexedSitemap),
)
