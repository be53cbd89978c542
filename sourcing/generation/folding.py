"""Text folded for comparison (Unicode, quotes, dashes, case, spaces), with a way back to the original characters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

__all__ = ["Folded", "fold", "fold_text", "locate"]

_SINGLE_QUOTES = "‘’‚‛′‵`´ʼʹ"
_DOUBLE_QUOTES = "“”„‟″‶«»〝〞"
_DASHES = "‐‑‒–—―−﹘﹣－"
_ALIKE = str.maketrans(
    {**dict.fromkeys(_SINGLE_QUOTES, "'"), **dict.fromkeys(_DOUBLE_QUOTES, '"'), **dict.fromkeys(_DASHES, "-")}
)
_OUTER_MARKS = " \"'.,;:!?()[]…-"


@dataclass(frozen=True)
class Folded:
    """Folded text; character i of `text` stands for the original characters [starts[i], ends[i])."""

    text: str
    starts: list[int]
    ends: list[int]


def fold(original: str) -> Folded:
    """NFKC and case folding, quotes and dashes made alike, runs of space to one, format characters dropped."""
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end in _clusters(original):
        for character in _fold_cluster(original[start:end]):
            if character.isspace():
                if text and text[-1] == " ":
                    ends[-1] = end
                    continue
                character = " "
            text.append(character)
            starts.append(start)
            ends.append(end)
    return Folded("".join(text), starts, ends)


def fold_text(original: str) -> str:
    """The folded text alone, stripped."""
    return fold(original).text.strip()


def locate(quote: str, document: Folded) -> tuple[int, int] | None:
    """Where `quote` first stands in the document, as [start, end) of its original characters; None when it does not.

    A hit begins and ends at whole words and whole characters. Quotation marks and stops that a model
    puts around its quote are left off when the quote is not found with them.
    """
    folded = fold_text(quote)
    for wanted in dict.fromkeys((folded, folded.strip(_OUTER_MARKS))):
        at = document.text.find(wanted) if wanted else -1
        while at >= 0:
            end = at + len(wanted)
            if _stands_alone(document, at, end):
                return document.starts[at], document.ends[end - 1]
            at = document.text.find(wanted, at + 1)
    return None


def _clusters(original: str) -> list[tuple[int, int]]:
    """Spans of one character with the combining marks that follow it: the least piece that may be normalised alone."""
    spans: list[tuple[int, int]] = []
    for at, character in enumerate(original):
        if spans and unicodedata.combining(character):
            spans[-1] = (spans[-1][0], at + 1)
        else:
            spans.append((at, at + 1))
    return spans


def _fold_cluster(cluster: str) -> str:
    if unicodedata.category(cluster[0]) == "Cf":  # zero-width joiners, soft hyphens, byte order marks
        cluster = cluster[1:]
    if cluster.isascii():
        return cluster.translate(_ALIKE).lower()
    normal = unicodedata.normalize("NFKC", cluster.translate(_ALIKE)).casefold()
    return unicodedata.normalize("NFKC", normal).translate(_ALIKE)


def _stands_alone(document: Folded, at: int, end: int) -> bool:
    splits_character = (at > 0 and document.starts[at - 1] == document.starts[at] and document.text[at - 1] != " ") or (
        end < len(document.text) and document.starts[end] == document.starts[end - 1]
    )
    if splits_character:
        return False
    cuts_word_before = at > 0 and _joined(document.text[at - 1], document.text[at])
    cuts_word_after = end < len(document.text) and _joined(document.text[end - 1], document.text[end])
    return not (cuts_word_before or cuts_word_after)


def _joined(left: str, right: str) -> bool:
    """Whether two neighbouring characters belong to one word; scripts written without spaces never do."""
    return left.isalnum() and right.isalnum() and not (_spaceless(left) or _spaceless(right))


def _spaceless(character: str) -> bool:
    code = ord(character)
    return code >= 0x2E80 or 0x0E00 <= code <= 0x0EFF or 0x1000 <= code <= 0x109F or 0x1780 <= code <= 0x17FF
