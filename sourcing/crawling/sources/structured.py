"""What a web page says about music in JSON-LD and microdata, flattened to one set of facts per item."""

from __future__ import annotations

import html as html_entities
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from sourcing.crawling.sources.reading import as_list, clean, licence_of, strip_html

__all__ = ["Html", "MusicItem", "items_about_music", "name_of", "read_html"]

#: Pages beyond these are read by their JSON-LD alone: parsing them into trees costs minutes and gigabytes.
MAX_TREE_CHARS = 3_000_000
MAX_TREE_TAGS = 60_000
MAX_ITEMS = 500
_MAX_DEPTH = 14
_GRANULARITY = {
    "MusicRecording": "recording",
    "MusicComposition": "recording",
    "MusicAlbum": "release",
    "MusicRelease": "release",
    "MusicGroup": "artist",
}
_MAX_NODES = 20_000
_SCRIPT = re.compile(r"<script\b([^>]{0,1000})>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)


@dataclass
class Html:
    """One page, read once: its structured items, its head, and what of its JSON-LD was broken."""

    text: str
    url: str
    nodes: list[dict[str, Any]]
    broken: list[str]  # a finding per JSON-LD block that is no JSON
    title: str | None = None
    canonical: str = ""
    language: str | None = None
    licence: str | None = None
    link_names: dict[str, str] = field(default_factory=dict)  # address of a microdata link → the words of the link

    @cached_property
    def stated_licence(self) -> str | None:
        """What the head says, else what a node about the page itself says."""
        about_page = (node for node in self.nodes if re.search("WebPage|Article|WebSite", str(node.get("@type"))))
        return self.licence or next((found for node in about_page if (found := licence_of(node.get("license")))), None)

    def prose(self) -> str | None:
        """Readable prose, paragraphs parted by a blank line; None when there is none or the page is too large."""
        if _too_large(self.text):
            return None
        import trafilatura

        found = trafilatura.extract(
            self.text, url=self.url, include_comments=False, include_tables=False, favor_precision=True
        )
        lines = [line for line in (clean(found) or "").split("\n") if line.strip()]
        while len(lines) > 1 and _is_heading(lines[0]):
            del lines[0]
        return "\n\n".join(lines) or None


@dataclass
class MusicItem:
    """Facts about one recording, release or artist; `stated` are words of its own, not of the page."""

    granularity: str
    facts: dict[str, Any]  # schema.org property → value, as found
    artist: str | None
    album: str | None
    stated: str | None


def _is_heading(line: str) -> bool:
    return len(line) < 100 and line[-1] not in '.!?…"”»。！？:'


def _too_large(text: str) -> bool:
    return len(text) > MAX_TREE_CHARS or text.count("<") > MAX_TREE_TAGS


def read_html(text: str, url: str) -> Html:
    """Read a page's structured data; never raises for what a page may hold."""
    text = text.replace("\x00", "")
    nodes, broken = _json_ld(text)
    page = Html(text, url, nodes, broken, canonical=url)
    if not _too_large(text):
        _read_tree(page)
    return page


def _json_ld(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Block by block, so that one malformed block does not cost the others."""
    nodes: list[dict[str, Any]] = []
    broken: list[str] = []
    for source in _json_ld_blocks(text):
        block = re.sub(r"^\s*(?:<!--|(?://\s*)?<!\[CDATA\[)|(?:-->|(?://\s*)?\]\]>)\s*$", "", source).strip(" \t\r\n;")
        try:
            value = json.loads(block, strict=False)
        except (ValueError, RecursionError) as error:
            broken.append(f"JSON-LD block {len(nodes) + len(broken) + 1}: {type(error).__name__}: {str(error)[:120]}")
            continue  # reported through `broken`
        nodes.extend(node for node in as_list(value) if isinstance(node, dict))
    return nodes, broken


def _json_ld_blocks(text: str) -> Iterator[str]:
    position = 0
    while opening := _SCRIPT.search(text, position):
        closing = _SCRIPT_END.search(text, opening.end())
        position = closing.end() if closing else len(text)
        if "ld+json" in opening[1].casefold():
            yield text[opening.end() : closing.start() if closing else len(text)]


def _read_tree(page: Html) -> None:
    """Head, links and microdata; a page that makes the parsers fail keeps what JSON-LD gave."""
    import extruct
    import lxml.etree
    import lxml.html

    try:
        tree = lxml.html.document_fromstring(page.text.encode("utf-8"), parser=lxml.html.HTMLParser(encoding="utf-8"))
        found = extruct.extract(page.text, base_url=page.url, syntaxes=["microdata"], errors="ignore", uniform=True)
    except (lxml.etree.LxmlError, ValueError, RecursionError) as error:
        page.broken.append(f"HTML: {type(error).__name__}: {str(error)[:120]}")
        return
    page.nodes.extend(node for node in found.get("microdata", []) if isinstance(node, dict))
    page.language = clean(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang"))
    page.title = _first(tree, "//meta[@property='og:title']/@content", "//head/title/text()", "//h1//text()")
    site = _first(tree, "//meta[@property='og:site_name']/@content")
    page.title = _without_site(page.title, site)
    page.licence = licence_of(_first(tree, "//link[@rel='license']/@href", "//a[@rel='license']/@href"))
    canonical = urljoin(page.url, _first(tree, "//link[@rel='canonical']/@href") or page.url)
    if urlsplit(canonical).netloc == urlsplit(page.url).netloc:  # a page speaks for its own host only
        page.canonical = canonical
    for link in tree.xpath("//a[@itemprop][@href]"):
        name = clean(link.text_content())
        if name and len(name) <= 300:
            page.link_names.setdefault(urljoin(page.url, link.get("href").strip()), name)


def _first(tree: Any, *paths: str) -> str | None:
    for path in paths:
        for value in tree.xpath(path):
            if text := clean(str(value)):
                return text
    return None


def _without_site(title: str | None, site: str | None) -> str | None:
    if title is None:
        return None
    head, bar, _ = title.partition(" | ")
    title = head if bar and head.strip() else title
    return re.sub(rf"\s+[-–—:·]\s+{re.escape(site)}$", "", title) if site else title


def items_about_music(page: Html) -> list[MusicItem]:
    """Recordings, releases and artists in the order they are found, JSON-LD first; a thing said twice is one item."""
    by_id = {node["@id"]: node for node in _graph(page.nodes) if isinstance(node.get("@id"), str) and len(node) > 1}
    found: list[MusicItem] = []
    walk = _Walk(page, by_id)
    for node in _graph(page.nodes):
        for item in walk.items(node, {}, _MAX_DEPTH):
            _add(found, item)
            if len(found) >= MAX_ITEMS:
                return found
    return found


def _graph(nodes: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in nodes:
        yield node
        yield from (inner for inner in as_list(node.get("@graph")) if isinstance(inner, dict))


def _types(node: dict[str, Any]) -> list[str]:
    return [str(name).rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in as_list(node.get("@type"))]


_Context = Mapping[str, str | None]  # what the things around an item say: its artist, album, a review's words


@dataclass
class _Walk:
    """A walk through one page's nodes; bounded, because references may form circles."""

    page: Html
    by_id: dict[str, dict[str, Any]]
    visited: int = 0

    def items(self, node: dict[str, Any], context: _Context, depth: int) -> Iterator[MusicItem]:
        self.visited += 1
        if depth == 0 or self.visited > _MAX_NODES:
            return
        if set(node) <= {"@id", "@type"}:
            node = self.by_id.get(str(node.get("@id")), node)
        types = _types(node)
        granularity = next((_GRANULARITY[name] for name in types if name in _GRANULARITY), None)
        name = self.name(node.get("name"))
        if granularity and name:
            yield self.item(granularity, name, node, context)
        inner = {key: context.get(key) for key in ("artist", "album")}
        if granularity == "artist":
            inner = {"artist": name, "album": None}
        elif granularity == "release":
            inner = {"artist": self.artist(node) or context.get("artist"), "album": name}
        stated = _words(node.get("reviewBody") or node.get("description")) if _is_review(types) else None
        for key, value in node.items():
            if key.startswith("@") or key in ("byArtist", "inAlbum", "event", "performer"):
                continue
            around = {**inner, "stated": stated} if key == "itemReviewed" else inner
            for child in as_list(value):
                if isinstance(child, dict):
                    yield from self.items(child, around, depth - 1)

    def item(self, granularity: str, name: str, node: dict[str, Any], context: _Context) -> MusicItem:
        artist = name if granularity == "artist" else self.artist(node) or context.get("artist")
        album = name if granularity == "release" else self.name(node.get("inAlbum")) or context.get("album")
        reviews = [review for review in as_list(node.get("review")) if isinstance(review, dict)]
        words = [node.get("description"), context.get("stated"), *(review.get("reviewBody") for review in reviews[:3])]
        stated = list(dict.fromkeys(text for value in words if (text := _words(value))))
        return MusicItem(granularity, {**node, "name": name}, artist, album, "\n\n".join(stated) or None)

    def artist(self, node: dict[str, Any]) -> str | None:
        makers = as_list(node.get("byArtist") or node.get("creator") or node.get("author"))
        return ", ".join(dict.fromkeys(name for maker in makers[:20] if (name := self.name(maker)))) or None

    def name(self, value: Any) -> str | None:
        return name_of(value, self.page, self.by_id)


def _is_review(types: list[str]) -> bool:
    return any(name.endswith("Review") for name in types)


def _words(value: Any) -> str | None:
    texts = [clean(strip_html(html_entities.unescape(text))) for text in as_list(value) if isinstance(text, str)]
    return "\n\n".join(text for text in texts if text) or None


def name_of(value: Any, page: Html, by_id: dict[str, Any] | None = None, depth: int = 4) -> str | None:
    """A name however it is written: text, {"name"}, {"@value"}, a reference, a link whose words are the name."""
    value = as_list(value)[0] if as_list(value) else None
    if isinstance(value, dict) and depth:
        node = (by_id or {}).get(str(value.get("@id")), value)
        return name_of(node.get("name") or node.get("@value") or value.get("name"), page, by_id, depth - 1)
    if not isinstance(value, str):
        return None
    if value in page.link_names:
        return page.link_names[value]
    if re.match(r"https?://\S+$", value):
        return None  # an address without words names nothing
    text = clean(strip_html(html_entities.unescape(value)))
    return text if text and len(text) <= 500 else None


def _add(found: list[MusicItem], item: MusicItem) -> None:
    """Append, or complete the item already found under the same name."""
    name = str(item.facts["name"]).casefold()
    for known in found:
        same_maker = known.artist is None or item.artist is None or known.artist.casefold() == item.artist.casefold()
        if known.granularity == item.granularity and str(known.facts["name"]).casefold() == name and same_maker:
            known.facts = {**item.facts, **{key: value for key, value in known.facts.items() if value}}
            known.artist, known.album = known.artist or item.artist, known.album or item.album
            known.stated = known.stated or item.stated
            return
    found.append(item)
