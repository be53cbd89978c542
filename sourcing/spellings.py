"""Spellings: every way in which a secret may stand in what a server sends back, as patterns over bytes.

Each character as it is, in either case, percent-encoded, as a JSON, Python or HTML escape, each of these nested in
another, and all of them mixed. The secret, or anything it is a part of (`user:key`), in base64, plain or of URLs; in
hexadecimal; and with only its ends left, as in `sk-ab***********wxyz`.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Iterator
from html.entities import html5

__all__ = ["escaped", "hints", "literal_spellings", "patterns"]

#: Of secrets so long servers show the ends and mask the rest.
_MASKED_FROM, _SHOWN = 16, 3
_BACKSLASH = "\\"
_RUNS = re.compile(rb"[A-Za-z0-9]+")
_ENTITIES: dict[str, list[str]] = {}
for _name, _character in html5.items():
    if _name.endswith(";"):
        _ENTITIES.setdefault(_character, []).append(_name)

# Escapes within escapes are bounded, and no part can match nothing: no text makes a search take long.
_AGAIN = r"(?:25){0,3}"  # a percent sign percent-encoded
_SLASH_ENCODED = rf"%{_AGAIN}5[cC]"
_MORE_SLASHES = rf"(?:\\|{_SLASH_ENCODED}){{0,3}}"
#: Two, since a pattern that begins with few fixed characters is searched for ten times as fast.
_SLASHES = (rf"\\{_MORE_SLASHES}", rf"{_SLASH_ENCODED}{_MORE_SLASHES}")


def hints(secret: str) -> Iterator[bytes]:
    """Fragments in small letters; data with an unescaped spelling of the secret holds one of them."""
    data = secret.encode("utf-8", "surrogatepass")
    yield data.hex().encode()
    for whole in (data, *_base64_cores(data)):
        yield max(_RUNS.findall(whole), key=len, default=b"").lower()


def escaped(secrets: Iterable[str]) -> list[re.Pattern[bytes]]:
    """Escapes of letters and digits of secrets: none stands in an ordinary page, where signs are escaped."""
    alphanumeric = {c for secret in secrets for each in secret for c in (each, each.lower(), each.upper())}
    codes = sorted({ord(c) for c in alphanumeric if c.isascii() and c.isalnum()})
    hexadecimal = "|".join(_either_case(f"{code:02x}") for code in codes)
    decimal = "|".join(map(str, codes))
    return [
        _compiled(rf"%{_AGAIN}(?:{hexadecimal})"),
        _compiled(rf"&(?:amp;){{0,3}}#(?:0{{0,6}}(?:{decimal})(?!\d)|[xX]0{{0,6}}(?:{hexadecimal}))"),
        _compiled(rf"\\(?:u00|x)(?:{hexadecimal})"),
        _compiled(rf"%{_AGAIN}5[cC](?:u00|x)(?:{hexadecimal})"),
    ]


def literal_spellings(secret: str) -> list[bytes]:
    """Spellings of a secret that leave nothing to escape: base64 and hexadecimal."""
    data = secret.encode("utf-8", "surrogatepass")
    base64_spellings = [core for core in _base64_cores(data) if core.isalnum()]
    return [*base64_spellings, data.hex().encode(), data.hex().upper().encode()]


def patterns(secret: str, *, alone: bool) -> Iterator[re.Pattern[bytes]]:
    """Patterns for all other spellings of a secret; `alone`: only in its own case, and where no letter or digit
    adjoins.
    """
    whole = "".join(_spelled(part, any_case=not alone) for part in re.findall(r"\\+|[^\\]", secret))
    yield _compiled(rf"(?<![A-Za-z0-9]){whole}(?![A-Za-z0-9])" if alone else whole)
    for core in _base64_cores(secret.encode("utf-8", "surrogatepass")):
        if not core.isalnum():
            yield _compiled("".join(map(_spelled_base64, core.decode())))
    if len(secret) >= _MASKED_FROM:
        visible = rf"[^\s\"'<>*\\&]{{0,{_SHOWN + 5}}}"  # and no escape, which it would tear
        yield _compiled(rf"{re.escape(secret[:_SHOWN])}{visible}\*{{3,}}{visible}")


def _compiled(source: str) -> re.Pattern[bytes]:
    return re.compile(source.encode("utf-8", "surrogatepass"))


def _base64_cores(data: bytes) -> list[bytes]:
    """Base64 of the data at the three possible offsets, cut to the characters that no neighbour changes."""
    cores = []
    for before in range(3):
        base64_text = base64.b64encode(bytes(before) + data)
        cores.append(base64_text[math.ceil(before * 8 / 6) : (before + len(data)) * 8 // 6])
    return cores


def _spelled(part: str, *, any_case: bool) -> str:
    """A pattern for a character, or for a run of backslashes, which escapes make longer."""
    character = part[0]
    cases = (character, character.lower(), character.upper()) if any_case else (character,)
    ways = "|".join(way for each in dict.fromkeys(cases) if len(each) == 1 for way in _ways(each))
    return rf"(?:{ways}){{1,{min(4 * len(part), 32)}}}" if character == _BACKSLASH else f"(?:{ways})"


def _ways(character: str) -> Iterator[str]:
    number, utf8 = ord(character), character.encode("utf-8", "surrogatepass")
    begins_escapes = character in "%&"  # then it stands last, or the rest of its own escape would be left
    if not begins_escapes:
        yield re.escape(character)
    percent = "".join(f"%{_AGAIN}{_either_case(f'{byte:02x}')}" for byte in utf8)
    yield percent
    names = "".join(f"|{name}?" for name in _ENTITIES.get(character, ()))
    yield rf"&(?:amp;){{0,3}}(?:#0{{0,6}}{number};?|#[xX]0{{0,6}}{_either_case(f'{number:x}')};?{names})"
    for slashes in _SLASHES:
        yield rf"{slashes}(?:u{_either_case(f'{number:04x}')}|x{_either_case(f'{number:02x}')})"
        if not character.isalnum() and character != _BACKSLASH:
            yield f"{slashes}(?:{re.escape(character)}|{percent})"
    if character == " ":
        yield r"\+"
    if begins_escapes:
        yield re.escape(character)


def _spelled_base64(character: str) -> str:
    if character.isalnum():
        return character
    return f"(?:{'-' if character == '+' else '_'}|{'|'.join(_ways(character))})"


def _either_case(hexadecimal: str) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in hexadecimal)
