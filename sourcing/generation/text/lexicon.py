"""Facet, junk, names and length of phrases, as the word lists in `data/` know them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import (
    compact,
    content_stems,
    data_lines,
    is_written_without_spaces,
    stem,
    weight,
    words,
)

__all__ = [
    "MAX_ASPECT_WORDS",
    "facet_of",
    "is_junk",
    "is_name",
    "is_term",
    "says_nothing",
    "spaceless_terms",
    "too_long",
]

MAX_ASPECT_WORDS = 6
MAX_ASPECT_CHARACTERS = 60
_MAX_SPACELESS_WORDS = 10  # of two characters or less, fifteen characters: such scripts write articles and cases, too
_TAIL = re.compile(r"\s(?:with|of|in|over|under|for|from|that|on|by|like)\s")


def facet_of(phrase: str, suggestion: str | None = None) -> str:
    """The facet of a phrase by its head: the last known term before any "with ..." or "of ..."; longer terms win.

    Where the lexicon knows no term, `suggested` (a model's own word, already a facet) or "other".
    """
    return _known_facet(phrase) or suggestion or "other"


@lru_cache(maxsize=16384)
def is_junk(phrase: str) -> bool:
    """True when a phrase speaks of the listener, the shelf, a year or a rating instead of the sound.

    A term of the facet lexicon never does: "808" is a drum machine before it is a number.
    """
    if is_term(phrase):
        return False
    folded_phrase = re.sub(r"[\s_-]+", " ", fold_text(phrase)).strip(" #!.")
    phrases, patterns = _junk()
    return folded_phrase in phrases or any(pattern.fullmatch(folded_phrase) for pattern in patterns)


def is_name(phrase: str, names: Iterable[str | None]) -> bool:
    """True when a phrase only names the artist, title or album.

    A word of music that happens to stand in a name is kept: "ambient" on a track called "Ambient 1".
    """
    own = words(phrase)
    if not own:
        return False
    for name in names:
        parts = words(name or "")
        if not parts:
            continue
        if len(parts) > 1 and _contains(own, parts):
            return True
        if set(own) <= set(parts) and facet_of(phrase) == "other":
            return True
    return False


def is_term(phrase: str) -> bool:
    """True when the whole phrase is one term of the lexicon, such as "drum and bass"."""
    return tuple(stem(word) for word in words(phrase)) in _terms()[0]


def spaceless_terms(text: str) -> list[str]:
    """The lexicon's terms of scripts without spaces that a text holds."""
    own = compact(text)
    return [term for term in _spaceless_terms() if term in own]


def too_long(phrase: str) -> bool:
    """True when a phrase has more than six words, or fifteen characters of a script without spaces, or sixty of any."""
    parts = phrase.split()
    if len(parts) > MAX_ASPECT_WORDS or len(phrase) > MAX_ASPECT_CHARACTERS:
        return True
    return is_written_without_spaces(phrase) and sum(weight(words(part)) for part in parts) > 3 * _MAX_SPACELESS_WORDS


def says_nothing(phrase: str) -> bool:
    """True when a phrase is made of function words and words like "song", "sound", "mood" alone."""
    return not content_stems(phrase)


@lru_cache(maxsize=16384)
def _known_facet(phrase: str) -> str | None:
    folded_phrase = fold_text(phrase)
    head = _TAIL.split(folded_phrase)[0]
    return _last_term(words(head)) or _last_term(words(folded_phrase))


def _last_term(own: list[str]) -> str | None:
    terms, longest = _terms()
    stems = tuple(stem(word) for word in own)
    for end in range(len(stems), 0, -1):
        for size in range(min(longest, end), 0, -1):
            facet = terms.get(stems[end - size : end])
            if facet is not None:
                return facet
    return None


def _contains(own: list[str], parts: list[str]) -> bool:
    size = len(parts)
    return any(own[at : at + size] == parts for at in range(len(own) - size + 1))


@cache
def _terms() -> tuple[dict[tuple[str, ...], str], int]:
    """Stemmed term → facet, and the length of the longest term; the first facet to claim a term keeps it."""
    terms: dict[tuple[str, ...], str] = {}
    facet = "other"
    for line in data_lines("facets"):
        if line.startswith("["):
            facet = line.strip("[]")
            continue
        for term in line.split(","):
            stems = tuple(stem(word) for word in words(term))
            if stems:
                terms.setdefault(stems, facet)
    return terms, max(map(len, terms))


@cache
def _spaceless_terms() -> tuple[str, ...]:
    return tuple("".join(stems) for stems in _terms()[0] if all(map(is_written_without_spaces, stems)))


@cache
def _junk() -> tuple[frozenset[str], list[re.Pattern[str]]]:
    lines = data_lines("junk_tags")
    phrases = frozenset(re.sub(r"[\s_-]+", " ", fold_text(line)) for line in lines if not line.startswith("re:"))
    patterns = [re.compile(line.removeprefix("re:")) for line in lines if line.startswith("re:")]
    return phrases, patterns
