"""Languages of a catalogue as BCP 47 tags: codes of two and three letters, and names in their commonest tongues."""

from __future__ import annotations

import re
from functools import cache

from sourcing.catalogue.cells import Refused

__all__ = ["read_language"]

_TAG = re.compile(r"([A-Za-z]{2,3}|[Ii]|[Xx])((?:-[A-Za-z0-9]{1,8})*)")
_NAMED_IN = ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "pl", "ru", "tr", "zh", "ja", "ko")
_SPECIAL = ("und", "mul", "zxx", "mis")
_OTHERS = {"mandarin": "zh", "flemish": "nl-BE", "castilian": "es", "castellano": "es", "farsi": "fa", "bokmål": "nb"}
_WORDLESS = {"instrumental", "no lyrics", "none", "ohne text", "ohne gesang", "instrumentale", "no vocals", "inst"}


def read_language(text: str) -> str:
    """The tag in its canonical spelling; Refused when the text names no language, or several."""
    return _read(" ".join(text.split()))


@cache
def _read(text: str) -> str:
    tag = text.replace("_", "-").split(".")[0]  # also a locale, de_DE.UTF-8
    if (found := _TAG.fullmatch(tag)) and (canonical := _canonical(found[1].lower(), found[2].split("-")[1:])):
        return canonical
    names = _names()
    name = text.casefold()
    for spelling in (name, re.sub(r"\s*[(\[].*[)\]]$", "", name)):
        if spelling in names:
            return names[spelling]
    if name in _WORDLESS:
        raise Refused("language_illegal", f'language "{text}" says that nobody sings, not which language')
    parts = [part for part in re.split(r"\s*(?:[/,;&+|]|\band\b|\bund\b|\bet\b|\by\b)\s*", name) if part]
    if len(parts) > 1 and all(part in names or _TAG.fullmatch(part) for part in parts):
        raise Refused("language_illegal", f'language "{text}" names {len(parts)}; a track has one, or none')
    raise Refused("language_illegal", f'language "{text[:60]}" is not a BCP 47 tag or a name; write e.g. en or pt-BR')


def _canonical(language: str, others: list[str]) -> str | None:
    """`zh-hant-tw` → `zh-Hant-TW`, `deu` → `de`; None when there is no such language."""
    from babel import Locale
    from babel.core import get_global

    known = Locale("en").languages
    if language in ("x", "i"):
        return "-".join([language, *(part.lower() for part in others)]) if others else None
    alias = str(get_global("language_aliases").get(language, language)).replace("_", "-").split("-")
    language, others = alias[0], alias[1:] + others
    if language not in known and language not in _SPECIAL:
        return None
    shaped = [part.title() if len(part) == 4 and part.isalpha() else part.lower() for part in others]
    shaped = [part.upper() if len(part) == 2 and part.isalpha() else part for part in shaped]
    return "-".join([language, *shaped])


@cache
def _names() -> dict[str, str]:
    """Every name a language has in the commonest languages, and in itself; of two alike the first stays."""
    from babel import Locale, UnknownLocaleError

    english = Locale("en").languages
    names = {**_OTHERS}
    for tongue in _NAMED_IN:
        for code, name in Locale(tongue).languages.items():
            names.setdefault(name.casefold(), code.replace("_", "-"))
    for code in map(str, english):
        if len(code) > 2:
            continue
        try:
            own = Locale(code).languages.get(code)
        except UnknownLocaleError:
            continue
        if own:
            names.setdefault(own.casefold(), code)
    return names
