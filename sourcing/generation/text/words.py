"""Words of a text in the form grounding compares: folded, lightly stemmed, in families, without the empty ones.

Scripts written without spaces (Chinese, Japanese, Thai and their neighbours) have no words to look up: there each
character is a word of its own, and what a text states are its pairs of neighbouring characters between empty ones.
Hangul has spaces, but its words carry endings, so it states pairs too. Chinese is compared in simplified characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path

from sourcing.generation.text.folding import fold_text
from sourcing.store.language_id import simplified

__all__ = [
    "Span",
    "Stem",
    "compact",
    "content_stems",
    "data_lines",
    "data_sections",
    "held_stems",
    "is_written_without_spaces",
    "least_runs",
    "mean_size",
    "merge_spans",
    "numbers",
    "size_of",
    "stem",
    "stems_at",
    "weight",
    "word_set",
    "words",
    "words_at",
]

#: Characters of scripts without spaces, as a piece of a character class: Thai, Lao, Burmese, Khmer, Han, kana, Yi.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u312f\u3190-\u9fff\ua000-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff"
)
_HANGUL = "\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3"
_WORD = re.compile(rf"(?=[^\W_])[{_SPACELESS}]|[^\W_{_SPACELESS}]+(?:'[^\W_{_SPACELESS}]+)*")
_RUN = re.compile(
    rf"(?:(?=[^\W_])[{_SPACELESS}{_HANGUL}])+|[^\W_{_SPACELESS}{_HANGUL}]+(?:'[^\W_{_SPACELESS}{_HANGUL}]+)*"
)
_PLAIN_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")  # the same where no such script is: far faster
_PAIRED = re.compile(f"[{_SPACELESS}{_HANGUL}]")
_ALONE = re.compile(f"[{_SPACELESS}]")
_NUMBER = re.compile(r"\d+(?:[.,/:]\d+)*")
#: A word weighs three, a character of a script without spaces two: Chinese has about three characters to two words.
_WORD_WEIGHT, _CHARACTER_WEIGHT = 3, 2

Span = tuple[int, int]  # [start, end) of a text
Stem = tuple[str, int, int]  # a stem and where it stands in the text, [start, end)

_DATA = Path(__file__).parent / "data"
_VOWELS = frozenset("aeiouy")


def data_lines(name: str) -> list[str]:
    """The lines of a word list in `data/`, without comments and blanks."""
    lines = (_DATA / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def data_sections(name: str) -> dict[str, list[str]]:
    """The lines of a word list under each `[heading]`; those before the first one under ""."""
    sections: dict[str, list[str]] = {"": []}
    lines = sections[""]
    for line in data_lines(name):
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        else:
            lines.append(line)
    return sections


def words(text: str) -> list[str]:
    """Folded words in order; hyphens part words, apostrophes do not."""
    return list(_words(text) if len(text) <= _SHORT_CHARS else _find_words(text))


def words_at(folded_text: str) -> list[Stem]:
    """Words of a folded text, each with its place."""
    pattern = _WORD if _ALONE.search(folded_text) else _PLAIN_WORD
    return [(match.group(), match.start(), match.end()) for match in pattern.finditer(simplified(folded_text))]


def compact(text: str) -> str:
    """The letters and digits of a text run together, so that `finger-picked` is `fingerpicked`."""
    return "".join(words(text))


def content_stems(text: str) -> list[str]:
    """Stems of what a text states, in order; function words and generic music words are left out."""
    return list(_content_stems(text) if len(text) <= _SHORT_CHARS else _find_stems(text))


def stems_at(folded_text: str) -> list[Stem]:
    """Stems of a folded text, each with its place."""
    text = simplified(folded_text)
    stems: list[Stem] = []
    for run in _runs_of(text).finditer(text):
        word = run.group()
        if _PAIRED.match(word):
            stems.extend(_pairs(word, run.start()))
        elif word not in _empty_words():
            stems.append((stem(word), run.start(), run.end()))
    return stems


def held_stems(folded_text: str) -> frozenset[str]:
    """All that a folded text can bear out: its stems, and every character and pair of its scripts without spaces."""
    if folded_text.isascii() or not _PAIRED.search(folded_text):
        return frozenset(stem(word) for word in word_set(folded_text) if word not in _empty_words())
    stems: set[str] = set()
    for run in set(_runs_of(folded_text).findall(simplified(folded_text))):
        if _PAIRED.match(run):
            stems.update(run)
            stems.update(first + second for first, second in pairwise(run))
        elif run not in _empty_words():
            stems.add(stem(run))
    return frozenset(stems)


@lru_cache(maxsize=16)
def word_set(folded_text: str) -> frozenset[str]:
    """The different words of a folded text with spaces; the same as `words` finds, without a step for each letter."""
    if "''" in folded_text:
        return frozenset(_PLAIN_WORD.findall(folded_text))
    for mark in set(folded_text):
        if not mark.isalnum() and mark != "'":
            folded_text = folded_text.replace(mark, " ")
    return frozenset(word for piece in set(folded_text.split()) if (word := piece.strip("'")))


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, as "124", "7/8" or "2.5"; a comma between thousands is left out."""
    matches = _NUMBER.findall(fold_text(text))
    return [re.sub(r",(?=\d{3}(?!\d))", "", number) for number in matches]


