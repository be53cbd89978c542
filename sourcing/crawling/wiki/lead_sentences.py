"""How an encyclopedia opens an article about music: what it is about, who performs it, its prose.

The languages' shapes are in `english`, `openings` and `romance`; other languages are not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sourcing.crawling.parsing.values import clean, strip_html
from sourcing.crawling.wiki.english_nouns import QUALIFIER, RECORDING, RELEASE
from sourcing.crawling.wiki.lead_sentences_en import english, kind_of_qualifier
from sourcing.crawling.wiki.lead_sentences_fr_es import french, spanish
from sourcing.crawling.wiki.lead_sentences_zh_de import Reading, chinese, german, japanese

__all__ = ["article_text", "name_in_title", "read_opening", "split_title"]

_QUALIFIER = re.compile(rf"\s+\(((?:[^()]*\b)?(?:{RECORDING}|{RELEASE}|{QUALIFIER}))\)$")
_BRACKET = re.compile(r"\s*[(（]([^()（）]+)[)）]$")
#: Sections that list rather than tell, or quote words of a song.
_LISTING_SECTIONS = re.compile(
    "references|external links|see also|notes|further reading|bibliography|sources|citations|footnotes|charts"
    "|chart performance|chart positions|(?:weekly|year-end|decade-end|all-time) charts"
    "|certifications|certifications and sales|track listings?|track list|tracklist"
    "|track listings and formats|formats and track listings|release history|personnel|credits|credits and personnel"
    "|accolades|awards and nominations|lyrics|discography|einzelnachweise|weblinks|literatur|références"
    "|liens externes|voir aussi|参考资料|參考資料|外部链接|外部連結|脚注"
)
_HEADING = re.compile(r"(?m)^[ \t]*(={2,6})[ \t]*(.{1,300}?)[ \t]*\1[ \t]*$")

_READERS: Mapping[str, Callable[[str, str | None], Reading]] = {
    "en": english,
    "zh": chinese,
    "ja": japanese,
    "de": german,
    "fr": french,
    "es": spanish,
}


def read_opening(text: str, qualifier: str | None, language: str) -> Reading:
    """Granularity, performer and year by an article's first sentences, and by the bracket after its title.

    Performer and year only of recordings and releases; of a language nobody reads here only what the bracket says.
    """
    reader = _READERS.get(language.split("-")[0].lower())
    granularity, artist, year = reader(text, qualifier) if reader else ("page", None, None)
    granularity = kind_of_qualifier(qualifier) or granularity
    return (granularity, artist, year) if granularity in ("recording", "release") else (granularity, None, None)


def split_title(title: str) -> tuple[str, str | None]:
    """("Yellow", "Coldplay song") of "Yellow (Coldplay song)"; brackets that belong to a title stay in it."""
    match = _QUALIFIER.search(title)
    if match is None and (other := _BRACKET.search(title)) and kind_of_qualifier(other[1]):
        match = other
    return (title[: match.start()], match[1]) if match else (title, None)


def name_in_title(title: str) -> str:
    """Performer's name for an article about a performer: its title without the bracket that tells namesakes apart."""
    bracket = _BRACKET.search(title)
    told_apart = bracket is not None and any(map(str.isalnum, bracket[1]))
    return (title[: bracket.start()] if bracket and told_apart else title) or title


def article_text(extract: object) -> str | None:
    """An extract's paragraphs, parted by blank lines, without headings and without sections that only list."""
    text = clean(strip_html(extract)) if isinstance(extract, str) else None  # HTML when explaintext was not asked
    if text is None:
        return None
    paragraphs: list[str] = []
    dropped_level, position = 0, 0  # the level of the listing section we are in; 0 outside
    for match in [*_HEADING.finditer(text), None]:
        body = text[position : match.start() if match else len(text)]
        if not dropped_level:
            paragraphs.extend(line.strip() for line in body.split("\n") if line.strip())
        if match is None:
            break
        position, level = match.end(), len(match[1])
        if dropped_level == 0 or level <= dropped_level:
            dropped_level = level if _LISTING_SECTIONS.fullmatch(match[2].casefold()) else 0
    return "\n\n".join(paragraphs) or None
