"""The task ledger: every request we mean to make and what became of it, in SQLite, safe against any death.

    pending ──lease──▶ leased ──▶ fetched          (its response is in the WARC files)
       ▲                 ├──────▶ denied           (robots.txt or a consent signal said no)
       └──── try again ──┴──────▶ failed           (for good, with a reason)

A task is keyed by source and canonical URL, so adding it twice is one task. Times are seconds since 1970 and
always come from the caller. One thread at a time may use a Ledger.
"""

from __future__ import annotations

import hashlib
import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from w3lib.url import canonicalize_url

from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.sources.base import TaskSpec

__all__ = ["LEDGER_FILE", "STATES", "Ledger", "Outcome", "Task", "strip_secrets", "task_key"]

LEDGER_FILE = "ledger.sqlite"  # in the workspace's crawl folder
STATES = ("pending", "leased", "fetched", "failed", "denied")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tasks (
    seq          INTEGER PRIMARY KEY,
    task_key     TEXT NOT NULL UNIQUE,
    source       TEXT NOT NULL,
    url          TEXT NOT NULL,
    host         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    track_id     TEXT,
    parent_key   TEXT,
    priority     INTEGER NOT NULL DEFAULT 0,
    state        TEXT NOT NULL DEFAULT 'pending',
    attempts     INTEGER NOT NULL DEFAULT 0,
    next_at      REAL NOT NULL DEFAULT 0,
    lease_until  REAL,
    http_status  INTEGER,
    reason       TEXT,
    finding      TEXT,
    updated_at   REAL
);
CREATE INDEX IF NOT EXISTS tasks_by_turn ON tasks (source, state, priority DESC, seq);
CREATE INDEX IF NOT EXISTS tasks_by_state ON tasks (state, next_at);
CREATE TABLE IF NOT EXISTS warc_marks (file TEXT PRIMARY KEY, offset INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS usage (
    source TEXT, day TEXT, requests INTEGER NOT NULL, PRIMARY KEY (source, day)
);
"""
_ADD_GROUP = 2000


@dataclass(frozen=True)
class Task:
    """A leased task, as much of it as asking needs."""

    priority: int
    seq: int
    key: str
    source: str
    url: str
    host: str
    kind: str
    track_id: str | None
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """A task that is not fetched, with why; a row of the crawl's rejected table."""

    key: str
    source: str
    url: str
    state: str
    reason: str
    finding: str


def task_key(source: str, url: str) -> str:
    """Name of a task: sha256 over source and canonical URL (sorted query, no fragment, no secrets)."""
    return hashlib.sha256(f"{source}\n{canonicalize_url(strip_secrets(url))}".encode()).hexdigest()


class Ledger:
    """Open, or make, the ledger at `path`."""

    def __init__(self, path: Path | str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def group(self) -> Iterator[None]:
        """Everything inside is one transaction; groups may nest."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def add(self, specs: Iterable[TaskSpec]) -> int:
        """Add tasks, ignoring those already known; returns how many were new. Reads `specs` lazily."""
        before = self._db.total_changes
        rows = (_row(spec) for spec in specs)
        while chunk := list(itertools.islice(rows, _ADD_GROUP)):
            with self.group():
                self._db.executemany(
                    "INSERT OR IGNORE INTO tasks (task_key, source, url, host, kind, track_id, parent_key, priority)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    chunk,
                )
        return self._db.total_changes - before

    def lease(
        self,
        n: int,
        now: float,
        lease_s: float,
        sources: Collection[str] | None = None,
        *,
        not_hosts: Collection[str] = (),
    ) -> list[Task]:
        """Up to `n` pending tasks whose time has come, highest priority first, then in the order they were added."""
        turns: list[Task] = []
        names = self.sources() if sources is None else sources
        hosts = list(not_hosts)
        with self.group():
            for source in names:
                rows = self._db.execute(
                    "SELECT priority, seq, task_key, source, url, host, kind, track_id, attempts FROM tasks"
                    " WHERE source = ? AND state = 'pending' AND next_at <= ?"
                    f" AND host NOT IN ({','.join('?' * len(hosts))})"
                    " ORDER BY priority DESC, seq LIMIT ?",
                    (source, now, *hosts, n),
                ).fetchall()
                turns += [Task(*row) for row in rows]
            turns = sorted(turns, key=lambda turn: (-turn.priority, turn.seq))[:n]
            self._db.executemany(
                "UPDATE tasks SET state = 'leased', lease_until = ?, updated_at = ? WHERE seq = ?",
                [(now + lease_s, now, turn.seq) for turn in turns],
            )
        return turns

    def fetched(
        self,
        key: str,
        *,
        now: float,
        http_status: int = 200,
        reason: str | None = None,
        finding: str | None = None,
    ) -> None:
        """Fetched; a `reason` says why its page object could not be asked for follow-ups."""
        self._settle(key, "fetched", now, http_status=http_status, reason=reason, finding=finding)

    def failed(
        self,
        key: str,
        reason: str,
        retry_at: float | None = None,
        *,
        now: float,
        finding: str = "",
        http_status: int | None = None,
    ) -> None:
        """Failed for good, or, with `retry_at`, pending again from then on; the attempt counts either way."""
        state, next_at = ("failed", 0.0) if retry_at is None else ("pending", retry_at)
        self._settle(key, state, now, reason=reason, finding=finding, next_at=next_at, http_status=http_status)

    def denied(
        self, key: str, signal: str, *, now: float, again_at: float = 0.0, http_status: int | None = None
    ) -> None:
        """Denied by `signal`; with `again_at`, `reopen` makes it pending from then on."""
        reason = signal.partition(":")[0].strip().replace(" ", "_")
        self._settle(key, "denied", now, reason=reason, finding=signal, next_at=again_at, http_status=http_status)

    def postpone(self, keys: Iterable[str], until: float, reason: str = "", *, now: float) -> None:
        """Back to pending without counting an attempt: we never got to ask."""
        with self.group():
            self._db.executemany(
                "UPDATE tasks SET state = 'pending', next_at = ?, lease_until = NULL, reason = ?, updated_at = ?"
                " WHERE task_key = ? AND state = 'leased'",
                [(until, reason or None, now, key) for key in keys],
            )

    def _settle(
        self,
        key: str,
        state: str,
        now: float,
        *,
        reason: str | None = None,
        finding: str | None = None,
        next_at: float = 0.0,
        http_status: int | None = None,
    ) -> None:
        # A fetched task stays fetched: its response is durable, whatever a late loser reports.
        self._db.execute(
            "UPDATE tasks SET state = ?, attempts = attempts + 1, reason = ?, finding = ?, next_at = ?,"
            " http_status = ?, lease_until = NULL, updated_at = ? WHERE task_key = ? AND state != 'fetched'",
            (state, reason, finding, next_at, http_status, now, key),
        )

    def release_own(self, now: float | None = None) -> int:
        """Leased tasks become pending again: all of them, or with `now` only those whose lease ran out.

        Whoever holds the workspace's crawl lock owns every lease, also those a killed run left behind.
        """
        cursor = self._db.execute(
            "UPDATE tasks SET state = 'pending', lease_until = NULL"
            " WHERE state = 'leased' AND ? >= coalesce(lease_until, 0)",
            (float("inf") if now is None else now,),
        )
        return cursor.rowcount

    def reopen(self, now: float, *, reasons: Collection[str] = ()) -> int:
        """Denied tasks whose time has come, and failed ones with one of `reasons`, become pending again."""
        marks = ",".join("?" * len(reasons))
        cursor = self._db.execute(
            "UPDATE tasks SET state = 'pending', next_at = 0, attempts = 0"
            f" WHERE (state = 'denied' AND next_at > 0 AND next_at <= ?) OR (state = 'failed' AND reason IN ({marks}))",
            (now, *reasons),
        )
        return cursor.rowcount

    def soonest(self, sources: Collection[str], *, not_hosts: Collection[str] = ()) -> float | None:
        """When the next pending task of these sources may be asked; None when there is none."""
        hosts = list(not_hosts)
        row = self._db.execute(
            "SELECT min(next_at) FROM tasks WHERE state = 'pending'"
            f" AND source IN ({','.join('?' * len(sources))}) AND host NOT IN ({','.join('?' * len(hosts))})",
            (*sources, *hosts),
        ).fetchone()
        return None if row[0] is None else float(row[0])

    def sources(self) -> list[str]:
        return [row[0] for row in self._db.execute("SELECT DISTINCT source FROM tasks ORDER BY source")]

    def counts(self) -> dict[str, dict[str, int]]:
        """Source → state → number of tasks; every state is there."""
        table: dict[str, dict[str, int]] = {}
        for source, state, n in self._db.execute(
            "SELECT source, state, count(*) FROM tasks GROUP BY source, state ORDER BY source"
        ):
            table.setdefault(source, dict.fromkeys(STATES, 0))[state] = n
        return table

    def totals(self) -> dict[str, int]:
        """State → number of tasks over all sources."""
        total = dict.fromkeys(STATES, 0)
        for states in self.counts().values():
            for state, n in states.items():
                total[state] += n
        return total

    def outcomes(self) -> Iterator[Outcome]:
        """Failed and denied tasks, in the order they were added."""
        yield from (
            Outcome(*row)
            for row in self._db.execute(
                "SELECT task_key, source, url, state, coalesce(reason, ''), coalesce(finding, '') FROM tasks"
                " WHERE state IN ('failed', 'denied') ORDER BY seq"
            )
        )

    def warc_mark(self, file: str) -> int:
        """How many bytes of this WARC file the ledger has taken account of."""
        row = self._db.execute("SELECT offset FROM warc_marks WHERE file = ?", (file,)).fetchone()
        return int(row[0]) if row else 0

    def mark_warc(self, file: str, offset: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO warc_marks VALUES (?, ?)", (file, offset))

    def count_requests(self, source: str, day: str, n: int) -> None:
        self._db.execute(
            "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET requests = requests + excluded.requests",
            (source, day, n),
        )

    def requests_on(self, source: str, day: str) -> int:
        row = self._db.execute("SELECT requests FROM usage WHERE source = ? AND day = ?", (source, day)).fetchone()
        return int(row[0]) if row else 0


def _row(spec: TaskSpec) -> tuple[Any, ...]:
    url = strip_secrets(spec.url)
    host = urlsplit(url).netloc.lower()
    key = task_key(spec.source, url)
    return (key, spec.source, url, host, spec.kind, spec.track_id, spec.parent_key, spec.priority)
