"""Which hits of a search are worth a look: those whose names hold the words that were asked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

__all__ = ["asked_in", "names_phrase", "plausible", "words"]

LEAST_SHARE = 0.6  # of the words asked for: a title alone, or an artist alone, is rarely that much of both
_Hit = TypeVar("_Hit")
_FILLERS = frozenset({"the", "a", "an", "and", "feat", "ft", "featuring"})
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # kana, Han and Hangul: each is a word of its own
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[^\W_{_IDEOGRAPHS}]+")


def words(text: str) -> list[str]:
    """Words without case, accents and punctuation, in their order."""
    letters = unicodedata.normalize("NFKD", text.replace("'", "").replace("’", "").casefold())
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _WORD.findall(unicodedata.normalize("NFKC", letters))


def asked_in(url: str, *parameters: str) -> str:
    """Search words read back from the search's address, so that a replay ranks as the crawl did."""
    query = parse_qs(urlsplit(url).query)
    return " ".join(value for name in parameters for value in query.get(name, []))


def names_phrase(text: str, phrase: str) -> bool:
    """Whether the text holds the phrase, word by word; an empty phrase is in no text."""
    sought = " ".join(words(phrase))
    return bool(sought) and f" {sought} " in f" {' '.join(words(text))} "


def plausible(
    asked: str, hits: Iterable[tuple[str, _Hit]], *, limit: int, least_share: float = LEAST_SHARE
) -> list[_Hit]:
    """At most `limit` hits, given as (names, hit), whose names hold at least `least_share` of the words asked for.

    Equal names come first, then those with the fewest words beyond; ties stay in the source's own order.
    """
    sought = _telling(asked)
    ranking: list[tuple[float, int, int, _Hit]] = []
    for names, hit in hits:
        share = len(sought.intersection(words(names))) / len(sought) if sought else 1.0
        if share >= least_share:
            ranking.append((-share, len(_telling(names) - sought), len(ranking), hit))
    ranking.sort(key=lambda entry: entry[:3])
    return [entry[3] for entry in ranking[:limit]]


def _telling(text: str) -> frozenset[str]:
    """The words that tell one name from another; all of them where none does ("The The")."""
    all_words = frozenset(words(text))
    return all_words - _FILLERS or all_words
