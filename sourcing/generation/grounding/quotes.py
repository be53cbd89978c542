"""Finds quotes in their document: exactly after folding, else by an aligned fuzzy match that changes no fact."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from rapidfuzz import fuzz
from rapidfuzz.distance import OSA, Levenshtein

from sourcing.generation.text.folding import FoldedText, fold, fold_text, occurrences, stands_alone
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
    "QuotedDocument",
    "find_fuzzy",
    "find_places",
    "number_words",
    "read_document",
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
    """One place of a quote: folded characters [start, end) of its document, and how well it fits, 0..100."""

    start: int
    end: int
    score: float


@dataclass(frozen=True)
class QuotedDocument:
    """A document made ready to be quoted from: its text folded, stemmed and searched for lyrics.

    What is dear to work out is worked out once, when first asked for.
    """

    text: str

    @cached_property
    def folded_text(self) -> FoldedText:
        return fold(self.text)

    @cached_property
    def stems(self) -> frozenset[str]:
        """Stems the document can bear out."""
        return held_stems(self.folded_text.text)

    @cached_property
    def numbers(self) -> frozenset[str]:
        return frozenset(numbers(self.folded_text.text))

    @cached_property
    def denials(self) -> list[tuple[int, int]]:
        """Spans of folded characters that the document denies."""
        text = self.folded_text.text
        gaps = [gap.start() for gap in _PARAGRAPH_END.finditer(self.text)] if "\n\n" in self.text else []
        if gaps:
            characters = list(text)
            for gap in gaps:
                characters[bisect_right(self.folded_text.starts, gap) - 1] = "\n"
            text = "".join(characters)
        return denied_spans(text)

    @cached_property
    def denied_stems(self) -> frozenset[str]:
        """Stems the document denies somewhere."""
        text = self.folded_text.text
        return frozenset(word for start, end in self.denials for word, _, _ in stems_at(text[start:end]))

    @cached_property
    def affirmed_stems(self) -> frozenset[str]:
        """Stems the document states at least once without denial."""
        text, at, affirmations = self.folded_text.text, 0, []
        for start, end in self.denials:
            affirmations.append(text[at:start])
            at = max(at, end)
        return held_stems(" | ".join([*affirmations, text[at:]]))

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
        """False for a text of these words that surely takes no lyrics from the document; far quicker than to look for
        some.
        """
        text = simplified(fold_text(self.text))
        there = {token for token in set(tokens) if token in text}
        runs = least_runs(tokens, over_words=MAX_LYRIC_WORDS)
        return any(there.issuperset(tokens[start:end]) for start, end in runs)

    @cached_property
    def word_runs(self) -> frozenset[tuple[str, ...]]:
        """Runs of the document's own words, which a copy may share with a prompt."""
        tokens = words(self.text)
        return frozenset(tuple(tokens[start:end]) for start, end in least_runs(tokens, over_words=ECHO_WORDS))

    def original(self, place: Place) -> tuple[int, int]:
        """The span of original characters of a place."""
        return self.folded_text.original(place.start, place.end)

    def is_lyric(self, place: Place) -> bool:
        start, end = self.original(place)
        return any(start < lyric_end and lyric_start < end for lyric_start, lyric_end in self.lyrics)


@lru_cache(maxsize=16)
def read_document(text: str) -> QuotedDocument:
    """A document's text ready to be quoted from; replies about one document come one after the other and share it."""
    return QuotedDocument(text)


def find_places(quote: str, document: QuotedDocument) -> Iterator[Place]:
    """Yield the exact places of a quote in order, or failing these one place as good as exact, if any."""
    places = 0
    for start, end in occurrences(quote, document.folded_text):
        yield Place(start, end, EXACT)
        places += 1
        if places == _MAX_PLACES:
            return
    if not places:
        place = find_fuzzy(quote, document)
        if place is not None:
            yield place


