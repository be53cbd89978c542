"""Text folded for comparison (Unicode, quotes, dashes, case, spaces), with a way back to the original characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

__all__ = [
    "FoldedText",
    "fold",
    "fold_text",
    "is_hidden",
    "is_spaceless",
    "locate",
    "occurrences",
    "stands_alone",
    "tidy",
    "tidy_phrase",
    "wording",
]

_SINGLE_QUOTES = "‘’‚‛′‵`´ʼʹ"
_DOUBLE_QUOTES = "“”„‟″‶«»〝〞"
_DASHES = "‐‑‒–—―−﹘﹣－"
_ALIKE = str.maketrans(
    {**dict.fromkeys(_SINGLE_QUOTES, "'"), **dict.fromkeys(_DOUBLE_QUOTES, '"'), **dict.fromkeys(_DASHES, "-")}
)
_ASCII_UNLIKE = frozenset("`\t\n\v\f\r\x1c\x1d\x1e\x1f")
_ASCII = str.maketrans({character: "'" if character == "`" else " " for character in _ASCII_UNLIKE})
_OUTER_MARKS = " \"'.,;:!?()[]…-。，；：！？、「」『』《》（）"  # also as they come before folding
_SHORT_CHARS = 100  # phrases, quotes and names come up again and again, within a reply and between replies
_SPACES = re.compile(" {2,}")
# Letters and marks that show nothing: grapheme joiner, fillers of Hangul and Khmer, variation selectors.
_BLANKS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_SELECTORS = (("\u180b", "\u180f"), ("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"))
_JAMO = (("\u1161", "\u11ff"), ("\ud7b0", "\ud7ff"))  # vowels and ends of Hangul syllables written letter by letter
_JOINERS = "\u200c\u200d"  # zero-width, yet part of the spelling in Persian, Hindi and others


@dataclass(frozen=True)
class FoldedText:
    """Folded text; character i of `text` stands for the original characters [starts[i], ends[i])."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The original span of the folded characters [start, end)."""
        return self.starts[start], self.ends[end - 1]


def fold(original: str) -> FoldedText:
    """Fold a text: NFKC and case folding, quotes and dashes alike, runs of space to one, hidden characters dropped."""
    characters = set(original)
    odd = {character for character in characters if not _is_simple(character)}
    plain = _fold_simple(original, characters, odd)
    length = len(original)
    if not odd:
        return _single_spaced(plain, range(length), range(1, length + 1))
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    rest = 0
    odd_places = re.compile("[" + "".join(map(re.escape, sorted(odd))) + "]")  # kept by `re`: few sets come up
    for at in [match.start() for match in odd_places.finditer(original)]:
        if at < rest:
            continue
        start = at - 1 if at > rest and _extends(original[at]) else at
        end = at + 1
        while end < length and _extends(original[end]):
            end += 1
        pieces.append(plain[rest:start])
        starts.extend(range(rest, start))
        ends.extend(range(rest + 1, start + 1))
        folded_piece = _folded_alone(original[at]) if end - start == 1 else _fold_cluster(original[start:end])
        pieces.append(folded_piece)
        starts.extend([start] * len(folded_piece))
        ends.extend([end] * len(folded_piece))
        rest = end
    pieces.append(plain[rest:])
    starts.extend(range(rest, length))
    ends.extend(range(rest + 1, length + 1))
    return _single_spaced("".join(pieces), starts, ends)


def fold_text(original: str) -> str:
    """The folded text alone, stripped."""
    return _fold_short(original) if len(original) <= _SHORT_CHARS else _fold_whole(original)


def locate(quote: str, document: FoldedText) -> tuple[int, int] | None:
    """Where `quote` first stands in the document, as [start, end) of its original characters; None when it does not.

    A hit begins and ends at whole words and whole characters. Quotation marks and stops that a model
    puts around its quote are left off when the quote is not found with them.
    """
    at, end = next(occurrences(quote, document), (0, 0))
    return document.original(at, end) if end else None


def occurrences(
    quote: str, document: FoldedText, *, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int]]:
    """Every place of `quote` within the folded characters [start, end) of the document, as spans of folded characters.

    Places with the outer marks of the quote come before those without them.
    """
    folded_quote = fold_text(quote)
    for variant in dict.fromkeys((folded_quote, folded_quote.strip(_OUTER_MARKS))):
        at = document.text.find(variant, start, end) if variant else -1
        while at >= 0:
            if stands_alone(document, at, at + len(variant)):
                yield at, at + len(variant)
            at = document.text.find(variant, at + 1, end)


