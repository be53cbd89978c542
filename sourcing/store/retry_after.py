"""Retry-After: how long a server asks to be left alone, in whatever form its headers say it.

RFC 9110 §10.2.3 has whole seconds or a date; servers also write milliseconds in headers of their own, fractions,
durations ("1m30s"), ISO dates, and the header twice. A wish that is past, zero or not to be read is none, so that the
caller makes its own pause: no header means "now". A wish longer than `LONGEST_S` is heard as `LONGEST_S`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

__all__ = ["LONGEST_S", "RETRY_AFTER_HEADERS", "duration_s", "retry_after_s"]

#: A week; nobody waits longer for one header.
LONGEST_S = 7 * 86400.0
#: The headers read, the more precise first, with their unit in seconds.
RETRY_AFTER_HEADERS = {"retry-after-ms": 0.001, "x-ms-retry-after-ms": 0.001, "retry-after": 1.0}

#: Shorter is as good as now.
_SHORTEST_S = 0.001
#: A date further off is a broken clock or a placeholder, not a wish.
_FURTHEST_DATE_S = 366 * 86400.0
_MOST_CHARACTERS, _MOST_VALUES = 256, 8
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)"
_DURATION, _DURATION_PART = re.compile(rf"(?:{_PART})+"), re.compile(_PART)
#: A comma parts two values, but for the one behind the day of the week in a date.
_BETWEEN_VALUES = re.compile(r"(?<!\bMon)(?<!\bTue)(?<!\bWed)(?<!\bThu)(?<!\bFri)(?<!\bSat)(?<!\bSun)(?<!day),", re.I)

Value = str | bytes | Iterable[str | bytes]


def retry_after_s(headers_or_value: Mapping[Any, Any] | Value, *, now: float) -> float | None:
    """Seconds to wait, within 0.001 and `LONGEST_S`; None where the server says nothing that can be followed.

    Takes a reply's headers (any case; text, bytes, or a list of either per name) or the bare value of `Retry-After`.
    Of several values the longest holds. A date counts from the `Date` beside it, else from `now` (seconds since 1970):
    the server's own clock says best how far off its date is.
    """
    if not isinstance(headers_or_value, Mapping):
        return _longest_s(_values(headers_or_value), 1.0, now)
    values_of: dict[str, list[str]] = {}
    for name, value in headers_or_value.items():
        lower_name = _text(name).lower()
        if lower_name == "date" or lower_name in RETRY_AFTER_HEADERS:
            values_of.setdefault(lower_name, []).extend(_values(value))
    sent_at = next((at for at in map(_date, values_of.get("date", ())) if at is not None), now)
    waits = (
        _longest_s(values_of[name], unit_s, sent_at)
        for name, unit_s in RETRY_AFTER_HEADERS.items()
        if name in values_of
    )
    return next((wait_s for wait_s in waits if wait_s is not None), None)


def duration_s(text: str, unit_s: float = 1.0) -> float | None:
    """Seconds of "1h2m3.5s", "6ms", or of a plain number of units; None for anything else."""
    if len(text) > _MOST_CHARACTERS:
        return None
    if _NUMBER.fullmatch(text):
        return float(text) * unit_s
    if _DURATION.fullmatch(text):
        return sum(float(count) * _UNITS_S[unit] for count, unit in _DURATION_PART.findall(text))
    return None


def _longest_s(values: list[str], unit_s: float, now: float) -> float | None:
    waits = []
    for value in values[:_MOST_VALUES]:
        for text in (value, *_BETWEEN_VALUES.split(value)[:_MOST_VALUES]):
            wait_s = duration_s(text.strip(), unit_s)
            if wait_s is None and (at := _date(text)) is not None and at - now <= _FURTHEST_DATE_S:
                wait_s = at - now
            if wait_s is not None and wait_s >= _SHORTEST_S:
                waits.append(min(wait_s, LONGEST_S))
    return max(waits, default=None)


def _values(value: Any) -> list[str]:
    return [_text(value)] if isinstance(value, str | bytes) else [_text(one) for one in value]


def _text(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return text.strip()[: _MOST_CHARACTERS * _MOST_VALUES]


def _date(text: str) -> float | None:
    """Seconds since 1970 of an HTTP or ISO date; a date without a zone is UTC."""
    text = text.strip()
    if len(text) > _MOST_CHARACTERS or not text.isascii() or not any(map(str.isdigit, text)):
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = parse(text)
            return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):  # years, zones and months no calendar has
            continue
    return None
