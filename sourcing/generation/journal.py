"""The call journal: SQLite that says of every call whether it was sent and keeps every reply as it arrived.

    planned → sending (committed before the socket is touched) → replied | failed | unknown

A reply that reached us is never lost and never paid twice. A call found `sending` when a run opens the journal was
in flight at a crash: it becomes `unknown`, is reported, and is never resent unless asked for.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sourcing.errors import InputError
from sourcing.generation.plan import PlannedCall
from sourcing.generation.replies import Reply
from sourcing.generation.wire import canonical_json, read_completion

__all__ = ["JOURNAL_FILE", "STATES", "CallRow", "Journal"]

JOURNAL_FILE = "journal.sqlite3"
STATES = ("planned", "sending", "replied", "failed", "unknown")

_FORMAT = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run_id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, prompt TEXT NOT NULL, endpoint TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS calls (
    request_key TEXT PRIMARY KEY, endpoint TEXT NOT NULL, model TEXT NOT NULL, sample_idx INTEGER NOT NULL,
    body BLOB NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT, planned_at TEXT NOT NULL, updated_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS calls_by_state ON calls (state);
CREATE TABLE IF NOT EXISTS wanted (
    request_key TEXT NOT NULL, prompt_id TEXT NOT NULL, track_id TEXT NOT NULL, doc_id TEXT NOT NULL,
    sample_idx INTEGER NOT NULL, language TEXT NOT NULL, model TEXT NOT NULL,
    prompt_version TEXT NOT NULL, prompt_hash TEXT NOT NULL, run_id INTEGER NOT NULL,
    PRIMARY KEY (request_key, prompt_id, track_id, doc_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempts (
    request_key TEXT NOT NULL, attempt INTEGER NOT NULL, sent_at TEXT NOT NULL, ended_at TEXT,
    outcome TEXT, status INTEGER, headers TEXT, reply BLOB,
    PRIMARY KEY (request_key, attempt)
);
"""

# One target may have been asked under several keys (a newer template, a longer document): the one last wanted counts.
_REPLIES = """
SELECT * FROM (
    SELECT w.*, a.reply, a.ended_at, ROW_NUMBER() OVER (
        PARTITION BY w.prompt_id, w.track_id, w.doc_id, w.sample_idx, w.language, w.model
        ORDER BY w.run_id DESC, w.request_key
    ) AS place
    FROM wanted w
    JOIN calls c ON c.request_key = w.request_key AND c.state = 'replied'
    JOIN attempts a ON a.request_key = c.request_key AND a.attempt = c.attempts
) WHERE place = 1
ORDER BY prompt_id, track_id, doc_id, sample_idx, request_key
"""


@dataclass(frozen=True)
class CallRow:
    """One call as `generate status` and rejected rows show it."""

    request_key: str
    state: str
    prompt: str
    track_id: str
    doc_id: str | None
    error: str | None
    updated_at: str


