"""Titles and artist credits taken apart: the words that name, the words that mark a version, the guests."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Artist", "Title", "fold", "read_artist", "read_title"]

#: Words that make another recording of the same song, each with the name it is reported under.
_VERSIONS = {
    r"live|in concert|(?:mtv )?unplugged|(?:bbc|peel|live) sessions?|konzert|en vivo|ao vivo": "live",
    r"re-?mix(?:ed)?|rmx|(?:club|dance|dub|extended|vip) mix|dub|bootleg|mashup|megamix|rework|flip": "remix",
    r"karaoke|backing track|sing-?along|minus one|playback": "karaoke",
    r"cover(?: version)?|tribute|(?:as )?made famous by|in the style of|originally performed by|lullaby": "cover",
    r"instrumental|instrumental version|instrumentals": "instrumental",
    r"acoustic|acoustic version|stripped": "acoustic",
    r"demo|demos|demo version|rough mix|home recording": "demo",
    r"a ?cappella|acapella|vocals only": "a cappella",
    r"orchestral|symphonic|piano version|string quartet version|8-?bit|music box": "arrangement",
    r"reprise|interlude|intro|outro|skit|medley|prelude to": "part",
    r"alternate|alternative|alt version|outtake|rehearsal|early version|take \d+|unreleased": "outtake",
    r"extended|extended version|12 inch|12\" version|long version": "extended",
    r"sped up|slowed|nightcore|8d|reverb": "altered speed",
    r"re-?recorded|rerecording|taylors version|new version": "re-recording",
    r"parody|commentary|spoken": "spoken",
}
_VERSION = re.compile("|".join(rf"(?P<v{i}>\b(?:{words})\b)" for i, words in enumerate(_VERSIONS)))
_VERSION_NAMES = list(_VERSIONS.values())
#: Words around a version word that tell nothing of which one it is: "(Live Version)" is "(Live)".
_VERSION_FILLER = frozenset(
    {"version", "recording", "edit", "mix", "performance", "track", "the", "a", "at", "in", "from"}
)
#: Decoration of the same recording: pressing, edition, format.
_NEUTRAL = re.compile(
    r"\b(?:re-?master(?:ed|ing)?|mono|stereo|(?:single|album|original|lp) version|radio (?:edit|mix|version)"
    r"|original mix|explicit|clean|bonus track"
    r"|deluxe|anniversary edition|official|lyrics?|video|audio|visualizer|from|single|hd|hq"
    r"|digital|edit)\b"
)
_FEATURING = re.compile(r"\b(?:feat|ft|featuring)\b\.?\s+(.+)$|\b(?:with|w/)\s+(.+)$")
_FEATURING_BARE = re.compile(r"\s+(?:feat\.?|ft\.?|featuring)\s+(.+)$", re.IGNORECASE)
_BRACKET = re.compile(r"[(\[{（【〔「『<]([^()\[\]{}（）【】〔〕「」『』<>]*)[)\]}）】〕」』>]")
_DASH = re.compile(r"\s+[-–—~]\s+")
_NAME_BREAK = re.compile(
    r"\s*(?:[,;/+&×、]|\b(?:feat|ft)\b\.?|\b(?:featuring|and|with|vs|versus|x|und|et|y|presents|meets)\b\.?)\s*",
    re.IGNORECASE,
)
_STYLED_I = re.compile(r"(?<=[a-z])!(?=[a-z])")  # "P!nk"
_COUNTED = re.compile(r"^\s*(?:track\s*\d{1,3}|0\d)\s*[-–.:]\s*(?=\S)", re.IGNORECASE)  # "01 - Hello"
_ROMAN = {"i": 1, "v": 5, "x": 10}
_SPELLED = {
    word: str(n)
    for n, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)
}
_NUMBERED = r"part|pt|no|nr|number|vol|volume|act|chapter|movement|mvt|op|opus|book|suite|symphony|episode"
_SHORT_FOR = {"pt": "part", "nr": "no", "number": "no", "vol": "volume", "mvt": "movement", "opus": "op", "n": "and"}


@dataclass(frozen=True)
class Title:
    """A title in folded form."""

    full: str  # without decoration, guests and version marks
    short: str  # also without other brackets: "satisfaction" of "(I Can't Get No) Satisfaction"
    aside: str  # what those brackets hold
    versions: frozenset[str]  # "live", "remix", ...
    version_words: frozenset[str]  # what the version marks say beside: {"wembley"}
    numbers: tuple[str, ...]  # every number, sorted; Roman ones and "Part Two" as digits
    key_signature: str  # "c minor"
    raw: str  # folded without transliteration, to tell homophones apart


@dataclass(frozen=True)
class Artist:
    """An artist credit in folded form."""

    whole: str  # as credited, without guests
    names: tuple[str, ...]  # every name in it, guests last
    aliases: frozenset[str]  # ways to write the whole: the bracketed one too
    raw: str  # as written


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Words for comparing: NFKC, lower case, ASCII by transliteration, no punctuation. Never empty for visible text."""
    folded = _STYLED_I.sub("i", _ascii(_plain(text)).replace("$", "s"))
    folded = re.sub(r"['’`´]", "", folded.replace("&", " and ").replace("+", " and "))
    folded = " ".join(re.sub(r"[^a-z0-9]+", " ", folded).split())
    return folded or "".join(_plain(text).split())  # "!!!" and "????" are names too


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    from anyascii import anyascii

    # Marks first: anyascii gives "Beyonce" for both forms of é only when it is one character.
    return str(anyascii(unicodedata.normalize("NFC", text))).casefold()


