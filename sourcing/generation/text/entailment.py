"""Forms of phrases for looking up implied phrases, instead of comparing all pairs.

One phrase says another when both have the same key (`aspect_key`: same stems, any order), or when it implies it: same
facet, same head (the last content word), every stem of the other and more, no negation and no opposites between them.
So "soft female vocals" says "female vocals" and "vocals", and "female vocals" does not say "soft female vocals":
whoever says less has not said more. The head keeps "bass drum" from saying "bass" and "rock opera" from saying "rock".
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

from sourcing.generation.text.lexicon import MAX_ASPECT_WORDS
from sourcing.generation.text.opposites import is_negated, opposed, sides_of_stems
from sourcing.generation.text.phrases import aspect_key
from sourcing.generation.text.words import content_stems

__all__ = ["Form", "Phrase", "read_phrase"]

Form = str  # a string, because it keeps its hash

_READ_PHRASES = 1 << 16  # kept at once; phrases of music repeat a lot


class Phrase(NamedTuple):
    """A phrase implies another if `says` holds the other's `key` or `less`."""

    key: Form  # how phrases of the same key name it
    less: Form  # how longer phrases of its facet and head name it
    says: tuple[Form, ...]


@lru_cache(maxsize=_READ_PHRASES)
def read_phrase(text: str, facet: str) -> Phrase:
    """The forms of a phrase. One of more than `MAX_ASPECT_WORDS` stems implies nothing: it would have too many."""
    key = " ".join(("=", *aspect_key(text)))
    stems = tuple(content_stems(text))
    if not stems:
        return Phrase(key, key, (key,))
    says, head = {key}, stems[-1]
    others = sorted(set(stems) - {head})
    if 0 < len(others) < MAX_ASPECT_WORDS and not is_negated(text):
        own = sides_of_stems(stems, facet)
        for count in range(len(others)):
            for some in combinations(others, count):
                rest = tuple(stem for stem in stems if stem == head or stem in some)
                if not own or not opposed(own, sides_of_stems(rest, facet)):
                    says.add(_less(rest, facet))
    return Phrase(key, _less(stems, facet), tuple(says))


def _less(stems: tuple[str, ...], facet: str) -> Form:
    return " ".join(("<", facet, stems[-1], *sorted(set(stems))))
