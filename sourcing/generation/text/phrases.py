"""Sentences of a text, and the short phrases a copied sentence is made of."""

from __future__ import annotations

import re
from functools import cache

from sourcing.generation.text.lexicon import (
    facet_of,
    is_term,
)
from sourcing.generation.text.words import (
    compact,
    content_stems,
    data_sections,
    is_written_without_spaces,
)

__all__ = ["aspect_key", "sentences", "split_phrase"]

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_MARKS = " .;:,!?()\"“”'‘’-–—，。；：、！？（）「」『』《》…"


def sentences(text: str) -> list[str]:
    """Sentences of a text, each as it stands."""
    return [piece.strip() for piece in _SENTENCE_END.split(text) if piece and piece.strip()]


def split_phrase(text: str) -> list[str]:
    """The phrases of an enumeration, a clause or several, bare of articles and verbs.

    Those of no known facet are left out, and those that name somebody. A text with nothing to part, or with no phrase
    the lexicon knows, comes back whole; a term of the lexicon ("drum and bass") is never parted.
    """
    if is_term(text):
        return [text]
    parts = [bare for sentence in sentences(text) for part in _pieces_of(sentence) if (bare := _bare(part))]
    if parts == [text]:
        return [text]
    return [part for part in parts if facet_of(part) != "other" and not _names_somebody(part)] or [text]


def _pieces_of(sentence: str) -> list[str]:
    pieces = _joints().split(f" {sentence} ")
    if not is_written_without_spaces(sentence):
        return pieces
    return [part for piece in pieces for part in _part_spaceless(piece)]


def _part_spaceless(piece: str) -> list[str]:
    parts, start = [], 0
    for match in _spaceless_joints().finditer(piece):
        if match.lastgroup == "joint":
            parts.append(piece[start : match.start()])
            start = match.end()
    return [*parts, piece[start:]]


def _bare(part: str) -> str:
    own = part.strip(_MARKS).split()
    while own and own[0].casefold() in _edge_words():
        own = own[1:]
    while own and own[-1].casefold() in _edge_words():
        own = own[:-1]
    bare = " ".join(own).strip(_MARKS)
    return _spaceless_edges().sub("", bare).strip(_MARKS) if is_written_without_spaces(bare) else bare


def _names_somebody(part: str) -> bool:
    """True when a word after the first is capitalised and no term of music, as in "drummer Kay Ruiz"."""
    return any(word[:1].isupper() and facet_of(word) == "other" for word in part.split()[1:])


@cache
def _joints() -> re.Pattern[str]:
    joints = "|".join(map(re.escape, _joint_words("")))
    return re.compile(rf"\s*[,;:()，；：、（）]\s*|《[^》]*》|\s+[–—-]\s+|\s(?:{joints})(?=\s)", re.IGNORECASE)


@cache
def _spaceless_joints() -> re.Pattern[str]:
    """A pattern of joints in scripts without spaces, where words that only look like them match first."""
    exceptions = "|".join(sorted(" ".join(data_sections("spaceless")["kept"]).split(), key=len, reverse=True))
    joints = "|".join(sorted(_joint_words("spaceless"), key=len, reverse=True))
    return re.compile(f"(?P<kept>{exceptions})|(?P<joint>{joints})")


@cache
def _spaceless_edges() -> re.Pattern[str]:
    first, last = (
        "|".join(sorted(_joint_words(f"spaceless-{side}"), key=len, reverse=True)) for side in ("first", "last")
    )
    return re.compile(f"^(?:{first})+|(?:{last})+$")


@cache
def _edge_words() -> frozenset[str]:
    return frozenset(_joint_words("edges"))


def _joint_words(section: str) -> list[str]:
    return " ".join(data_sections("joints")[section]).split()


def aspect_key(text: str) -> tuple[str, ...]:
    """The key of an aspect: equal for phrases that say the same in other order or inflection."""
    return tuple(sorted(set(content_stems(text)))) or (compact(text),)
