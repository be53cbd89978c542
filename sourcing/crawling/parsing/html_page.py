"""A web page read once: its JSON-LD and microdata as nodes, its head, and its readable prose, all from one tree.

Whatever a page holds ends as a page read or a finding in `broken`: sizes are bounded before parsers see them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from sourcing.crawling.parsing.page_licence import page_licence
from sourcing.crawling.parsing.prose import readable_prose
from sourcing.crawling.parsing.values import as_list, clean
from sourcing.store.language_tags import language_tag

__all__ = ["Html", "graph", "joined", "read_html"]

#: Pages beyond these are read by their JSON-LD alone: parsing them into trees costs minutes and gigabytes.
MAX_TREE_CHARS = 3_000_000
MAX_TREE_TAGS = 60_000
MAX_PROSE_TAGS = 20_000  # for prose, links and paragraphs are compared with each other
MAX_PROSE_LINKS = 4_000
MAX_RUN_CHARS = 32_000  # from a tag with odd attributes to the next; a longer one may be one tag
MAX_RUN_ATTRIBUTES = 4_000  # libxml2 compares each attribute of a tag with all others
MAX_MICRODATA_PROPERTIES = 4_000  # extruct takes each property's place among all others
_MAX_MICRODATA_DEPTH = 20
_MAX_LINK_NAME_CHARS = 300
_MAX_HEAD_CHARS = 2000
_LANGUAGE_METAS = "//meta[@property='og:locale' or @http-equiv='content-language']"
_OPEN_GRAPH = "//meta[starts-with(@property, 'og:') or starts-with(@property, 'music:')][@content]"
_SCRIPT = re.compile(r"<script\b([^<>]{0,1000})>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_UNREAD = re.compile(r"<(script|style)\b", re.IGNORECASE)
_UNREAD_END = {name: re.compile(rf"</{name}[^<>]{{0,100}}>", re.IGNORECASE) for name in ("script", "style")}
_PLAIN_TAG = r"/?[a-zA-Z0-9]{1,20}(?:\s{1,9}[a-zA-Z-]{1,40}=\"[^\"<>]{0,500}\"){0,20}\s{0,9}>"
_LONG_RUN = re.compile(rf"<(?!{_PLAIN_TAG})[^<]{{{MAX_RUN_CHARS},}}+")
_PREFORMATTED = re.compile("<pre|<textarea", re.IGNORECASE)
#: Characters no XML may hold: lxml reads them in HTML, and then nothing can be made of the tree it gave.
_NO_XML = re.compile("[\x00-\x08\x0e-\x1f\ufffe\uffff]")
_XML_ASCII = {**dict.fromkeys([*range(9), *range(0x0E, 0x20)]), 0x0B: " ", 0x0C: " "}
#: Whatever stands before it, be it a stray character, ends the head for the parser; drawings have titles of their own.
_TITLES = ("//title[not(ancestor::svg)]/text()", "//h1//text()")
_HIDDEN = "//body//*[@hidden or contains(translate(@style, 'DISPLAYNOE ', 'displaynoe'), 'display:none')]"
_NOTE_MARK = re.compile(r"\s{0,9}\[\s{0,9}\w{1,8}\s{0,9}\]\s{0,9}")
_ATTRIBUTE_END = re.compile(r"""[\s"'/]""")
_BLOCK_START = re.compile(r"\A\s*+(?:<!--|(?://\s{0,9})?<!\[CDATA\[)")
_BLOCK_ENDS = ("-->", "]]>", "//")


@dataclass
class Html:
    """One page, read once: its structured items, its head, and what of its structured data was broken."""

    text: str  # without programs and styles
    url: str
    nodes: list[dict[str, Any]]
    broken: list[str]  # a finding per block, tree or property list that could not be read, what it is before a colon
    title: str | None = None
    canonical: str = ""
    language: str | None = None
    shared_as: dict[str, Any] = field(default_factory=dict)  # what its Open Graph tags say it is, as a node
    licence: str | None = None  # an SPDX id, else what is stated as the page's licence
    link_names: dict[str, str] = field(default_factory=dict)  # address of a microdata link → the words of the link
    tree: Any = field(default=None, repr=False)  # None when the page is too large for one
    too_large: str = ""  # what is, of a page of which only a part was read

    @cached_property
    def is_article(self) -> bool:
        """True of a review or an article: the licence of the music it is about is not that of its words."""
        names = (name for node in graph(self.nodes) for name in as_list(node.get("@type")) if isinstance(name, str))
        return any(name.endswith(("Review", "Article", "BlogPosting")) for name in names)

    def prose(self) -> str | None:
        """Readable prose, paragraphs parted by a blank line; None when there is none or the page is too large."""
        tags, links = self.text.count("<"), self.text.count("<a") + self.text.count("<A")
        if self.tree is None:
            return None
        if tags > MAX_PROSE_TAGS or links > MAX_PROSE_LINKS:
            self.too_large = f"{tags} tags, {links} of them links"
            return None
        import lxml.etree

        try:
            return readable_prose(self.tree)
        except (lxml.etree.LxmlError, RecursionError) as error:
            self.broken.append(f"prose: {type(error).__name__}: {str(error)[:120]}")
            return None


