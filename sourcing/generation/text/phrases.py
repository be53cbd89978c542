"""Sentences of a text, and the short phrases a copied sentence is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.lexicon import facet_of, is_term
from sourcing.generation.text.noun_phrases import Phrase, noun_phrases
from sourcing.generation.text.tagging import SPACELESS, has_tagger
from sourcing.generation.text.words import (
    compact,
    content_stems,
    data_sections,
    is_written_without_spaces,
)

__all__ = ["Part", "aspect_key", "sentences", "split_phrase"]

_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)]*\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_LONGEST_TEXT, _LONGEST_SENTENCE = 10_000, 600  # characters looked at: a reply may hold megabytes
_MARKS = " .;:,!?()\"“”'‘’-–—，。；：、！？（）「」『』《》…"


def sentences(text: str) -> list[str]:
    """Sentences of a text, each as it stands."""
    return [piece.strip() for piece in _SENTENCE_END.split(text) if piece and piece.strip()]


class Part(NamedTuple):
    """A phrase of a text, and its facet."""

    text: str
    facet: str


def split_phrase(text: str, language: str = "und", facet: str | None = None) -> list[Part]:
    """The phrases of an enumeration, a clause or several, bare of articles and verbs; none where it holds none.

    Those of no known facet are left out, unless `facet` names one, and those that name somebody. A term of the lexicon
    ("drum and bass") is never parted. In languages without a tagger, a text with no phrase the lexicon knows comes back
    whole.
    """
    if len(text) > _LONGEST_TEXT:
        return [Part(text, "other")]
    if is_term(text):
        return [Part(text, facet_of(text, facet))]
    if has_tagger(language) and is_written_without_spaces(text) == (language[:2] in SPACELESS):
        return _tagged_parts(text, language, facet)
    return [Part(part, facet_of(part, facet)) for part in _joint_parts(text) if part]


def _joint_parts(text: str) -> list[str]:
    parts = [bare for sentence in sentences(text) for part in _pieces_of(sentence) if (bare := _bare(part))]
    if parts == [text]:
        return [text]
    return [part for part in parts if facet_of(part) != "other" and not _names_somebody(part)] or [text]


def _tagged_parts(text: str, language: str, suggestion: str | None) -> list[Part]:
    parts: list[Part] = []
    for sentence in sentences(text):
        phrases = noun_phrases(sentence[:_LONGEST_SENTENCE], language)
        for phrase, own_facet in zip(phrases, _facets(sentence, phrases, language), strict=True):
            part = sentence[phrase.start : phrase.end]
            lone = len(phrases) == 1 and not _is_event(part)
            facet = suggestion if suggestion and own_facet == "other" and lone else own_facet
            if facet != "other" and not _is_idle(part) and not _names_somebody(part):
                parts.append(Part(part, facet))
    return parts


def _facets(sentence: str, phrases: Sequence[Phrase], language: str) -> list[str]:
    """The facets of phrases: their own, that of the noun they are said of, or, in a list, that of their neighbours."""
    facets = []
    for phrase in phrases:
        said_of = phrase.about and facet_of(phrase.about, language=language)
        facets.append(facet_of(sentence[phrase.start : phrase.end], said_of, language=language))
    for at in (*range(1, len(phrases)), *range(len(phrases) - 1, 0, -1)):
        if phrases[at].listed:
            for unknown, known in ((at, at - 1), (at - 1, at)):
                own = sentence[phrases[unknown].start : phrases[unknown].end]
                if facets[unknown] == "other" and facets[known] in ("instrument", "vocal") and own.islower():
                    facets[unknown] = facets[known]
    return facets


def _is_idle(part: str) -> bool:
    """True for people, things sold and places, and for a word like "voice" while it stands alone."""
    own = fold_text(part).split()
    if not own or (len(own) == 1 and own[0] in _heads("bare")):
        return True
    return not {own[-1], own[-1].removesuffix("s")}.isdisjoint(_heads("people"))


def _is_event(part: str) -> bool:
    """True for a participle alone, as "announced": without a word of music it is nobody's sound."""
    return " " not in part and part.endswith("ed") and part.isascii()


@cache
def _heads(section: str) -> frozenset[str]:
    return frozenset(fold_text(" ".join(data_sections("heads")[section])).split())


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
    """True when a word after the first is capitalised and no term of music, or all are, as in "drummer Kay Ruiz"."""
    own = part.split()
    names = [word[:1].isupper() and len(word) > 2 and facet_of(word) == "other" for word in own]
    for at in range(len(own) - 1):
        if is_term(" ".join(own[at : at + 2])):
            names[at] = names[at + 1] = False  # "Hardanger fiddle"
    return any(names[1:]) or (len(own) > 1 and any(names) and all(word[:1].isupper() for word in own))


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
