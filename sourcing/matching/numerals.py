"""Numbers of titles in one form: words, Roman numerals and counted parts as digits."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["digits_for_numbered", "digits_for_words"]

_UNITS = {
    "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
    "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17,
    "eighteen": 18, "nineteen": 19, "zero": 0,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_ORDINALS = {
    "1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth", "6th": "sixth",
    "7th": "seventh", "8th": "eighth", "9th": "ninth", "10th": "tenth", "eleventh": "11th", "twelfth": "12th",
    "thirteenth": "13th", "twentieth": "20th", "thirtieth": "30th",
}  # fmt: skip
_ENDINGS = {"first": (1, "st"), "second": (2, "nd"), "third": (3, "rd"), "fourth": (4, "th"), "fifth": (5, "th")}
_ENDINGS |= {"sixth": (6, "th"), "seventh": (7, "th"), "eighth": (8, "th"), "ninth": (9, "th")}
_NUMBER_WORDS = frozenset([*_UNITS, *_TENS, *_SCALES, *_ORDINALS])
_ROMAN = {"i": 1, "v": 5, "x": 10}
_SHORT_FOR = {
    "pt": "part", "pts": "part", "parts": "part", "nr": "no", "nos": "no", "number": "no", "numbers": "no",
    "vol": "volume", "vols": "volume", "volumes": "volume", "mvt": "movement", "opus": "op", "acts": "act",
    "chapters": "chapter", "episodes": "episode", "ep": "episode", "books": "book", "teil": "part", "parte": "part",
    "partie": "part", "atto": "act", "akt": "act", "acte": "act", "acto": "act", "kapitel": "chapter",
    "chapitre": "chapter", "scena": "scene", "szene": "scene", "satz": "movement",
}  # fmt: skip
_COUNT = rf"(?:[ivx]{{1,5}}|{'|'.join([*_UNITS][:10])}|\d+)\b"
_NUMBERED = re.compile(
    r"\b(p(?:ar)?ts?|part(?:ie|e)|n(?:os?|r|umbers?)|vol(?:ume)?s?|act[seo]?|a(?:kt|tto)|chap(?:ters?|itre)|m(?:ovement|vt)"
    r"|op(?:us)?|books?|s(?:uite|ymphony|cen[ea]|zene|atz)|ep(?:isodes?)?|teil|kapitel)\b"
    rf"\.?\s*({_COUNT}(?:\s*(?:[-–—/,&+]|\b(?:and|to|through|und|bis|et)\b)\s*{_COUNT})*)",
    re.IGNORECASE,
)
_COUNTED = re.compile(_COUNT, re.IGNORECASE)
_ROMAN_NUMBER = re.compile(r"(?<![^\s:,–—-])([IVX]{1,5})(?=\.\s)|\b([IVX]{2,5})\b")
_SIGNS = re.compile(r"[№♯♭#]")
_THOUSANDS = re.compile(r"[,.](?<=\d.)(?=\d{3}\b)")  # "1,000"
_ACCIDENTAL = re.compile(r"(?<=[A-Ga-g])[\s-](flat|sharp)\b")
#: Kinds of number that a list may follow: "Op. 9, No. 2" is no list of opera.
_SINGLE = ("op", "suite", "symphony", "movement", "no")


def digits_for_numbered(text: str) -> str:
    """Text with "No. V", "Part Two", "Parts I–V", ": II. Andante" in digits; a lone "I" stays a pronoun."""
    if _SIGNS.search(text):
        text = text.replace("№", " no ").replace("♯", " sharp ").replace("♭", " flat ")
        text = re.sub(r"#\s*(?=\d)", " no ", re.sub(r"(?<=\b[A-Ga-g])#", " sharp ", text))
    if "," in text or "." in text:
        text = _THOUSANDS.sub("", text)
    text = _NUMBERED.sub(_count, text)
    text = _ROMAN_NUMBER.sub(lambda match: f" {_digits(match[1] or match[2])} ", text)
    return _ACCIDENTAL.sub(r" \1", text)


def digits_for_words(words: Sequence[str]) -> Sequence[str]:
    """Folded words with number words in digits: "twenty four" is "24", "nineteen eighty five" "1985"."""
    if _NUMBER_WORDS.isdisjoint(words):
        return words
    tokens: list[str] = []
    pending: list[str] = []
    for word in [*words, ""]:
        if word in _UNITS or word in _TENS or word in _SCALES or (word == "and" and pending and pending[-1] in _SCALES):
            pending.append(word)
            continue
        if pending:
            if word in _ENDINGS and pending[-1] in _TENS:  # "twenty first"
                unit, ending = _ENDINGS[word]
                *before, tens = _read(pending)
                tokens += [*before, f"{int(tens) + unit}{ending}"]
                word = ""
            else:
                tokens += _read(pending)
            pending = []
        if word:
            tokens.append(_ORDINALS.get(word, word))
    for position in range(len(tokens) - 1, 0, -1):  # "a thousand miles"
        if tokens[position] in ("100", "1000") and tokens[position - 1] == "a":
            del tokens[position - 1]
    return tokens


def _read(words: list[str]) -> list[str]:
    """The numbers that a run of number words says; a scale alone counts as one of it."""
    trailing = ["and"] if words[-1] == "and" else []
    numbers: list[int] = []
    total = current = 0
    last = 1_000_000_000  # size of the word before within this number; a smaller one may follow
    open_number = False
    for word in words[: len(words) - len(trailing)]:
        if word == "and":
            continue
        if word in _SCALES:
            current = max(current, 1) * _SCALES[word]
            if word != "hundred":
                total, current = total + current, 0
            last, open_number = _SCALES[word], True
            continue
        value = _UNITS[word] if word in _UNITS else _TENS[word]
        size = 10 if word in _TENS else 1 if value < 10 else 9
        fits = last >= 100 or (last == 10 and size == 1)
        if open_number and not fits:
            numbers.append(total + current)
            total = current = 0
        current += value
        last, open_number = size, True
    numbers.append(total + current)
    return [*_years(numbers), *trailing]


def _years(numbers: list[int]) -> list[str]:
    """Numbers as texts; a pair like 19 and 85 is one year, 1985."""
    if len(numbers) == 2 and 10 <= numbers[0] <= 20 and 10 <= numbers[1] <= 99:
        return [f"{numbers[0]}{numbers[1]}"]
    return [str(number) for number in numbers]


def _count(match: re.Match[str]) -> str:
    kind = _SHORT_FOR.get(match[1].casefold(), match[1].casefold())
    counts, rest = match[2], ""
    if kind in _SINGLE and (first := _COUNTED.match(counts)):
        counts, rest = first[0], counts[first.end() :]
    return f"{kind} {' '.join(_digits(count) for count in _COUNTED.findall(counts))} {rest}"


def _digits(text: str) -> str:
    word = text.casefold()
    if word in _UNITS:
        return str(_UNITS[word])
    if word.isdecimal():
        return str(int(word))
    values = [_ROMAN[letter] for letter in word]
    pairs = zip(values, [*values[1:], 0], strict=True)
    return str(sum(-value if value < following else value for value, following in pairs))