def read_html(text: str, url: str) -> Html:
    """Read a page's structured data; never raises for what a page may hold."""
    # A table is six times as fast as a search, but on ASCII alone.
    text = (
        text.translate(_XML_ASCII)
        if text.isascii()
        else _NO_XML.sub("", text.replace("\x0b", " ").replace("\x0c", " "))
    )
    nodes, faults = _json_ld(text)
    text = _without_scripts(text)
    if not _PREFORMATTED.search(text):
        text = text.replace("\r", " ").replace("\n", " ")  # a line of the source is no line of the page
    page = Html(text, url, nodes, faults, canonical=url)
    page.too_large = _too_large(page.text)
    if page.text.strip() and not page.too_large:
        _read_tree(page)
    page.licence = page_licence(page.tree, page.text, graph(page.nodes), page.canonical)
    return page


def graph(nodes: list[Any], depth: int = 4) -> Iterator[dict[str, Any]]:
    """Nodes of a JSON-LD value, those of nested `@graph` lists included."""
    for node in nodes:
        if isinstance(node, dict):
            yield node
            if depth:
                yield from graph(as_list(node.get("@graph")), depth - 1)


def joined(url: str, address: str) -> str | None:
    """The address in full; None for what is no address, such as "http://["."""
    try:
        return urljoin(url, address)
    except ValueError:
        return None


def _without_scripts(text: str) -> str:
    """Without the programs and styles of a page, which no reader sees and a parser need not."""
    pieces: list[str] = []
    position = 0
    ends = dict.fromkeys(_UNREAD_END, True)  # whether there may be another closing tag
    while opening := _UNREAD.search(text, position):
        name = opening[1].casefold()
        closing = _UNREAD_END[name].search(text, opening.end()) if ends[name] else None
        ends[name] = closing is not None
        pieces.append(text[position : opening.start() if closing else opening.end()])
        position = closing.end() if closing else opening.end()
    return "".join([*pieces, text[position:]])


def _too_large(text: str) -> str:
    tags = text.count("<")
    if len(text) > MAX_TREE_CHARS or tags > MAX_TREE_TAGS:
        return f"{len(text)} characters, {tags} tags"
    for run in _LONG_RUN.finditer(text):
        attributes = len(_ATTRIBUTE_END.findall(run[0]))
        if attributes > MAX_RUN_ATTRIBUTES:
            return f"{len(run[0])} characters without a tag, or a tag with {attributes} attributes"
    return ""


def _json_ld(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """JSON-LD nodes block by block, so that one malformed block costs no other."""
    nodes: list[dict[str, Any]] = []
    faults: list[str] = []
    for source in _json_ld_blocks(text):
        try:
            value = json.loads(_unwrapped(source), strict=False)
        except (ValueError, RecursionError) as error:
            faults.append(f"JSON-LD block {len(nodes) + len(faults) + 1}: {type(error).__name__}: {str(error)[:120]}")
            continue  # reported through `broken`
        nodes.extend(node for part in as_list(value) for node in as_list(part) if isinstance(node, dict))
    return nodes, faults


def _json_ld_blocks(text: str) -> Iterator[str]:
    if "ld+json" not in text.casefold():
        return
    position = 0
    while opening := _SCRIPT.search(text, position):
        closing = _SCRIPT_END.search(text, opening.end())
        position = closing.end() if closing else len(text)
        if "ld+json" in opening[1].casefold():
            yield text[opening.end() : closing.start() if closing else len(text)]


def _unwrapped(block: str) -> str:
    """JSON without comment or CDATA marks around the text, and without a trailing semicolon."""
    if comment_start := _BLOCK_START.match(block):
        block = block[comment_start.end() :].rstrip(" \t\r\n;")
        for end in _BLOCK_ENDS:
            block = block.removesuffix(end).rstrip()
    return block.strip(" \t\r\n;")


def _read_tree(page: Html) -> None:
    """Head, links and microdata; a page that makes the parsers fail keeps what JSON-LD gave."""
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, collect_ids=False)
    try:
        tree = page.tree = lxml.html.document_fromstring(page.text.encode("utf-8", "replace"), parser=parser)
    except (lxml.etree.LxmlError, ValueError) as error:
        page.broken.append(f"HTML: {type(error).__name__}: {str(error)[:120]}")
        return
    page.language = _language(tree)
    page.title = _first(tree, "//meta[@property='og:title']/@content", *_TITLES)
    site = _first(tree, "//meta[@property='og:site_name']/@content")
    page.title = _without_site(page.title, site)
    if "music." in page.text:
        page.shared_as = _shared_as(tree)
    page.canonical = _canonical(page.url, _first(tree, "//link[@rel='canonical']/@href"))
    if "itemscope" in page.text:
        _read_microdata(page)
    _show(tree, page.text)


