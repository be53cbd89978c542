"""Text folded for comparing: one form for every way of typing a name, whatever the script."""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from typing import Any

__all__ = ["fold", "has_han", "loose", "plain"]

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_SIGN_WORDS = {ord("♥"): " love ", ord("❤"): " love ", ord("%"): " percent ", 0xFE0F: None}
_STARRED = re.compile(r"\b(?:\w\*){2,}\w?")  # "N*E*R*D"
_STYLED_I = re.compile(r"(?<=[a-z])!(?=[a-z])")  # "P!nk"
_DOLLAR_S = re.compile(r"\$(?=[a-z])|(?<=[a-z])\$")  # "A$AP", but "$" is a name of its own
_GREEK_OU = re.compile(r"(?<=[οΟ])[υύ]")  # one sound, which anyascii writes "oy"
_HTML_LEFTOVER = re.compile(r"&(amp|quot|#0?39|apos);")
_HTML_FOR = {"amp": "&", "quot": '"', "#39": "'", "#039": "'", "apos": "'"}
#: One way to write words that have two; the key is folded already.
_SAME_WORD = {"n": "and", "mister": "mr", "doctor": "dr", "saint": "st", "colour": "color", "grey": "gray"}
_SAME_WORD |= {"u": "you", "ur": "your", "thru": "through", "luv": "love", "nite": "night", "tonite": "tonight"}
_SAME_WORD |= {
    "2nite": "tonight",
    "okay": "ok",
    "fck": "fuck",
    "fxck": "fuck",
    "pt": "part",
    "var": "variation",
    "variatio": "variation",
}
#: Romanisations of one sound, folded into one letter: Tsoi and Tsoy, Elzi and Elzy, Tchaikovsky and Chaikovskii.
_SOUNDS = (
    (re.compile(r"shch|sht(?=[aeiou])|sch"), "sh"),
    (re.compile(r"tch"), "ch"),
    (re.compile(r"dj|dzh|zh"), "z"),
    (re.compile(r"kh"), "h"),
    (re.compile(r"ck|c(?!h)|q"), "k"),
    (re.compile(r"x"), "ks"),
    (re.compile(r"[yj]"), "i"),
    (re.compile(r"ou|oo"), "u"),
    (re.compile(r"ai"), "e"),
    (re.compile(r"ei|ie"), "i"),
    (re.compile(r"w"), "v"),
    (re.compile(r"(.)\1+"), r"\1"),
)


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Words for comparing: NFKC, lower case, ASCII by transliteration, no punctuation. Never empty for visible text."""
    lower = _STARRED.sub(lambda match: match[0].replace("*", ""), plain(text).translate(_SIGN_WORDS))
    letters = _STYLED_I.sub("i", _ascii(lower))
    letters = _DOLLAR_S.sub("s", letters) if "$" in letters else letters
    letters = re.sub(r"['’`´]", "", letters.replace("&", " and ").replace("+", " and "))
    words = re.sub(r"[^a-z0-9]+", " ", _join_initials(letters)).split()
    if len(words) > 1:
        words = [_SAME_WORD.get(word, word) for word in words]
    return " ".join(words) or "".join(plain(text).split())  # "!!!" and "????" are names too


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """NFKC and lower case; Han characters in one script, so that 愛, 爱 and the Japanese 桜 and 櫻 are equal."""
    if text.isascii():
        lower = text.casefold()
    else:
        lower = unicodedata.normalize("NFKC", text).casefold()
        if has_han(lower):
            japanese, traditional = _han_converters()
            lower = str(traditional.convert(japanese.convert(lower)))
    return _HTML_LEFTOVER.sub(lambda match: _HTML_FOR[match[1]], lower) if "&" in lower else lower


def has_han(text: str) -> bool:
    return _HAN.search(text) is not None


@lru_cache(maxsize=65536)
def loose(text: str) -> str:
    """A folded name by sound, without spaces: only for one side in Latin letters and the other in none."""
    text = text.replace(" ", "")
    for pattern, sound in _SOUNDS:
        text = pattern.sub(sound, text)
    return text


@cache
def _han_converters() -> tuple[Any, Any]:
    from opencc import OpenCC

    return OpenCC("jp2t"), OpenCC("t2s")


def _join_initials(text: str) -> str:
    """ "r.e.m." and "t.n.t" are "rem" and "tnt"."""
    return re.sub(r"\b(?:[a-z]\.){2,}[a-z]?\b|\b(?:[a-z]\.){2,}", lambda match: match[0].replace(".", "") + " ", text)


def _ascii(text: str) -> str:
    if text.isascii():
        return text
    from anyascii import anyascii

    # Marks first: anyascii gives "Beyonce" for both forms of é only when it is one character.
    return str(anyascii(_GREEK_OU.sub("u", unicodedata.normalize("NFC", text)))).casefold()
