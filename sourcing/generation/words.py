"""Words of a text as grounding compares them: folded, lightly stemmed, in families, without the empty ones."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from sourcing.generation.folding import fold_text

__all__ = ["compact", "content_stems", "data_lines", "negations", "stem", "words"]

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_DATA = Path(__file__).parent / "data"
_VOWELS = frozenset("aeiouy")


def data_lines(name: str) -> list[str]:
    """The lines of a word list in `data/`, without comments and blanks."""
    lines = (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def words(text: str) -> list[str]:
    """Folded words in order; hyphens part words, apostrophes do not."""
    return _WORD.findall(fold_text(text))


def compact(text: str) -> str:
    """All letters and digits run together, so that `finger-picked` is `fingerpicked`."""
    return "".join(words(text))


def content_stems(text: str) -> list[str]:
    """Stems of the words that state something, in order; function words and generic music words are left out."""
    return [stem(word) for word in words(text) if word not in _empty_words()]


@cache
def stem(word: str) -> str:
    """A word's family head, else the word without its English inflection; crude on purpose, and symmetric."""
    family = _families().get(word)
    if family is not None:
        return family
    bare = _strip_inflection(word)
    return _families().get(bare, bare)


@cache
def negations() -> frozenset[str]:
    return frozenset(word for line in data_lines("negations") for word in line.split())


@cache
def _empty_words() -> frozenset[str]:
    lines = data_lines("stopwords") + data_lines("generic_words")
    return frozenset(word for line in lines for word in line.split())


@cache
def _families() -> dict[str, str]:
    """Word, as written and without inflection → the first word of its line."""
    families: dict[str, str] = {}
    for line in data_lines("word_families"):
        head, *_ = members = line.split()
        for word in members:
            families[word] = head
            families.setdefault(_strip_inflection(word), head)
    return families


def _strip_inflection(word: str) -> str:
    word = word.removesuffix("'s")
    if len(word) <= 3 or not word.isascii():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("ches", "shes", "sses", "xes", "zes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) >= 3 and _VOWELS & set(bare):
            word = bare[:-1] if bare[-1] == bare[-2] and bare[-1] not in "lsfz" else bare
            break
    if word.endswith("ly") and len(word) >= 6:
        word = word[:-2]
    if word.endswith("e") and len(word) > 3:
        return word[:-1]
    return word[:-1] + "i" if word.endswith("y") and len(word) > 3 else word
