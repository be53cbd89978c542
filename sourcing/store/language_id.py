"""The language a text is in, told offline: by its script, and by a statistical model where languages share one."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opencc import OpenCC
    from py3langid.langid import LanguageIdentifier

__all__ = ["identify", "language_of", "script_shares", "simplified", "unlike_language"]

MIN_LETTERS, MIN_WORDS = 40, 7  # a shorter text in a shared script is not judged: it may be all terms of music
MAX_ASKED, MIN_FOUND = 0.005, 0.5  # chance the model gives the language asked for at most, and another at least
MAX_FOREIGN_SHARE = 0.7  # of letters in another script that a text may hold and still be in its own: names, terms
_MIN_SCRIPT_LETTERS = 8  # fewer letters are a term or a name
_MIN_HAN_SENTENCE = 10  # characters of a text that would hold kana, were it Japanese
_MIN_VARIANT_CHARACTERS = 2  # that only one kind of Chinese has
_IDEOGRAPH_WEIGHT = 3  # letters a Han character or Hangul syllable stands for beside an alphabet

_SCRIPTS = {
    "zh": {"HAN"},
    "yue": {"HAN"},
    "ja": {"HAN", "KANA"},
    "ko": {"HANGUL"},
    **{language: {"CYRILLIC"} for language in ("ru", "uk", "be", "bg", "mk", "kk", "ky", "mn", "tg")},
    "sr": {"CYRILLIC", "LATIN"},
    "el": {"GREEK"},
    **{language: {"HEBREW"} for language in ("he", "yi")},
    **{language: {"ARABIC"} for language in ("ar", "fa", "ur", "ps", "ug")},
    **{language: {"DEVANAGARI"} for language in ("hi", "mr", "ne", "sa")},
    "th": {"THAI"},
    "lo": {"LAO"},
    "my": {"MYANMAR"},
    "km": {"KHMER"},
    "ka": {"GEORGIAN"},
    "hy": {"ARMENIAN"},
    "am": {"ETHIOPIC"},
    "bn": {"BENGALI"},
    "ta": {"TAMIL"},
    "te": {"TELUGU"},
    "kn": {"KANNADA"},
    "ml": {"MALAYALAM"},
    "gu": {"GUJARATI"},
    "pa": {"GURMUKHI"},
    "si": {"SINHALA"},
}
_NAMES = {"CJK": "HAN", "HIRAGANA": "KANA", "KATAKANA": "KANA", "KATAKANA-HIRAGANA": "KANA"}  # as Unicode names begin
#: Languages a short text does not tell apart.
_ALIKE = (
    {"no", "nb", "nn", "da", "sv"},
    {"id", "ms", "jv"},
    {"hr", "sr", "bs", "sl"},
    {"es", "gl", "an", "ca", "pt", "oc", "ast"},
    {"cs", "sk"},
    {"de", "lb", "nds"},
    {"nl", "af"},
    {"fr", "wa", "oc"},
    {"en", "pcm", "sco"},
    {"ru", "uk", "be", "bg", "mk"},
    {"ar", "fa", "ur", "ps", "ug"},
    {"hi", "mr", "ne", "sa"},
)
_SIMPLIFIED_TAG = re.compile(r"^(zh|cmn)-(hans|cn|sg|my)", re.IGNORECASE)
_TRADITIONAL_TAG = re.compile(r"^(zh|cmn|yue)-(hant|tw|hk|mo)", re.IGNORECASE)
_LATIN = {"LATIN"}
_HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_MAX_DETECTED_CHARS = 1000  # of a text: a longer one is no surer
_MIN_UNDECLARED = 0.9  # chance of a language that nobody declared
_ENGLISH = frozenset(("the", "and", "with", "its", "that", "which", "this", "while"))
_ENGLISH_IN_PROSE = _ENGLISH | {"it", "for", "by", "from", "has", "but", "not", "are", "you", "their", "they"}


def language_of(text: str | None, declared: str | None) -> str | None:
    """The declared language, a BCP 47 tag, unless the text is surely in another; "und" asks for the text's own.

    A text whose language nobody declared has none.
    """
    if declared is None or not text:
        return declared
    text = text[:_MAX_DETECTED_CHARS]
    if declared != "und":
        if _base(declared) == "en" and _holds_english(text):
            return declared  # as most pages; it spares them the model
        return unlike_language(text, declared) or declared
    letters = script_shares(text)[1]
    if letters < MIN_LETTERS:
        return "und"
    language, confidence = identify(text)
    return language if confidence >= _MIN_UNDECLARED else "und"


def simplified(text: str) -> str:
    """Chinese in simplified characters, character by character; other text as it stands."""
    if text.isascii() or not _HAN.search(text):
        return text
    in_simplified = _to_simplified().convert(text)
    return in_simplified if len(in_simplified) == len(text) else text


def unlike_language(text: str, language: str) -> str | None:
    """The language a text is surely in when that is not `language` (a BCP 47 tag), else None.

    Sure means: most of its letters are of a script the language is not written in; or it is long enough (40 letters in
    seven words) and the model gives another language an even chance, and the one asked for with its near kin less than
    one in two hundred. Chinese and Japanese are told
    apart by kana, the two kinds of Chinese by characters that only one of them has. A text too short for that, and one
    that mixes languages, is left alone: "dub techno, Hammond-Orgel" is in no wrong language.
    """
    base = _base(language)
    if base in ("", "und", "mul", "zxx"):
        return None
    shares, letters = script_shares(text)
    if letters < _MIN_SCRIPT_LETTERS:
        return None
    own_scripts = _SCRIPTS.get(base, _LATIN)
    own = sum(share for script, share in shares.items() if script in own_scripts)
    if 1 - own > MAX_FOREIGN_SHARE:
        likeliest = identify(text)[0]
        return likeliest if likeliest != base else None
    if base in ("zh", "yue", "ja"):
        return _unlike_kind_of_han(text, language, base, shares, letters)
    if own_scripts not in (_LATIN, _SCRIPTS["ru"], _SCRIPTS["ar"], _SCRIPTS["hi"]):
        return None
    if letters < MIN_LETTERS or len(text.split()) < MIN_WORDS:
        return None
    return None if base == "en" and _is_plainly_english(text) else _unlike_by_model(text, base)


def identify(text: str) -> tuple[str, float]:
    """The most likely language of a text, as ISO 639-1, and how sure that is, 0..1; ("und", 0) of no letters.

    A script that one language has to itself decides alone.
    """
    shares, letters = script_shares(text)
    if not letters:
        return "und", 0.0
    script, share = max(shares.items(), key=lambda item: (item[1], item[0]))
    if script in ("HAN", "KANA"):
        return ("ja" if shares.get("KANA", 0.0) > 0.1 else "zh"), share + shares.get("KANA", 0.0) * (script == "HAN")
    owners = [language for language, scripts in _SCRIPTS.items() if scripts - {"HAN"} == {script}]
    if len(owners) == 1:
        return owners[0], share
    language, confidence = _identifier().classify(text)
    return str(language), float(confidence)


def script_shares(text: str) -> tuple[dict[str, float], int]:
    """Share of each script in the letters of a text, and the number of letters; an ideograph counts as three."""
    if text.isascii():
        return {"LATIN": 1.0}, sum(map(str.isalpha, text))
    counts: Counter[str] = Counter()
    for character, times in Counter(text).items():
        script = _script(character)
        if script:
            counts[script] += times * (_IDEOGRAPH_WEIGHT if script in ("HAN", "HANGUL") else 1)
    total = counts.total()
    return {script: count / total for script, count in counts.items()}, total


def _is_plainly_english(text: str) -> bool:
    """Whether one word in eight is one that English alone has: it spares most texts the model."""
    words = text.casefold().split()
    english = [word for word in words if word in _ENGLISH]
    return len(set(english)) > 1 and 8 * len(english) >= len(words)


def _holds_english(text: str) -> bool:
    """True when a tenth of the words, three different ones, are typical of English alone."""
    words = text.casefold().split()
    english = [word for word in words if word in _ENGLISH_IN_PROSE]
    return len(set(english)) > 2 and 10 * len(english) >= len(words)


def _unlike_by_model(text: str, base: str) -> str | None:
    chances = _identifier().rank(text)
    likeliest, chance = chances[0]
    if likeliest == base or chance < MIN_FOUND:
        return None
    kin = {base}.union(*(alike for alike in _ALIKE if base in alike))
    return None if sum(chance for language, chance in chances if language in kin) > MAX_ASKED else str(likeliest)


def _unlike_kind_of_han(text: str, language: str, base: str, shares: dict[str, float], letters: int) -> str | None:
    kana = shares.get("KANA", 0.0)
    if base == "ja":
        return "zh" if kana == 0 and letters >= _MIN_HAN_SENTENCE * _IDEOGRAPH_WEIGHT else None
    if kana > 0.2:
        return "ja"
    simplified_only, traditional_only = _variants(text)
    if _SIMPLIFIED_TAG.match(language) and traditional_only >= simplified_only + _MIN_VARIANT_CHARACTERS:
        return "zh-Hant"
    if _TRADITIONAL_TAG.match(language) and simplified_only >= traditional_only + _MIN_VARIANT_CHARACTERS:
        return "zh-Hans"
    return None


def _variants(text: str) -> tuple[int, int]:
    """How many characters only simplified, and only traditional Chinese has."""
    to_simplified = simplified(text)
    traditional = sum(one != other for one, other in zip(text, to_simplified, strict=True))
    in_traditional = _to_traditional().convert(text)
    if len(in_traditional) != len(text):
        return 0, traditional
    return sum(one != other for one, other in zip(text, in_traditional, strict=True)), traditional


def _base(language: str) -> str:
    base = language.replace("_", "-").split("-")[0].casefold()
    return {"cmn": "zh", "nb": "no", "nn": "no", "iw": "he", "in": "id"}.get(base, base)


@cache
def _script(character: str) -> str:
    """Script of a letter, by the first word of the Unicode name; "" of what is no letter."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ")[0]
    if first in ("FULLWIDTH", "MODIFIER", "FEMININE", "MASCULINE"):
        return "LATIN"
    return _NAMES.get(first, first)


@cache
def _to_simplified() -> OpenCC:
    from opencc import OpenCC

    return OpenCC("t2s")


@cache
def _to_traditional() -> OpenCC:
    from opencc import OpenCC  # its tables take a moment

    return OpenCC("s2t")


@cache
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # numpy and the model take half a second

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
