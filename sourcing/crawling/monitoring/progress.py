"""How far a crawl is: per source what was asked, how fast, what its caps leave, and how long the rest will take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sourcing.crawling.ledger import STATES, MinuteTally
from sourcing.crawling.ledger.view import LedgerView
from sourcing.crawling.source import Source

__all__ = ["WINDOW_S", "Progress", "SourceProgress", "progress_of", "utc"]

WINDOW_S = 600.0  # rates are those of the last ten minutes
_DAY_S = 86_400.0
_HAD = ("fetched", "unchanged")
_SETTLED = (*_HAD, "failed", "denied")
_NO_SOURCE = "no such source in this version"


@dataclass(frozen=True)
class SourceProgress:
    """One source. `recent` are outcomes of the last ten minutes, which took `span_s` seconds of asking.

    `deepest` is the number of open tasks on the host that has most of them: hosts are asked side by side, so that
    one bounds how soon all can be done.
    """

    source: str
    why_off: str  # empty: it is on
    states: Mapping[str, int]
    recent: Mapping[str, int]
    span_s: float
    deepest: int
    asked_today: int
    stored_bytes: int
    rate_per_s: float | None  # what politeness allows per host; None for a source this version does not know
    daily_cap: int | None
    storage_cap_bytes: int | None
    running: bool  # a crawl process is at work
    day_left_s: float  # until the daily cap begins anew
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # pending, failed, denied → why → tasks

    @property
    def open(self) -> int:
        return self.states["pending"] + self.states["leased"]

    @property
    def pages_per_s(self) -> float:
        return sum(self.recent.get(outcome, 0) for outcome in _HAD) / self.span_s

    @property
    def success_share(self) -> float | None:
        """Of the answers of the last ten minutes, how many brought a page; None when there were none."""
        had = sum(self.recent.get(outcome, 0) for outcome in _HAD)
        answers = had + self.recent.get("failed", 0) + self.recent.get("retried", 0)
        return had / answers if answers else None

    @property
    def daily_left(self) -> int | None:
        return None if self.daily_cap is None else max(0, self.daily_cap - self.asked_today)

    @property
    def storage_left_bytes(self) -> int | None:
        return None if self.storage_cap_bytes is None else max(0, self.storage_cap_bytes - self.stored_bytes)

    @property
    def floor_s(self) -> float | None:
        """Seconds the open tasks need at the pace that politeness and the daily cap allow; None: they never end."""
        if not self.open:
            return 0.0
        if self.rate_per_s is None or self.storage_left_bytes == 0 or self.daily_cap == 0:
            return None
        polite_s = self.deepest / self.rate_per_s
        requests_left = self.daily_left
        if requests_left is None or self.daily_cap is None or self.open <= requests_left:
            return polite_s
        whole_days = math.ceil((self.open - requests_left) / self.daily_cap) - 1
        return max(polite_s, self.day_left_s + whole_days * _DAY_S)

    @property
    def eta_s(self) -> float | None:
        """Minimum seconds until all open tasks are settled: pages lead to pages. None when that cannot be said."""
        floor_s = self.floor_s
        if not self.open or floor_s is None:
            return floor_s
        settled_count = sum(self.recent.get(outcome, 0) for outcome in _SETTLED)
        if self.why_off or not self.running or not settled_count:
            return None
        return max(floor_s, self.open * self.span_s / settled_count)

    @property
    def outlook(self) -> str:
        """`eta_s` in words, or the reason for its absence."""
        if not self.open:
            return "done" if any(self.states.values()) else "no tasks"
        if self.why_off:
            return "off"
        if self.storage_left_bytes == 0:
            return "storage full"
        if self.daily_cap == 0:
            return "daily cap 0"
        if not self.running:
            return "not running"
        return "no answers" if self.eta_s is None else f"≥ {_duration(self.eta_s)}"

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.states,
            "reasons": {state: dict(why) for state, why in self.reasons.items()},
            "on": not self.why_off,
            "why_off": self.why_off or None,
            "pages_per_s": round(self.pages_per_s, 4),
            "success_share": None if self.success_share is None else round(self.success_share, 4),
            "throttled": self.recent.get("throttled", 0),
            "recent": dict(self.recent),
            "asked_today": self.asked_today,
            "daily_cap": self.daily_cap,
            "daily_left": self.daily_left,
            "stored_bytes": self.stored_bytes,
            "storage_cap_bytes": self.storage_cap_bytes,
            "storage_left_bytes": self.storage_left_bytes,
            "at_least_s": None if self.floor_s is None else round(self.floor_s, 1),
            "eta_s": None if self.eta_s is None else round(self.eta_s, 1),
            "outlook": self.outlook,
        }


@dataclass(frozen=True)
class Progress:
    """The whole crawl at one moment."""

    at: float
    sources: Mapping[str, SourceProgress]
    processes: Mapping[str, float] = field(default_factory=dict)  # alive → when they began
    paused_hosts: list[tuple[str, float]] = field(default_factory=list)  # until when, the longest first

    def total(self) -> dict[str, int]:
        return {state: sum(each.states[state] for each in self.sources.values()) for state in STATES}

    def as_dict(self, hosts: int = 100) -> dict[str, Any]:
        """Plain numbers; of the paused hosts the first so many, and how many there are."""
        return {
            "at": utc(self.at),
            "window_s": WINDOW_S,
            "sources": {name: each.as_dict() for name, each in self.sources.items()},
            "total": self.total(),
            "processes": [{"name": name, "since": utc(since)} for name, since in self.processes.items()],
            "paused_hosts": [{"host": host, "until": utc(until)} for host, until in self.paused_hosts[:hosts]],
            "paused_hosts_total": len(self.paused_hosts),
        }


def progress_of(
    view: LedgerView | None, sources: Mapping[str, Source], why_off: Mapping[str, str], now: float
) -> Progress:
    """Every source of `sources` (settings applied) and of the ledger; without a ledger, nothing was asked yet."""
    counts = view.census.counts() if view else {}
    names = sorted({*sources, *counts})
    alive = view.processes() if view else {}
    tallies = view.recent(names, now - WINDOW_S) if view else []
    deepest = view.deepest() if view else {}
    reasons = view.census.reasons() if view else {}
    span_s = _span_s(tallies, alive, now)
    recent: dict[str, Counter[str]] = {name: Counter() for name in names}
    for tally in tallies:
        recent[tally.source][tally.outcome] += tally.n
    progress = {}
    for name in names:
        source = sources.get(name)
        progress[name] = SourceProgress(
            source=name,
            why_off=why_off.get(name, "") if source else _NO_SOURCE,
            states=counts.get(name) or dict.fromkeys(STATES, 0),
            recent=recent[name],
            span_s=span_s,
            deepest=deepest.get(name, 0),
            asked_today=view.tallies.asked_today(name, now) if view and name in counts else 0,
            stored_bytes=view.tallies.stored_bytes(name) if view and name in counts else 0,
            rate_per_s=source.rate_per_s if source else None,
            daily_cap=source.daily_cap if source else None,
            storage_cap_bytes=_bytes(source.storage_cap_mb) if source else None,
            running=bool(alive),
            day_left_s=_DAY_S - now % _DAY_S,
            reasons=reasons.get(name, {}),
        )
    return Progress(now, progress, alive, view.paused_hosts(now) if view else [])


def utc(at: float) -> str:
    """Seconds since 1970 as an ISO time of whole seconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _span_s(tallies: list[MinuteTally], alive: Mapping[str, float], now: float) -> float:
    """Seconds of asking in the window: from its first minute with an answer, or the start of a run in that minute."""
    if not tallies:
        return WINDOW_S
    first = min(tally.minute for tally in tallies)
    starts = [at for at in alive.values() if at // 60 == first]
    return max(1.0, now - min(starts, default=first * 60.0))


def _bytes(mb: float | None) -> int | None:
    return None if mb is None else int(mb * 1e6)


def _duration(seconds: float) -> str:
    minutes, hours = math.ceil(seconds / 60), math.ceil(seconds / 3600)
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
