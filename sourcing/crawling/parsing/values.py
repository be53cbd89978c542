"""Helpers of page objects: text to clean sentences, and values of unknown shape to plain ones."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from sourcing.crawling.parsing.charsets import decode
from sourcing.crawling.parsing.fragments import strip_html
from sourcing.crawling.parsing.sentences import first_sentences
from sourcing.crawling.source import Capture, PageError
from sourcing.store.licences import UNKNOWN, spdx_of

__all__ = [
    "as_int",
    "as_list",
    "as_object",
    "clean",
    "decode",
    "duration_s",
    "first_sentences",
    "licence_of",
    "other_names",
    "read_json",
    "read_json_value",
    "seconds_of_ms",
    "strip_html",
    "tags_of",
    "voted_tags",
    "year_by",
    "year_of",
]

#: C0 and C1 controls save tab and newline, soft hyphens, and what no reader sees but a model does: overrides of
#: direction and its marks, zero-width spaces, Unicode tags. NEL (U+0085) stays: it may be half of a mojibake ellipsis.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\U000e0000-\U000e007f]"
)
#: Thirty marks on one letter are as many as Unicode's stream-safe text may have; normalising a longer run takes the
#: square of its length. Marks are neither letters nor spaces nor ASCII, and runs of anything else like that are rare.
_MARKS = re.compile(r"[^\w\s!-~]{31,}")
#: Without one of these, and without mojibake, ftfy would change nothing: controls, line breaks, ligatures.
_MENDABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\u2028\u2029\u206a-\u206f"
    "\ufb00-\ufb06\ufeff\ufff9-\ufffc]"
)
_WHITE = re.compile(r"[^\S\n ]")
_SPACES, _EMPTY_LINES = re.compile("  +"), re.compile("\n{3,}")
_ENTITY_LAYERS = 3  # "&amp;amp;quot;" is as deep as careless double escaping goes; a flood of layers is cut here
_MAX_DURATION_CHARS = 40
_TIME_WITHOUT_T, _NO_DATE = re.compile(r"^P(?=\d+[HS]|\d+M\d+S)"), re.compile(r"^P(?:0+[YMW])+(?=\d|T)")
_MAX_LICENCE_CHARS = 2000
_MAX_LICENCES = 5  # of a list
_MAX_NAMES, _MAX_NAME_CHARS = 40, 300


def read_json(capture: Capture) -> dict[str, Any]:
    """The body as one JSON object; PageError `status_<n>`, `body_empty`, `body_not_json` otherwise."""
    value = read_json_value(capture)
    if not isinstance(value, dict):
        raise PageError("body_not_an_object", f"a JSON {type(value).__name__} where an object was expected")
    return value


def read_json_value(capture: Capture, *, mend: Callable[[str], str] = str) -> Any:
    """JSON value of the body, after `mend` has turned its text into JSON; PageError as for `read_json`."""
    if capture.status != 200:
        raise PageError(f"status_{capture.status}", f"the answer's HTTP status is {capture.status}")
    text = decode(capture)
    if not text.strip():
        raise PageError("body_empty", "the answer has no body")
    try:
        return json.loads(mend(text), strict=False)
    except (ValueError, RecursionError) as error:
        raise PageError("body_not_json", f"{type(error).__name__}: {error}") from None


def clean(text: Any) -> str | None:
    """Text without control characters and mojibake, in NFC, lines trimmed; None when nothing is left."""
    if not isinstance(text, str):
        return None
    return _cleaned_once(text) if len(text) <= _MAX_NAME_CHARS else _cleaned(text)


def _cleaned(text: str) -> str | None:
    if _is_clean(text):
        return text or None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = _MARKS.sub(_thirty_marks, text)
    if _may_be_garbled(text):
        text = _mended(_surrogate_free(text))
    if not text.replace("\n", "").isprintable():  # a search that costs a hundredth of these
        text = _WHITE.sub(" ", _CONTROLS.sub("", text).replace("\x85", "…"))
    text = unicodedata.normalize("NFC", text)
    if "  " in text:
        text = _SPACES.sub(" ", text)
    text = text.replace(" \n", "\n").replace("\n ", "\n")
    return (_EMPTY_LINES.sub("\n\n", text) if "\n\n\n" in text else text).strip() or None


#: A name is cleaned where it is read, where it is compared, and with the whole document.
_cleaned_once = lru_cache(maxsize=4096)(_cleaned)


def _is_clean(text: str) -> bool:
    """True when cleaning would leave plain ASCII as it is, by a few searches."""
    return (
        text.isascii()
        and "&" not in text
        and "  " not in text
        and text.replace("\n", "").isprintable()
        and not any(gap in text for gap in (" \n", "\n ", "\n\n\n"))
        and text == text.strip()
    )


def _thirty_marks(run: re.Match[str]) -> str:
    characters, marks = [], 0
    for letter in run[0]:
        marks = marks + 1 if unicodedata.combining(letter) else 0
        if marks <= 30:
            characters.append(letter)
    return "".join(characters)


def _may_be_garbled(text: str) -> bool:
    """Whether ftfy could change the text: plain ASCII without entities or escapes is as it should be."""
    return not text.isascii() or "&" in text or "\x1b" in text


def _mended(text: str) -> str:
    """Text mended by ftfy, with entities unescaped only as often as needed: a flood of "&amp;amp;amp;" would take
    hours.
    """
    import ftfy
    from ftfy.badness import is_bad

    for _ in range(_ENTITY_LAYERS):
        if "<" in text or "&" not in text:
            break
        text = ftfy.fixes.unescape_html(text)
    if not _MENDABLE.search(text) and not any(map(is_bad, text.split("\n"))):
        return text
    return ftfy.fix_text(text, unescape_html=False, uncurl_quotes=False, fix_character_width=False)


def _surrogate_free(text: str) -> str:
    """JSON may hold half a surrogate pair, which no UTF-8 file can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def as_list(value: Any) -> list[Any]:
    """A list of a value that sources write bare, as a list, or not at all."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def as_object(value: Any) -> Mapping[str, Any]:
    """An object, empty for the null, empty text or gap that sources write in place of one."""
    return value if isinstance(value, dict) else {}


def as_int(value: Any) -> int | None:
    """A whole number, also when it is written as text; None for anything else, and beyond 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 2**63 else None


