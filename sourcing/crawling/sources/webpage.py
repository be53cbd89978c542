"""A web page read once: its JSON-LD and microdata as nodes, its head, and its readable prose, all from one tree.

Whatever a page holds ends as a page read or a finding in `broken`: sizes are bounded before parsers see them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from sourcing.crawling.sources.reading import as_list, clean, licence_of

__all__ = ["Html", "read_html"]

#: Pages beyond these are read by their JSON-LD alone: parsing them into trees costs minutes and gigabytes.
MAX_TREE_CHARS = 3_000_000
MAX_TREE_TAGS = 60_000
MAX_PROSE_TAGS = 20_000  # links, paragraphs and tables are compared with each other
MAX_MICRODATA_PROPERTIES = 4_000  # extruct takes each property's place among all others
_MAX_MICRODATA_DEPTH = 20
_MIN_PROSE_CHARS = 250  # trafilatura's own bound for "too little, try another way"
_MAX_LINK_NAME_CHARS = 300
_SCRIPT = re.compile(r"<script\b([^<>]{0,1000})>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script", re.IGNORECASE)
_BLOCK_START = re.compile(r"\s*+(?:<!--|(?://\s{0,9})?<!\[CDATA\[)")
_BLOCK_ENDS = ("-->", "]]>", "//")
_PARAGRAPH_TEXT = (
    "//body//text()[string-length(.) > 40][not(parent::a or parent::script or parent::style or parent::noscript"
    " or parent::option or parent::button or parent::textarea)]"
)


@dataclass
class Html:
    """One page, read once: its structured items, its head, and what of its structured data was broken."""

    text: str
    url: str
    nodes: list[dict[str, Any]]
    broken: list[str]  # a finding per JSON-LD block that is no JSON
    title: str | None = None
    canonical: str = ""
    language: str | None = None
    licence: str | None = None
    link_names: dict[str, str] = field(default_factory=dict)  # address of a microdata link → the words of the link
    tree: Any = field(default=None, repr=False)  # None when the page is too large for one

    @cached_property
    def stated_licence(self) -> str | None:
        """What the head says, else what a node about the page itself says."""
        about_page = (node for node in self.nodes if _is_about_page(node))
        return self.licence or next((found for node in about_page if (found := licence_of(node.get("license")))), None)

    @property
    def too_large(self) -> str:
        """The finding for a page that is read by its JSON-LD alone; empty for any other."""
        return _too_large(self.text)

    def prose(self) -> str | None:
        """Readable prose, paragraphs parted by a blank line; None when there is none or the page is too large."""
        if self.tree is None or self.text.count("<") > MAX_PROSE_TAGS:
            return None
        import lxml.etree

        try:
            found = _prose(self.tree)
        except (lxml.etree.LxmlError, RecursionError) as error:
            self.broken.append(f"prose: {type(error).__name__}: {str(error)[:120]}")
            return None
        lines = [line for line in (clean(found) or "").split("\n") if line.strip()]
        while len(lines) > 1 and _is_heading(lines[0]):
            del lines[0]
        return "\n\n".join(lines) or None


def read_html(text: str, url: str) -> Html:
    """Read a page's structured data; never raises for what a page may hold."""
    text = text.replace("\x00", "")
    nodes, broken = _json_ld(text)
    page = Html(text, url, nodes, broken, canonical=url)
    if not page.too_large:
        _read_tree(page)
    return page


def _too_large(text: str) -> str:
    tags = text.count("<")
    return f"{len(text)} characters, {tags} tags" if len(text) > MAX_TREE_CHARS or tags > MAX_TREE_TAGS else ""


def _is_about_page(node: dict[str, Any]) -> bool:
    return any(
        isinstance(name, str) and name.endswith(("WebPage", "Article", "WebSite", "Page", "BlogPosting"))
        for name in as_list(node.get("@type"))
    )


