"""Writes planned calls into the journal: runs, wanted calls and follow-ups; and lists calls still to be sent."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sourcing.generation.calls import KnownCall, OpenCall, PlannedCall, WantedCall
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.reader import RunState
from sourcing.generation.journal.schema import as_text, decompress
from sourcing.store.shard import Shard

__all__ = [
    "add_follow_up",
    "compress_calls",
    "enter_run",
    "has_open",
    "open_calls",
    "register",
    "unanswered_calls",
    "unchecked",
    "want",
]
_OPEN = "SELECT call_id, request_key, body, kind, parent, state FROM calls JOIN bodies USING (call_id)"


def compress_calls(calls: Sequence[PlannedCall], compress: Callable[[bytes], bytes]) -> list[WantedCall]:
    return [
        WantedCall(
            call.request_key,
            call.prompt_id,
            call.track_id,
            call.doc_id or "",
            call.sample_idx,
            call.language,
            len(call.body),
            compress(call.body),
        )
        for call in calls
    ]


def unanswered_calls(calls: Sequence[PlannedCall], known_calls: Sequence[KnownCall]) -> list[OpenCall]:
    """Open calls among `calls` without a reply, one per key; `known_calls` is the result of `want` for `calls`."""
    waiting = {
        known_call.call_id: OpenCall(
            known_call.call_id, call.request_key, call.body, known_call.kind, known_call.parent, known_call.state
        )
        for call, known_call in zip(calls, known_calls, strict=True)
        if known_call.state != "replied"
    }
    return list(waiting.values())


def enter_run(
    journal: Journal, *, pack: tuple[str, str, str], endpoint: str, model: str, plan: str, shard: str = "", at: datetime
) -> RunState:
    """Resume the run of `plan` and `shard`, or begin a new run; `pack` is id, version and prompt hash.

    A run is resumed only if no later run of the same pack id and endpoint may share calls with it: a run of a
    different plan, or of an overlapping shard. A call belongs to the last run that wanted it.
    """
    with journal.transaction():
        journal.connection.execute("INSERT OR IGNORE INTO endpoints (identity, model) VALUES (?, ?)", (endpoint, model))
        (endpoint_id,) = journal.connection.execute(
            "SELECT endpoint_id FROM endpoints WHERE identity = ? AND model = ?", (endpoint, model)
        ).fetchone()
        row = journal.connection.execute(
            "SELECT run_id, position, planned FROM runs WHERE plan = ? AND shard = ? AND prompt_id = ?"
            " AND endpoint_id = ? ORDER BY run_id DESC LIMIT 1",
            (plan, shard, pack[0], endpoint_id),
        ).fetchone()
        newer = journal.connection.execute(
            "SELECT DISTINCT plan, shard FROM runs WHERE prompt_id = ? AND endpoint_id = ? AND run_id > ?",
            (pack[0], endpoint_id, row[0] if row is not None else 0),
        )
        if row is not None and any(began != plan or _overlap(part, shard) for began, part in newer.fetchall()):
            row = None
        if row is not None:
            return RunState(int(row[0]), int(row[1]), bool(row[2]))
        cursor = journal.connection.execute(
            "INSERT INTO runs (started_at, prompt_id, prompt_version, prompt_hash, endpoint_id, plan, shard)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (as_text(at), *pack, endpoint_id, plan, shard),
        )
        return RunState(int(cursor.lastrowid or 0), 0, False)


def register(
    journal: Journal,
    run_id: int,
    calls: Sequence[PlannedCall],
    *,
    position: int,
    at: datetime,
    done: bool = False,
    rejected: Sequence[Mapping[str, str]] = (),
) -> list[OpenCall]:
    """Journal calls of a run and the position reached in the plan; returns calls without a reply, one per key.

    Known calls keep their state. The caller opens a transaction, or makes it a change of the group commit.
    """
    known_calls = want(
        journal, run_id, compress_calls(calls, journal.compress), position=position, at=at, done=done, rejected=rejected
    )
    return unanswered_calls(calls, known_calls)


def want(
    journal: Journal,
    run_id: int,
    calls: Sequence[WantedCall],
    *,
    position: int,
    at: datetime,
    done: bool = False,
    rejected: Sequence[Mapping[str, str]] = (),
) -> list[KnownCall]:
    """Like `register`, for calls with compressed bodies; returns a KnownCall for each, in order."""
    now = as_text(at)
    execute = journal.connection.execute
    (endpoint_id,) = execute("SELECT endpoint_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    known_calls: list[KnownCall] = []
    for call in calls:
        call_id, state, kind, parent = execute(
            "INSERT INTO calls (request_key, endpoint_id, run_id, sample_idx, state, planned_at, updated_at, bytes)"
            " VALUES (?, ?, ?, ?, 'planned', ?, ?, ?) ON CONFLICT (request_key) DO UPDATE SET"
            " run_id = max(run_id, excluded.run_id) RETURNING call_id, state, kind, parent",
            (call.request_key, endpoint_id, run_id, call.sample_idx, now, now, call.size),
        ).fetchone()
        if state != "replied":  # what was answered is kept as it was asked
            execute("INSERT OR REPLACE INTO bodies VALUES (?, ?)", (call_id, call.body))
        execute(
            "INSERT OR REPLACE INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(call.prompt_id, call.track_id, call.doc_id, call.sample_idx, call.language),
                *(endpoint_id, call_id, run_id),
            ),
        )
        known_calls.append(KnownCall(call_id, state, kind, parent))
    for row in rejected:
        execute("INSERT INTO refused VALUES (?, ?, ?, ?)", (run_id, row["key"], row["reason"], row["finding"]))
    # Another process may plan the same run, and be further.
    execute(
        "UPDATE runs SET position = max(position, ?), planned = max(planned, ?) WHERE run_id = ?",
        (position, done, run_id),
    )
    return known_calls


def add_follow_up(
    journal: Journal, parent: OpenCall, kind: str, request_key: str, body: bytes, at: datetime
) -> OpenCall | None:
    """Journal a follow-up call of a reply (`kind` larger or repair); None when the key is known already."""
    now, root = as_text(at), parent.parent or parent.call_id
    row = journal.connection.execute(
        "INSERT INTO calls (request_key, endpoint_id, run_id, sample_idx, kind, parent, state, planned_at,"
        " updated_at, bytes) SELECT ?, endpoint_id, run_id, sample_idx, ?, ?, 'planned', ?, ?, ?"
        " FROM calls WHERE call_id = ? ON CONFLICT (request_key) DO NOTHING RETURNING call_id",
        (request_key, kind, root, now, now, len(body), root),
    ).fetchone()
    if row is None:
        return None
    journal.connection.execute("INSERT INTO bodies VALUES (?, ?)", (row[0], journal.compress(body)))
    return OpenCall(int(row[0]), request_key, body, kind, root)


def open_calls(
    journal: Journal, run_id: int, state: str, *, before: datetime, after: int = 0, n: int = 256
) -> list[OpenCall]:
    """Up to `n` calls of a run in `state` since before `before`, sorted by call_id, from call ids above `after`.

    Calls in a batch are left out.
    """
    rows = journal.connection.execute(
        f"{_OPEN} WHERE run_id = ? AND state = ? AND call_id > ? AND updated_at < ? AND batch IS NULL"
        " ORDER BY call_id LIMIT ?",
        (run_id, state, after, as_text(before), n),
    )
    return [_open(row) for row in rows]


def has_open(journal: Journal, run_id: int, *, resend: bool) -> bool:
    """True when the run has calls to send (with `resend` also unknown calls), or replies to check."""
    states = ("planned", "failed", "unknown") if resend else ("planned", "failed")
    marks = ", ".join("?" * len(states))
    row = journal.connection.execute(
        f"SELECT EXISTS (SELECT 1 FROM calls WHERE run_id = ? AND state IN ({marks}))"
        " OR EXISTS (SELECT 1 FROM calls WHERE run_id = ? AND state = 'replied' AND checked = 0)",
        (run_id, *states, run_id),
    ).fetchone()
    return bool(row[0])


def unchecked(journal: Journal, run_id: int) -> list[tuple[OpenCall, bytes]]:
    """Calls of a run and their reply bodies, for replies left unchecked by an ended process."""
    ids = journal.connection.execute(
        f"{_OPEN} WHERE run_id = ? AND state = 'replied' AND checked = 0 ORDER BY call_id", (run_id,)
    ).fetchall()
    return [(_open(row), journal.reader.raw_reply(row["request_key"])) for row in ids]


def _open(row: sqlite3.Row) -> OpenCall:
    call_id, key, body, kind, parent, state = row
    return OpenCall(int(call_id), str(key), decompress(body), str(kind), parent, str(state))


def _overlap(one: str, other: str) -> bool:
    """True when two parts of the tracks, "" for all tracks, may have a track in common."""
    first, second = (Shard.parse(text or "1/1") for text in (one, other))
    return (first.index - second.index) % math.gcd(first.count, second.count) == 0
