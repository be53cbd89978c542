"""Bounded JSON: text from outside as values that any table, journal or schema can hold.

Numbers that nobody can store (more than 18 digits, infinities, NaN) read as null. Lone surrogates become question marks
and NUL characters vanish, for no table can hold them. What is nested deeper than a reply ever needs is refused.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["MAX_DEPTH", "first_value", "line_of", "load_json", "whole", "whole_text"]

MAX_DEPTH = 64
_MAX_DIGITS = 18  # of an integer; SQLite holds 18 of any value
_SUSPECT = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _constant(_name: str) -> None:
    return None


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant)
_LENIENT = json.JSONDecoder(parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=False)


def load_json(text: str, *, halves: bool = False) -> Any:
    """The value of a JSON text. Raises ValueError, and nothing else, for what is none or nested too deep.

    With `halves` lone surrogates stay: a stream may part a pair, and what is put together of it is made `whole` after.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise _too_deep() from None
    return _bounded(value, text, halves=halves)


def first_value(text: str, start: int = 0, *, halves: bool = False) -> tuple[Any, int]:
    """JSON value that begins at `start`, raw line breaks in strings allowed, and its end; else ValueError."""
    try:
        value, end = _LENIENT.raw_decode(text, start)
    except RecursionError:
        raise _too_deep() from None
    return _bounded(value, text[start:end], halves=halves), end


def whole_text(text: str) -> str:
    """Text without characters UTF-8 cannot carry: halves of a pair are joined, lone ones are question marks, NULs
    vanish.
    """
    if text.isascii() and "\0" not in text:
        return text
    try:
        return text.encode("utf-8").decode("utf-8").replace("\0", "")
    except UnicodeEncodeError:
        pairs = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return pairs.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def whole(value: Any) -> Any:
    """A JSON value with `whole_text` applied to every text."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    if isinstance(value, dict):
        return {whole_text(name): whole(inner) for name, inner in value.items()}
    return value


def line_of(text: str, chars: int = 300) -> str:
    """The first words of a text in one line, for messages."""
    return " ".join(whole_text(text[: 2 * chars]).split())[:chars]


def _bounded(value: Any, text: str, *, halves: bool) -> Any:
    """The value, or a copy fit for storage; the scans of the text are cheaper than a walk."""
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value if halves or not _SUSPECT.search(text) else whole(value)


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {MAX_DEPTH} deep")


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deeper(inner, levels - 1) for inner in value))
