"""Rate limits as a reply's headers tell them: limit, remaining and reset per kind, and the pause a server asks for.

OpenAI writes resets as durations ("6ms", "1m0s"), Azure as seconds; Azure leaves some headers out or fills them with -1
and 0. What makes no sense reads as absent, so that a strange server is at worst one without headers.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

__all__ = ["Limit", "Limits", "read_limits"]

_PAUSES = (("retry-after-ms", 0.001), ("x-ms-retry-after-ms", 0.001), ("retry-after", 1.0))
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d)"
_DURATION = re.compile(rf"(?:{_PART})+")
_DURATION_PART = re.compile(_PART)
_LONGEST_S = 366 * 86400.0
#: A limit of a minute is whole again after a minute; one that takes longer (requests per day) is not one of a minute.
_MINUTE_RESET_S = 66.0
#: A spent bucket that refills steadily takes the minute to be full; one told to be full sooner is a window that ends.
_WINDOW_RESET_S = 48.0


class Limit(NamedTuple):
    """One kind, requests or tokens. `reset_s` is when the limit is whole again, not when the next call may go."""

    per_minute: float | None = None
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def shut_s(self) -> float | None:
        """How long nothing will pass: a spent window that ends then; None for a bucket, which refills all the while."""
        if self.remaining != 0 or not self.reset_s or self.reset_s > _MINUTE_RESET_S:
            return None
        return self.reset_s if self.per_minute is None or self.reset_s < _WINDOW_RESET_S else None


class Limits(NamedTuple):
    """What one reply said; `retry_after_s` only where the server asked for a pause in so many words."""

    requests: Limit = Limit()
    tokens: Limit = Limit()
    retry_after_s: float | None = None

    @property
    def shut_s(self) -> float | None:
        return max((kind.shut_s for kind in (self.requests, self.tokens) if kind.shut_s), default=None)


def read_limits(headers: Mapping[str, str], *, now: float | None = None) -> Limits:
    """The limits in a reply's headers, whatever the case of their names.

    `now` (seconds since 1970) is what a `Retry-After` that is a date counts from when there is no `Date` beside it.
    """
    told = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered.startswith("x-ratelimit-") or lowered == "date" or "retry-after" in lowered:
            told[lowered] = value
    if not told or (len(told) == 1 and "date" in told):
        return _NOTHING
    return Limits(_kind(told, "requests"), _kind(told, "tokens"), _retry_after_s(told, now))


_NOTHING = Limits()


def _kind(told: Mapping[str, str], kind: str) -> Limit:
    limit_text = told.get(f"x-ratelimit-limit-{kind}")
    per_minute = _number(limit_text)
    if limit_text is not None and not per_minute:
        return Limit()  # a limit of 0 or -1: whoever fills it in so knows nothing of the rest either
    remaining = _number(told.get(f"x-ratelimit-remaining-{kind}"))
    if remaining is not None and per_minute is not None and remaining > per_minute:
        remaining = None
    reset_s = _duration_s(told.get(f"x-ratelimit-reset-{kind}"))
    if reset_s is not None and reset_s > _MINUTE_RESET_S:
        per_minute = None
    return Limit(per_minute, remaining, reset_s)


def _retry_after_s(told: Mapping[str, str], now: float | None) -> float | None:
    for name, unit_s in _PAUSES:
        asked = _duration_s(told.get(name), unit_s)
        if asked is not None:
            return asked
    at = _date(told.get("retry-after"))
    if at is None:
        return None
    # The server's own clock says best how far off its date is; ours may be wrong by hours.
    sent = _date(told.get("date"))
    asked = at - (sent if sent is not None else time.time() if now is None else now)
    return max(0.0, asked) if asked <= _LONGEST_S else None


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= 0 and math.isfinite(value) else None


def _duration_s(text: str | None, unit_s: float = 1.0) -> float | None:
    """Seconds of "1h2m3.5s", "6ms", or of a plain number of units."""
    if text is None:
        return None
    seconds = None
    if text.endswith(("s", "m", "h", "d")):
        if len(text) <= 40 and _DURATION.fullmatch(text):
            seconds = sum([float(count) * _UNITS_S[unit] for count, unit in _DURATION_PART.findall(text)])
    elif (number := _number(text)) is not None:
        seconds = number * unit_s
    return seconds if seconds is not None and seconds <= _LONGEST_S else None


def _date(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() if at.year > datetime.min.year else None
