"""Words of a sentence with their parts of speech, offline, by what is light and kept for each language.

English and German: HanTa, its models in the wheel (14 MB), 50 microseconds a word. Chinese: rjieba (4 MB). Japanese:
janome (19 MB). No tagger as light knows French or Spanish: there lists of function words, and where a word stands, tell
verbs from nouns with their adjectives, which come behind and need not be told apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import data_sections, is_written_without_spaces
from sourcing.store.language_id import simplified

if TYPE_CHECKING:
    from HanTa.HanoverTagger import HanoverTagger

__all__ = ["SPACELESS", "Token", "has_tagger", "tag"]

SPACELESS = ("zh", "ja")  # languages with a tagger that are written without spaces

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
        "NN": "N", "NE": "P", "KON": "C", "AP": "I", "TRUNC": "T", "V": "V", "VV(PP)": "E", "FM": "P", "P": "X",
        "K": "X", "$": ".",
    },
}  # fmt: skip


class Token(NamedTuple):
    """A word or mark of a text, where it stands, [start, end), and one letter for its part of speech.

    N noun, P name, A adjective, B predicative adjective, E past participle, G -ing form, R adverb, M number, D
    determiner, O "of" (的, の, and な behind an adjective), I preposition, C "and", T half of a compound, V verb, X
    another word, "." mark.
    """

    word: str
    start: int
    end: int
    part: str


def has_tagger(language: str) -> bool:
    """True for the languages whose words `tag` knows."""
    return language[:2] in (*_MODELS, *_LISTED, *SPACELESS)


@lru_cache(maxsize=512)
def tag(sentence: str, language: str) -> tuple[Token, ...]:
    """Tokens of one sentence in a language that `has_tagger`."""
    code = language[:2]
    if code in _LISTED:
        return _by_lists(sentence, code)
    if code in SPACELESS:
        sentence = sentence.encode("utf-8", "replace").decode()  # half a surrogate pair has no UTF-8
        return tuple(_chinese(sentence) if code == "zh" else _japanese(sentence))
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
    """Tokens by the lists of `data/parts_of_speech.txt`; a word on no list is a noun, or an adjective behind one."""
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


#: Beginnings of rjieba's tags → our letters; the longest beginning wins.
_CHINESE = {
    "n": "N", "a": "A", "z": "A", "b": "A", "d": "R", "zg": "R", "v": "V", "uj": "O", "u": "X", "c": "C", "p": "I",
    "r": "X", "m": "M", "q": "M", "x": ".", "s": "N", "f": "X", "l": "N", "i": "A", "j": "N", "g": "N", "eng": "N",
    "vn": "N",
}  # fmt: skip
_OF_MUSIC = 100_000  # how often a word of music is taken to occur


def _chinese(sentence: str) -> Iterator[Token]:
    at = 0
    for word, name in _jieba().tag(sentence):
        at = sentence.find(word, at)
        part = next((_CHINESE[name[:n]] for n in range(len(name), 0, -1) if name[:n] in _CHINESE), "X")
        plain = simplified(word)
        if part not in "NA":
            part = _fixed("zh").get(plain) or _words_of_music().get(plain) or part
        yield Token("," if word in "、，" else word, at, at + len(word), _fixed("zh").get(plain) or part)
        at += len(word)


def _japanese(sentence: str) -> Iterator[Token]:
    at, before = 0, ""
    for token in _janome().tokenize(sentence):
        word, (kind, detail, *_) = token.surface, token.part_of_speech.split(",")
        part = _japanese_part(word, kind, detail, before)
        at = sentence.find(word, at)
        yield Token("," if word in "、，" else word, at, at + len(word), part)
        at, before = at + len(word), part


def _japanese_part(word: str, kind: str, detail: str, before: str) -> str:
    if word in _fixed("ja"):
        return _fixed("ja")[word]
    if kind == "名詞":
        return {"形容動詞語幹": "A", "数": "M", "代名詞": "X", "非自立": "X", "副詞可能": "X"}.get(detail, "N")
    if kind == "助詞":
        return "O" if word == "の" else "C" if word in "とや" and before == "N" else "I"
    if kind == "助動詞":
        return "O" if word == "な" and before == "A" else "E" if word in "ただ" and before == "V" else "V"
    if kind == "動詞":
        return "V"
    return {"形容詞": "A", "連体詞": "X", "副詞": "R", "接頭詞": "N", "接続詞": "X", "記号": "."}.get(kind, "X")


@cache
def _jieba() -> Any:
    import rjieba

    tagger = rjieba.Jieba()
    for term, part in _words_of_music().items():
        if [name[:1] for _, name in tagger.tag(term)] not in (["n"], ["a"]):
            tagger.add_word(term, _OF_MUSIC, part.lower())  # "和声" is a word of music before it is "和" and "声"
    return tagger


@cache
def _words_of_music() -> dict[str, str]:
    """Chinese term of the lexicon → A for those of mood and tempo, N for others."""
    parts: dict[str, str] = {}
    for facet, lines in [*data_sections("facets").items(), *data_sections("facets_zh").items()]:
        for term in map(str.strip, ",".join(lines).split(",")):
            if is_written_without_spaces(term):
                parts.setdefault(simplified(term), "A" if facet in ("mood", "tempo_rhythm") else "N")
    return parts


@cache
def _janome() -> Any:
    from janome.tokenizer import Tokenizer

    return Tokenizer()