def find_fuzzy(quote: str, document: QuotedDocument, *, min_score: float = MIN_QUOTE_SCORE) -> Place | None:
    """The whole words of the document that a quote with slips was copied from.

    Slips are letters of a long word, articles and other words that state nothing, marks, and words left out. A number,
    a name, a negation or a word the lexicon knows is never a slip: with another one of those, the document says
    something else, and the quote is not in it.
    """
    folded_quote = fold_text(quote)
    least = _MIN_FUZZY_SPACELESS_CHARS if is_written_without_spaces(folded_quote) else _MIN_FUZZY_CHARS
    if len(folded_quote) < least or len(words(folded_quote)) < _MIN_FUZZY_WORDS:
        return None
    stems = content_stems(folded_quote)
    if not stems or sum(stem in document.stems for stem in stems) < _MIN_SHARED_STEMS * len(stems):
        return None
    text = document.folded_text.text
    if len(folded_quote) > len(text):
        return None
    alignment = fuzz.partial_ratio_alignment(folded_quote, text, score_cutoff=min_score)
    if alignment is None:
        return None
    place = _snap(Place(alignment.dest_start, alignment.dest_end, alignment.score), folded_quote, document)
    if place is None:
        return None
    start, end = document.original(place)
    return place if _says_the_same(quote, document.text[start:end], document) else None


def number_words(text: str) -> list[str]:
    """The counting words of a text, in order."""
    return [word for word in words(text) if word in _counting()]


def _snap(place: Place, quote: str, document: QuotedDocument) -> Place | None:
    """The place widened to whole words, and narrowed by words at its ends without a part in the quote."""
    folded_text, start, end = document.folded_text, place.start, place.end
    length = len(folded_text.text)
    floor, ceiling = max(0, start - _WIDENED_CHARS), min(length, end + _WIDENED_CHARS)
    while start > floor and not stands_alone(folded_text, start, length):
        start -= 1
    while end < ceiling and not stands_alone(folded_text, 0, end):
        end += 1
    quote_words = words(quote)
    tokens = [token for token in words_at(folded_text.text[start:end]) if _is_like_one_of(token[0], quote_words)]
    if not (stands_alone(folded_text, start, length) and stands_alone(folded_text, 0, end)):
        return None
    return Place(start + tokens[0][1], start + tokens[-1][2], place.score) if tokens else None


def _is_like_one_of(word: str, quote_words: list[str]) -> bool:
    return word in quote_words or any(_is_slip(other, word) for other in quote_words)


def _says_the_same(quote: str, passage: str, document: QuotedDocument) -> bool:
    """True when a quote and a passage of the document differ by slips alone."""
    if numbers(quote) != numbers(passage) or number_words(quote) != number_words(passage):
        return False
    if negations(fold_text(quote)) != negations(fold_text(passage)):
        return False
    names = _capitalised(quote) | _capitalised(passage)
    ours, theirs = words(quote), words(passage)
    for change in Levenshtein.opcodes(ours, theirs):
        if change.tag == "equal":
            continue
        missing, surplus = ours[change.src_start : change.src_end], theirs[change.dest_start : change.dest_end]
        if any(word in names for word in (*missing, *surplus)):
            return False
        if change.tag == "replace" and len(missing) == len(surplus):
            pairs = zip(missing, surplus, strict=True)
            missing = [word for word, other in pairs if not _is_slip_for(word, other, document)]
        if any(content_stems(word) for word in missing):
            return False
    return True


def _is_slip_for(word: str, other: str, document: QuotedDocument) -> bool:
    if content_stems(word) == content_stems(other):
        return True
    return _is_slip(word, other) and not is_term(word) and not set(content_stems(word)) & document.stems


def _is_slip(word: str, other: str) -> bool:
    """True when two long words differ in a letter or two after the first two."""
    if word[:2] != other[:2] or not (word.isalpha() and other.isalpha()):
        return False
    shorter = min(len(word), len(other))
    most_slips = next((slips for length, slips in _SLIP_CHARS if shorter >= length), 0)
    return most_slips > 0 and OSA.distance(word, other, score_cutoff=most_slips) <= most_slips


def _capitalised(text: str) -> set[str]:
    """Words that may be names: written with a capital, and stating something."""
    return {word for token in _WORD.findall(text) if token[0].isupper() for word in words(token) if content_stems(word)}


@cache
def _counting() -> frozenset[str]:
    return frozenset(word for line in data_lines("number_words") for word in line.split())
