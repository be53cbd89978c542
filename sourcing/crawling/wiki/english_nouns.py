"""English nouns for recordings, releases and performers, with phrases in which they mean another thing."""

from __future__ import annotations

import re

__all__ = [
    "ALBUMS",
    "PERFORMERS",
    "QUALIFIER",
    "RECORDING",
    "RELEASE",
    "ROLES",
    "SONGS",
    "kind_of_phrase",
    "word_set",
]


def word_set(words: str) -> frozenset[str]:
    return frozenset(words.split())


RECORDING = (
    r"(?:song|single|track|instrumental|composition|ballad|tune|standard|anthem|recording|étude|nocturne|sonata"
    r"|concerto|symphony|aria|carol|hymn|duet|medley|lullaby|B-side|remix)"
)
RELEASE = r"(?:album|EP|mixtape|soundtrack|extended play|LP|box set|compilation|record)"
QUALIFIER = r"band|musician|singer|rapper|group|duo|artist|music|composer|DJ|entertainer"

#: What a performer is called before the name: "American singer-songwriter", "English rock band".
PERFORMERS = word_set(
    "singer singers singer-songwriter singer-songwriters songwriter songwriters rapper rappers musician"
    " musicians band bands group groups supergroup duo trio quartet quintet sextet artist artists producer"
    " producers composer composers vocalist vocalists guitarist bassist drummer pianist organist keyboardist"
    " saxophonist trumpeter violinist cellist flautist harpist multi-instrumentalist instrumentalist"
    " entertainer performer performers collective ensemble orchestra choir boyband act outfit project crooner"
    " bandleader frontman DJ DJs"
)
#: What else stands before a name, and alone makes nobody a musician.
ROLES = PERFORMERS | word_set(
    "actor actress actors filmmaker dancer model comedian member idol personality youtuber clergyman acts"
)
SONGS, ALBUMS = re.compile(f"{RECORDING}s?"), re.compile(f"{RELEASE}s?")
#: Words that say something else with another before them: a race track, an ethnic group, a visual artist.
_NOT_AFTER = {
    "track": word_set("race racing running railway railroad cycling"),
    "record": word_set("world criminal guinness fossil"),
    "composition": word_set("chemical written art species"),
    "recording": word_set("field video"),
    "group": word_set(
        "ethnic political media newspaper research advocacy support record entertainment comedy theatre theater"
        " language age blood terrorist military religious youth industrial business lobby social interest"
    ),
    "artist": word_set("visual martial makeup make-up conceptual performance tattoo comics graffiti voice"),
    "producer": word_set("film television theatre theater theatrical radio executive wine"),
}  # fmt: skip
#: And words that say music only with one of these before them.
_ONLY_AFTER = {
    "standard": word_set("jazz pop blues folk gospel country bluegrass dance swing popular traditional"),
    "set": word_set("box"),
    "play": word_set("extended"),
    "act": word_set("music musical pop rock dance electronic country folk metal soul disco dutch british american"),
    "project": word_set("music musical electronic side solo pop rock folk metal ambient studio dance trance"),
    "collective": word_set("music musical hip-hop hop rap electronic art rock pop jazz"),
}


def kind_of_phrase(phrase: list[str]) -> str | None:
    """Granularity of a noun phrase by its last word and, where needed, the word before."""
    if not phrase:
        return None
    noun, before = phrase[-1], phrase[-2].casefold() if len(phrase) > 1 else ""
    singular = noun if noun in PERFORMERS and noun.removesuffix("s") not in PERFORMERS else noun.removesuffix("s")
    prefix = _ONLY_AFTER.get(singular)
    if (prefix is not None and before not in prefix) or before in _NOT_AFTER.get(singular, ()):
        return None
    if ALBUMS.fullmatch(f"{before} {noun}") or ALBUMS.fullmatch(noun):
        return "release"
    if SONGS.fullmatch(noun):
        return "recording"
    return "artist" if noun in PERFORMERS or singular in PERFORMERS else None
