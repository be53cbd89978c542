"""Facet, junk, names and length of phrases, as the word lists in `data/` know them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import (
    compact,
    content_stems,
    data_lines,
    data_sections,
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
_LEXICONS = ("facets", "facets_more", "facets_zh", "facets_ja", "facets_de", "facets_fr", "facets_es")
_INFLECTED = ("de", "fr", "es")
_ENDING = re.compile(r"(?:en|er|es|em|e|s|n|x|a|o|as|os|r)$")
_Terms = tuple[dict[tuple[str, ...], str], int]  # term → facet, and the length of the longest term
_TAIL = re.compile(r"\s(?:with|of|in|over|under|for|from|that|on|by|like)\s")


def facet_of(phrase: str, suggestion: str | None = None, *, language: str = "und") -> str:
    """The facet of a phrase by its head: the last known term before any "with ..." or "of ..."; longer terms win.

    Where the lexicon knows no term, `suggestion` (a model's own word, already a facet) or "other". In German, French
    and Spanish, whose adjectives are inflected, endings and the first parts of compounds are looked past.
    """
    return _known_facet(phrase) or _inflected_facet(phrase, language[:2]) or suggestion or "other"


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


@lru_cache(maxsize=16384)
def _inflected_facet(phrase: str, language: str) -> str | None:
    if language not in _INFLECTED:
        return None
    own = [without_ending(word) for word in words(phrase)]
    if language != "de":  # the head comes first, its adjectives behind it
        return _last_term(own[:1], _inflected_terms(language)) or _last_term(own, _inflected_terms(language))
    facet = _last_term(own, _inflected_terms(language))
    if facet is None and own:
        heads = _inflected_terms(language)[0]
        facet = next((heads[(own[-1][at:],)] for at in range(3, len(own[-1]) - 3) if (own[-1][at:],) in heads), None)
    return facet


def without_ending(word: str) -> str:
    """A word of German, French or Spanish without accents and without up to two endings of three letters or less."""
    bare = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
    for _ in range(2):
        ending = _ENDING.search(bare)
        if ending is None or ending.start() < 3:
            break
        bare = bare[: ending.start()]
    return bare


def _last_term(own: list[str], lexicon: _Terms | None = None) -> str | None:
    terms, longest = lexicon or _terms()
    stems = tuple(own if lexicon else map(stem, own))
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
def _terms() -> _Terms:
    """Stemmed term → facet, and the length of the longest term; the first facet to claim a term keeps it."""
    terms: dict[tuple[str, ...], str] = {}
    for name in _LEXICONS:
        for term, facet in _entries(name):
            terms.setdefault(tuple(map(stem, term)), facet)
    return terms, max(map(len, terms))


@cache
def _inflected_terms(language: str) -> _Terms:
    terms: dict[tuple[str, ...], str] = {}
    for term, facet in _entries(f"facets_{language}"):
        terms.setdefault(tuple(map(without_ending, term)), facet)
    return terms, max(map(len, terms), default=0)


def _entries(name: str) -> Iterator[tuple[list[str], str]]:
    """The words and the facet of each term of a lexicon file."""
    for facet, lines in data_sections(name).items():
        for term in ",".join(lines).split(","):
            if own := words(term):
                yield own, facet


@cache
def _spaceless_terms() -> tuple[str, ...]:
    return tuple("".join(stems) for stems in _terms()[0] if all(map(is_written_without_spaces, stems)))


@cache
def _junk() -> tuple[frozenset[str], list[re.Pattern[str]]]:
    lines = data_lines("junk_tags")
    phrases = frozenset(re.sub(r"[\s_-]+", " ", fold_text(line)) for line in lines if not line.startswith("re:"))
    patterns = [re.compile(line.removeprefix("re:")) for line in lines if line.startswith("re:")]
    return phrases, patterns
