"""How an encyclopedia opens an article about music: what it is about, who performs it, its prose.

English shapes are here, Chinese and German ones in `openings`; other languages are not read.
Careful rather than complete: where a sentence is not of a known shape the answer is None, never a guess.
"""

from __future__ import annotations

import re

from sourcing.crawling.sources.openings import QUALIFIERS, Reading, chinese, german
from sourcing.crawling.sources.reading import clean, strip_html

__all__ = ["article_text", "artist_in_lead", "granularity_of", "read_opening", "split_title", "year_in_lead"]


def _set(separator: str, words: str) -> frozenset[str]:
    return frozenset(words.split(separator))


_RECORDING = (
    r"(?:song|single|track|instrumental|composition|ballad|tune|standard|anthem|recording|étude|nocturne|sonata"
    r"|concerto|symphony|aria|carol)"
)
_RELEASE = r"(?:album|EP|mixtape|soundtrack|extended play|LP|box set|compilation)"
_QUALIFIER = re.compile(
    rf"\s+\(((?:[^()]*\b)?(?:{_RECORDING}|{_RELEASE}|band|musician|singer|rapper|group|duo|artist|music|composer|DJ|entertainer))\)$"
)
#: Sections that list rather than tell, or quote words of a song.
_LISTING_SECTIONS = _set(
    "|",
    "references|external links|see also|notes|further reading|bibliography|sources|citations|footnotes|charts"
    "|chart performance|chart positions|weekly charts|year-end charts|decade-end charts|all-time charts"
    "|certifications|certifications and sales|track listing|track listings|track list|tracklist"
    "|track listings and formats|formats and track listings|release history|personnel|credits|credits and personnel"
    "|accolades|awards and nominations|lyrics|discography|einzelnachweise|weblinks|literatur|références"
    "|liens externes|voir aussi|参考资料|參考資料|外部链接|外部連結|脚注",
)
_HEADING = re.compile(r"(?m)^[ \t]*(={2,6})[ \t]*(.{1,300}?)[ \t]*\1[ \t]*$")

#: What a performer is called before the name: "American singer-songwriter", "English rock band".
_ROLES = _set(
    " ",
    "singer singers singer-songwriter singer-songwriters songwriter songwriters rapper rappers musician"
    " musicians band bands group groups supergroup duo trio quartet quintet sextet artist artists producer"
    " producers composer composers vocalist vocalists guitarist bassist drummer pianist organist keyboardist"
    " saxophonist trumpeter violinist cellist flautist harpist multi-instrumentalist instrumentalist"
    " entertainer actor actress actors performer performers collective ensemble orchestra choir boyband act"
    " outfit project filmmaker dancer model comedian crooner bandleader frontman member idol personality"
    " youtuber",
)
_ROLE = "(?:" + "|".join(sorted(_ROLES, key=len, reverse=True)) + "|DJs?)"
_BE = r"\b(?:is|was|are|were)\s+(?:a|an|the|one of)\b"
_IS_A = re.compile(rf"{_BE}[^.]{{0,160}}?\b(?:{_RECORDING}s?|{_RELEASE})\b(?P<rest>.*)", re.DOTALL)
#: "by", also after "written and recorded"; "written by" alone names no performer.
_BY = re.compile(
    r"\s*,?\s*(?:(?:that|which)\s+(?:was|is)\s+)?"
    r"(?:(?:\w+-?\w*,?\s+){0,4}(?:recorded|performed|released|sung|made famous|popularized)\s+)?by\s+"
)
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
#: Where a sentence goes on after the names. "in", "on", "for" may belong to a name ("Alice in Chains").
_CUT = re.compile(
    r"\s*(?:[;:(—–]"
    r"|,(?!\s*(?:and\s+|with\s+)?(?:featuring|feat\.|with)\s)"
    r"(?!\s+(?:[A-Z$][^,.]{1,40},\s+){0,5}[A-Z$][^,.]{1,40}?,?\s+(?:and|&|featuring)\s)"
    r"|\.(?:\s|$)"
    rf"|\s(?:in|on)\s+(?:\d|the\s|his\s|her\s|their\s|its\s|early\s|late\s|mid|{_MONTHS})"
    r"|\sfor\s+(?:\d|the\s|his\s|her\s|their\s|its\s)|\sas\s+(?:a|the|part|well)\s"
    r"|,?\s+and\s+(?:was|is|the\s+\w+\s+(?:single|track|song)|the\s+(?:single|soundtrack|title)|released|recorded|written|produced|included|later)\b"
    r"|\s(?:from|off|that|which|who|whose|released|recorded|written|produced|composed|taken|was|is|through|via|under"
    r"|included|appearing|based|about|when|during)\s)"
)
_JOIN = re.compile(r"(,?\s+(?:featuring|feat\.|with|and|&)\s+|,\s+)")
_PARTICLES = _set(
    " ",
    "the for from of and de la le les du von van der den y el los das da di do a to in at x 'n' n' featuring with & o'",
)


def read_opening(opening: str, qualifier: str | None, language: str) -> Reading:
    """Granularity, performer and year of a first sentence; performer and year only of recordings and releases."""
    read = {"zh": chinese, "de": german}.get(language.split("-")[0].lower())
    if read is None:
        granularity = granularity_of(opening, qualifier)
        artist, year = artist_in_lead(opening, qualifier), year_in_lead(opening)
    else:
        granularity, artist, year = read(opening, qualifier)
        if qualifier is not None:
            granularity = granularity_of(opening, qualifier)
    return (granularity, artist, year) if granularity in ("recording", "release") else (granularity, None, None)


