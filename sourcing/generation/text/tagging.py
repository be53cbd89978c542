"""Words of a sentence with their parts of speech: English and German by a tagger, French and Spanish by word lists.

The tagger (HanTa) comes with its models (14 MB), needs no download and takes 50 microseconds a word. It knows neither
French nor Spanish, and no tagger as light does: there lists of function words, and where a word stands, tell nouns with
their adjectives, which come behind them and need not be told apart, from verbs.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import data_sections

if TYPE_CHECKING:
    from HanTa.HanoverTagger import HanoverTagger

__all__ = ["Token", "has_tagger", "tag"]

_MODELS = {"en": "morphmodel_en.pgz", "de": "morphmodel_ger.pgz"}
_LISTED = ("fr", "es")
_LISTED_TOKEN = re.compile(r"(?:aujourd|quelqu|presqu)['’]\w+|\b\w{1,4}['’](?=\w)|\w+(?:[-/.&]\w+)*|[^\w\s]")
_TOKEN = re.compile(r"\w+(?:[-'’/.&]\w+)*|[^\w\s]")
_CONTRACTION = re.compile(
    r"\w+['’](?:re|ve|ll|d|m)|\w+n['’]t|(?:it|he|she|who|that|what|there|here)['’]s", re.IGNORECASE
)
_OWNER = re.compile(r"\w.*['’]s|\w.*s['’]")
_KEY = re.compile(r"[A-H][♯♭#b]?(?:-(?:flat|sharp))?")
#: CLAWS (English) and STTS (German) tags, by their beginnings → our letters; the longest beginning wins.
_LETTERS = {
    "en": {
        "AJ": "A", "AT": "D", "DPS": "D", "DT": "D", "AV": "R", "CJC": "C", "CJ": "X", "CRD": "M", "ORD": "A",
        "EX": "X", "NN": "N", "NP": "P", "PN": "X", "POS": "X", "PRF": "O", "PRP": "I", "TO": "X", "V": "V", "VVG": "G",
        "VVN": "E", "VVD": "E", "XX": "X", "ITJ": "X", "UNC": "N", "ZZ": "P", "PUN": ".",
    },
    "de": {
        "ART": "D", "PPOSAT": "D", "PDAT": "D", "PIAT": "D", "ADJ": "A", "ADJ(D)": "B", "ADV": "R", "CARD": "M",
        "NN": "N", "NE": "P", "KON": "C", "AP": "I", "TRUNC": "T", "V": "V", "VV(PP)": "E", "FM": "P", "P": "X", "K": "X",
        "$": ".",
    },
}  # fmt: skip


class Token(NamedTuple):
    """A word or mark of a text, where it stands, [start, end), and one letter for its part of speech.

    N noun, P name, A adjective, B predicative adjective, E past participle, G -ing form, R adverb, M number, D
    determiner, O "of", I preposition, C "and", T half of a compound, V verb, X other word, "." mark.
    """

    word: str
    start: int
    end: int
    part: str


def has_tagger(language: str) -> bool:
    """True for the languages whose words `tag` knows."""
    return language[:2] in _MODELS or language[:2] in _LISTED


@lru_cache(maxsize=4096)
def tag(sentence: str, language: str) -> tuple[Token, ...]:
    """Tokens of one sentence in a language that `has_tagger`."""
    code = language[:2]
    if code in _LISTED:
        return _by_lists(sentence, code)
    places = [(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(sentence)]
    if not places:
        return ()
    words = [word for word, _, _ in places]
    begins_name = len(words) > 1 and words[1][:1].isupper()
    if code == "en" and not begins_name and not words[0].isupper():
        words[0] = words[0].lower()  # a capital at the beginning says nothing, and reads as a name
    tags = _tagger(code).tag_sent(words, taglevel=0)
    return tuple(
        Token(word, start, end, _letter(word, name, code))
        for (word, start, end), name in zip(places, tags, strict=True)
    )


def _letter(word: str, name: str, code: str) -> str:
    if code == "en":
        if _CONTRACTION.fullmatch(word):
            return "V"
        if word[:1].isupper() and _OWNER.fullmatch(word):
            return "X"  # "Maria Lund's clarinet"
    if _KEY.fullmatch(word) and word != "A":
        return "N"
    fixed = _fixed(code).get(fold_text(word))
    if fixed is not None:
        return fixed
    letters = _LETTERS[code]
    return next((letters[name[:size]] for size in range(len(name), 0, -1) if name[:size] in letters), "X")


@cache
def _tagger(code: str) -> HanoverTagger:
    from HanTa.HanoverTagger import HanoverTagger

    return HanoverTagger(_MODELS[code])


@cache
def _fixed(code: str) -> dict[str, str]:
    """Folded word → letter, where music uses a word otherwise than the texts the tagger learnt from."""
    fixed: dict[str, str] = {}
    for heading, lines in data_sections("parts_of_speech").items():
        language, _, letter = heading.partition(" ")
        if language == code:
            fixed.update(dict.fromkeys(" ".join(lines).split(), letter))
    return fixed


def _by_lists(sentence: str, code: str) -> tuple[Token, ...]:
    """Tokens by the lists of `data/function_words.txt`; a word on no list is a noun, or an adjective behind one."""
    lists = _function_words(code)
    places = [(match.group(), match.start(), match.end()) for match in _LISTED_TOKEN.finditer(sentence)]
    folded = [fold_text(word).rstrip("'") for word, _, _ in places]
    parts = [_listed_part(word, places[at][0], lists, first=at == 0) for at, word in enumerate(folded)]
    for at in range(1, len(parts)):
        before, after = parts[at - 1], parts[at + 1] if at + 1 < len(parts) else "."
        if parts[at] != "N":
            continue
        if before == "X" or (before == "N" and after == "D" and at > 1 and parts[at - 2] in "DN"):
            parts[at] = "V"  # "qui monte", "la guitare traverse le morceau"
        elif before in ("B", "R", "V") and folded[at - 1 if before != "R" else at - 2] in lists["copula"]:
            parts[at] = "B"  # "la production est sèche"
        elif (before == "C" and parts[at - 2] == "B") or (before == "R" and parts[at - 2 : at - 1] != ["N"]):
            parts[at] = "B"  # "presque chuchotée"
    return tuple(Token(*place, part) for place, part in zip(places, parts, strict=True))


def _listed_part(word: str, written: str, lists: dict[str, frozenset[str]], *, first: bool) -> str:
    for name, part in _LISTED_PARTS.items():
        if word in lists[name]:
            return part
    if not word or not word[0].isalnum():
        return "."
    if word[0].isdigit():
        return "M"
    if _KEY.fullmatch(written):
        return "N"
    if written[0].isupper() and not first:
        return "P"
    if word.endswith(_VERB_ENDINGS):
        return "V"
    return "R" if word.endswith(("ment", "mente")) and len(word) > 6 and not word.startswith("instrument") else "N"


_LISTED_PARTS = {
    "determiners": "D", "of": "O", "prepositions": "I", "and": "C", "copula": "V", "verbs": "V", "pronouns": "X",
    "adverbs": "R",
}  # fmt: skip
_VERB_ENDINGS = ("aient", "erent", "èrent", "aron", "ieron", "aban")


@cache
def _function_words(code: str) -> dict[str, frozenset[str]]:
    sections = data_sections("parts_of_speech")
    return {name: frozenset(fold_text(" ".join(sections[f"{code} {name}"])).split()) for name in _LISTED_PARTS}