def is_written_without_spaces(text: str) -> bool:
    return _ALONE.search(text) is not None


def weight(tokens: Sequence[str]) -> int:
    """How much text `words` are, in thirds of a word: see `least_runs`."""
    return sum(_CHARACTER_WEIGHT if len(token) == 1 and _ALONE.match(token) else _WORD_WEIGHT for token in tokens)


def size_of(text: str) -> float:
    """How long a text is in words, as `weight` counts them."""
    return weight(words(text)) / 3


def mean_size(lines: Sequence[str]) -> float:
    return sum(map(size_of, lines)) / len(lines)


def least_runs(tokens: Sequence[str], *, over_words: int) -> Iterator[tuple[int, int]]:
    """The shortest runs [start, end) of tokens that are more than `over_words` words, one for each token it begins at.

    Two texts share more than so many consecutive words exactly if they share such a run. Characters of scripts without
    spaces count two thirds of a word each: eight words are twelve characters.
    """
    limit = over_words * _WORD_WEIGHT
    weights = [weight((token,)) for token in tokens]
    total, end = 0, 0
    for start in range(len(tokens)):
        while total <= limit and end < len(tokens):
            total += weights[end]
            end += 1
        if total <= limit:
            return
        yield start, end
        total -= weights[start]


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans in order, touching and overlapping spans merged, empty spans left out."""
    merged_spans: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged_spans and start <= merged_spans[-1][1]:
            merged_spans[-1] = (merged_spans[-1][0], max(end, merged_spans[-1][1]))
        else:
            merged_spans.append((start, end))
    return merged_spans


@cache
def stem(word: str) -> str:
    """A word's family head, else the word without its English inflection; crude on purpose, and symmetric."""
    family = _families().get(word)
    if family is not None:
        return family
    bare = _strip_inflection(word)
    return _families().get(bare, bare)


_SHORT_CHARS = 240  # phrases, quotes and names come up again and again


@lru_cache(maxsize=8192)
def _words(text: str) -> tuple[str, ...]:
    return tuple(_find_words(text))


def _find_words(text: str) -> list[str]:
    folded_text = fold_text(text)
    return (_WORD if _ALONE.search(folded_text) else _PLAIN_WORD).findall(simplified(folded_text))


def _runs_of(folded_text: str) -> re.Pattern[str]:
    return _RUN if not folded_text.isascii() and _PAIRED.search(folded_text) else _PLAIN_WORD


@lru_cache(maxsize=8192)
def _content_stems(text: str) -> tuple[str, ...]:
    return tuple(_find_stems(text))


def _find_stems(text: str) -> list[str]:
    return [own_stem for own_stem, _, _ in stems_at(fold_text(text))]


def _pairs(run: str, offset: int) -> Iterator[Stem]:
    """Pairs of neighbours in the parts between empty words; a character alone between two of them stands for itself."""
    rest = 0
    for part in (*_empty_characters().finditer(run), None):
        if part is not None and part.lastgroup == "kept":
            continue
        end = len(run) if part is None else part.start()
        if end - rest == 1:
            yield run[rest], offset + rest, offset + end
        for at in range(rest, end - 1):
            yield run[at : at + 2], offset + at, offset + at + 2
        rest = len(run) if part is None else part.end()


@cache
def _empty_characters() -> re.Pattern[str]:
    """Empty words of scripts without spaces, longest first; words that only look as if they held one come before."""
    sections = data_sections("spaceless")
    exceptions, empty = (
        "|".join(sorted(" ".join(sections[name]).split(), key=len, reverse=True)) for name in ("kept", "empty")
    )
    return re.compile(rf"(?P<kept>{exceptions})|(?P<empty>{empty})")


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
