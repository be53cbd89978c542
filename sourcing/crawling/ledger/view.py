"""Read-only view of a ledger, during a crawl or later; never creates the file and never changes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sourcing.crawling.ledger import ASKED, Archive, Census, MinuteTally, Run, Tallies
from sourcing.crawling.ledger.schema import LATER, LEASED, PENDING
from sourcing.errors import InputError

__all__ = ["LedgerView", "looked_at"]

_WORTH_TELLING_S = 5.0  # shorter pauses are the ordinary distance between two requests
_WAIT_S = 10.0  # a ledger is locked for moments only
_TABLES = "queues, counts, hosts, runs, minutes"


@contextmanager
def looked_at(path: Path) -> Iterator[LedgerView | None]:
    """Open the ledger at `path` read-only; `None` where no ledger exists yet.

    InputError where the file is none that this version reads. Costs the number of hosts and of minutes of
    crawling, not of tasks.
    """
    if not path.exists():
        yield None
        return
    # Opened for writing and then forbidden to write: a reader that may not would leave the files of the log behind.
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=_WAIT_S)
    try:
        db.execute("PRAGMA query_only=ON")
        if _begun(db, path):
            yield LedgerView(db, path.parent)
        else:
            yield None
    finally:
        db.close()


class LedgerView:
    """Counts, tallies, hosts and processes of one ledger; times are seconds since 1970."""

    def __init__(self, db: sqlite3.Connection, folder: Path) -> None:
        self._db = db
        self.census = Census(db)
        self.tallies = Tallies(db)
        self.archive = Archive(db)
        self._run = Run(db, folder)

    def sources(self) -> list[str]:
        """Sources that ever had a task."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT source FROM queues ORDER BY source")]

    def deepest(self) -> dict[str, int]:
        """Source → number of open tasks on the busiest host."""
        rows = self._db.execute(
            "SELECT source, max(n) FROM (SELECT q.source, sum(c.n) AS n FROM counts c JOIN queues q ON q.id = c.queue"
            " WHERE c.state IN (?, ?, ?) GROUP BY q.id) GROUP BY source",
            (PENDING, LEASED, LATER),
        )
        return {source: int(n) for source, n in rows}

    def recent(self, sources: Iterable[str], start: float) -> list[MinuteTally]:
        """Tallies of the sources from the minute of `start` on; what was asked is not among them."""
        tallies: list[MinuteTally] = []
        for source in sources:  # one by one: the table is ordered by source, then minute
            rows = self._db.execute(
                "SELECT source, minute, outcome, n, bytes FROM minutes"
                " WHERE source = ? AND minute >= ? AND outcome <> ? ORDER BY minute, outcome",
                (source, int(start // 60), ASKED),
            )
            tallies += [MinuteTally(*row) for row in rows]
        return tallies

    def sums(self, sources: Iterable[str], start: int, end: int) -> Iterator[tuple[str, str, int, int]]:
        """Source, outcome, requests and bytes, summed over the minutes since 1970 from `start` to before `end`."""
        for source in sources:
            yield from self._db.execute(
                "SELECT source, outcome, sum(n), sum(bytes) FROM minutes"
                " WHERE source = ? AND minute >= ? AND minute < ? GROUP BY outcome ORDER BY outcome",
                (source, start, end),
            )

    def paused_hosts(self, now: float) -> list[tuple[str, float]]:
        """Paused hosts with the end of the pause; the longest first."""
        rows = self._db.execute(
            "SELECT host, paused_until FROM hosts WHERE paused_until >= ? ORDER BY paused_until DESC, host",
            (now + _WORTH_TELLING_S,),
        )
        return [(host, float(until)) for host, until in rows]

    def processes(self) -> dict[str, float]:
        """Living crawl process → start time."""
        dead = set(self._run.dead())
        rows = self._db.execute("SELECT owner, started_at FROM runs ORDER BY started_at, owner")
        return {owner: float(at) for owner, at in rows if owner not in dead}


def _begun(db: sqlite3.Connection, path: Path) -> bool:
    """True when the ledger's tables exist; false in the moment before a first crawl has made them."""
    try:
        if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
            return False
        db.execute(f"SELECT 1 FROM {_TABLES} LIMIT 0")
    except sqlite3.DatabaseError as error:
        raise InputError(
            str(path), f"not a ledger this version reads ({error})", "look with the version that began that crawl"
        ) from None
    return True
