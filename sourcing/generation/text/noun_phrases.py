"""Noun and adjective phrases of a sentence, which are what an aspect can be: no verb, no determiner, nothing cut off.

A phrase is the longest run of adjectives, participles and nouns that ends in a noun, with its "of", or an adjective
that is said of a noun.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sourcing.generation.text.lexicon import MAX_ASPECT_WORDS, facet_of, is_term
from sourcing.generation.text.tagging import SPACELESS, Token, tag
from sourcing.generation.text.words import data_sections

__all__ = ["Phrase", "noun_phrases"]

_ADJECTIVE = "R?[AEG]"
_ADJECTIVES = rf"{_ADJECTIVE}(?:(?:,|C|,C)?{_ADJECTIVE})*"
_NOUNS = r"[NPTAEG]*N(?:RN)*"
_NOUN_PHRASE = re.compile(rf"M?(?:{_ADJECTIVES})?{_NOUNS}(?:O(?:{_ADJECTIVES})?{_NOUNS})?")
_SAID_OF_NOUN = re.compile(r"(?:R|B(?=[BE]))?[AEB]")
#: Before a noun: adjectives or nouns with 的, の, な; in Japanese also a verb in its past form ("歪んだギター").
_SPACELESS_PHRASE = {
    "zh": re.compile(r"(?:R?[AN]+O)*[AN]*N|A+"),
    "ja": re.compile(r"(?:(?:R?A+|N+)O|(?<![INO])VE|A)*A?N+|A+"),
}
_MAX_SPACELESS_CHARACTERS = 12
_LISTING = (",", "C", ",C", ",D", "CD", ",CD")  # between the phrases of an enumeration
_MUSICAL = ("genre", "instrument", "vocal", "tempo_rhythm", "harmony", "production")


class Phrase(NamedTuple):
    """A phrase by its place in the text, [start, end), and the noun of which an adjective phrase is said."""

    start: int
    end: int
    about: str | None = None
    listed: bool = False  # in an enumeration with the phrase before it


def noun_phrases(sentence: str, language: str) -> list[Phrase]:
    """The phrases of one sentence in order; `language` is one that `has_tagger`."""
    tokens = tag(sentence, language)
    if language[:2] in SPACELESS:
        return _spaceless_phrases(tokens, language)
    letters = _letters(tokens, sentence)
    phrases: list[Phrase] = []
    at = 0
    while at < len(letters):
        match = _NOUN_PHRASE.match(letters, at)
        if match:
            phrase = _within_length(tokens[at : match.end()], letters[at : match.end()])
            phrases.append(phrase._replace(listed=_is_listed(phrases, letters, tokens, at)))
        elif match := _SAID_OF_NOUN.match(letters, at):
            phrases.append(Phrase(tokens[at].start, tokens[match.end() - 1].end, _noun_before(tokens, letters, at)))
        elif letters[at] == "M" and facet_of(tokens[at].word) != "other":  # "7/8"
            phrases.append(Phrase(tokens[at].start, tokens[at].end))
        at = match.end() if match else at + 1
    return phrases


def _spaceless_phrases(tokens: Sequence[Token], language: str) -> list[Phrase]:
    """Phrases of a sentence in a script without spaces: nouns with what 的, の or な adds, or adjectives."""
    letters = "".join(token.part for token in tokens)
    phrases: list[Phrase] = []
    at = 0
    while at < len(letters):
        match = _SPACELESS_PHRASE[language[:2]].match(letters, at)
        if match:
            noun = tokens[at - 1].word if at and letters[at - 1] in "NR" and set(match.group()) <= set("RA") else None
            first = at
            if len("".join(token.word for token in tokens[at : match.end()])) > _MAX_SPACELESS_CHARACTERS:
                first = match.end() - len(match.group().rpartition("O")[2])  # without what is said of it
            phrases.append(Phrase(tokens[first].start, tokens[match.end() - 1].end, noun))
        at = match.end() if match else at + 1
    return phrases


def _letters(tokens: Sequence[Token], sentence: str) -> str:
    """Parts of speech by their place in the sentence: what is no modifier there becomes a verb or another word."""
    parts = [token.word if token.word == "," else token.part for token in tokens]
    for at, token in enumerate(tokens):
        before = parts[at - 1] if at else ""
        earlier = "".join(parts[:at]).rstrip("R")[-1:]  # before any adverbs
        after = tokens[at + 1].part if at + 1 < len(tokens) else ""
        if (
            parts[at] in "VR"
            and before
            and before in "DAEG"
            and facet_of(token.word) in ("instrument", "vocal", "genre")
        ):
            parts[at] = "N"  # "a soft hum", "amplified zither"
        elif parts[at] == "V" and before == "A" and token.word.endswith("s"):
            parts[at] = "N"  # "small sounds"
        elif parts[at] == "A" and token.word.endswith("ed") and after == "I" and before != "R":
            parts[at] = "V"  # "drenched in reverb"
        elif parts[at] == "M" and token.word[0].isalpha():
            parts[at] = "N"  # "Prophet-5"
        elif parts[at] in "GE" and (earlier in ("N", "P", "X") or after in ("D", "I", "O", "X")):
            parts[at] = (
                "E" if before == "R" and after == "I" else "V"
            )  # "drums driving the beat", "who once played bass"
        elif parts[at] == "A" and "-" in token.word and after in ("C", "."):
            parts[at] = "N" if facet_of(token.word.rpartition("-")[2]) in ("instrument", "vocal", "genre") else "A"
        elif parts[at] == "P" and facet_of(token.word) in _MUSICAL:
            parts[at] = "N"
        elif parts[at] == "P" and (after not in ("N", "A") or before == "P"):
            parts[at] = "X"  # a person's name
        elif parts[at] in "CI" and at and at + 1 < len(tokens):
            if is_term(sentence[tokens[at - 1].start : tokens[at + 1].end]):
                parts[at] = "N"  # "drum and bass", "beats per minute"
        elif parts[at] == before == "N" and after in ("I", "D", "R", "X") and _may_be_verb(token, tokens[at - 1]):
            parts[at] = "V"  # "guitars jab at", "the accordion rasps"
    return "".join(part if len(part) == 1 else "." for part in parts)


def _may_be_verb(token: Token, noun: Token) -> bool:
    """True when a word behind an instrument or a voice is no term of music, and would agree with it as its verb."""
    agrees = token.word.endswith("s") != noun.word.endswith("s")
    return agrees and facet_of(noun.word) in _MUSICAL and facet_of(token.word) == "other"


def _within_length(tokens: Sequence[Token], letters: str) -> Phrase:
    """The phrase of these tokens, without its "of" and then without its first adjectives where it is too long."""
    if "O" in letters and tokens[letters.index("O") - 1].word.lower() in _light_heads():
        tokens, letters = tokens[letters.index("O") + 1 :], letters[letters.index("O") + 1 :]
    if len(tokens) > MAX_ASPECT_WORDS and "O" in letters:
        tokens, letters = tokens[: letters.index("O")], letters[: letters.index("O")]
    first = max(0, len(tokens) - MAX_ASPECT_WORDS)
    while first and letters[first] in ",CR":
        first += 1
    return Phrase(tokens[first].start, tokens[-1].end)


def _is_listed(phrases: Sequence[Phrase], letters: str, tokens: Sequence[Token], at: int) -> bool:
    """True when only commas, "and" and determiners stand between the phrase before and the one at this token."""
    if not phrases:
        return False
    first = at
    while first and tokens[first - 1].start >= phrases[-1].end:
        first -= 1
    return letters[first:at] in _LISTING


@cache
def _light_heads() -> frozenset[str]:
    """Nouns of measure: "a ridiculous amount of spring reverb" is spring reverb."""
    return frozenset(" ".join(data_sections("heads")["light"]).split())


def _noun_before(tokens: Sequence[Token], letters: str, at: int) -> str | None:
    """The noun before a verb before the adjective at this place: what the adjective is said of."""
    verbs = 0
    for place in range(at - 1, -1, -1):
        if letters[place] == "N" and verbs:
            return tokens[place].word
        verbs += letters[place] == "V"
        if letters[place] not in "RABEC,VX":
            return None
    return None
