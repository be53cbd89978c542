"""Titles of classical works in one form: keys, catalogue numbers and kinds of work, out of several languages."""

from __future__ import annotations

import re

__all__ = ["one_form", "says_key"]

_KEY = re.compile(r"\b([a-g])(?: (flat|sharp))? (major|minor)\b")
#: A sign that a title is one of a work: only then are its words translated.
_SIGN = re.compile(
    r"\b(?:op|opus|bwv|kv|hob|rv|woo|hwv|deutsch|twv|symphon\w+|sinfoni\w+|sonat\w+|concerto|konzert|prelude|pr[ée]lude"
    r"|klavier\w*|streich\w+|nocturne|[ée]tude|variation\w*|quartett?o?|requiem|suite)\b"
    r"|\bk\.? ?\d{2,3}\b|n°|작품|作品|[大小][调調]|\b(?:dur|moll)\b",
    re.IGNORECASE,
)
_SOLFEGE = {"do": "c", "ré": "d", "re": "d", "mi": "e", "fa": "f", "sol": "g", "la": "a", "si": "b"}
_GERMAN = {"as": "a flat", "es": "e flat", "des": "d flat", "ges": "g flat", "b": "b flat", "h": "b", "cis": "c sharp"}
_GERMAN |= {"fis": "f sharp", "gis": "g sharp", "dis": "d sharp"}
_MODES = {"maj": "major", "majeur": "major", "dur": "major", "maggiore": "major", "mayor": "major", "大调": "major"}
_MODES |= {"min": "minor", "mineur": "minor", "moll": "minor", "minore": "minor", "menor": "minor", "小调": "minor"}
_WORDS = {
    "sinfonie": "symphony",
    "symphonie": "symphony",
    "sinfonia": "symphony",
    "sinfonía": "symphony",
    "sonate": "sonata",
    "konzert": "concerto",
    "klavierkonzert": "piano concerto",
    "violinkonzert": "violin concerto",
    "klaviersonate": "piano sonata",
    "klavier": "piano",
    "violoncello": "cello",
    "violine": "violin",
    "quartett": "quartet",
    "quatuor": "quartet",
    "streichquartett": "string quartet",
    "variationen": "variations",
    "präludium": "prelude",
    "prélude": "prelude",
    "fuge": "fugue",
    "étude": "etude",
    "menuett": "menuetto",
    "nr": "no",
    "n°": "no",
    "nº": "no",
    "num": "no",
    "作品": "op",
}
_LINKS = frozenset(["for", "für", "pour", "per", "in", "en", "the", "solo", "aus", "et", "and"])


def one_form(title: str) -> str:
    """A classical title in lower case with terms in English; a title without classical terms unchanged."""
    if _SIGN.search(title) is None:
        return title
    text = " ".join(title.replace("♭", " flat").replace("♯", " sharp").split())
    text = re.sub(r"\b(op\.? ?\d+)\s*/\s*(\d+)", r"\1 no \2", text)
    text = re.sub(
        r"\b(cis|dis|fis|gis|as|es|des|ges|[a-h])[- ](dur|moll)\b",
        lambda match: f"{_GERMAN.get(match[1], match[1])} {_MODES[match[2]]}",
        text,
    )
    text = re.sub(
        r"\b(do|r[ée]|mi|fa|sol|la|si)(?:[- ](di[èe]se|b[ée]mol|diesis|bemolle))? (majeur|mineur|maggiore|minore)\b",
        lambda match: f"{_SOLFEGE[match[1]]} {_accidental(match[2])}{_MODES[match[3]]}",
        text,
    )
    text = re.sub(r"([降升]?)([a-g])([大小]调)", _chinese_key, text)
    text = re.sub(r"作品\s*(\d+)(?:[之-](\d+))?", lambda m: f" op {m[1]} {f'no {m[2]}' if m[2] else ''}", text)
    text = re.sub(r"(?<=\b[a-g])[\s-]+(flat|sharp)\b", r" \1", text)
    text = re.sub(r"\b([a-g](?: (?:flat|sharp))?) (maj|min)\b\.?", lambda m: f"{m[1]} {_MODES[m[2]]}", text)
    # "Nocturne in E-flat" is in major when nothing else is said.
    text = re.sub(r"\bin ([a-g] (?:flat|sharp))\b(?! (?:major|minor))", r"in \1 major", text)
    text = re.sub(r"\bk\.? ?(?=\d{1,3}\b)", "kv ", text)
    text = re.sub(r"n[°º]\s*|№\s*", " no ", text)
    return re.sub(r"[^\W\d_]+|n°", lambda match: _WORDS.get(match[0], match[0]), text)


def without_links(text: str) -> str:
    """A folded classical title without linking words."""
    return " ".join(word for word in text.split() if word not in _LINKS)


def says_key(text: str) -> str:
    """ "c sharp minor" of a folded title; empty for a title without a key."""
    key = _KEY.search(text)
    return " ".join(part for part in key.groups() if part) if key else ""


def is_classical(title: str) -> bool:
    return _SIGN.search(title) is not None


def _accidental(word: str | None) -> str:
    return "" if not word else "sharp " if word[0] == "d" else "flat "


def _chinese_key(match: re.Match[str]) -> str:
    return f" {match[2]} {({'降': 'flat ', '升': 'sharp '}).get(match[1], '')}{_MODES[match[3]]} "