def read_title(title: str, title_raw: str | None = None) -> Title:
    """Take a title apart; `title_raw` adds only version marks ("(live, 1986)"), which sources put behind titles."""
    title = _COUNTED.sub("", title)
    core, marks, asides = _strip(title)
    if title_raw and title_raw != title:
        marks = marks + _strip(title_raw)[1]
    versions: set[str] = set()
    words: set[str] = set()
    for mark in marks:
        found = {_VERSION_NAMES[int(str(match.lastgroup)[1:])] for match in _VERSION.finditer(mark)}
        versions |= found
        if found:
            words |= set(fold(_VERSION.sub(" ", mark)).split()) - _VERSION_FILLER
    aside = " ".join(fold(_numbered(text)) for text in asides)
    short = fold(_numbered(core))
    full = fold(_numbered(_order(title, core, asides)))
    numbers = tuple(sorted(Counter(re.findall(r"\d+", full)).elements()))
    key = re.search(r"\b([a-g])(?: (flat|sharp))? (major|minor)\b", full)
    return Title(
        full or short,
        short or full,
        aside,
        frozenset(versions),
        frozenset(words),
        numbers,
        " ".join(part for part in key.groups() if part) if key else "",
        "".join(_plain(core).split()),
    )


def _strip(title: str) -> tuple[str, list[str], list[str]]:
    """(title without brackets, marks of versions in lower case, other brackets)."""
    marks: list[str] = []
    asides: list[str] = []

    def sort_out(match: re.Match[str]) -> str:
        _file(match[1], marks, asides)
        return " "

    core = _BRACKET.sub(sort_out, title)
    core = _FEATURING_BARE.sub("", core)
    head, *tails = _DASH.split(core)
    for tail in tails:
        plain = _plain(tail)
        if head.strip() and (_VERSION.search(plain) or _NEUTRAL.search(plain)):
            _file(tail, marks, [])
        else:
            head = f"{head} - {tail}"
    if not head.strip():  # the whole title stood in brackets
        return title, [], []
    return head, marks, asides


def _file(text: str, marks: list[str], asides: list[str]) -> None:
    plain = re.sub(r"['’]", "", _plain(text))
    if _FEATURING.search(plain):
        plain = _FEATURING.sub("", plain).strip()
        text = plain
    if _VERSION.search(_NEUTRAL.sub(" ", plain)) or (_VERSION.search(plain) and not _NEUTRAL.search(plain)):
        marks.append(plain)
    elif plain.strip() and not _NEUTRAL.search(plain) and not _mix(plain, marks):
        asides.append(text)


def _mix(plain: str, marks: list[str]) -> bool:
    """ "(Somebody's Mix)" is a remix, whoever mixed it."""
    if re.search(r"\bmix$|\bmix\b", plain):
        marks.append(f"remix {plain}")
        return True
    return False


def _order(title: str, core: str, asides: list[str]) -> str:
    """Core and asides in the order of the title."""
    before = [text for text in asides if title.find(text) < title.find(core.strip()[:3])]
    return " ".join([*before, core, *(text for text in asides if text not in before)])


def _numbered(text: str) -> str:
    """Numbers as digits: "No. V", "Part Two", ": II. Andante"; a lone "I" stays a pronoun."""
    text = re.sub(r"№|♯", lambda match: " no " if match[0] == "№" else " sharp ", text).replace("♭", " flat ")
    text = re.sub(r"(?<![^\s:,–—-])([IVX]{1,5})(?=\.\s)|\b([IVX]{2,5})\b", _to_digits, text)
    text = re.sub(
        rf"\b({_NUMBERED})\b\.?\s*([ivx]{{1,5}}|{'|'.join(_SPELLED)}|\d+)\b",
        lambda match: f"{_SHORT_FOR.get(match[1].casefold(), match[1])} {_digits(match[2])} ",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(r"(?<=[A-Ga-g])[\s-](flat|sharp)\b", r" \1", text)
    return re.sub(r"\b(rock|guns|drum) '?n'? ", r"\1 and ", text, flags=re.IGNORECASE)


def _to_digits(match: re.Match[str]) -> str:
    return f" {_digits(match[1] or match[2])} "


def _digits(text: str) -> str:
    word = text.casefold()
    if word in _SPELLED or word.isdigit():
        return _SPELLED.get(word, str(int(word)) if word.isdecimal() else word)
    values = [_ROMAN[letter] for letter in word]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return str(sum(-value if value < following else value for value, following in pairs))


@lru_cache(maxsize=65536)
def read_artist(credit: str) -> Artist:
    """Take an artist credit apart."""
    brackets = [text for text in _BRACKET.findall(credit) if not _FEATURING.search(_plain(text))]
    guests_in_brackets = [text for text in _BRACKET.findall(credit) if text not in brackets]
    bare = _BRACKET.sub(" ", credit).strip() or credit
    main = _FEATURING_BARE.sub("", bare)
    guests = " & ".join([*(match[1] for match in [_FEATURING_BARE.search(bare)] if match), *guests_in_brackets])
    whole = _without_article(main)
    pieces = [*_NAME_BREAK.split(main), *_NAME_BREAK.split(guests)]
    names = tuple(dict.fromkeys(name for piece in pieces if (name := _without_article(piece))))
    aliases = {whole, *(_without_article(text) for text in brackets)}
    return Artist(whole, names or (whole,), frozenset(alias for alias in aliases if alias), credit)


def _without_article(name: str) -> str:
    name = re.sub(r"^(.*),\s*the$", r"\1", name.strip(), flags=re.IGNORECASE)
    folded = fold(name) if name.strip() else ""
    return folded[4:] if folded.startswith("the ") and len(folded) > 4 else folded