def _json_ld(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Block by block, so that one malformed block does not cost the others."""
    nodes: list[dict[str, Any]] = []
    broken: list[str] = []
    for source in _json_ld_blocks(text):
        try:
            value = json.loads(_unwrapped(source), strict=False)
        except (ValueError, RecursionError) as error:
            broken.append(f"JSON-LD block {len(nodes) + len(broken) + 1}: {type(error).__name__}: {str(error)[:120]}")
            continue  # reported through `broken`
        nodes.extend(node for node in as_list(value) if isinstance(node, dict))
    return nodes, broken


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
    """Without the comment or CDATA marks some templates put around JSON, and a trailing semicolon."""
    if wrapped := _BLOCK_START.match(block):
        block = block[wrapped.end() :].rstrip()
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
    page.language = clean(tree.get("lang") or tree.get("{http://www.w3.org/XML/1998/namespace}lang"))
    page.title = _first(tree, "//meta[@property='og:title']/@content", "//head/title/text()", "//h1//text()")
    site = _first(tree, "//meta[@property='og:site_name']/@content")
    page.title = _without_site(page.title, site)
    page.licence = licence_of(_first(tree, "//link[@rel='license']/@href", "//a[@rel='license']/@href"))
    page.canonical = _canonical(page.url, _first(tree, "//link[@rel='canonical']/@href"))
    if "itemscope" in page.text:
        _read_microdata(page)


def _canonical(url: str, stated: str | None) -> str:
    """The address the page gives itself, where it is one of its own host; a page speaks for no other."""
    try:
        canonical = urljoin(url, stated or url)
        return canonical if urlsplit(canonical).netloc == urlsplit(url).netloc else url
    except ValueError:  # e.g. "http://[": no address
        return url


def _read_microdata(page: Html) -> None:
    properties = page.text.count("itemprop")
    if properties > MAX_MICRODATA_PROPERTIES:
        page.broken.append(f"microdata: {properties} properties")
        return
    from extruct.w3cmicrodata import MicrodataExtractor

    for link in page.tree.xpath("//a[@itemprop][@href]"):
        name = clean(link.text_content())
        address = _joined(page.url, link.get("href").strip())
        if name and address and len(name) <= _MAX_LINK_NAME_CHARS:
            page.link_names.setdefault(address, name)
    try:
        items = MicrodataExtractor().extract_items(page.tree, page.url)
        page.nodes.extend(_flat(item, _MAX_MICRODATA_DEPTH) for item in items if "properties" in item)
    except (ValueError, RecursionError) as error:
        page.broken.append(f"microdata: {type(error).__name__}: {str(error)[:120]}")


def _joined(url: str, href: str) -> str | None:
    try:
        return urljoin(url, href)
    except ValueError:
        return None


def _flat(value: Any, depth: int) -> Any:
    """extruct's microdata in the shape of JSON-LD: types and properties side by side."""
    if isinstance(value, list):
        return [_flat(part, depth) for part in value]
    if not isinstance(value, dict) or "properties" not in value or not depth:
        return value.get("value") if isinstance(value, dict) else value
    properties = {name: _flat(part, depth - 1) for name, part in value["properties"].items()}
    named = {"@id": value["id"]} if "id" in value else {}
    return {"@type": value.get("type"), **named, **properties}


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
    return re.sub(rf"\s[-–—:·]\s{re.escape(site)}$", "", title) if site else title


def _is_heading(line: str) -> bool:
    return len(line) < 100 and line[-1] not in '.!?…"”»。！？:'


def _prose(tree: Any) -> str:
    """By trafilatura's own rules where they find most of the page's text, else also by its slow second opinions.

    The second opinions replace a finding only when they are twice as long, so they cannot where it is more than
    half of all the page's running text: leaving them out changes nothing then, and halves the time.
    """
    text, has_paragraphs = _extracted(tree, fast=True)
    if len(text) >= _MIN_PROSE_CHARS and has_paragraphs:
        running = sum(map(len, set(tree.xpath(_PARAGRAPH_TEXT))))  # a paragraph that is repeated counts once
        if 2 * len(text) >= running:
            return text
    return _extracted(tree, fast=False)[0]


def _extracted(tree: Any, *, fast: bool) -> tuple[str, bool]:
    """The text found, and whether any of it stands in paragraphs."""
    from trafilatura import bare_extraction

    found: Any = bare_extraction(tree, options=_options(fast=fast))  # works on a copy of the tree
    return ("", False) if found is None else (found.text or "", bool(found.body.xpath(".//p//text()")))


@cache
def _options(*, fast: bool) -> Any:
    from trafilatura.settings import Extractor

    return Extractor(output_format="python", fast=fast, precision=True, comments=False, tables=False)
