"""Years of release from dates in any order or language, and from serial numbers of spreadsheets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sourcing.catalogue.cells import ValueRefused, cell_text

__all__ = ["read_year", "year_form"]

_SERIAL_ZERO = date(1899, 12, 30)  # day 0 of Excel's calendar, as it counts from March 1900 on
_SERIALS = (3_654, 73_050)  # 1910 to 2099
_EPOCHS = (100_000_000, 4_102_444_800)  # 1973 to 2099, in seconds
_MINIMUM_ROWS, _SHARE = 3, 0.8

_YEAR = re.compile(r"(?<!\d)([12]\d{3})(?!\d|s\b|['’]s|er\b|代)")
_COMPACT = re.compile(r"([12]\d{3})(0\d|1[0-2])([0-2]\d|3[01])")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?")
_NOTHING = re.compile(r"0{1,4}([-/.]0{1,2}){0,2}")


def read_year(value: Any, form: str = "date") -> int | None:
    """The year, None when the cell is empty; ValueRefused when it names none from 1000 to 2999, or two of them."""
    if isinstance(value, date):
        return _checked(value.year, value.isoformat())
    text = cell_text(value)
    if text is None:
        return None
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if _NOTHING.fullmatch(text):  # how databases write that they do not know
        return None
    if form != "date" and _NUMBER.fullmatch(text):
        return _checked(_counted(float(text), form), text)
    if match := _COMPACT.fullmatch(text):
        return _checked(int(match[1]), text)
    years = set(_YEAR.findall(text)) if len(text) <= 100 else set()
    if len(years) != 1:
        found_years = "names two years" if years else "is none from 1000 to 2999"
        raise ValueRefused("year_illegal", f'year "{text[:60]}" {found_years}; write four digits')
    return int(years.pop())


def year_form(values: Sequence[Any], header: str = "") -> tuple[str, str | None]:
    """The form of a column's bare numbers (years or serial days), with a note: `date`, `serial` (days), `epoch`,
    `epoch_ms`.
    """
    numbers, filled_cells = [], 0
    for value in values:
        try:
            text = cell_text(value)
        except ValueRefused:
            continue
        filled_cells += text is not None
        if text and _NUMBER.fullmatch(text) and not _COMPACT.fullmatch(text):
            numbers.append(float(text))
    forms = {
        "serial": (_SERIALS, 1, "days, as spreadsheets count them"),
        "epoch": (_EPOCHS, 1, "seconds since 1970"),
        "epoch_ms": (_EPOCHS, 1000, "milliseconds since 1970"),
    }
    for form, ((low, high), scale, words) in forms.items():
        inside = [number for number in numbers if low * scale <= number <= high * scale]
        if len(inside) >= max(_MINIMUM_ROWS, _SHARE * filled_cells):
            return form, f"{header or 'year'} is read as {words}"
    return "date", None


def _counted(number: float, form: str) -> int:
    """The year of a serial day or a moment since 1970; small numbers are years already."""
    if 1000 <= number < 3000:
        return int(number)
    if form == "serial":
        return (_SERIAL_ZERO + timedelta(days=number)).year if number <= _SERIALS[1] else 0
    seconds = number / 1000 if form == "epoch_ms" else number
    return datetime.fromtimestamp(seconds, UTC).year if seconds <= _EPOCHS[1] else 0


def _checked(year: int, cell: str) -> int:
    if not 1000 <= year <= 2999:
        raise ValueRefused("year_illegal", f'year "{cell}" is none from 1000 to 2999; write four digits')
    return year
