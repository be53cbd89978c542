"""Languages of a catalogue as BCP 47 tags, with reasons for cells that name no language."""

from __future__ import annotations

import re
from functools import cache

from sourcing.catalogue.cells import ValueRefused
from sourcing.store.language_tags import LANGUAGE_CODE, tag_of

__all__ = ["read_language"]

_WORDLESS = {"instrumental", "no lyrics", "none", "ohne text", "ohne gesang", "instrumentale", "no vocals", "inst"}


def read_language(text: str) -> str:
    """The tag in its canonical spelling; ValueRefused when the text names no language, or several."""
    return _read(" ".join(text.split()))


@cache
def _read(text: str) -> str:
    name = text.casefold()
    # As it stands, as a locale (de_DE.UTF-8), and without what brackets add.
    for spelling in (text.split(".")[0], name, re.sub(r"\s*[(\[].*[)\]]$", "", name)):
        if tag := tag_of(spelling):
            return tag
    if name in _WORDLESS:
        raise ValueRefused("language_illegal", f'language "{text}" says that nobody sings, not which language')
    parts = [part for part in re.split(r"\s*(?:[/,;&+|]|\band\b|\bund\b|\bet\b|\by\b)\s*", name) if part]
    if len(parts) > 1 and all(tag_of(part) or LANGUAGE_CODE.fullmatch(part) for part in parts):
        raise ValueRefused("language_illegal", f'language "{text}" names {len(parts)}; a track has one, or none')
    raise ValueRefused(
        "language_illegal", f'language "{text[:60]}" is not a BCP 47 tag or a name; write e.g. en or pt-BR'
    )
