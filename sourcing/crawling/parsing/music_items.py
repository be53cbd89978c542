"""Music items (recordings, releases, artists) in a page's JSON-LD and microdata, one set of facts each."""

from __future__ import annotations

import html as html_entities
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sourcing.crawling.parsing.html_page import Html, graph, joined, read_html
from sourcing.crawling.parsing.values import as_list, clean, strip_html

__all__ = ["Html", "MusicItem", "item_of_page", "items_about_music", "name_of", "read_html"]

MAX_ITEMS = 500
_MAX_DEPTH = 14
_MAX_NODES = 20_000
_MAX_MAINS = 20
_MAX_VISITS = 3  # of one node: in its own place, and by references that know more of what is around it
_MAX_NAME_CHARS = 500
_MAX_WORDS_CHARS = 400_000
_GRANULARITY = {
    "MusicRecording": "recording",
    "MusicComposition": "recording",
    "MusicAlbum": "release",
    "MusicRelease": "release",
    "MusicGroup": "artist",
}


@dataclass
class MusicItem:
    """Facts about one recording, release or artist; `stated` are words of its own, not of the page."""

    granularity: str
    facts: dict[str, Any]  # schema.org property → value, as found
    artist: str | None
    album: str | None
    stated: str | None


def items_about_music(page: Html) -> list[MusicItem]:
    """Recordings, releases and artists in the order they are found, JSON-LD first; a thing said twice is one item."""
    nodes = list(graph(page.nodes))
    by_id = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    collection = _Found()
    walk = _Walk(page, by_id)
    for node in nodes:
        for item in walk.items(node, {}, _MAX_DEPTH):
            collection.add(item)
            if len(collection.items) >= MAX_ITEMS:
                return collection.items
    page_values = {} if collection.items else page.shared_as
    return collection.items or list(walk.items(page_values, {}, 1))


def item_of_page(items: list[MusicItem], page: Html) -> MusicItem | None:
    """The one item a page is about: the only one, or the one that has the page's own address, or is its main entity."""
    if len(items) == 1:
        return items[0]
    mains = [value for node in graph(page.nodes) for value in as_list(node.get("mainEntity"))][:_MAX_MAINS]
    main_ids = [value["@id"] for value in mains if isinstance(value, dict) and isinstance(value.get("@id"), str)]
    own = [item for item in items if _has_address(item, page) or item.facts.get("@id") in main_ids]
    own = own or [item for item in items if any(item.facts.get("name") == _name_in(main) for main in mains)]
    return own[0] if len(own) == 1 else None


def _name_in(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) and "name" in value else ()


def _has_address(item: MusicItem, page: Html) -> bool:
    of_page = [item.facts.get("mainEntityOfPage"), item.facts.get("url"), item.facts.get("@id")]
    addresses = (value.get("@id") if isinstance(value, dict) else value for value in of_page)
    return any(
        joined(page.url, value) in (page.canonical, page.url) for value in addresses if isinstance(value, str) and value
    )


def name_of(value: Any, page: Html, by_id: Mapping[str, Any] | None = None, depth: int = 4) -> str | None:
    """Name of a value in any notation: text, {"name"}, {"@value"}, a reference, a link whose words are the name."""
    value = as_list(value)[0] if as_list(value) else None
    if isinstance(value, dict) and depth:
        node = (by_id or {}).get(str(value.get("@id")), value)
        return name_of(node.get("name") or node.get("@value") or value.get("name"), page, by_id, depth - 1)
    if not isinstance(value, str) or len(value) > 10 * _MAX_NAME_CHARS:
        return None
    if value in page.link_names:
        return page.link_names[value]
    if re.match(r"https?://\S+$", value):
        return None  # an address without words names nothing
    text = clean(strip_html(html_entities.unescape(value)))
    return text if text and len(text) <= _MAX_NAME_CHARS else None


def _types(node: dict[str, Any]) -> list[str]:
    names = (name for name in as_list(node.get("@type"))[:20] if isinstance(name, str))
    return [name.rstrip("/").rsplit("/", 1)[-1].rsplit(":", 1)[-1] for name in names]


_Context = Mapping[str, str | None]  # what the things around an item say: its artist, album, a review's words


@dataclass
class _Walk:
    """A walk through one page's nodes; bounded, because references may form circles."""

    page: Html
    by_id: dict[str, dict[str, Any]]
    visited: int = 0
    visits: Counter[int] = field(default_factory=Counter)  # by the node's id()

    def items(self, node: dict[str, Any], context: _Context, depth: int) -> Iterator[MusicItem]:
        if set(node) <= {"@id", "@type"}:
            node = self.by_id.get(str(node.get("@id")), node)
        self.visited += 1
        self.visits[id(node)] += 1
        if depth == 0 or self.visited > _MAX_NODES or self.visits[id(node)] > _MAX_VISITS:
            return
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
        wording = _words(node.get("reviewBody") or node.get("description")) if _is_review(types) else None
        for key, value in node.items():
            if key.startswith("@") or key in ("byArtist", "inAlbum", "event", "performer"):
                continue
            around = {**inner, "stated": wording} if key == "itemReviewed" else inner
            for child in as_list(value):
                if isinstance(child, dict):
                    yield from self.items(child, around, depth - 1)

    def item(self, granularity: str, name: str, node: dict[str, Any], context: _Context) -> MusicItem:
        artist = name if granularity == "artist" else self.artist(node) or context.get("artist")
        album = name if granularity == "release" else self.name(node.get("inAlbum")) or context.get("album")
        reviews = [review for review in as_list(node.get("review"))[:3] if isinstance(review, dict)]
        words = [node.get("description"), *(review.get("reviewBody") for review in reviews)]
        wordings = dict.fromkeys([*filter(None, map(_words, words)), *filter(None, [context.get("stated")])])
        return MusicItem(granularity, {**node, "name": name}, artist, album, "\n\n".join(wordings) or None)

    def artist(self, node: dict[str, Any]) -> str | None:
        makers = as_list(node.get("byArtist") or node.get("creator") or node.get("author"))
        return ", ".join(dict.fromkeys(name for maker in makers[:20] if (name := self.name(maker)))) or None

    def name(self, value: Any) -> str | None:
        return name_of(value, self.page, self.by_id)


def _is_review(types: list[str]) -> bool:
    return any(name.endswith("Review") for name in types)


def _words(value: Any) -> str | None:
    texts = [text[:_MAX_WORDS_CHARS] for text in as_list(value)[:20] if isinstance(text, str)]
    clean_texts = [clean(strip_html(html_entities.unescape(text))) for text in texts]
    return "\n\n".join(text for text in clean_texts if text) or None


@dataclass
class _Found:
    """The items of a page so far, each thing once."""

    items: list[MusicItem] = field(default_factory=list)
    by_name: dict[tuple[str, str], list[MusicItem]] = field(default_factory=dict)

    def add(self, item: MusicItem) -> None:
        """Append, or complete the item already found under the same name by the same artist."""
        namesakes = self.by_name.setdefault((item.granularity, str(item.facts["name"]).casefold()), [])
        for namesake in namesakes:
            if namesake.artist is None or item.artist is None or namesake.artist.casefold() == item.artist.casefold():
                namesake.facts = {**item.facts, **{key: value for key, value in namesake.facts.items() if value}}
                namesake.artist, namesake.album = namesake.artist or item.artist, namesake.album or item.album
                namesake.stated = namesake.stated or item.stated
                return
        namesakes.append(item)
        self.items.append(item)
