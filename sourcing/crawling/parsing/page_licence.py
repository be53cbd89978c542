"""Licence of a page as a whole, told apart from licences of pictures, podcasts, themes and comments in the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from sourcing.crawling.parsing.values import as_list, clean, licence_of

__all__ = ["page_licence"]

_MAX_LINKS = 20  # looked at; the words around each are searched
_MAX_CLAUSE_CHARS = 300
_LINKS = (
    "//*[self::link or self::a or self::area][@href][contains(translate(@rel, 'LICENS', 'licens'), 'licens')"
    " or contains(@href, 'creativecommons.org/')]"
)
_RIGHTS = "//meta[@name or @property][@content]"
_RIGHTS_NAME = re.compile(r"(?:dc|dcterms)[.:](?:rights(?:\.license)?|license)|licen[sc]e", re.IGNORECASE)
_APART = frozenset({"figure", "figcaption", "aside", "blockquote", "picture", "video", "audio", "dialog"})
#: Words of a class or an id that mark a part of a page that is about something else than the page.
_APART_WORDS = re.compile(
    r"(?:^|[\s_-])(?:captions?|credits?|photos?|images?|img|gallery|galleries|thumbs?|thumbnails?|lightbox|comments?"
    r"|sidebar|podcasts?|episodes?|player|embed(?:ded)?|related|teasers?|recommended|advert|promo|theme|plugins?"
    r"|avatar|attachment)(?:$|[\s_-])",
    re.IGNORECASE,
)
_APART_TYPES = re.compile(
    r"(?:Image|Video|Audio|Media)Object|Photograph|Podcast|SoftwareApplication|Comment|StillImage|MovingImage"
    r"|dcmitype/(?:Sound|Software|Image)"
)
_THING = re.compile(
    r"\b(?:photo\w*|foto\w*|fotó\w*|images?|pictures?|bild\w*|pics?|covers?|artwork|icons?|emoji|fonts?|schrift\w*"
    r"|themes?|templates?|plugins?|software|(?:source )?code|podcasts?|episodes?|folge\w*|jingles?|music|musik|songs?"
    r"|tracks?|audio|sounds?|videos?|films?|maps?|karten?|illustrations?|grafik\w*|logos?|screenshots?|samples?"
    r"|comments?|kommentare?|imágenes|imagen|fotografía\w*|immagin\w+)\b",
    re.IGNORECASE,
)
_OWN = re.compile(
    r"\b(?:this (?:work|page|site|text|post|article|review|blog|wiki|web)|our (?:texts?|articles?|content|reviews)"
    r"|(?:text|content|texts|articles?|reviews?|website|site|blog|inhalte?|texte?n?|artikel|werk|seiten?|contenido"
    r"|obra|contenu|œuvre|contenuti|opera)\b|otherwise (?:noted|stated|specified)|nicht anders)",
    re.IGNORECASE,
)
_OF_LICENCES = re.compile(r"licen[cs]|lizen[zs]|licenç|licenz", re.IGNORECASE)
_BLOCK = re.compile("p|li|div|footer|header|section|article|main|td|dd|small|center|address|body")
_CLAUSE_END = re.compile(r"(?:(?<![A-Z])\.|[!?;©])\s|[\n|·•]")  # a full stop behind an initial ends nothing


def page_licence(tree: Any, text: str, nodes: Iterable[Mapping[str, Any]], url: str) -> str | None:
    """Licence of the page by structured data, head or a link: an SPDX id, else the words.

    The first of these that speaks is heard. Two licences there, of which neither says what it is for, are both given.
    """
    of_nodes = [node.get("license") for node in nodes if node.get("license") and _is_about_page(node, url)]
    if of_nodes:
        return licence_of([part for value in of_nodes for part in as_list(value)])
    lower = text.lower()
    if tree is None or not any(word in lower for word in ("licen", "creativecommons", ".rights", ":rights")):
        return None
    links = [link for link in tree.xpath(_LINKS)[:_MAX_LINKS] if _is_whole(link, url)]
    head = [_address(link, url) for link in links if link.tag == "link" and _is_licence(link)]
    metas = ((meta.get("name") or meta.get("property") or "", meta.get("content")) for meta in tree.xpath(_RIGHTS))
    head += [content for name, content in metas if _RIGHTS_NAME.fullmatch(name)]
    return licence_of(head) or licence_of(
        [_address(link, url) for link in links if link.tag != "link" and _speaks_of_page(link)]
    )


def _address(link: Any, url: str) -> str:
    try:
        return str(urljoin(url, link.get("href")))
    except ValueError:
        return str(link.get("href"))


def _is_licence(link: Any) -> bool:
    return "license" in (link.get("rel") or "").casefold().split()


def _is_about_page(node: Mapping[str, Any], url: str) -> bool:
    """True for a node about the page, or about an article without another address."""
    names = [name for name in as_list(node.get("@type")) if isinstance(name, str)]
    if not any(name.endswith(("WebPage", "Article", "WebSite", "Page", "BlogPosting")) for name in names):
        return False
    own = next((value for value in (node.get("url"), node.get("mainEntityOfPage")) if isinstance(value, str)), "")
    return "WebSite" in names or not own or _same(own, url)


def _same(address: str, url: str) -> bool:
    try:
        ours, theirs = urlsplit(url), urlsplit(urljoin(url, address))
    except ValueError:
        return False
    return (ours.netloc, ours.path.rstrip("/")) == (theirs.netloc, theirs.path.rstrip("/"))


def _speaks_of_page(link: Any) -> bool:
    """True when the words around a link speak of the page's licence.

    A link that does not call itself one of a licence has to be in words that do.
    """
    clause = _clause(link)
    own = _OWN.search(clause) is not None
    return own or not _THING.search(clause) if _is_licence(link) else own and _OF_LICENCES.search(clause) is not None


def _is_whole(link: Any, url: str) -> bool:
    """True when no element around the link is about another thing than the page."""
    articles = 0
    for element in [link, *link.iterancestors()]:
        articles += element.tag == "article"
        marks = f"{element.get('class') or ''} {element.get('id') or ''}"
        about = element.get("about") or ""
        if (
            element.tag in _APART
            or (len(marks) > 1 and element.tag not in ("body", "html") and _APART_WORDS.search(marks))
            or (about and not _same(about, url))
            or (element.get("itemscope") is not None and _APART_TYPES.search(element.get("itemtype") or ""))
        ):
            return False
    if articles > 1:
        return False  # of a comment, or of an article that is quoted
    return articles == 0 or len(link.xpath("//article[not(ancestor::article)]")) == 1  # else one teaser among others


def _clause(link: Any) -> str:
    """The words around a link in its paragraph, as far as the next stop on either side."""
    block = next((element for element in link.iterancestors() if _BLOCK.fullmatch(element.tag)), link)
    if block.xpath("boolean(.//*[contains(@href, 'dcmitype/')])"):
        kind = block.xpath("string(.//*[contains(@href, 'dcmitype/')]/@href)")
        if _APART_TYPES.search(kind):
            return "image"
    before: list[str] = []
    after: list[str] = []
    behind = False
    for piece in _pieces(block, link):
        if piece is None:
            behind = True
        else:
            (after if behind else before).append(piece)
    text_before = "".join(before)[-_MAX_CLAUSE_CHARS:]
    right = "".join(after)[:_MAX_CLAUSE_CHARS]
    stops = list(_CLAUSE_END.finditer(text_before))
    text_before = text_before[stops[-1].end() :] if stops else text_before
    stop = _CLAUSE_END.search(right)
    right = right[: stop.start()] if stop else right
    return clean(f"{text_before} {link.text_content()[:_MAX_CLAUSE_CHARS]} {right}") or ""


def _pieces(block: Any, link: Any) -> Iterator[str | None]:
    """The texts of a block in order, None where the link stands."""
    inside = set(link.iter())
    for element in block.iter():
        if element is link:
            yield None
        if element not in inside and isinstance(element.tag, str) and element.text:
            yield element.text
        if element is not block and element.tail and (element is link or element not in inside):
            yield element.tail
