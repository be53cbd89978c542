"""Breaker: ends a run that nobody answers, with a sentence that counts its refusals and failures."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sourcing.errors import StoppedShort

__all__ = ["Breaker"]


class Breaker:
    """Counts refusals and failures since the last answer. `error` is set once the run is hopeless."""

    def __init__(self, name: str, give_up_after_s: float) -> None:
        self.name, self.give_up_after_s = name, give_up_after_s
        self.error: StoppedShort | None = None
        self.since: float | None = None  # when the first call after the last answer was refused or failed
        self._refusals = self._failures = 0
        self._last_message = ""

    @property
    def deadline(self) -> float:
        """The time at which the patience ends; never while calls are answered, nor after a single failure."""
        if self.since is None or self._refusals + self._failures < 2:
            return math.inf
        return self.since + self.give_up_after_s

    def answered(self) -> None:
        if self.since is not None:
            self.since, self._refusals, self._failures, self._last_message = None, 0, 0, ""

    def refused(self, now: float, *, message: str) -> None:
        self._refusals += 1
        self._note(now, message)

    def failed(self, now: float, *, message: str) -> None:
        self._failures += 1
        self._note(now, message)

    def trip(self, now: float, wall: float) -> None:
        """Give the run up; `wall` is now in seconds since 1970."""
        assert self.since is not None
        since_s = now - self.since
        counts = f"{self._counts()} since {_utc_time(wall - since_s)}{self._last()}"
        self._end(
            f"no call was answered for {since_s:.0f} s: {counts}",
            "see how the server is, then run the same command again",
        )

    def trip_on_pause(self, asked_s: float, wall: float) -> None:
        """Give the run up for a pause asked by the server and longer than our patience."""
        back = _utc_time(wall + asked_s)
        after = f", after {self._counts()}{self._last()}" if self.since is not None else ", as it told another run"
        finding = f"it asks us to come back in {asked_s:.0f} s{after}"
        self._end(finding, f"run the same command again from {back}")

    def _note(self, now: float, message: str) -> None:
        if self.since is None:
            self.since = now
        self._last_message = message or self._last_message

    def _end(self, finding: str, cure: str) -> None:
        if self.error is None:
            self.error = StoppedShort(self.name, finding, cure)

    def _counts(self) -> str:
        counts = [
            f"{count} {'call was' if count == 1 else 'calls were'} {what}"
            for count, what in ((self._refusals, "refused as too many"), (self._failures, "met by a failure"))
            if count
        ]
        return " and ".join(counts)

    def _last(self) -> str:
        return f"; the last: {self._last_message}" if self._last_message else ""


def _utc_time(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
