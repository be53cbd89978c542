"""Reads rate limits in the headers of replies: limit, remaining and reset per kind, and the pause asked for.

OpenAI writes resets as durations ("6ms", "1m0s"), Azure as seconds; Azure leaves some headers out or fills them with -1
and 0. What makes no sense reads as absent, so that a strange server is at worst one without headers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import NamedTuple

from sourcing.store.retry_after import RETRY_AFTER_HEADERS, duration_s, retry_after_s

__all__ = ["Limit", "Limits", "read_limits"]

_MOST_CHARACTERS = 40
_LONGEST_S = 366 * 86400.0
#: A limit of a minute is whole again after a minute; one that takes longer (requests per day) is not one of a minute.
_MINUTE_RESET_S = 66.0
#: A spent bucket that refills steadily takes the minute to be full; one told to be full sooner is a window that ends.
_WINDOW_RESET_S = 48.0


class Limit(NamedTuple):
    """The limit of one kind, requests or tokens.

    `reset_s` is when the limit is whole again, not when the next call may go.
    """

    per_minute: float | None = None
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def shut_s(self) -> float | None:
        """Seconds for which a spent window lets nothing pass; None for a bucket, which refills all the while."""
        if self.remaining != 0 or not self.reset_s or self.reset_s > _MINUTE_RESET_S:
            return None
        return self.reset_s if self.per_minute is None or self.reset_s < _WINDOW_RESET_S else None


class Limits(NamedTuple):
    """The limits that one reply tells; `retry_after_s` only where the server asked for a pause in so many words."""

    requests: Limit = Limit()
    tokens: Limit = Limit()
    retry_after_s: float | None = None

    @property
    def shut_s(self) -> float | None:
        return max((kind.shut_s for kind in (self.requests, self.tokens) if kind.shut_s), default=None)


def read_limits(headers: Mapping[str, str], *, now: float | None = None) -> Limits:
    """Limits in a reply's headers, names in any case.

    `now`: see `retry_after_s`.
    """
    limit_headers, asks_for_pause = {}, False
    for name, value in headers.items():
        lower_name = name.lower()
        if lower_name.startswith("x-ratelimit-") or lower_name == "date" or lower_name in RETRY_AFTER_HEADERS:
            limit_headers[lower_name] = value
            asks_for_pause = asks_for_pause or lower_name in RETRY_AFTER_HEADERS
    if not limit_headers or (len(limit_headers) == 1 and "date" in limit_headers):
        return _NOTHING
    pause_s = retry_after_s(limit_headers, now=time.time() if now is None else now) if asks_for_pause else None
    return Limits(_kind(limit_headers, "requests"), _kind(limit_headers, "tokens"), pause_s)


_NOTHING = Limits()


def _kind(limit_headers: Mapping[str, str], kind: str) -> Limit:
    limit_text = limit_headers.get(f"x-ratelimit-limit-{kind}")
    per_minute = _number(limit_text)
    if limit_text is not None and not per_minute:
        return Limit()  # a limit of 0 or -1: whoever fills it in so knows nothing of the rest either
    remaining = _number(limit_headers.get(f"x-ratelimit-remaining-{kind}"))
    if remaining is not None and per_minute is not None and remaining > per_minute:
        remaining = None
    reset_s = _reset_s(limit_headers.get(f"x-ratelimit-reset-{kind}"))
    if reset_s is not None and reset_s > _MINUTE_RESET_S:
        per_minute = None
    return Limit(per_minute, remaining, reset_s)


def _number(text: str | None) -> float | None:
    """The plain number that a header holds; None where it holds anything else."""
    if text is None or not text.isascii() or "_" in text or len(text) > _MOST_CHARACTERS:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value >= 0 and math.isfinite(value) else None


def _reset_s(text: str | None) -> float | None:
    seconds = None if text is None else duration_s(text)
    return seconds if seconds is not None and seconds <= _LONGEST_S else None
