"""Quotes found in their document: exactly after folding, else by an aligned fuzzy match that changes no fact."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, Levenshtein

from sourcing.generation.text.folding import Folded, fold, fold_text, occurrences, stands_alone
from sourcing.generation.text.lexicon import is_term
from sourcing.generation.text.lyrics import MAX_LYRIC_WORDS, TRACE_WORDS, lyric_runs, lyric_spans
from sourcing.generation.text.negation import denied_spans, negations
from sourcing.generation.text.words import (
    content_stems,
    data_lines,
    held_stems,
    is_written_without_spaces,
    least_runs,
    numbers,
    stems_at,
    words,
    words_at,
)
from sourcing.store.language_id import simplified

__all__ = [
    "ECHO_WORDS",
    "EXACT",
    "MIN_QUOTE_SCORE",
    "Place",
    "Source",
    "find_fuzzy",
    "find_places",
    "number_words",
    "read_source",
]

ECHO_WORDS = 5  # consecutive words that a text may share with a prompt by chance
EXACT = 100.0  # score of a quote that stands there after folding
MIN_QUOTE_SCORE = 88.0  # rapidfuzz partial ratio of quote and document, 0..100
_MIN_FUZZY_WORDS, _MIN_FUZZY_CHARS = 3, 12  # shorter quotes must stand there exactly
_MIN_FUZZY_SPACELESS_CHARS = 6
_MIN_SHARED_STEMS = 0.6  # of a quote's stems the document must hold before an alignment is tried
_MAX_PLACES = 8  # of one quote that are looked at
_SLIP_CHARS = ((8, 2), (5, 1))  # letters a word has at least, letters of it that may be slips
_WIDENED_CHARS = 40  # at most, to reach the ends of words
_PARAGRAPH_END = re.compile(r"\n\n")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Place:
    """Where a quote stands: folded characters [start, end) of its document, and how well it fits, 0..100."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Source:
    """A document made ready to be quoted from; what is dear to work out is worked out once, when first asked for."""

    text: str

    @cached_property
    def folded(self) -> Folded:
        return fold(self.text)

    @cached_property
    def held(self) -> frozenset[str]:
        """Stems the document can bear out."""
        return held_stems(self.folded.text)

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset(numbers(self.folded.text))

    @cached_property
    def denied(self) -> list[tuple[int, int]]:
        """Spans of folded characters that the document denies."""
        text = self.folded.text
        gaps = [gap.start() for gap in _PARAGRAPH_END.finditer(self.text)] if "\n\n" in self.text else []
        if gaps:
            characters = list(text)
            for gap in gaps:
                characters[bisect_right(self.folded.starts, gap) - 1] = "\n"
            text = "".join(characters)
        return denied_spans(text)

    @cached_property
    def denied_stems(self) -> frozenset[str]:
        """Stems the document denies somewhere."""
        text = self.folded.text
        return frozenset(word for start, end in self.denied for word, _, _ in stems_at(text[start:end]))

    @cached_property
    def affirmed_stems(self) -> frozenset[str]:
        """Stems the document says somewhere without denying them."""
        text, done, said = self.folded.text, 0, []
        for start, end in self.denied:
            said.append(text[done:start])
            done = max(done, end)
        return held_stems(" | ".join([*said, text[done:]]))

    @cached_property
    def lyrics(self) -> list[tuple[int, int]]:
        """Spans of original characters that are marked as lyrics."""
        return lyric_spans(self.text)

    @cached_property
    def lyric_runs(self) -> frozenset[tuple[str, ...]]:
        return lyric_runs(self.text, self.lyrics)

    @cached_property
    def lyric_traces(self) -> frozenset[tuple[str, ...]]:
        """The runs of a few words by which lyrics are known again in a finding."""
        return lyric_runs(self.text, self.lyrics, over_words=TRACE_WORDS)

    def may_be_quoted_in(self, tokens: Sequence[str]) -> bool:
        """False where a text of these words surely takes no lyrics from it; far quicker than to look for some."""
        text = simplified(fold_text(self.text))
        there = {token for token in set(tokens) if token in text}
        runs = least_runs(tokens, over_words=MAX_LYRIC_WORDS)
        return any(there.issuperset(tokens[start:end]) for start, end in runs)

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        """Runs of the document's own words, which a copy of it may share with a prompt."""
        tokens = words(self.text)
        return frozenset(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=ECHO_WORDS))

    def original(self, place: Place) -> tuple[int, int]:
        return self.folded.original(place.start, place.end)

    def is_lyric(self, place: Place) -> bool:
        start, end = self.original(place)
        return any(start < lyric_end and lyric_start < end for lyric_start, lyric_end in self.lyrics)


@lru_cache(maxsize=16)
def read_source(text: str) -> Source:
    """The source of a document's text; replies about one document come one after the other and share it."""
    return Source(text)