def year_of(value: Any) -> int | None:
    """The year a date starts with ("1997", "1997-05-21"), when it is one a recording can have."""
    match = re.match(r"\s*(\d{4})(?!\d)", value) if isinstance(value, str) else None
    return int(match[1]) if match and 1000 <= int(match[1]) <= 2999 else None


def duration_s(value: Any) -> float | None:
    """Seconds of an ISO 8601 duration ("PT4M5S", also the common slips "T4M5S", "P04M05S") or of "4:05".

    It may lie in a list, or in an object as its value or name.
    """
    value = next(iter(as_list(value)), None)
    value = next((value[key] for key in ("@value", "name") if key in value), None) if isinstance(value, dict) else value
    text = value.strip() if isinstance(value, str) and len(value) <= _MAX_DURATION_CHARS else ""
    text = _NO_DATE.sub("P", _TIME_WITHOUT_T.sub("PT", text))
    clock = re.fullmatch(r"(?:(\d{1,2}):)?(\d{1,3}):(\d{2})", text)
    iso = re.fullmatch(r"P?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:[.,]\d+)?)S)?)?", text, re.IGNORECASE)
    if clock:
        seconds = int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + int(clock[3])
        return float(seconds) if seconds else None
    if not iso or not text:
        return None
    days, hours, minutes, rest = (float((part or "0").replace(",", ".")) for part in iso.groups())
    total = days * 86400 + hours * 3600 + minutes * 60 + rest
    return total if 0 < total < 1e6 else None


def year_by(capture: Capture, year: int | None) -> int | None:
    """The year, unless it lies far ahead: pages announce records by a year or two, and write 9999 for never."""
    return year if year is not None and year <= capture.retrieved_at.year + 2 else None


def seconds_of_ms(value: Any) -> float | None:
    """Seconds of a length in milliseconds; None for 0, which is how sources write that nobody knows."""
    length_ms = as_int(value)
    return length_ms / 1000 if length_ms and length_ms > 0 else None


def other_names(names: Iterable[Any], *, than: str | None) -> list[str] | None:
    """Distinct further names of a record in the source's order; None for none."""
    candidates = [name for name in names if isinstance(name, str) and name != than and len(name) <= _MAX_NAME_CHARS]
    if not candidates:
        return None
    clean_names = (clean(name) for name in candidates)
    once = {name.casefold(): name for name in clean_names if name}
    once.pop((than or "").casefold(), None)
    return list(once.values())[:_MAX_NAMES] or None


def tags_of(*names: Iterable[str | None]) -> list[dict[str, Any]]:
    """Distinct tags without votes in order, compared without case."""
    once: dict[str, str] = {}
    for name in (name for group in names for name in group):
        if name:
            once.setdefault(name.casefold(), name)
    return [{"name": name, "count": None} for name in once.values()]


def voted_tags(votes: Iterable[tuple[str | None, int]]) -> list[dict[str, Any]]:
    """Tags with votes, most voted first; of equal names the most votes count, and what is voted down is none."""
    counts: dict[str, int] = {}
    for name, count in votes:
        if name and count > 0:
            counts[name] = max(counts.get(name, 0), count)
    return [{"name": name, "count": count} for name, count in sorted(counts.items(), key=lambda tag: (-tag[1], tag[0]))]


def licence_of(value: Any) -> str | None:
    """SPDX id of a stated licence, else the statement as it is; None when nothing is stated.

    Of a list, or of an object with address and name, the one licence they speak of; all of it where they differ.
    """
    texts = [text for part in as_list(value)[:_MAX_LICENCES] for text in _licence_texts(part)]
    statements = [clean(text) for text in texts if len(text) <= _MAX_LICENCE_CHARS]
    short_statements = dict.fromkeys(text for text in statements if text and len(text) <= 300)
    ids = {spdx for text in short_statements if (spdx := spdx_of(text)) != UNKNOWN}
    return ids.pop() if len(ids) == 1 else "; ".join(short_statements) or None


def _licence_texts(value: Any) -> list[str]:
    parts = [value.get(key) for key in ("url", "@id", "name")] if isinstance(value, dict) else [value]
    return [part for part in parts if isinstance(part, str)]