def split_title(title: str) -> tuple[str, str | None]:
    """("Yellow", "Coldplay song") of "Yellow (Coldplay song)"; brackets that belong to a title stay in it."""
    match = _QUALIFIER.search(title)
    if match is None and (other := re.search(r"\s*[(（]([^()（）]+)[)）]$", title)) and _foreign_kind(other[1]):
        match = other
    return (title[: match.start()], match[1]) if match else (title, None)


def _foreign_kind(qualifier: str) -> str | None:
    return next((kind for kind, words in QUALIFIERS if words.search(qualifier)), None)


def granularity_of(opening: str, qualifier: str | None) -> str:
    """recording, release, artist or page: by the bracket after the title, else by what the first sentence calls it."""
    if qualifier is not None:
        if foreign := _foreign_kind(qualifier):
            return foreign
        if re.search(rf"\b{_RECORDING}$", qualifier):
            return "recording"
        return "release" if re.search(rf"\b{_RELEASE}$", qualifier) else "artist"
    verb = re.search(r"\b(?:is|was|are|were)\s+(?:a|an|the|one of)\b(.{0,160})", opening, re.DOTALL)
    if verb is None:
        return "page"
    first = re.search(rf"\b(?:(?P<recording>{_RECORDING}s?)|(?P<release>{_RELEASE})|(?P<artist>{_ROLE}))\b", verb[1])
    if first is None:
        return "page"
    return str(first.lastgroup)


def artist_in_lead(opening: str, qualifier: str | None = None) -> str | None:
    """The performer a first sentence names, e.g. "Beyoncé featuring Jay-Z"; None when it is not plain to see.

    The bracket after a title ("Coldplay song") answers where the sentence does not. Writers and composers
    are not performers.
    """
    opening = re.sub(r"\s*\((?:[^()]|\([^()]*\))*\)", "", opening)  # asides: "(Korean: ...)", "(stylised as ...)"
    said = _IS_A.search(opening)
    by = _BY.match(said["rest"]) if said else None
    named = _names(_up_to_cut(said["rest"][by.end() :])) if said and by else None
    return named or _from_qualifier(qualifier)


def _up_to_cut(text: str) -> str:
    for match in _CUT.finditer(text):
        word = re.search(r"[\w.-]*$", text[: match.start()])
        initial = word and (len(word[0]) == 1 or word[0] in ("Dr", "Mr", "Mrs", "Ms", "St", "Jr", "Sr", "feat", "ft"))
        if match[0].startswith(".") and initial and match.end() < len(text):
            continue  # "Dr. Dre", "T. Rex"
        return text[: match.start()].strip()
    return text.strip()


def _names(segment: str) -> str | None:
    """The names in "American singer A and English band B", joined as they were: "A and B"."""
    pieces = _JOIN.split(segment)  # name, join, name, join, name
    named = ""
    for index in range(0, len(pieces), 2):
        name = _undescribed(pieces[index])
        if not name:
            continue  # half a descriptor: "American actor [and filmmaker Bradley Cooper]"
        if not _is_name(name):
            return None
        join = pieces[index - 1] if named else ""
        named += re.sub(r",\s+(featuring|feat\.|with)\s", r" \1 ", join) + name
    return named or None


def _undescribed(piece: str) -> str:
    """What follows the last word for a kind of performer; the article of "the Beatles" is part of the name."""
    words = piece.strip(' ,"“”').split()
    start = 0
    for index, word in enumerate(words):
        described_as_dj = word in ("DJ", "DJs") and index == start and index > 0 and words[index - 1] not in _ROLES
        nationality_then_dj = word in ("DJ", "DJs") and start == 0 and 0 < index < 4
        if word.strip(",") in _ROLES or described_as_dj or nationality_then_dj:
            start = index + 1
    return " ".join(words[start:]).strip(' ,"“”')


def _is_name(name: str) -> bool:
    words = name.split()
    if len(words) > 9 or not words:
        return False
    if re.fullmatch(r"[a-z]+(?:\.[a-z]+){2,}", name):
        return True  # will.i.am
    lower = [word for word in words if word[0].islower() and word not in _PARTICLES and not re.search("[A-Z]", word)]
    return not lower and words[0] not in _PARTICLES - {"the"} and words != ["the"]


def _from_qualifier(qualifier: str | None) -> str | None:
    if qualifier is None:
        return None
    name = re.sub(rf"\s*\b(?:{_RECORDING}|{_RELEASE})$", "", qualifier).strip()
    plain = name and name[0].isupper() and not re.search(r"\d{4}|film|soundtrack|musical|cast", name)
    return name if plain and not re.fullmatch(r"Christmas|Eurovision|Disney|English|French|German", name) else None


def year_in_lead(opening: str) -> int | None:
    """The year of "released ... in 1997", "recorded ... in 1997" or "a 1997 song"; None when it says neither."""
    match = re.search(r"\b(?:released|recorded)\b[^.;]{0,80}?\b(1[89]\d\d|20\d\d)\b", opening) or re.search(
        rf"\b(?:is|was)\s+an?\s+(1[89]\d\d|20\d\d)\s+[^.;]{{0,60}}?\b(?:{_RECORDING}|{_RELEASE})\b", opening
    )
    return int(match[1]) if match else None


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
            dropped_level = level if match[2].casefold() in _LISTING_SECTIONS else 0
    return "\n\n".join(paragraphs) or None
