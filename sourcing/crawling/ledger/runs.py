"""Runs: the crawl processes that share a ledger, their claims on hosts, and the release of a dead process's tasks.

A host belongs to one process at a time, so that its rate, its pauses and its robots file are one process's
business; no living process loses one, it gives idle ones back by itself. One that has fewer hosts than another
wishes for some of its, and gets them once nothing is in flight there. Every process holds a lock file of its own
that any death frees; who can take it may bury the dead.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from sourcing.store.presence import Presence

__all__ = ["CLAIM_S", "Run"]

CLAIM_S = 30.0  # a host not asked for so long is given back, and taken from a process that is not alive
_WISH_S = 5.0  # a wish that is not repeated for so long is forgotten
_WORTH_MOVING = 16  # tasks: fewer are done before a host has changed hands
_HOSTS_COMPARED = 1000


class Run:
    """One process at work on a ledger; `owner` names it, also in its WARC files."""

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self._db, self._presence = db, Presence(folder)
        self.owner = self._presence.owner
        self._claims: dict[str, float] = {}

    @contextmanager
    def entered(self, now: float) -> Iterator[None]:
        """Announce the process in the ledger; at the end, its hosts and leases are released."""
        with self._presence.entered():
            self._db.execute("INSERT INTO runs VALUES (?, ?)", (self.owner, now))
            yield
            self.forget(self.owner)

    def others(self) -> list[str]:
        """Announced processes except the own, alive or dead."""
        return [row[0] for row in self._db.execute("SELECT owner FROM runs WHERE owner <> ?", (self.owner,))]

    def dead(self) -> list[str]:
        """Announced processes that no longer exist: their lock is free."""
        return [owner for owner in self.others() if self._presence.is_dead(owner)]

    def living(self) -> list[str]:
        """Announced processes that still run."""
        return [owner for owner in self.others() if not self._presence.is_dead(owner)]

    def forget(self, owner: str) -> None:
        """Release hosts and leases of a process: leased tasks are pending again, its hosts free."""
        self._db.execute(
            "UPDATE tasks SET state = 0, lease_until = NULL, owner = NULL WHERE state = 1 AND owner = ?", (owner,)
        )
        self._db.execute("UPDATE hosts SET owner = NULL WHERE owner = ?", (owner,))
        self._db.execute("DELETE FROM wishes WHERE owner = ?", (owner,))
        self._db.execute("DELETE FROM runs WHERE owner = ?", (owner,))
        if owner != self.owner:
            self._presence.forget(owner)

    def claim(self, host: str, now: float) -> None:
        """Claim the host for the own process for CLAIM_S seconds; the caller has seen that the host is free."""
        if self._claims.get(host, 0.0) > now + CLAIM_S / 2:
            return
        self._claims[host] = now + CLAIM_S
        self._db.execute(
            "INSERT INTO hosts (host, owner, claimed_until) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET owner = excluded.owner, claimed_until = excluded.claimed_until",
            (host, self.owner, now + CLAIM_S),
        )
        self._db.execute("DELETE FROM wishes WHERE host = ?", (host,))

    def wish(self, sources: Collection[str], now: float) -> None:
        """Wish for half the surplus of hosts of the process that holds most hosts of `sources`."""
        theirs: dict[str, list[str]] = defaultdict(list)  # process → its hosts, those with most to ask first
        for host, owner in self._db.execute(
            "SELECT q.host, h.owner FROM counts c JOIN queues q ON q.id = c.queue JOIN hosts h ON h.host = q.host"
            f" WHERE c.state = 0 AND h.claimed_until >= ? AND q.source IN ({','.join('?' * len(sources))})"
            " AND h.owner IS NOT NULL GROUP BY q.host HAVING sum(c.n) > ? ORDER BY sum(c.n) DESC LIMIT ?",
            (now, *sources, _WORTH_MOVING, _HOSTS_COMPARED),
        ):
            theirs[owner].append(host)
        mine = len(theirs.pop(self.owner, ()))
        most = max(theirs.values(), key=len, default=[])
        self._db.executemany(
            "INSERT OR REPLACE INTO wishes VALUES (?, ?, ?)",
            [(host, self.owner, now + _WISH_S) for host in most[: max(0, len(most) - mine) // 2]],
        )

    def wished(self, now: float) -> set[str]:
        """Hosts that foreign processes wish for; the caller stops asking its hosts among them and gives them up."""
        rows = self._db.execute("SELECT host FROM wishes WHERE owner <> ? AND until > ?", (self.owner, now))
        return {row[0] for row in rows}

    def give_up(self, host: str) -> None:
        """Release the host; the caller has no request in flight there."""
        if self._claims.pop(host, None) is not None:
            self._db.execute("UPDATE hosts SET owner = NULL WHERE host = ? AND owner = ?", (host, self.owner))

    @property
    def holds_hosts(self) -> bool:
        return bool(self._claims)

    def take(self, host: str, now: float) -> float:
        """Claim a host on which no task was leased; returns 0 once claimed, else the time to try again."""
        if self._claims.get(host, 0.0) > now:
            return 0.0
        row = self._db.execute(
            "SELECT owner, claimed_until, paused_until FROM hosts WHERE host = ?", (host,)
        ).fetchone()
        owner, claimed_until, paused_until = row or (None, 0.0, 0.0)
        if owner not in (None, self.owner) and (claimed_until >= now or owner in self.living()):
            self._db.execute("INSERT OR REPLACE INTO wishes VALUES (?, ?, ?)", (host, self.owner, now + _WISH_S))
            return now + 1.0
        if paused_until > now:
            return float(paused_until)
        self.claim(host, now)
        return 0.0

    def keep(self, active: Collection[str], now: float) -> list[str]:
        """Renew the claims of `active` hosts; returns hosts idle past their claim, to be given up."""
        for host in active:
            if host in self._claims:
                self.claim(host, now)
        return [host for host, until in self._claims.items() if until < now and host not in active]

    def rest(self) -> None:
        """Release every host, with no request in flight: a second process may have work there."""
        if self._claims:
            self._claims.clear()
            self._db.execute("UPDATE hosts SET owner = NULL WHERE owner = ?", (self.owner,))

    def pause(self, host: str, until: float, delay_s: float = 0.0) -> None:
        """Pause the host until `until`, for later runs too; `delay_s` is the time between requests to the host."""
        self._db.execute(
            "INSERT INTO hosts (host, paused_until, delay_s) VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET paused_until = max(paused_until, excluded.paused_until),"
            " delay_s = iif(excluded.delay_s > 0, excluded.delay_s, delay_s)",
            (host, until, delay_s),
        )

    def delay_s(self, host: str) -> float:
        """Seconds between requests kept by the last process that asked the host; 0 when it is not known."""
        row = self._db.execute("SELECT delay_s FROM hosts WHERE host = ?", (host,)).fetchone()
        return float(row[0]) if row else 0.0
