"""Sitemaps (sitemaps.org, protocol 0.9): the addresses a site lists of its own pages, as XML, gzipped or plain text."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urldefrag, urlsplit

from sourcing.crawling.parsing.charsets import decode
from sourcing.crawling.source import Capture, PageError

__all__ = ["MAX_BYTES", "MAX_ENTRIES", "Sitemap", "read_sitemap"]

MAX_ENTRIES = 50_000  # the protocol's own bounds
MAX_BYTES = 50 * 1024 * 1024  # after gunzipping
MAX_URL_CHARS = 2048
_MAX_ENTRY_ELEMENTS = 20_000  # one entry may name a thousand images
_SAFE_URL = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%-]+")
_GZIP = b"\x1f\x8b"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass
class Sitemap:
    """Entries of one sitemap, read during iteration; `skipped` is whole once the iteration has ended."""

    is_index: bool  # its addresses are those of further sitemaps
    entries: Iterator[str]
    skipped: Counter[str] = field(default_factory=Counter)  # reason → entries not followed for it
    examples: dict[str, str] = field(default_factory=dict)  # reason → the first of them

    def addresses(self, own_url: str) -> Iterator[str]:
        """The entries that may be asked: absolute, http or https, of the sitemap's own host, each once."""
        urls: set[str] = set()
        for entry in self.entries:
            if len(urls) >= MAX_ENTRIES:
                return self.skip("sitemap_too_long", entry)
            reason, url = _checked(entry, own_url)
            if reason:
                self.skip(reason, entry)
            elif url not in urls:
                urls.add(url)
                yield url

    def skip(self, reason: str, entry: str) -> None:
        self.skipped[reason] += 1
        self.examples.setdefault(reason, entry[:200])

    def refused(self) -> list[PageError]:
        """One finding per reason, with how many entries and the first of them."""
        return [
            PageError(reason, f"{count} of its entries, the first: {self.examples[reason]!r}")
            for reason, count in sorted(self.skipped.items())
        ]


def read_sitemap(capture: Capture) -> Sitemap:
    """The sitemap in a response; PageError where it is none, or one that may not be read."""
    if capture.status != 200:
        raise PageError(f"status_{capture.status}", f"the answer's HTTP status is {capture.status}")
    text = decode(_unzipped(capture)).lstrip("\ufeff \t\r\n")
    if not text:
        raise PageError("body_empty", "the sitemap is empty")
    if not text.startswith("<"):
        return _plain(text)
    if re.match(r"<!doctype\s+html|<html", text[:40], re.IGNORECASE):
        raise PageError("not_a_sitemap", "a web page")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        # No sitemap needs one, and a few declared entities can stand for gigabytes or for files of ours.
        raise PageError("doctype_in_sitemap", "a document type declaration, which sitemaps have no use for")
    return _xml(text)


def _unzipped(capture: Capture) -> Capture:
    if not capture.body.startswith(_GZIP):
        return capture
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(capture.body)) as stream:
            body = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise PageError("gzip_broken", f"{type(error).__name__}: {error}") from None
    if len(body) > MAX_BYTES:
        raise PageError("sitemap_too_large", f"more than {MAX_BYTES} bytes when unpacked")
    return replace(capture, body=body)


def _plain(text: str) -> Sitemap:
    """One address a line."""
    lines = (line.strip() for line in io.StringIO(text))
    if not re.match(r"https?://", text, re.IGNORECASE):
        raise PageError("not_a_sitemap", f"neither XML nor a list of addresses: {text[:60]!r}")
    return Sitemap(is_index=False, entries=(line for line in lines if line))


def _xml(text: str) -> Sitemap:
    import lxml.etree

    events = lxml.etree.iterparse(
        io.BytesIO(text.encode("utf-8", "replace")),
        events=("start", "end"),
        encoding="utf-8",  # it was decoded above, whatever its declaration says
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        _, root = next(events)
    except (lxml.etree.XMLSyntaxError, StopIteration) as error:
        raise PageError("not_a_sitemap", f"no XML: {error}"[:300]) from None
    name = lxml.etree.QName(root)
    if name.localname not in ("urlset", "sitemapindex"):
        raise PageError("not_a_sitemap", f"its root element is {name.localname[:60]!r}")
    sitemap = Sitemap(is_index=name.localname == "sitemapindex", entries=iter(()))
    part = "sitemap" if sitemap.is_index else "url"
    namespace = f"{{{name.namespace}}}" if name.namespace else ""
    sitemap.entries = _locations(events, root, (namespace + part, namespace + "loc"), sitemap)
    return sitemap


def _locations(events: Iterator[tuple[str, Any]], root: Any, tags: tuple[str, str], sitemap: Sitemap) -> Iterator[str]:
    """Addresses in the entries' own <loc> (images and videos have others), freeing elements on the way."""
    import lxml.etree

    part, loc = tags
    depth = entries = elements = 0  # below the root; all so far; of the entry being read
    try:
        for event, element in events:
            if entries > 2 * MAX_ENTRIES:
                return sitemap.skip("sitemap_too_long", f"more than {2 * MAX_ENTRIES} elements")
            depth += 1 if event == "start" else -1
            elements += event == "start"
            if elements > _MAX_ENTRY_ELEMENTS:
                return sitemap.skip("entry_too_large", f"more than {elements - 1} elements")
            if event == "end" and depth == 0:
                if element.tag == part:
                    yield (element.findtext(loc) or "").strip()
                entries, elements = entries + 1, 0
                while (sibling := element.getprevious()) is not None:  # the parser still needs the one just read
                    root.remove(sibling)
    except lxml.etree.XMLSyntaxError as error:
        sitemap.skip("sitemap_torn", str(error))


def _checked(entry: str, own_url: str) -> tuple[str, str]:
    """(reason to skip, "") or ("", the address in the form it is asked)."""
    from w3lib.url import safe_url_string

    if len(entry) > MAX_URL_CHARS:
        return "url_too_long", ""
    try:
        parts = urlsplit(entry)
        if not entry or not parts.scheme:
            return "url_relative", ""
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            return "url_not_http", ""
        if parts.username is not None or _authority(entry) != _authority(own_url):
            return "url_of_another_host", ""
        url = urldefrag(entry).url
        url = url if _SAFE_URL.fullmatch(url) else safe_url_string(url)
    except ValueError:
        return "url_malformed", ""
    return "", url


def _authority(url: str) -> tuple[str, int | None]:
    """Host and port; http and https of one host count as one, as sites list the one from the other."""
    parts = urlsplit(url)
    port = parts.port
    return (parts.hostname or "").rstrip("."), None if port == _DEFAULT_PORTS.get(parts.scheme) else port
