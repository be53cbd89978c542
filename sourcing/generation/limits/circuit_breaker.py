"""Breaker: ends a run that nobody answers, with a sentence that says what was seen, how often and since when."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sourcing.errors import StoppedShort

__all__ = ["Breaker"]


class Breaker:
    """Counts what came instead of answers since the last answer. `error` is set once the run is hopeless."""

    def __init__(self, name: str, give_up_after_s: float) -> None:
        self.name, self.give_up_after_s = name, give_up_after_s
        self.error: StoppedShort | None = None
        self.since: float | None = None  # when the first call after the last answer was refused or failed
        self._refused = self._failed = 0
        self._seen = ""

    @property
    def deadline(self) -> float:
        """When the patience ends; never while calls are answered, nor after a single failure."""
        if self.since is None or self._refused + self._failed < 2:
            return math.inf
        return self.since + self.give_up_after_s

    def answered(self) -> None:
        if self.since is not None:
            self.since, self._refused, self._failed, self._seen = None, 0, 0, ""

    def refused(self, now: float, *, seen: str) -> None:
        self._refused += 1
        self._note(now, seen)

    def failed(self, now: float, *, seen: str) -> None:
        self._failed += 1
        self._note(now, seen)

    def trip(self, now: float, wall: float) -> None:
        """Give the run up; `wall` is now in seconds since 1970."""
        assert self.since is not None
        since_s = now - self.since
        found = (
            f"no call was answered for {since_s:.0f} s: {self._counts()} since {_told(wall - since_s)}{self._quoted()}"
        )
        self._end(found, "see how the server is, then run the same command again")

    def trip_on_pause(self, asked_s: float, wall: float) -> None:
        """Give the run up for a pause that the server asks for and that is longer than our patience."""
        back = _told(wall + asked_s)
        after = f", after {self._counts()}{self._quoted()}" if self.since is not None else ", as it told another run"
        found = f"it asks us to come back in {asked_s:.0f} s{after}"
        self._end(found, f"run the same command again from {back}")

    def _note(self, now: float, seen: str) -> None:
        if self.since is None:
            self.since = now
        self._seen = seen or self._seen

    def _end(self, found: str, cure: str) -> None:
        if self.error is None:
            self.error = StoppedShort(self.name, found, cure)

    def _counts(self) -> str:
        told = [
            f"{count} {'call was' if count == 1 else 'calls were'} {what}"
            for count, what in ((self._refused, "refused as too many"), (self._failed, "met by a failure"))
            if count
        ]
        return " and ".join(told)

    def _quoted(self) -> str:
        return f"; the last: {self._seen}" if self._seen else ""


def _told(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
