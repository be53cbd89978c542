"""Lengths of tracks as owners write them, in seconds: clock times, units, ISO 8601, numbers of an unsaid unit."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from statistics import median
from typing import Any

from sourcing.catalogue.cells import ValueRefused, cell_text

__all__ = ["SECONDS_OF", "duration_unit", "read_duration"]

#: Seconds in one of a unit; `clock` tells of a sheet that took 3:45 for hours and minutes.
SECONDS_OF = {"s": 1.0, "ms": 0.001, "min": 60.0, "day": 86_400.0, "clock": 1 / 60}

MAXIMUM_S = 86_400.0  # longer is no track
_MS_MEDIAN, _NAMED_S_MEDIAN = 2_000.0, 20_000.0
_DAY_MEDIAN = 0.1  # as seconds less than any sound, as a part of a day 2.4 hours
_MINUTES_MEDIAN = 10.0  # a column of numbers below it may well be minutes; that is told, not guessed
_MINIMUM_MS = 1_000.0
_SURE_ROWS = 3

_NUMBER = re.compile(r"\d{1,15}(?:[.,]\d{1,15})?(?:[eE][+-]?\d{1,2})?")
_GROUPED = re.compile(r"\d{1,3}(?:[ \u00a0'’]\d{3})+")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d{1,9})?)")
_PRIMES = re.compile(r"(?:(\d{1,4})['’′])?\s*(?:(\d{1,2}(?:[.,]\d{1,9})?)(?:[\"”″]|''|’’|′′)?)?")
_ISO = re.compile(r"P(?:(\d{1,3})D)?T(?:(\d{1,3})H)?(?:(\d{1,5})M)?(?:(\d{1,6}(?:[.,]\d{1,9})?)S)?", re.IGNORECASE)
_SHEET_DAY = re.compile(r"(?:1899-12-3[01]|1900-01-0[01])[ T]")  # in front of a time, as spreadsheets store it
_UNIT_NAMES = {
    3600.0: "h hr hrs hour hours std stunde stunden heure heures hora horas 時間",
    60.0: "m min mins minute minutes minuten minuto minutos minuti 分 分钟",
    1.0: "s sec secs sek second seconds sekunde sekunden seconde secondes segundo segundos secondi 秒",
    0.001: "ms msec millis millisecond milliseconds millisekunden 毫秒",
}
_UNIT = {name: seconds for seconds, names in _UNIT_NAMES.items() for name in names.split()}
_PART = re.compile(r"(\d{1,15}(?:[.,]\d{1,15})?)\s*([^\W\d_]+)\.?\s*(?:,|and|und|et|y|e)?\s*")


def read_duration(value: Any, unit: str = "s") -> float | None:
    """Seconds of a length; a bare number is of `unit`. None of an empty cell, ValueRefused of what is no length."""
    if isinstance(value, timedelta):
        return _checked(value.total_seconds(), value)
    if isinstance(value, datetime):  # a sheet's length of 24 hours or more, or a date gone astray
        raise ValueRefused("duration_illegal", f"duration_s is the date {value.isoformat()}; write e.g. 215.5 or 3:35")
    if isinstance(value, time):
        value = value.isoformat()
    text = cell_text(value)
    if text is None:
        return None
    plain = _plain(text)
    if (number := _bare(plain)) is not None:
        if unit == "ms" and 0 < number < _MINIMUM_MS:
            finding = f'duration_s "{text}" stands among milliseconds and may be seconds; write it like the others'
            raise ValueRefused("duration_illegal", finding)
        return _checked(round(number * SECONDS_OF[unit], 1 if unit == "day" else 6), text)
    seconds = _clock(plain)
    return _checked(seconds if unit != "clock" else seconds / 60, text)


def duration_unit(values: Sequence[Any], header: str = "") -> tuple[str, str | None]:
    """Unit of a column's bare numbers by header and median, with a note when the unit was guessed.

    A column called `duration_s` is held for milliseconds only where its median would be hours.
    """
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header).lower())
    for unit, names in (("ms", ("ms", "millis", "milliseconds", "msec")), ("min", ("min", "minutes", "minuten"))):
        if any(name in words for name in names):
            return unit, None
    named_seconds = any(name in words for name in ("s", "sec", "secs", "seconds", "sekunden"))
    numbers, clocks = [], []
    for value in values:
        try:
            text = value.isoformat() if isinstance(value, time) else cell_text(value)
        except ValueRefused:
            continue
        if text is None:
            continue
        text = _plain(text)
        if (number := _bare(text)) is not None:
            numbers.append(number)
        elif (match := _CLOCK.fullmatch(text)) and match[1]:
            clocks.append((int(match[1]), match[3]))
    positive = [number for number in numbers if number > 0]
    if positive:
        middle = median(positive)
        if middle > (_NAMED_S_MEDIAN if named_seconds else _MS_MEDIAN):
            return "ms", f"{header or 'duration_s'} is read as milliseconds: its median is {middle:,.0f}"
        if middle < _DAY_MEDIAN:
            return "day", f"{header or 'duration_s'} is read as parts of a day, as spreadsheets keep times"
        if middle < _MINUTES_MEDIAN and len(positive) >= _SURE_ROWS and not named_seconds:
            cure = f"for minutes call the column '{header} (min)', minutes and seconds are written 3:45"
            return "s", f"{header} is read as seconds, although its median is {middle:g}: {cure}"
    if (
        len(clocks) >= _SURE_ROWS
        and all(float(seconds) == 0 for _, seconds in clocks)
        and median(hours for hours, _ in clocks) > 0
    ):
        return "clock", f"{header or 'duration_s'} is read as minutes and seconds: every seconds part is 00"
    return "s", None


def _plain(text: str) -> str:
    text = _SHEET_DAY.sub("", text.lstrip("'"), count=1).strip()
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _bare(text: str) -> float | None:
    if _GROUPED.fullmatch(text):
        return float(re.sub(r"\D", "", text))
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _clock(text: str) -> float:
    """Seconds of a text with colons, primes or units; NaN when it is none of these."""
    if match := _CLOCK.fullmatch(text):
        hours, minutes, seconds = int(match[1] or 0), int(match[2]), _float(match[3])
        if seconds < 60 and (match[1] is None or minutes < 60):
            return 3600 * hours + 60 * minutes + seconds
        return math.nan
    if (match := _PRIMES.fullmatch(text)) and (match[1] or match[2]):
        return 60 * int(match[1] or 0) + _float(match[2] or "0")
    if (match := _ISO.fullmatch(text)) and any(match.groups()):
        days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
        return 86_400 * days + 3600 * hours + 60 * minutes + _float(match[4] or "0")
    total, end = 0.0, 0
    while match := _PART.match(text, end):
        if (scale := _UNIT.get(match[2].casefold())) is None:
            return math.nan
        total, end = total + scale * _float(match[1]), match.end()
    if end and end < len(text) and text[end:].isdecimal() and len(text) - end <= 2:  # 3m45
        return total + int(text[end:])
    return total if end == len(text) and end else math.nan


def _float(text: str) -> float:
    return float(text.replace(",", "."))


def _checked(seconds: float, cell: Any) -> float:
    if not (math.isfinite(seconds) and 0 < seconds <= MAXIMUM_S):
        finding = f'duration_s "{str(cell)[:60]}" is no length of a track in seconds; write e.g. 215.5 or 3:35'
        raise ValueRefused("duration_illegal", finding)
    return round(seconds, 6)
