"""How many tasks a lease may take: the windows of hosts, the caps of sources, the limit of the run."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping

from sourcing.crawling.ledger import Ledger
from sourcing.crawling.source import Source
from sourcing.crawling.spider.hosts import Host

__all__ = ["LeaseBudget", "capped"]


class LeaseBudget:
    """Room for one lease; ask and take within one ledger transaction, so that no cap is passed by two processes."""

    def __init__(
        self,
        ledger: Ledger,
        sources: Mapping[str, Source],
        hosts: Mapping[str, Host],
        now: float,
        *,
        left_to_others: Collection[str] = (),
        barred: Collection[str] = (),
    ) -> None:
        self._ledger, self._sources, self._hosts, self._now = ledger, sources, hosts, now
        self._left_to_others, self._barred = left_to_others, barred
        self._left: dict[str, int] = {}
        self._granted: Counter[str] = Counter()  # by host

    def room(self, source: str, netloc: str) -> int:
        """Number of tasks to lease for the source on the host; what was said is taken as granted."""
        if source in self._barred:
            return 0
        declaration = self._sources[source]
        host = self._hosts.get(netloc) or Host(netloc, 1 / declaration.rate_per_s, declaration.concurrency)
        if host.down or host.paused_until > self._now or netloc in self._left_to_others:
            return 0
        if source not in self._left:
            self._left[source] = left_today(self._ledger, declaration, self._now)
        room = max(0, min(host.window - host.in_flight - self._granted[netloc], self._left[source]))
        self._granted[netloc] += room
        self._left[source] -= room
        return room


def left_today(ledger: Ledger, source: Source, now: float) -> int:
    """Requests that the source's caps allow for the rest of the UTC day."""
    if source.storage_cap_mb is not None and ledger.tallies.stored_bytes(source.name) >= source.storage_cap_mb * 1e6:
        return 0
    if source.daily_cap is None:
        return sys.maxsize
    return max(0, source.daily_cap - ledger.tallies.asked_today(source.name, now))


def capped(ledger: Ledger, sources: Mapping[str, Source], now: float) -> dict[str, str]:
    """Sources that a cap keeps from being asked now → a line that says which."""
    lines = {}
    for name, source in sources.items():
        if left_today(ledger, source, now) > 0:
            continue
        if source.daily_cap is not None and ledger.tallies.asked_today(name, now) >= source.daily_cap:
            lines[name] = f"{name}: the daily cap of {source.daily_cap} requests is used up"
        else:
            lines[name] = f"{name}: the storage cap of {source.storage_cap_mb:g} MB is used up"
    return lines
