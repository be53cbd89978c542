"""Census: tasks counted by source, state and reason, hosts that are paused, and tasks that failed or were denied."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator

from sourcing.crawling.ledger.schema import CODES, STATES, Outcome

__all__ = ["Census"]

_SOME_TASKS = (  # each by an index that holds such tasks alone
    "SELECT queue, state, reason FROM tasks WHERE state IN (3, 4) ORDER BY seq DESC LIMIT 10000",
    "SELECT queue, state, reason FROM tasks WHERE state = 5 ORDER BY next_at LIMIT 10000",
)


class Census:
    """Read-only counts over the ledger; each costs the number of queues, not of tasks, except `outcomes`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def ready(self, source: str, enough: int) -> int:
        """Number of the source's tasks that can be asked now; counting stops at about `enough`."""
        count = 0
        for (n,) in self._db.execute(
            "SELECT c.n FROM queues q JOIN counts c ON c.queue = q.id AND c.state = 0 WHERE q.source = ?", (source,)
        ):
            count += n
            if count >= enough:
                break
        return count

    def soonest(self, sources: Collection[str]) -> float | None:
        """Time at which the sources' next delayed task is due; `None` without delayed tasks."""
        row = self._db.execute(
            "SELECT t.next_at FROM tasks t JOIN queues q ON q.id = t.queue WHERE t.state = 5"
            f" AND q.source IN ({','.join('?' * len(sources))}) ORDER BY t.next_at LIMIT 1",
            (*sources,),
        ).fetchone()
        return None if row is None else float(row[0])

    def waiting_hosts(self, sources: Collection[str]) -> dict[str, float]:
        """Paused hosts with pending tasks → end of the pause."""
        rows = self._db.execute(
            "SELECT DISTINCT q.host, coalesce(h.paused_until, 0) FROM counts c JOIN queues q ON q.id = c.queue"
            " LEFT JOIN hosts h ON h.host = q.host WHERE c.state = 0"
            f" AND q.source IN ({','.join('?' * len(sources))})",
            (*sources,),
        )
        return {host: float(until) for host, until in rows}

    def paused_tasks(self, now: float) -> list[tuple[str, float, int]]:
        """Paused hosts with pending tasks, end of the pause, number of tasks; those with most tasks first."""
        rows = self._db.execute(
            "SELECT q.host, h.paused_until, sum(c.n) FROM queues q JOIN hosts h ON h.host = q.host"
            " JOIN counts c ON c.queue = q.id AND c.state IN (0, 5) WHERE h.paused_until > ?"
            " GROUP BY q.host ORDER BY sum(c.n) DESC, q.host",
            (now,),
        )
        return [(host, float(until), int(n)) for host, until, n in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """Source → state → number of tasks; every state is there."""
        table: dict[str, dict[str, int]] = {}
        for source, state, n in self._db.execute(
            "SELECT q.source, c.state, sum(c.n) FROM counts c JOIN queues q ON q.id = c.queue"
            " GROUP BY q.source, c.state ORDER BY q.source, c.state"
        ):
            table.setdefault(source, dict.fromkeys(STATES, 0))[CODES[state]] += n
        return table

    def totals(self, sources: Collection[str] | None = None) -> dict[str, int]:
        """State → number of tasks, over all sources or the given `sources`."""
        total = dict.fromkeys(STATES, 0)
        for source, states in self.counts().items():
            for state, n in states.items():
                total[state] += n if sources is None or source in sources else 0
        return total

    def reasons(self) -> dict[str, dict[str, dict[str, int]]]:
        """Source → state → reason (of waiting, failure or denial) → count, most frequent first.

        Of millions of such tasks the last ten thousand are counted, or those whose time comes first: enough to tell.
        """
        table: dict[str, dict[str, dict[str, int]]] = {}
        for some in _SOME_TASKS:
            for source, state, reason, n in self._db.execute(
                f"SELECT q.source, t.state, coalesce(t.reason, 'unknown'), count(*) FROM ({some}) t"
                " JOIN queues q ON q.id = t.queue GROUP BY q.source, t.state, t.reason ORDER BY count(*) DESC, t.reason"
            ):
                table.setdefault(source, {}).setdefault(CODES[state], {})[reason] = n
        return table

    def outcomes(self) -> Iterator[Outcome]:
        """Failed and denied tasks, in the order of adding."""
        for key, source, url, state, reason, finding in self._db.execute(
            "SELECT hex(t.key), q.source, t.url, t.state, coalesce(t.reason, ''), coalesce(t.finding, '')"
            " FROM tasks t JOIN queues q ON q.id = t.queue WHERE t.state IN (3, 4) ORDER BY t.seq"
        ):
            yield Outcome(key.lower(), source, url, CODES[state], reason, finding)
