"""Titles and artist credits taken apart: the words that name, the words that mark a version, the guests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from sourcing.matching.classical import is_classical, one_form, says_key, without_links
from sourcing.matching.folding import fold, plain
from sourcing.matching.numerals import digits_for_numbered, digits_for_words
from sourcing.matching.words import FILLER, NEUTRAL, REMASTER, TEMPO, VERSION, VERSION_NAMES, is_mix, uncensored
from sourcing.matching.works import Work, composer_names, parts_of, read_work

__all__ = ["Artist", "Title", "comparable", "fold", "read_artist", "read_title"]

_FEATURING = re.compile(
    r"\b(?:feat|ft|featuring)\b\.?\s+(.+)$"
    r"|\b(?:with\s+(?!(?:me|my|you|your|us|myself|him|her|them|an?)\b)|[fw]/\s*)(.+)$"
)
_FEATURING_BARE = re.compile(r"\s+(?:(?:feat\.?|ft\.?|featuring)\s+|[fw]/\s*)(.+)$", re.IGNORECASE)
_BRACKET = re.compile(r"[(\[{（【〔「『<]([^()\[\]{}（）【】〔〕「」『』<>]*)[)\]}）】〕」』>]")
_QUOTED = re.compile(r"\s[\"“„«]([^\"“”„«»]+)[\"”“»]")
_DASH = re.compile(r"\s+[-–—~]\s+")
_NAME_BREAK = re.compile(
    r"\s*(?:,(?!\s*the\s+\w+\s*(?:$|[&,;]))|[;/+&×、])\s*"  # "Tyler, The Creator" is one name
    r"|\s+(?:(?:feat|ft|vs|featuring|and|with|versus|x|und|et|y|con|mit|presents|meets)\.?)\s+",
    re.IGNORECASE,
)
_TITLED = re.compile(r"^(?:dj|mc) (?=\w)")
_LEET = str.maketrans("0134578", "oieastb")
_COUNTED = re.compile(r"^\s*(?:track\s*\d{1,3}|0\d)\s*[-–.:]\s*(?=\S)", re.IGNORECASE)  # "01 - Hello"
_ARTICLE = re.compile(r"^(?:the|an?|les?|la|los|las|el|die|der|das) (?=\w)")
_ARTICLE_BEHIND = re.compile(r"^(.*),\s*(the|an?|les?|la|los|las|el|die|der|das)$", re.IGNORECASE)
_LATIN_THEN_OTHER = re.compile(r"^([A-Za-z][A-Za-z0-9.'’ -]+?)\s*([^\W\dA-Za-z\u00c0-\u024f][^A-Za-z]*)$")
_OTHER_THEN_LATIN = re.compile(r"^([^\W\dA-Za-z\u00c0-\u024f][^A-Za-z]*?)\s*([A-Za-z][A-Za-z0-9.'’ -]+)$")
_HAN_RUN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+")
#: Credits that name nobody.
_JOINING = frozenset(["and", "the", "feat", "ft", "featuring", "with"])
_OF_MANY_WAYS = {"language", "altered speed"}
_NOBODY = frozenset(
    [
        "various artists",
        "various",
        "va",
        "v a",
        "diverse interpreten",
        "verschiedene interpreten",
        "artistes varies",
        "varios artistas",
        "artisti vari",
        "unknown artist",
        "unknown",
        "traditional",
        "trad",
        "anonymous",
        "anon",
        "original soundtrack",
        "soundtrack",
        "ost",
        "original cast",
        "no artist",
        "raznye ispolniteli",
    ]
)


@dataclass(frozen=True)
class Title:
    """A title in folded form."""

    full: str  # without decoration, guests and version marks
    short: str  # also without other brackets: "satisfaction" of "(I Can't Get No) Satisfaction"
    aside: str  # what those brackets hold
    bare: str  # full without a leading article
    tail: str  # what follows a composer or an opera: "nessun dorma" of "Turandot: Nessun dorma"; else empty
    versions: frozenset[str]  # "live", "remix", ...
    version_words: frozenset[str]  # what the version marks say beside: {"wembley"}
    numbers: tuple[str, ...]  # every number, sorted; Roman ones and "Part Two" as digits
    key_signature: str  # "c minor"
    raw: str  # folded without transliteration, to tell homophones apart
    parts: tuple[str, ...]  # the name of a work and of its movement, as the title is parted
    work: Work | None  # what these say, where the title is that of a work
    guests: frozenset[str]  # words of their names
    kind_of_piece: bool  # "instrumental" stands in brackets alone

    @cached_property
    def forms(self) -> frozenset[str]:
        """Every non-empty form of the title for comparing titles."""
        return frozenset(form for form in (self.full, self.short, self.bare, self.tail) if form)


@dataclass(frozen=True)
class Artist:
    """An artist credit in folded form."""

    whole: str  # as credited, without guests
    names: tuple[str, ...]  # every name in it, guests last
    guests: frozenset[str]  # words of their names
    aliases: frozenset[str]  # ways to write the whole: the bracketed one too
    han: frozenset[str]  # runs of Han characters, to tell homophones apart
    raw: str  # as written

    @property
    def band_of_words(self) -> bool:
        """True for single words joined by one "&": "Sam & Dave", "Blood, Sweat & Tears", "Mike + The Mechanics"."""
        words = self.whole.split()
        if words[1:3] == ["and", "the"]:
            return True
        return len(words) == len(self.names) + 1 > 2 and not any(" " in name for name in self.names)

    @property
    def nobody(self) -> bool:
        """True when the credit names no artist: "Various Artists"."""
        return self.whole in _NOBODY


def comparable(text: str) -> str:
    """Text folded like a title, for searching titles in prose."""
    return " ".join(digits_for_words(fold(one_form(plain(digits_for_numbered(text)))).split()))


def read_title(title: str, title_raw: str | None = None, *, artist: Artist | None = None) -> Title:
    """Take a title apart; `title_raw` adds only version marks ("(live, 1986)"), which sources put behind titles.

    The name of `artist` in front of the title ("Radiohead - Paranoid Android") is dropped.
    """
    title = _ARTICLE_BEHIND.sub(r"\2 \1", _without_artist(_COUNTED.sub("", uncensored(title)), artist))
    classical = is_classical(title)
    if classical:
        title = _QUOTED.sub(r" (\1)", title)
    core, marks, asides, guests = _strip(title)
    if title_raw and title_raw != title:
        marks = marks + _strip(title_raw)[1]
    versions: set[str] = set()
    words: set[str] = set()
    for mark in marks:
        names = {VERSION_NAMES[int(str(match.lastgroup)[1:])] for match in VERSION.finditer(mark)}
        versions |= names
        if names:
            # What of several ways to be one version is said by the words that mark it: "English", "slowed".
            rest = REMASTER.sub(" ", mark if names <= _OF_MANY_WAYS else VERSION.sub(" ", mark))
            words |= set(re.findall(r"\w+", fold(rest))) - FILLER
    aside = " ".join(comparable(text) for text in asides)
    short = comparable(core)
    full = comparable(_order(title, core, asides)) if asides else short
    if classical:
        short, full = without_links(short) or short, without_links(full) or full
    full, short = full or short, short or full
    head, *movements = parts_of(core)
    parts = (f"{comparable(head) if movements else short} {aside}".strip(), *map(comparable, movements))
    return Title(
        full,
        short,
        aside,
        _ARTICLE.sub("", full),
        _tail(core),
        frozenset(versions),
        frozenset(words),
        tuple(sorted(re.findall(r"\d+", full))),
        says_key(full),
        re.sub(r"[\W_]+", "", plain(core)) or "".join(plain(core).split()),
        parts,
        read_work(parts),
        _words_of(" ".join(guests)),
        [mark.strip() for mark in marks] == ["instrumental"],
    )


def _without_artist(title: str, artist: Artist | None) -> str:
    head, dash, rest = title.partition(" - ")
    if artist and dash and rest.strip() and fold(head) in artist.aliases and not NEUTRAL.search(plain(rest)):
        return rest if VERSION.search(plain(rest)) is None else title
    return title


def _tail(core: str) -> str:
    head, colon, rest = core.partition(": ")
    words = comparable(rest).split()
    if not colon or re.search(r"\d", head) or len(head.split()) > 4 or not set(words) - TEMPO - set("0123456789"):
        return ""
    return without_links(" ".join(words)) if is_classical(core) else " ".join(words)


def _strip(title: str) -> tuple[str, list[str], list[str], list[str]]:
    """(title without brackets, version marks in lower case, remaining brackets, guests)."""
    marks: list[str] = []
    asides: list[str] = []
    guests: list[str] = []

    def sort_out(match: re.Match[str]) -> str:
        _file(match[1], marks, asides, guests)
        return " "

    core = _BRACKET.sub(sort_out, title)
    if guest := _FEATURING_BARE.search(core):
        core = core[: guest.start()]
        guests.append(guest[1])
    head, *tails = _DASH.split(core)
    for tail in tails:
        lower = plain(tail)
        if head.strip() and (VERSION.search(lower) or NEUTRAL.search(lower)):
            _file(tail, marks, [], guests)
        else:
            head = f"{head} - {tail}"
    if not head.strip():  # the whole title stood in brackets
        return title, [], [], []
    return head, marks, asides, guests


def _file(text: str, marks: list[str], asides: list[str], guests: list[str]) -> None:
    mark = re.sub(r"['’]", "", plain(text))
    if guest := _FEATURING.search(mark):
        guests.append(guest[1] or guest[2])
        mark = _FEATURING.sub("", mark).strip()
        text = mark
    if VERSION.search(NEUTRAL.sub(" ", mark)) or (VERSION.search(mark) and not NEUTRAL.search(mark)):
        marks.append(mark)
    elif is_mix(mark):
        marks.append(f"remix {mark}")
    elif mark.strip() and not NEUTRAL.search(mark):
        asides.append(text)


def _order(title: str, core: str, asides: list[str]) -> str:
    """Core and asides in the order of the title."""
    before = [text for text in asides if title.find(text) < title.find(core.strip()[:3])]
    return " ".join([*before, core, *(text for text in asides if text not in before)])


@lru_cache(maxsize=65536)
def read_artist(credit: str) -> Artist:
    """Take an artist credit apart."""
    raw, credit = credit, uncensored(credit)
    brackets = [text for text in _BRACKET.findall(credit) if not _FEATURING.search(plain(text))]
    guests_in_brackets = [text for text in _BRACKET.findall(credit) if text not in brackets]
    bare = _BRACKET.sub(" ", credit).strip() or credit
    main = _FEATURING_BARE.sub("", bare)
    guests = " & ".join([*(match[1] for match in [_FEATURING_BARE.search(bare)] if match), *guests_in_brackets])
    whole = _without_article(main)
    pieces = [*_NAME_BREAK.split(main), *_NAME_BREAK.split(guests)]
    names = tuple(dict.fromkeys(name for piece in pieces if (name := _without_article(piece))))
    aliases = {whole, _ARTICLE.sub("", whole), *(_without_article(text) for text in brackets)}
    aliases |= {_TITLED.sub("", whole), _spelled(whole), *composer_names(whole)}
    if len(names) == 1 and (both := _LATIN_THEN_OTHER.match(main) or _OTHER_THEN_LATIN.match(main)):
        aliases |= {_without_article(name) for name in both.groups()}  # "陳奕迅 Eason Chan"
    han = frozenset(_HAN_RUN.findall(plain(credit)))
    if len(names) < 2 and not guests:
        names = (whole,)  # "+44"
    return Artist(whole, names, _words_of(guests), frozenset(alias for alias in aliases if alias), han, raw)


def _words_of(guests: str) -> frozenset[str]:
    return frozenset(fold(guests).split()) - _JOINING if guests else frozenset()


def _without_article(name: str) -> str:
    name = _ARTICLE_BEHIND.sub(r"\2 \1", name.strip())
    text = fold(name) if name.strip() else ""
    return text[4:] if text.startswith("the ") and len(text) > 4 else text


def _spelled(name: str) -> str:
    """The name with letters for digits inside words: "deadmau5" is "deadmaus"."""
    return " ".join(word.translate(_LEET) if re.search(r"[a-z]{2}", word) else word for word in name.split())