class Journal:
    """The journal of one workspace. Writers hold the workspace's lock "generate"; each statement commits by itself
    unless it stands in a `transaction()`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row

    @classmethod
    def open(cls, folder: Path) -> Journal:
        """Open for writing; made when missing."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / JOURNAL_FILE
        # The group-commit thread takes the connection over while a run lasts; only one thread uses it at a time.
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, _FORMAT):
                raise InputError(str(path), f"it has format {found}, known is {_FORMAT}", "upgrade crossmusim")
            if found == 0:
                connection.executescript(f"{_SCHEMA} PRAGMA user_version = {_FORMAT};")
        except sqlite3.DatabaseError as error:
            connection.close()
            raise InputError(str(path), f"not a sound SQLite file ({error})", "restore it from a backup") from error
        return cls(connection)

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Open for reading; a missing journal reads as an empty one and is not made."""
        if (folder / JOURNAL_FILE).exists():
            return cls.open(folder)
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.executescript(_SCHEMA)
        return cls(connection)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside become durable together, or not at all."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def interrupt_sending(self, at: datetime) -> int:
        """Turn calls that were in flight when a former run died into `unknown`; returns how many."""
        changed = self._connection.execute(
            "UPDATE calls SET state = 'unknown', updated_at = ?,"
            " error = 'in flight when the run ended: it may have been answered and billed' WHERE state = 'sending'",
            (_text(at),),
        )
        return changed.rowcount

    def register(self, calls: Sequence[PlannedCall], *, endpoint: str, prompt: str, at: datetime) -> None:
        """Write down a run and the calls it wants; calls already known keep their state."""
        now = _text(at)
        with self.transaction():
            started = self._connection.execute(
                "INSERT INTO runs (started_at, prompt, endpoint) VALUES (?, ?, ?)", (now, prompt, endpoint)
            )
            run_id = started.lastrowid
            self._connection.executemany(
                "INSERT INTO calls (request_key, endpoint, model, sample_idx, body, state, planned_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, 'planned', ?, ?) ON CONFLICT DO NOTHING",
                (
                    (c.request_key, endpoint, c.model, c.sample_idx, _pack(canonical_json(c.body)), now, now)
                    for c in calls
                ),
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        c.request_key, c.prompt_id, c.track_id, c.doc_id or "", c.sample_idx, c.language, c.model,
                        c.prompt_version, c.prompt_hash, run_id,
                    )
                    for c in calls
                ),
            )  # fmt: skip

    def states(self, keys: Iterable[str]) -> dict[str, str]:
        """State of each of these keys that the journal knows."""
        found = {}
        for key in keys:
            row = self._connection.execute("SELECT state FROM calls WHERE request_key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = str(row["state"])
        return found

    def sending(self, key: str, at: datetime) -> None:
        """Note that the call is about to touch the socket; must be durable before it does."""
        now = _text(at)
        self._connection.execute(
            "UPDATE calls SET state = 'sending', attempts = attempts + 1, error = NULL, updated_at = ?"
            " WHERE request_key = ?",
            (now, key),
        )
        self._connection.execute(
            "INSERT INTO attempts (request_key, attempt, sent_at)"
            " SELECT request_key, attempts, ? FROM calls WHERE request_key = ?",
            (now, key),
        )

    def settle(
        self,
        key: str,
        state: str,
        *,
        outcome: str,
        at: datetime,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        error: str | None = None,
    ) -> None:
        """End the call's current attempt: `raw` is the reply body, or the body of a refusal, untouched."""
        now = _text(at)
        reply = None if raw is None else zlib.compress(raw, 6)
        self._connection.execute(
            "UPDATE attempts SET ended_at = ?, outcome = ?, status = ?, headers = ?, reply = ?"
            " WHERE request_key = ? AND attempt = (SELECT attempts FROM calls WHERE request_key = ?)",
            (now, outcome, status, json.dumps(dict(headers or {}), sort_keys=True), reply, key, key),
        )
        self._connection.execute(
            "UPDATE calls SET state = ?, error = ?, updated_at = ? WHERE request_key = ?", (state, error, now, key)
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Prompt (id@version, as last wanted) → state → calls."""
        rows = self._connection.execute(
            "SELECT prompt, state, COUNT(*) AS n FROM ("
            "SELECT c.state, w.prompt_id || '@' || w.prompt_version AS prompt, MAX(w.run_id)"  # SQLite: of that row
            " FROM calls c JOIN wanted w USING (request_key) GROUP BY c.request_key"
            ") GROUP BY 1, 2 ORDER BY 1, 2"
        )
        counts: dict[str, dict[str, int]] = {}
        for row in rows:
            counts.setdefault(str(row["prompt"]), {})[str(row["state"])] = int(row["n"])
        return counts

    def calls_in(self, states: Collection[str]) -> list[CallRow]:
        """Calls in these states, one row per track they are wanted for, sorted."""
        marks = ", ".join("?" * len(states))
        rows = self._connection.execute(
            "SELECT c.request_key, c.state, c.error, c.updated_at, w.prompt_id || '@' || w.prompt_version AS prompt,"
            f" w.track_id, w.doc_id FROM calls c JOIN wanted w USING (request_key) WHERE c.state IN ({marks})"
            " ORDER BY w.prompt_id, w.track_id, w.doc_id, c.request_key",
            tuple(states),
        )
        return [CallRow(**{**dict(row), "doc_id": row["doc_id"] or None}) for row in rows]

    def replies(self, prompt_ids: Collection[str] | None = None) -> Iterator[Reply]:
        """The reply to each target, sample and model, sorted by prompt, track, document and sample.

        Where a target was asked again under another key (changed template or document), the reply last wanted counts.
        """
        for row in self._connection.execute(_REPLIES):
            if prompt_ids is not None and row["prompt_id"] not in prompt_ids:
                continue
            said = read_completion(zlib.decompress(row["reply"]))
            yield Reply(
                request_key=row["request_key"],
                prompt_id=row["prompt_id"],
                prompt_version=row["prompt_version"],
                prompt_hash=row["prompt_hash"],
                track_id=row["track_id"],
                doc_id=row["doc_id"] or None,
                sample_idx=row["sample_idx"],
                language=row["language"],
                model=said.model or row["model"],
                finish_reason=said.finish_reason,
                content=said.content,
                replied_at=datetime.fromisoformat(row["ended_at"]),
                usage=said.usage,
            )

    def raw_reply(self, key: str) -> bytes:
        """The reply body of a replied call, byte for byte; KeyError when there is none."""
        row = self._connection.execute(
            "SELECT a.reply FROM calls c JOIN attempts a ON a.request_key = c.request_key AND a.attempt = c.attempts"
            " WHERE c.request_key = ? AND c.state = 'replied'",
            (key,),
        ).fetchone()
        if row is None:
            raise KeyError(key)
        return zlib.decompress(row["reply"])

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Every attempt at a call, oldest first, without the reply bodies."""
        rows = self._connection.execute(
            "SELECT attempt, sent_at, ended_at, outcome, status, headers FROM attempts"
            " WHERE request_key = ? ORDER BY attempt",
            (key,),
        )
        return [{**dict(row), "headers": json.loads(row["headers"] or "{}")} for row in rows]


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _pack(text: str) -> bytes:
    return zlib.compress(text.encode("utf-8", errors="surrogatepass"), 6)
