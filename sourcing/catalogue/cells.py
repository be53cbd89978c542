"""Cells of a catalogue as text: total over every type a reader gives, and never the `str` of a value.

A cell that is no text (an object, bytes of no alphabet, a program's print of one) is ValueRefused.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NoReturn

from sourcing.store.text import without_surrogates

__all__ = [
    "MAXIMUM_CHARACTERS",
    "ValueRefused",
    "as_json",
    "cell_text",
    "credit",
    "is_empty",
    "items",
    "joined",
    "mended",
    "visible",
]

MAXIMUM_CHARACTERS = 100_000  # of one cell; the longest honest ones are lyrics and texts of a few thousand
_NAME_KEYS = ("name", "title", "value", "tag", "label", "text", "genre")  # where an object keeps its name
_DEPTH = 32

_EMPTY = {"", "-", "--", "—", "–", "n/a", "#n/a", "<na>", "nan", "nat", "null", "(null)", "none", "nil", "\\n", "#ref!"}
_EMPTY |= {"#value!", "#name?", "#null!", "#div/0!", "undefined", "na"}
#: Signs that show nothing, or turn what follows round; joiners inside words of other scripts stay.
_UNSEEN = dict.fromkeys(
    place
    for first, last in (
        *((0x00, 0x08), (0x0B, 0x0C), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x180E, 0x180E)),
        *((0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB)),
    )
    for place in range(first, last + 1)
)
_BLANK = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\ufffd"}  # letters by name, nothing to the eye

_QUOTED = r"""(?:[uUbB]?'(?:[^'\\]|\\.)*'|[uUbB]?"(?:[^"\\]|\\.)*")"""
_QUOTED_ITEM = re.compile(_QUOTED, re.DOTALL)
_BYTES = re.compile(r"""[bB](?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL)
_LITERAL_LIST = re.compile(
    rf"""(?:array\()?[\[({{]\s*(?:(?:{_QUOTED}|None|nan)[\s,]*)+[\])}}](?:,\s*dtype=\w+\))?\)?""", re.DOTALL
)
_EMPTY_LIST = re.compile(r"(?:\[\s*\]|\(\s*\)|\{\s*\}|set\(\)|array\(\[\].*\))")
_PRINTED = re.compile(r"""[\[({\s]*[\[{]\s*[uUbB]?['"]""")
_PROGRAM = re.compile(
    r"<[\w.'< >]+ at 0x[0-9A-Fa-f]+>|<(?:class|function|module|bound method|built-in) .*>|\[object \w+\]"
    r"|(?:datetime\.\w+|(?:Ordered|default)[Dd]ict|Decimal|Timestamp|Timedelta|array|frozenset|dict_\w+|Series|memoryview"
    r"|bytearray|Counter|UUID|Posix?Path|WindowsPath)\(.*\)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)", re.DOTALL)
_ODD_FIRST, _ODD_LAST = frozenset("=bB[{<"), frozenset(">])")  # of text that may be a value's print
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


class ValueRefused(ValueError):
    """A row that is rejected, or a value that is emptied; `reason` is short and countable."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(reason, finding)


def cell_text(value: Any) -> str | None:
    """Text of a cell, stripped of white space; None when the cell is empty; ValueRefused when it is no text."""
    if value is None:
        return None
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, bool):
        return str(value)  # a spreadsheet's TRUE: a word once
    if isinstance(value, int):
        return str(value) if value.bit_length() < 4_000 else _refuse("a number of thousands of digits")
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Decimal):
        return _number(float(value)) if value.is_finite() and abs(value) < 10**15 else _refuse(f"the number {value}")
    if isinstance(value, bytes):
        try:
            return _string(value.decode("utf-8"))
        except UnicodeDecodeError:
            _refuse("bytes that are not UTF-8 text")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _number(value.total_seconds())
    if isinstance(value, Mapping):
        _refuse("an object")
    raise ValueRefused("not_text", "a list" if isinstance(value, list | tuple) else f"a {type(value).__name__}")


def credit(value: Any, *, single: bool = False) -> str | None:
    """A name, or the names of a list as a credit "X, Y"; ValueRefused where `single` and there are two."""
    if isinstance(value, Mapping):
        return _item(value)
    listed_names = _literal(value) if isinstance(value, str) else value if _is_list(value) else None
    if listed_names is None:
        return cell_text(value)
    names = items(listed_names)
    if single and len(names) > 1:
        _refuse(f"a list of {len(names)}")
    return ", ".join(names) or None


def joined(text: str) -> str:
    """A credit whose names are parted by `;` or `|`, which no name holds, parted by commas."""
    if ";" not in text and "|" not in text:
        return text
    names = filter(None, re.split(r"\s*[;|]\s*", text))
    return ", ".join(dict.fromkeys(names))


def items(value: Any, separator: str | None = None) -> list[str]:
    """Items of a list, of text that a program printed a list as, or of text parted by `separator`; each once."""
    if isinstance(value, bytes):
        value = cell_text(value)
    if isinstance(value, str):
        if (printed_items := _literal(value)) is not None:
            value = printed_items
        else:
            text = cell_text(value) or ""
            value = text.split(separator) if separator else [text]
    elif not _is_list(value):
        value = [value]
    texts = (_item(item) for item in value)
    return list(dict.fromkeys(text for text in texts if text and not is_empty(text)))


def is_empty(text: str) -> bool:
    """True when a program wrote the text for a missing value: NaN, None, #N/A, a dash."""
    return len(text) < 12 and text.casefold() in _EMPTY


def visible(text: str) -> bool:
    """Whether the text has a sign that the eye sees."""
    return any(unicodedata.category(sign)[0] in "LNPS" and sign not in _BLANK for sign in text)


@lru_cache(10_000)  # names of artists and albums come again
def mended(text: str) -> str:
    """The text with double encoding and HTML entities undone, on one line."""
    if text.isascii() and "&" not in text and text.isprintable():
        return text
    import ftfy

    if not text.isascii():
        text = ftfy.fix_encoding(text)
    for _ in range(2):  # exports that escaped twice; never until nothing changes
        if "&" not in text:
            break
        text = ftfy.fixes.unescape_html(text)
    if not text.isprintable():
        text = " ".join(filter(None, map(str.strip, text.replace("\t", "\n").splitlines())))
    return _string(text) or ""


def as_json(value: Any) -> str:
    """JSON text of a cell or row, for quarantine and `extra`: bytes as text or escapes, dates as ISO, nothing deeper
    than 32.
    """
    return without_surrogates(json.dumps(_plain(value, _DEPTH), ensure_ascii=False, sort_keys=True))


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 4_000 else "a number of thousands of digits"
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if depth and isinstance(value, Mapping):
        return {name if isinstance(name, str) else repr(name): _plain(each, depth - 1) for name, each in value.items()}
    if depth and _is_list(value):
        return [_plain(each, depth - 1) for each in value]
    try:
        return cell_text(value)
    except ValueRefused as refusal:
        return refusal.finding


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _item(value: Any) -> str | None:
    """A list's item as text; of an object its name."""
    if isinstance(value, Mapping):
        for key in _NAME_KEYS:
            if isinstance(name := value.get(key), str):
                return _string(name)
    return cell_text(value)


def _string(text: str) -> str | None:
    if not text.isprintable():
        text = without_surrogates(text).translate(_UNSEEN)
    text = text.strip()
    if len(text) > MAXIMUM_CHARACTERS:
        _refuse(f"{len(text):,} characters")
    if text[:1] in _ODD_FIRST or text[-1:] in _ODD_LAST:
        text = _unwrapped(text)
    return text or None


def _unwrapped(text: str) -> str:
    """The text out of a formula or a bytes literal; ValueRefused when it is the print of another value."""
    if text.startswith('="') and text.endswith('"'):  # how Excel is told not to count: ="0123"
        text = text[2:-1].strip()
    if _BYTES.fullmatch(text):
        text = _unquoted(text).strip()
    if text[:1] in "[{" and _PRINTED.match(text):
        _refuse("a list or an object as a program prints it")
    if text[-1:] in ">])" and _PROGRAM.fullmatch(text):
        _refuse("what a program prints of an object")
    return text


def _number(value: float) -> str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        _refuse("an infinite number")
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _literal(text: str) -> list[Any] | None:
    """The items of `['a', 'b']`, `["a"]`, `('a',)`, `['a' 'b']` or of a JSON list; None for other text."""
    text = text.strip()
    if len(text) > MAXIMUM_CHARACTERS or not text.endswith(("]", ")", "}")):
        return None
    if _EMPTY_LIST.fullmatch(text):
        return []
    if text.startswith("[") and ('"' in text or "{" in text or text[1:-1].strip().isdecimal()):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and value:
            return value
    if text.startswith("[{"):
        if names := re.findall(rf"""['"](?:name|title|value)['"]\s*:\s*({_QUOTED})""", text):
            return [_unquoted(name) for name in names]
        _refuse("a list of objects")
    if _LITERAL_LIST.fullmatch(text):
        return [_unquoted(literal) for literal in _QUOTED_ITEM.findall(text)]
    return None


def _unquoted(literal: str) -> str:
    """The text between the quotes of a literal, escapes undone; of a bytes literal, its bytes read as UTF-8."""
    is_bytes = literal[0] in "bB"
    inner = literal[2:-1] if literal[0] in "uUbB" else literal[1:-1]
    text = _ESCAPE.sub(_unescaped, inner)
    if not is_bytes:
        return text
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        _refuse("bytes that are not UTF-8 text")


def _unescaped(escape: re.Match[str]) -> str:
    sign = escape[1]
    if sign[0] in "xuU" and len(sign) > 1:
        code = int(sign[1:], 16)
        return chr(code) if code < 0x110000 else "\ufffd"
    return chr(int(sign, 8)) if sign[0] in "01234567" else _SIMPLE_ESCAPES.get(sign, sign)


def _refuse(finding: str) -> NoReturn:
    raise ValueRefused("not_text", finding)
