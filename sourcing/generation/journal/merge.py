"""Merge of a second machine's journal into the present journal, without loss and without double counting."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sourcing.errors import InputError
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.schema import JOURNAL_FILE, NEVER_BEGUN, OPEN_SHARD_STATES, connect

__all__ = ["merge_journal", "open_batches"]

# Order of states by information: merging never lowers the state of a call.
_RANK = {"planned": 1, "failed": 2, "unknown": 3, "replied": 4, "sending": 5}
#: Outcomes of attempts that no model saw; "completed": the batch ended without a line for the call.
_UNCOUNTED = (*NEVER_BEGUN, "completed")
_OPEN_THERE = (*OPEN_SHARD_STATES, "exporting", "exported")
_RUN = ("started_at", "prompt_id", "prompt_version", "prompt_hash", "plan", "shard", "position", "planned")
_CALL = (
    "request_key", "sample_idx", "kind", "state", "checked", "attempts", "error", "planned_at", "updated_at", "bytes",
)  # fmt: skip
_ATTEMPT = (
    "attempt", "owner", "sent_at", "ended_at", "outcome", "status", "headers", "input_tokens", "output_tokens",
    "cost_nusd", "counted_tokens",
)  # fmt: skip


def merge_journal(
    journal: Journal, path: Path, *, on_call: Callable[[int], object] = lambda _of: None
) -> dict[str, int]:
    """Merge calls and replies of the journal at `path` (file or folder) into `journal`; repeating changes nothing.

    Returns counts: `calls` read, `new` calls, calls `answered` only there, calls answered in `both`, and `attempts`
    added. Calls in flight there become unknown. Their cost counts in the budget of `journal`. `on_call` is called
    after each call with the total. InputError when `path` holds no journal.
    """
    path = path / JOURNAL_FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(str(path), "there is no journal", f"name a {JOURNAL_FILE} or the folder it lies in")
    with contextlib.closing(connect(path)) as other, journal.transaction():
        other.row_factory = sqlite3.Row
        return _Merge(journal, other).merge(on_call)


def open_batches(path: Path) -> int:
    """Number of open batch shards and exports in the journal at `path` (file or folder).

    Merging makes their calls unknown here, until the shards are collected there and merged again.
    """
    path = path / JOURNAL_FILE if path.is_dir() else path
    with contextlib.closing(connect(path)) as other:
        marks = ", ".join("?" * len(_OPEN_THERE))
        row = other.execute(f"SELECT COUNT(*) FROM shards WHERE state IN ({marks})", _OPEN_THERE).fetchone()
        return int(row[0])


class _Merge:
    def __init__(self, journal: Journal, other: sqlite3.Connection) -> None:
        self.journal, self.ours, self.other = journal, journal.connection, other
        columns = {str(row[1]) for row in other.execute("PRAGMA table_info(attempts)")}
        self.attempt_columns = tuple(name for name in _ATTEMPT if name in columns)
        self.endpoints = self._endpoints()
        self.runs = self._runs()
        self.scopes = {int(row["run_id"]): str(row["prompt_hash"]) for row in other.execute("SELECT * FROM runs")}
        self.calls: dict[int, int] = {}  # of those that something follows
        self.counts: Counter[str] = Counter({"calls": 0, "new": 0, "answered": 0, "both": 0, "attempts": 0})

    def merge(self, on_call: Callable[[int], object]) -> dict[str, int]:
        parent_ids = "SELECT parent FROM calls WHERE parent IS NOT NULL"
        (total,) = self.other.execute("SELECT COUNT(*) FROM calls").fetchone()
        parents = {int(row[0]) for row in self.other.execute(parent_ids)}
        for row in self.other.execute("SELECT * FROM calls JOIN bodies USING (call_id) ORDER BY call_id"):
            call_id = self._call(row)
            if row["call_id"] in parents:
                self.calls[int(row["call_id"])] = call_id
            self._attempts(row, call_id)
            self._wanted(row, call_id)
            self.counts["calls"] += 1
            on_call(total)
        for row in self.other.execute("SELECT * FROM refused"):
            values = (self.runs[row["run_id"]], row["key"], row["reason"], row["finding"])
            self.ours.execute(
                "INSERT INTO refused SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS"
                " (SELECT 1 FROM refused WHERE run_id = ?1 AND key = ?2)",
                values,
            )
        return dict(self.counts)

    def _endpoints(self) -> dict[int, int]:
        our_ids = {}
        for row in self.other.execute("SELECT * FROM endpoints ORDER BY endpoint_id"):
            identity = (row["identity"], row["model"])
            self.ours.execute("INSERT OR IGNORE INTO endpoints (identity, model) VALUES (?, ?)", identity)
            (our_ids[int(row["endpoint_id"])],) = self.ours.execute(
                "SELECT endpoint_id FROM endpoints WHERE identity = ? AND model = ?", identity
            ).fetchone()
        return our_ids

    def _runs(self) -> dict[int, int]:
        our_ids = {}
        for row in self.other.execute("SELECT * FROM runs ORDER BY run_id"):
            endpoint_id = self.endpoints[row["endpoint_id"]]
            our_run = self.ours.execute(
                "SELECT run_id FROM runs WHERE started_at = ? AND plan = ? AND shard = ? AND prompt_id = ?"
                " AND endpoint_id = ?",
                (row["started_at"], row["plan"], row["shard"], row["prompt_id"], endpoint_id),
            ).fetchone()
            our_ids[int(row["run_id"])] = (
                int(our_run[0]) if our_run else self._insert("runs", _RUN, row, endpoint_id=endpoint_id)
            )
        return our_ids

    def _call(self, row: sqlite3.Row) -> int:
        """Insert or update the call of a row in the present journal, never lowering its state; returns its id here."""
        state = "unknown" if row["state"] == "sending" else str(row["state"])
        our_call = self.ours.execute(
            "SELECT call_id, state FROM calls WHERE request_key = ?", (row["request_key"],)
        ).fetchone()
        if our_call is None:
            self.counts["new"] += 1
            self.counts["answered"] += state == "replied"
            new_id = self._insert(
                "calls",
                _CALL,
                row,
                endpoint_id=self.endpoints[row["endpoint_id"]],
                run_id=self.runs[row["run_id"]],
                parent=self.calls.get(row["parent"]),
                state=state,
                **self._held(row, state),
            )
            self.ours.execute("INSERT INTO bodies VALUES (?, ?)", (new_id, row["body"]))
            return new_id
        call_id = int(our_call["call_id"])
        self.counts["both"] += state == our_call["state"] == "replied"
        if _RANK[state] > _RANK[our_call["state"]]:
            self.counts["answered"] += state == "replied"
            self.journal.give_back(call_id, self.scopes[row["run_id"]])
            reservation = self._held(row, state)
            self.ours.execute(
                "UPDATE calls SET state = ?, checked = ?, error = ?, updated_at = ?, attempts = max(attempts, ?),"
                " reserved_calls = ?, reserved_tokens = ?, reserved_nusd = ? WHERE call_id = ?",
                (
                    *(state, row["checked"], row["error"], row["updated_at"], row["attempts"]),
                    *(
                        reservation["reserved_calls"],
                        reservation["reserved_tokens"],
                        reservation["reserved_nusd"],
                        call_id,
                    ),
                ),
            )
        return call_id

    def _held(self, row: sqlite3.Row, state: str) -> dict[str, int]:
        """Reserve a row's reserved amounts in the present budget for `unknown` and `replied`; returns the amounts."""
        if state not in ("unknown", "replied") or not row["reserved_calls"]:
            return {"reserved_calls": 0, "reserved_tokens": 0, "reserved_nusd": 0}
        reservation = {name: int(row[name]) for name in ("reserved_calls", "reserved_tokens", "reserved_nusd")}
        self.journal.budget.reserve(
            self.scopes[row["run_id"]], calls=reservation["reserved_calls"], tokens=reservation["reserved_tokens"],
            cost_nusd=reservation["reserved_nusd"],
        )  # fmt: skip
        return reservation

    def _attempts(self, row: sqlite3.Row, call_id: int) -> None:
        """Insert a call's missing attempts and replies, and count their cost, except a last attempt still reserved."""
        attempts = self.other.execute(
            "SELECT * FROM attempts LEFT JOIN replies USING (attempt_id) WHERE call_id = ? ORDER BY attempt_id",
            (row["call_id"],),
        ).fetchall()
        open_attempt = (
            attempts[-1]["attempt_id"] if attempts and row["reserved_calls"] and row["state"] != "sending" else None
        )
        for attempt in attempts:
            our_attempt = self.ours.execute(
                "SELECT 1 FROM attempts WHERE call_id = ? AND sent_at = ? AND owner = ?",
                (call_id, attempt["sent_at"], attempt["owner"]),
            ).fetchone()
            if our_attempt is None:
                attempt_id = self._insert("attempts", self.attempt_columns, attempt, call_id=call_id)
                if attempt["reply"] is not None:
                    self.ours.execute("INSERT INTO replies VALUES (?, ?)", (attempt_id, attempt["reply"]))
                self.counts["attempts"] += 1
                if attempt["attempt_id"] != open_attempt:
                    self._count(row, attempt)

    def _count(self, row: sqlite3.Row, attempt: sqlite3.Row) -> None:
        """Count an attempt's tokens and cost in the budget as the second journal did, at worst case if unknown."""
        if attempt["outcome"] in _UNCOUNTED:
            return
        scope, budget = self.scopes[row["run_id"]], self.journal.budget
        tokens, cost = (
            attempt["counted_tokens"] if "counted_tokens" in self.attempt_columns else None,
            attempt["cost_nusd"] or 0,
        )
        if tokens is None:  # written by an earlier version
            tokens = (attempt["input_tokens"] or 0) + (attempt["output_tokens"] or 0)
        budget.reserve(scope, tokens=tokens, cost_nusd=cost)
        budget.settle(scope, reserved_tokens=tokens, reserved_nusd=cost, tokens=tokens, cost_nusd=cost)

    def _wanted(self, row: sqlite3.Row, call_id: int) -> None:
        for target in self.other.execute("SELECT * FROM wanted WHERE call_id = ?", (row["call_id"],)):
            self.ours.execute(
                "INSERT OR IGNORE INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(target["prompt_id"], target["track_id"], target["doc_id"], target["sample_idx"]),
                    *(target["language"], self.endpoints[target["endpoint_id"]], call_id),
                    self.runs[target["run_id"]],
                ),
            )

    def _insert(self, table: str, names: tuple[str, ...], row: sqlite3.Row, **others: Any) -> int:
        values = {**{name: row[name] for name in names}, **others}
        marks = ", ".join("?" * len(values))
        cursor = self.ours.execute(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        return int(cursor.lastrowid or 0)
