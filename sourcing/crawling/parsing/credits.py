"""Artist and title from a shop's line that mixes label, artist and catalogue number."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["is_label", "is_various", "names_nobody", "parted_title", "without_catalogue_number"]

_LABEL_NAME = re.compile(
    r"\b(?:records|recordings|recs?\.?|net-?label|label|tapes|cassettes|discs|disques|schallplatten|platten|editions?"
    r"|r[ée]cords?|discos|registros|dischi|collective|compilations?|releases)\W*$",
    re.IGNORECASE,
)
_LABEL_WORDS = re.compile(
    r"\b(?:record|music|tape|cassette|indie|independent|digital)[ -]label\b|\bnet-?label\b", re.IGNORECASE
)
_LABEL_TYPES = frozenset({"Organization", "MusicLabel", "RecordLabel", "Corporation"})
_VARIOUS = re.compile(
    r"(?:various(?: artists?)?|v\.?\s?/?\s?a\.?|varios(?: artistas)?|verschiedene(?: interpreten)?|div(?:erse|\.)?"
    r"(?: artists?)?|artistes? divers|artisti vari|multiple artists|compilation)",
    re.IGNORECASE,
)
_UNKNOWN = (
    r"\[(?:unknown|no artist|anonymous|traditional|data|dialogue|theatre|soundtrack|disney|christmas music)\]"
    "|unknown artists?|artiste inconnu|artista desconocid[oa]|unbekannter (?:künstler|interpret)"
)
_NOBODY = re.compile(_UNKNOWN, re.IGNORECASE)
_NOBODY_OR_ALL = re.compile(f"{_UNKNOWN}|various(?: artists?)?", re.IGNORECASE)
_PARTED = re.compile(r"(?P<artist>\S(?:.{0,148}?\S)?)\s+[-–—]\s+(?P<title>\S.*)")
#: What may stand behind a dash in a title without the rest being an artist: "Low Tide - Live in Leith".
_VERSION = re.compile(
    r"(?:live|demo|remix|mix|edit|acoustic|instrumental|reprise|interlude|remaster(?:ed)?|single|radio|extended|original"
    r"|bonus|part|pt\.?|vol\.?|ep|lp|b-?side|session|[ivx]+\.|\d)\b|.*\b(?:version|mix|remix|edit|remaster(?:ed)?|session)\W*$",
    re.IGNORECASE,
)
#: Letters of a label and digits of a release. Not those of a work (BWV 1001), of a volume, or of a year.
_NUMBER = (
    r"(?!(?:BWV|KV|OP|HWV|RV|WOO|HOB|EP|LP|CD|DVD|VOL|PT|PART|NO|NR|MIX|TAKE|LIVE|DEMO|BPM|DJ|MC|SIDE|ACT|DAY|UB|U"
    r"|SUMMER|WINTER|SPRING|AUTUMN|FALL|VERSION|EDIT|REMIX|SESSIONS?)[ -]?\d)"
    r"[A-Z]{2,8}(?:[-_.]?[A-Z]{0,3}[-_.]?\d{1,4}|[ ](?!19\d\d|20\d\d)\d{2,4})(?:[A-Z]{1,3}\d?|[-_.][A-Z]{1,4})?"
)
_BRACKETED_NUMBER = re.compile(rf"\s*(?:\[\s*#?{_NUMBER}\s*\]|\(\s*#?{_NUMBER}\s*\)|\{{\s*{_NUMBER}\s*\}})\s*")
_BARE_NUMBER = re.compile(rf"^{_NUMBER}\s*(?:[-–—|:]|//)\s+(?=\S)|(?<=\S)\s+(?:[-–—|]|//)\s*{_NUMBER}$")
_DIGITS = re.compile(r"\d{2}")


def is_label(name: str, description: str = "", types: Iterable[str] = ()) -> bool:
    """True for a label's account, by name, description or type."""
    return bool(_LABEL_NAME.search(name) or _LABEL_WORDS.search(description[:2000]) or _LABEL_TYPES.intersection(types))


def is_various(artist: str) -> bool:
    return _VARIOUS.fullmatch(artist.strip(" [](){}")) is not None


def names_nobody(artist: str, granularity: str) -> bool:
    """True for a credit that names nobody: "[unknown]"; and for a recording "Various Artists"."""
    return (_NOBODY if granularity != "recording" else _NOBODY_OR_ALL).fullmatch(artist) is not None


def parted_title(title: str) -> tuple[str | None, str]:
    """Artist and title of "Artist - Title"; no artist where what follows the dash is a version of what precedes it."""
    match = _PARTED.fullmatch(title)
    if match is None or _VERSION.match(match["title"]):
        return None, title
    return match["artist"], match["title"]


def without_catalogue_number(title: str) -> str:
    """A title without the number of its release: "[ABC-001] Low Tide", "Low Tide (CAT123)", "ABC001: Low Tide"."""
    plain = _BRACKETED_NUMBER.sub(" ", title).strip()
    plain = _BARE_NUMBER.sub(lambda number: "" if _DIGITS.search(number[0]) else number[0], plain).strip(" -–—|:")
    return plain or title
