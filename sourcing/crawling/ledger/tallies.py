"""Tallies: requests and bytes counted by source, minute and outcome."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

__all__ = ["ASKED", "MinuteTally", "Tallies"]

ASKED = "asked"  # counted when a task is leased, so that a cap holds over everything in flight in every process
_DAY_S = 86_400


@dataclass(frozen=True)
class MinuteTally:
    """One source, minute (since 1970) and outcome: asked, fetched, unchanged, failed, denied, retried, throttled."""

    source: str
    minute: int
    outcome: str
    n: int
    bytes: int


class Tallies:
    """A view of the ledger's `minutes` table; times are seconds since 1970."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def count(self, source: str, outcome: str, now: float, n: int = 1, size_bytes: int = 0) -> None:
        self._db.execute(
            "INSERT INTO minutes VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET n = n + excluded.n, bytes = bytes + excluded.bytes",
            (source, int(now // 60), outcome, n, size_bytes),
        )

    def asked_today(self, source: str, now: float) -> int:
        """Requests of the UTC day that holds `now`."""
        midnight = int(now // _DAY_S) * (_DAY_S // 60)
        row = self._db.execute(
            "SELECT sum(n) FROM minutes WHERE source = ? AND minute >= ? AND minute < ? AND outcome = ?",
            (source, midnight, midnight + _DAY_S // 60, ASKED),
        ).fetchone()
        return int(row[0] or 0)

    def stored_bytes(self, source: str) -> int:
        """Bytes of response bodies kept, in all."""
        row = self._db.execute("SELECT sum(bytes) FROM minutes WHERE source = ?", (source,)).fetchone()
        return int(row[0] or 0)

    def totals(self) -> dict[str, dict[str, int]]:
        """Source → outcome → requests since the beginning; `bytes` is among them."""
        table: dict[str, dict[str, int]] = {}
        for source, outcome, n, size in self._db.execute(
            "SELECT source, outcome, sum(n), sum(bytes) FROM minutes GROUP BY source, outcome ORDER BY source, outcome"
        ):
            row = table.setdefault(source, {"bytes": 0})
            row[outcome] = n
            row["bytes"] += size
        return table
