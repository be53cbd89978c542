"""Sides of opposites that a phrase stands on, as `data/opposites.txt` lists them: slow of slow / fast."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.lexicon import facet_of
from sourcing.generation.text.negation import negations
from sourcing.generation.text.words import content_stems, data_sections

__all__ = ["Opposites", "Side", "is_negated", "opposed", "sides_of", "sides_of_stems"]


class Opposites(NamedTuple):
    """One line of the list: what it is about, and the first term of each side."""

    facet: str
    sides: tuple[str, ...]

    @property
    def name(self) -> str:
        return " / ".join(self.sides)


class Side(NamedTuple):
    """One side of one line: `place` is its index in `opposites.sides`."""

    opposites: Opposites
    place: int

    @property
    def name(self) -> str:
        return self.opposites.sides[self.place]


class _Term(NamedTuple):
    stems: tuple[str, ...]
    whole: bool  # it must be the whole phrase
    denying: bool  # it holds a "no" itself
    facet: str  # the lexicon's
    side: Side


def sides_of(phrase: str, facet: str) -> tuple[Side, ...]:
    """Every side a phrase of this facet stands on, in a fixed order.

    It stands on two of one line when it speaks of both ("slow, then fast"). A longer term hides the shorter ones inside
    it, so that "low energy" does not stand with "energy". A phrase that denies something ("not slow") stands only where
    a term that does so itself puts it ("no vocals").
    """
    stems = tuple(content_stems(phrase))
    return sides_of_stems(stems, facet, denying=is_negated(phrase)) if _places(stems) else ()


def sides_of_stems(stems: tuple[str, ...], facet: str, *, denying: bool = False) -> tuple[Side, ...]:
    """`sides_of` for the content stems of a phrase."""
    sides: set[Side] = set()
    covered_places: set[int] = set()
    for at, size, terms in _places(stems):
        place = range(at, at + size)
        fitting = [
            term for term in terms if facet in (term.side.opposites.facet, term.facet) and term.denying == denying
        ]
        if fitting and not covered_places.issuperset(place):
            covered_places.update(place)
            sides.update(term.side for term in fitting)
    return tuple(sorted(sides))


def is_negated(phrase: str) -> bool:
    """True when a phrase holds a word such as "no" or "without"."""
    return bool(negations(fold_text(phrase)))


def opposed(one: tuple[Side, ...], other: tuple[Side, ...]) -> bool:
    """True when two phrases stand on different sides of one line."""
    return any(a.opposites == b.opposites and a.place != b.place for a in one for b in other)


def _places(stems: tuple[str, ...]) -> list[tuple[int, int, list[_Term]]]:
    """(start, length, terms) of all terms within a phrase, longest first."""
    terms = _terms()
    matches = []
    for at, first in enumerate(stems):
        for own, own_terms in terms.get(first, ()):
            size = len(own)
            if stems[at : at + size] == own:
                fitting = [term for term in own_terms if not term.whole or size == len(stems)]
                matches.append((at, size, fitting))
    matches.sort(key=lambda place: -place[1])
    return matches


@cache
def _terms() -> dict[str, list[tuple[tuple[str, ...], list[_Term]]]]:
    """First stem → stems that make up a term → the terms made of them, for one may stand on several lines."""
    terms: dict[str, dict[tuple[str, ...], list[_Term]]] = {}
    for facet, lines in data_sections("opposites").items():
        for line in lines:
            sides = [[term.strip() for term in side.split(",")] for side in line.split("|")]
            opposites = Opposites(facet, tuple(side[0].removeprefix("=") for side in sides))
            for place, side in enumerate(sides):
                for term_text in side:
                    bare = term_text.removeprefix("=")
                    stems = tuple(content_stems(bare))
                    term = _Term(stems, bare != term_text, is_negated(bare), facet_of(bare), Side(opposites, place))
                    terms.setdefault(stems[0], {}).setdefault(stems, []).append(term)
    return {first: list(own.items()) for first, own in terms.items()}