def find_places(quote: str, source: Source, *, min_score: float = MIN_QUOTE_SCORE) -> Iterator[Place]:
    """Exact places of the quote in order; where there is none, the one that is as good as exact, if any."""
    found = 0
    for start, end in occurrences(quote, source.folded):
        yield Place(start, end, EXACT)
        found += 1
        if found == _MAX_PLACES:
            return
    if not found:
        place = find_fuzzy(quote, source, min_score=min_score)
        if place is not None:
            yield place


def find_fuzzy(quote: str, source: Source, *, min_score: float = MIN_QUOTE_SCORE) -> Place | None:
    """The whole words of the document that a quote with slips was copied from.

    Slips are letters of a long word, articles and other words that state nothing, marks, and words left out. A number,
    a name, a negation or a word the lexicon knows is never a slip: with another one of those, the document says
    something else, and the quote is not in it.
    """
    folded = fold_text(quote)
    least = _MIN_FUZZY_SPACELESS_CHARS if is_written_without_spaces(folded) else _MIN_FUZZY_CHARS
    if len(folded) < least or len(words(folded)) < _MIN_FUZZY_WORDS:
        return None
    stems = content_stems(folded)
    if not stems or sum(stem in source.held for stem in stems) < _MIN_SHARED_STEMS * len(stems):
        return None
    text = source.folded.text
    if len(folded) > len(text):
        return None
    found = fuzz.partial_ratio_alignment(folded, text, score_cutoff=min_score)
    if found is None:
        return None
    place = _snap(Place(found.dest_start, found.dest_end, found.score), folded, source)
    if place is None:
        return None
    start, end = source.original(place)
    return place if _says_the_same(quote, source.text[start:end], source) else None


def number_words(text: str) -> list[str]:
    """The counting words of a text, in order."""
    return [word for word in words(text) if word in _counting()]


def _snap(place: Place, quote: str, source: Source) -> Place | None:
    """The place widened to whole words, and narrowed again by words at its ends that the quote has nothing of."""
    folded, start, end = source.folded, place.start, place.end
    length = len(folded.text)
    floor, ceiling = max(0, start - _WIDENED_CHARS), min(length, end + _WIDENED_CHARS)
    while start > floor and not stands_alone(folded, start, length):
        start -= 1
    while end < ceiling and not stands_alone(folded, 0, end):
        end += 1
    quoted = words(quote)
    tokens = [token for token in words_at(folded.text[start:end]) if _is_like_one_of(token[0], quoted)]
    if not (stands_alone(folded, start, length) and stands_alone(folded, 0, end)):
        return None
    return Place(start + tokens[0][1], start + tokens[-1][2], place.score) if tokens else None


def _is_like_one_of(word: str, quoted: list[str]) -> bool:
    return word in quoted or any(_is_slip(other, word) for other in quoted)


def _says_the_same(quote: str, said: str, source: Source) -> bool:
    """Whether two wordings differ by slips alone."""
    if numbers(quote) != numbers(said) or number_words(quote) != number_words(said):
        return False
    if negations(fold_text(quote)) != negations(fold_text(said)):
        return False
    named = _capitalised(quote) | _capitalised(said)
    ours, theirs = words(quote), words(said)
    for change in Levenshtein.opcodes(ours, theirs):
        if change.tag == "equal":
            continue
        missing, added = ours[change.src_start : change.src_end], theirs[change.dest_start : change.dest_end]
        if any(word in named for word in (*missing, *added)):
            return False
        if change.tag == "replace" and len(missing) == len(added):
            pairs = zip(missing, added, strict=True)
            missing = [word for word, other in pairs if not _is_slip_for(word, other, source)]
        if any(content_stems(word) for word in missing):
            return False
    return True


def _is_slip_for(word: str, other: str, source: Source) -> bool:
    if content_stems(word) == content_stems(other):
        return True
    return _is_slip(word, other) and not is_term(word) and not set(content_stems(word)) & source.held


def _is_slip(word: str, other: str) -> bool:
    """Whether one long word is the other with a letter or two amiss after its first two."""
    if word[:2] != other[:2] or not (word.isalpha() and other.isalpha()):
        return False
    shorter = min(len(word), len(other))
    allowed = next((slips for length, slips in _SLIP_CHARS if shorter >= length), 0)
    return allowed > 0 and OSA.distance(word, other, score_cutoff=allowed) <= allowed


def _capitalised(text: str) -> set[str]:
    """Words that may be names: written with a capital, and stating something."""
    return {word for found in _WORD.findall(text) if found[0].isupper() for word in words(found) if content_stems(word)}


@cache
def _counting() -> frozenset[str]:
    return frozenset(word for line in data_lines("number_words") for word in line.split())
