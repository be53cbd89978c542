"""The readable prose of a parsed page: paragraphs without navigation, headings or boilerplate, by trafilatura."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from sourcing.crawling.parsing.interface_text import with_whole_capitals
from sourcing.crawling.parsing.values import clean

__all__ = ["readable_prose"]

_MIN_PROSE_CHARS = 250  # trafilatura's own bound for "too little, try another way"
_ANY_TEXT = "boolean(//text()[normalize-space()][not(ancestor::head)])"
_PARAGRAPH_TEXT = (
    "//body//text()[string-length(.) > 40][not(parent::a or parent::script or parent::style or parent::noscript"
    " or parent::option or parent::button or parent::textarea)]"
)


def readable_prose(tree: Any) -> str | None:
    """Paragraphs parted by a blank line; None when there is none. The tree stays as it is."""
    lines = [with_whole_capitals(line) for line in (clean(_most_of_it(tree)) or "").split("\n") if line.strip()]
    while len(lines) > 1 and _is_heading(lines[0]):
        del lines[0]
    while len(lines) > 1 and lines[-1][-1] in ":：":
        del lines[-1]  # a heading whose list was left out
    return "\n\n".join(lines) or None


def _is_heading(line: str) -> bool:
    return len(line) < 100 and line[-1] not in '.!?…"”»。！？:'


def _most_of_it(tree: Any) -> str:
    """Prose by trafilatura's fast rules; by its fallbacks too where those miss most of the text.

    The second opinions replace a finding only when they are twice as long, so they cannot where it is more than
    half of all the page's running text: leaving them out changes nothing then, and halves the time.
    """
    if not tree.xpath(_ANY_TEXT):
        return ""  # a page of structured data alone, as many are, is not searched by three methods for what it lacks
    text, has_paragraphs = _extracted(tree, fast=True)
    if len(text) >= _MIN_PROSE_CHARS and has_paragraphs:
        running = sum(map(len, set(tree.xpath(_PARAGRAPH_TEXT))))  # a paragraph that is repeated counts once
        if 2 * len(text) >= running:
            return text
    return _extracted(tree, fast=False)[0]


def _extracted(tree: Any, *, fast: bool) -> tuple[str, bool]:
    """The extracted text, and True when paragraphs hold some of the text."""
    from trafilatura import bare_extraction

    document: Any = bare_extraction(tree, options=_options(fast=fast))  # works on a copy of the tree
    return ("", False) if document is None else (document.text or "", bool(document.body.xpath(".//p//text()")))


class _Words(tuple[str, ...]):
    """Words that are hashed once.

    The second opinions look their 150,000 stop words up in a cache for every page (justext 3.0.2), and a plain tuple
    of so many takes 10 ms to hash: more than all the rest.
    """

    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            self._hash = super().__hash__()
            return self._hash


@cache
def _options(*, fast: bool) -> Any:
    import trafilatura.external
    from trafilatura.settings import Extractor

    external: Any = trafilatura.external
    external.JT_STOPLIST = _Words(external.jt_stoplist_init())
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it warns of every page without prose: we count those
    return Extractor(output_format="python", fast=fast, precision=True, comments=False, tables=False)
