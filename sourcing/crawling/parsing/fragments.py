"""The text of HTML fragments inside API and JSON-LD fields, as a browser would show it."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

__all__ = ["strip_html"]

_MAX_CHARS, _MAX_TAGS = 400_000, 5_000  # beyond these, tags are cut out without being understood
_MAX_UNCLOSED = 50  # Python's HTML parser reads on to the end of the text from each
_ESCAPED_LAYERS = 2  # markup that was escaped on its way into the field, now and then twice
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9]*)[^<>]*>|<[^<>]*>")
_ESCAPED_TAG = re.compile(
    r"&(?:amp;)?lt;/?(?:p|br|b|i|em|strong|a|u|span|div|ul|ol|li|h[1-6]|sup|sub|small|blockquote)\b", re.IGNORECASE
)
_ENTITY_LAYER = re.compile("&amp;(?=(?:[a-z]{2,8}|#[0-9]{1,7}|#x[0-9a-f]{1,6});)", re.IGNORECASE)
#: Tags that end or part lines: a space stands in their place. All others stand inside words and sentences.
_PARTING_TAGS = """
    address article aside blockquote body br caption center dd details dir div dl dt fieldset figcaption figure footer
    form h1 h2 h3 h4 h5 h6 header hr html legend li main menu nav ol optgroup option p pre section summary table tbody
    td tfoot th thead title tr ul
"""
#: What no reader sees, and the readings above ruby letters, which would stand between them.
_UNSEEN_TAGS = "script style noscript template head rt rp object iframe svg math select textarea audio video"
_VOID_TAGS = "area base br col embed hr img input link meta source track wbr"
_PARTING, _UNSEEN, _VOID = (frozenset(tags.split()) for tags in (_PARTING_TAGS, _UNSEEN_TAGS, _VOID_TAGS))
_HIDDEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_NOTE_MARK = re.compile(r"\[\s*(?:\d{1,3}|[a-z]|note \d{1,2})\s*\]")  # of a footnote, in a <sup>


def strip_html(fragment: str) -> str:
    """The text of an HTML fragment; plain text comes back as it is.

    Inline tags leave nothing behind, so that punctuation stays at its word; tags that part lines leave a space.
    """
    for _ in range(_ESCAPED_LAYERS):
        if not _ESCAPED_TAG.search(fragment):
            break
        fragment = html.unescape(_ENTITY_LAYER.sub("&", fragment))
    if "<" not in fragment and "&" not in fragment:
        return fragment
    if "<" not in fragment:
        return html.unescape(fragment)
    left_brackets, right_brackets = fragment.count("<"), fragment.count(">")
    if len(fragment) > _MAX_CHARS or left_brackets > _MAX_TAGS or left_brackets > right_brackets + _MAX_UNCLOSED:
        return html.unescape(_TAG.sub(lambda tag: " " if (tag[1] or "p").casefold() in _PARTING else "", fragment))
    reader = _Reader()
    reader.feed(f"{fragment}\n")  # the parser keeps back a last word like "R&B" where nothing follows it
    reader.close()
    return "".join(reader.pieces).removesuffix("\n")


class _Reader(HTMLParser):
    """Gathers the visible text of a fragment."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._unseen = ""  # the tag whose content is left out
        self._depth = 0  # how many of that tag are open
        self._mark = -1  # where in `pieces` a <sup> began

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unseen:
            self._depth += tag == self._unseen
            return
        if tag in _PARTING:
            self.pieces.append(" ")
        if tag not in _VOID and (tag in _UNSEEN or _is_hidden(attrs)):
            self._unseen, self._depth = tag, 1
        elif tag == "sup":
            self._mark = len(self.pieces)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._unseen and tag in _PARTING:
            self.pieces.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            self._depth -= tag == self._unseen
            if self._depth == 0:
                self._unseen = ""
        elif tag in _PARTING:
            self.pieces.append(" ")
        elif tag == "sup" and self._mark >= 0:
            if _NOTE_MARK.fullmatch("".join(self.pieces[self._mark :]).strip()):
                del self.pieces[self._mark :]
            self._mark = -1

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    return any(name == "hidden" or (name == "style" and _HIDDEN_STYLE.search(value or "")) for name, value in attrs)