def _language(tree: Any) -> str | None:
    """Language stated by the root or the body, else by the head; "und" where all they say is no language."""
    body = tree.find("body")
    roots = [tree.get("lang"), tree.get("xml:lang"), None if body is None else body.get("lang")]
    by_name = sorted(tree.xpath(_LANGUAGE_METAS), key=lambda meta: "property" not in meta.attrib)  # og:locale first
    is_stated = False
    for value in (*roots, *(meta.get("content") for meta in by_name)):
        if value is not None and (tag := language_tag(value)):
            return tag
        is_stated = is_stated or value is not None
    return "und" if is_stated else None


def _show(tree: Any, text: str) -> None:
    """Make the body as a browser shows it: nothing hidden, no footnote marks, quotation marks where it draws them."""
    hidden_elements = tree.xpath(_HIDDEN) if " hidden" in text or "display" in text else []
    marks = tree.xpath("//body//sup") if "<sup" in text else []
    for element in [*hidden_elements, *(mark for mark in marks if _NOTE_MARK.fullmatch(mark.text_content()))]:
        if element.getparent() is not None:
            element.drop_tree()
    for quotation in tree.xpath("//body//q") if "<q" in text else []:
        quotation.tag, quotation.text = "span", f"“{quotation.text or ''}"
        quotation.tail = f"”{quotation.tail or ''}"


def _shared_as(tree: Any) -> dict[str, Any]:
    """A song or album by its Open Graph tags, in the shape of JSON-LD; its musicians are mostly addresses."""
    metas = {meta.get("property"): clean(meta.get("content", "")[:_MAX_HEAD_CHARS]) for meta in tree.xpath(_OPEN_GRAPH)}
    kind = {"music.song": "MusicRecording", "music.album": "MusicAlbum"}.get(metas.get("og:type") or "")
    seconds = metas.get("music:duration") or ""
    node = {
        "@type": kind,
        "name": metas.get("og:title"),
        "byArtist": metas.get("music:musician"),
        "inAlbum": metas.get("music:album"),
        "datePublished": metas.get("music:release_date"),
        "duration": f"PT{seconds}S" if seconds.isdecimal() else None,
    }
    return node if kind else {}


def _canonical(url: str, canonical_url: str | None) -> str:
    """Canonical address of the page, if on the same host; a page speaks for no other."""
    canonical = joined(url, canonical_url or "") or url
    return canonical if urlsplit(canonical).netloc == urlsplit(url).netloc else url


def _read_microdata(page: Html) -> None:
    properties = page.text.count("itemprop")
    if properties > MAX_MICRODATA_PROPERTIES:
        page.broken.append(f"microdata: {properties} properties")
        return
    from extruct.w3cmicrodata import MicrodataExtractor

    for element in page.tree.xpath("//*[@itemprop][@href or @src or @data]"):
        for attribute in ("href", "src", "data"):
            address = joined(page.url, element.get(attribute, "").strip())
            if address is None:
                del element.attrib[attribute]  # extruct would give up the whole page for it
            elif element.tag == "a" and attribute == "href":
                name = clean(element.text_content())
                if name and len(name) <= _MAX_LINK_NAME_CHARS:
                    page.link_names.setdefault(address, name)
    try:
        items = MicrodataExtractor().extract_items(page.tree, page.url)
        page.nodes.extend(_flat(item, _MAX_MICRODATA_DEPTH) for item in items if "properties" in item)
    except (ValueError, RecursionError) as error:
        page.broken.append(f"microdata: {type(error).__name__}: {str(error)[:120]}")


def _flat(value: Any, depth: int) -> Any:
    """extruct's microdata in the shape of JSON-LD: types and properties side by side."""
    if isinstance(value, list):
        return [_flat(part, depth) for part in value]
    if not isinstance(value, dict) or "properties" not in value or not depth:
        return value.get("value") if isinstance(value, dict) else value
    properties = {name: _flat(part, depth - 1) for name, part in value["properties"].items()}
    identity = {"@id": value["id"]} if "id" in value else {}
    return {"@type": value.get("type"), **identity, **properties}


def _first(tree: Any, *paths: str) -> str | None:
    for path in paths:
        for value in tree.xpath(path):
            if text := clean(str(value)[:_MAX_HEAD_CHARS]):
                return text
    return None


def _without_site(title: str | None, site: str | None) -> str | None:
    if title is None:
        return None
    head, bar, _ = title.partition(" | ")
    title = head if bar and head.strip() else title
    return re.sub(rf"\s[-–—:·]\s{re.escape(site)}$", "", title) if site else title