def stands_alone(document: FoldedText, at: int, end: int) -> bool:
    """True when the folded characters [at, end) begin and end at whole words and whole original characters."""
    splits_character = (at > 0 and document.starts[at - 1] == document.starts[at] and document.text[at - 1] != " ") or (
        end < len(document.text) and document.starts[end] == document.starts[end - 1]
    )
    if splits_character:
        return False
    cuts_word_before = at > 0 and _in_one_word(document.text[at - 1], document.text[at])
    cuts_word_after = end < len(document.text) and _in_one_word(document.text[end - 1], document.text[end])
    return not (cuts_word_before or cuts_word_after)


def wording(original: str) -> str:
    """A piece of a text as it may be published: one line, its own letters, nothing that hides or turns the text."""
    if original.isascii() and original.isprintable():
        return " ".join(original.split())
    visible = "".join(c for c in original if c in _JOINERS or c.isspace() or not is_hidden(c))
    return " ".join(visible.strip(_JOINERS).split())


def tidy(text: str) -> str:
    """One line without stray spaces, outer quotation marks or a bullet."""
    line = " ".join(text.split()).lstrip("-*• ").strip()
    if len(line) > 1 and line[0] in "\"'“‘" and line[-1] in "\"'”’":
        line = line[1:-1].strip()
    return line


def tidy_phrase(text: str) -> str:
    """An aspect's wording: tidy, and without the stop at its end."""
    return tidy(text).strip(" .,;:!?，。；：！？、")


def is_spaceless(character: str) -> bool:
    """True when a character belongs to a script whose words are not parted by spaces, or may carry endings (Hangul)."""
    code = ord(character)
    return code >= 0x2E80 or 0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF


@lru_cache(maxsize=16384)
def _fold_short(original: str) -> str:
    return _fold_whole(original)


def _fold_whole(original: str) -> str:
    characters = set(original)
    if all(map(_is_simple, characters)):
        return " ".join(_fold_simple(original, characters, ()).split())
    return fold(original).text.strip()


def _single_spaced(text: str, starts: Sequence[int], ends: Sequence[int]) -> FoldedText:
    if "  " not in text:
        return FoldedText(text, starts, ends)
    pieces: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    rest = 0
    for run in _SPACES.finditer(text):
        at = run.start()
        pieces.append(text[rest : at + 1])
        new_starts.extend(starts[rest : at + 1])
        new_ends.extend(ends[rest:at])
        new_ends.append(ends[run.end() - 1])
        rest = run.end()
    pieces.append(text[rest:])
    new_starts.extend(starts[rest:])
    new_ends.extend(ends[rest:])
    return FoldedText("".join(pieces), new_starts, new_ends)


@cache
def _is_simple(character: str) -> bool:
    """True when a character folds to exactly one character, in any context."""
    return not _extends(character) and len(_fold_cluster(character)) == 1


def _fold_simple(text: str, characters: set[str], odd: Collection[str]) -> str:
    """A text of simple characters, folded one by one; the odd ones among its `characters` become NUL."""
    for character in odd:
        text = text.replace(character, "\0")
    if text.isascii():
        return text.lower().translate(_ASCII) if characters & _ASCII_UNLIKE else text.lower()
    for character in characters:  # far faster than `str.lower` and `str.translate`, which go letter by letter
        folded_character = _folded_alone(character)
        if folded_character != character and character not in odd:
            text = text.replace(character, folded_character)
    return text


@cache
def _folded_alone(character: str) -> str:
    return _fold_cluster(character)


def _extends(character: str) -> bool:
    """True when a character is normalised together with the one before it."""
    return unicodedata.combining(character) != 0 or _within(character, _JAMO)


@cache
def is_hidden(character: str) -> bool:
    """True for format and control characters (zero-width, bidirectional, tags) and letters that show nothing."""
    return unicodedata.category(character) in ("Cf", "Cc", "Co", "Cs") or _is_blank(character)


def _is_blank(character: str) -> bool:
    return character in _BLANKS or _within(character, _SELECTORS)


def _within(character: str, ranges: Sequence[tuple[str, str]]) -> bool:
    return any(first <= character <= last for first, last in ranges)


def _fold_cluster(cluster: str) -> str:
    if is_hidden(cluster[0]) and not cluster[0].isspace():  # zero-width joiners, soft hyphens, byte order marks
        cluster = cluster[1:]
    if cluster.isascii():
        folded_cluster = cluster.translate(_ALIKE).lower()
    else:
        normal = unicodedata.normalize("NFKC", cluster.translate(_ALIKE)).casefold()
        folded_cluster = unicodedata.normalize("NFKC", normal).translate(_ALIKE)
    return "".join(" " if character.isspace() else character for character in folded_cluster)


def _in_one_word(left: str, right: str) -> bool:
    """True when two neighbouring characters belong to one word; scripts written without spaces never do."""
    return left.isalnum() and right.isalnum() and not (is_spaceless(left) or is_spaceless(right))
