"""Languages as BCP 47 tags: of codes with two and three letters, and of names in their commonest tongues."""

from __future__ import annotations

import re
from functools import cache, lru_cache

__all__ = ["LANGUAGE_CODE", "language_tag", "tag_of"]

LANGUAGE_CODE = re.compile(r"([A-Za-z]{2,3}|[Ii]|[Xx])((?:-[A-Za-z0-9]{1,8})*)")
_NAMED_IN = "en de fr es it pt nl sv pl ru tr zh ja ko ar cs da el fi he hi hu nb ro uk".split()
_SPECIAL = ("und", "mul", "zxx", "mis")
_OTHERS = {
    "mandarin": "zh", "汉语": "zh", "漢語": "zh", "farsi": "fa", "bokmål": "nb", "flemish": "nl-BE", "castilian": "es",
    "castellano": "es",
}  # fmt: skip
_MAX_CHARS = 35  # of a tag; the longest name is shorter
_AFTER_TAG = re.compile(r"[,;.@\s(]")


@lru_cache(maxsize=1024)
def language_tag(stated: str) -> str | None:
    """BCP 47 tag of a page's stated language: a tag, a locale ("en_us.UTF-8"), a name, the first of several; else
    None.
    """
    text = _AFTER_TAG.split(stated.strip()[:_MAX_CHARS])[0]
    tag = _coded(text) or (_names().get(text.casefold()) if text[:1].isalpha() and len(text) > 1 else None)
    return tag if tag and not tag.startswith(("x-", "i-")) else None


@lru_cache(maxsize=4096)
def tag_of(text: str) -> str | None:
    """The tag in its canonical spelling of one code or name: `deu` and "German" are `de`; None of anything else."""
    name = text.casefold()
    return _coded(text) or _names().get(name) or _own_names().get(name)


def _coded(text: str) -> str | None:
    code = LANGUAGE_CODE.fullmatch(text.replace("_", "-"))
    return _canonical(code[1].lower(), code[2].split("-")[1:]) if code else None


def _canonical(language: str, others: list[str]) -> str | None:
    """`zh-hant-tw` → `zh-Hant-TW`, `deu` → `de`; None when there is no such language."""
    from babel import Locale
    from babel.core import get_global

    cldr_languages = Locale("en").languages
    if language in ("x", "i"):
        return "-".join([language, *(part.lower() for part in others)]) if others else None
    alias = str(get_global("language_aliases").get(language, language)).replace("_", "-").split("-")
    language, others = alias[0], alias[1:] + others
    if language not in cldr_languages and language not in _SPECIAL:
        return None
    subtags = [part.title() if len(part) == 4 and part.isalpha() else part.lower() for part in others]
    subtags = [part.upper() if len(part) == 2 and part.isalpha() else part for part in subtags]
    return "-".join([language, *subtags])


@cache
def _names() -> dict[str, str]:
    """Every name a language has in the commonest languages; of two alike the first stays."""
    from babel import Locale

    names = {**_OTHERS}
    for tongue in _NAMED_IN:
        for code, name in Locale(tongue).languages.items():
            names.setdefault(name.casefold(), code.replace("_", "-"))
    return names


@cache
def _own_names() -> dict[str, str]:
    """Languages' names for themselves → code: half a second to read, so asked last and not of pages."""
    from babel import Locale, UnknownLocaleError

    names: dict[str, str] = {}
    for code in (code for code in map(str, Locale("en").languages) if len(code) == 2):
        try:
            own = Locale(code).languages.get(code)
        except UnknownLocaleError:
            continue
        if own:
            names.setdefault(own.casefold(), code)
    return names
