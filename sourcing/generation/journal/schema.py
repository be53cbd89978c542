"""SQL schema of the call journal, migrations from earlier formats, and compression of blobs."""

from __future__ import annotations

import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from backports import zstd

from sourcing.errors import InputError
from sourcing.generation.cost import budget

__all__ = [
    "HALF_SENT_SHARD_STATES",
    "JOURNAL_FILE",
    "NEVER_BEGUN",
    "ODD_LINES",
    "OPEN_SHARD_STATES",
    "Compressed",
    "as_text",
    "compressor",
    "connect",
    "decompress",
    "empty",
]

JOURNAL_FILE = "journal.sqlite3"

#: Outcomes of attempts on batch lines that no model saw, as the batch ended first.
NEVER_BEGUN = ("expired", "cancelled", "batch_failed")

_FORMAT = 3
#: Of a journal's pages in memory: keys come in no order, so each may lie on any page of their index.
_CACHE_KB = 65536
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

# Shards are what a batch endpoint is handed at once; a call that lies in one carries its number.
# A call is what is sent; `wanted` says which targets (track, document, sample ...) want its answer. Calls of kind
# `larger` and `repair` follow a reply that was cut or did not fit its schema; `parent` is the call they follow.
# `cost_nusd` and `counted_tokens` of an attempt are what the budget counts for it, also where the reply did not tell.
# What is sent and what is answered lie apart: a row that changes is written anew with all that is in it.
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE endpoints (
    endpoint_id INTEGER PRIMARY KEY, identity TEXT NOT NULL, model TEXT NOT NULL, UNIQUE (identity, model)
);
CREATE TABLE runs (
    run_id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, prompt_id TEXT NOT NULL, prompt_version TEXT NOT NULL,
    prompt_hash TEXT NOT NULL, endpoint_id INTEGER NOT NULL, plan TEXT NOT NULL, shard TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL DEFAULT 0, planned INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE refused (run_id INTEGER NOT NULL, key TEXT NOT NULL, reason TEXT NOT NULL, finding TEXT NOT NULL);
CREATE TABLE calls (
    call_id INTEGER PRIMARY KEY, request_key TEXT NOT NULL UNIQUE, endpoint_id INTEGER NOT NULL,
    run_id INTEGER NOT NULL, sample_idx INTEGER NOT NULL, kind TEXT NOT NULL DEFAULT 'root', parent INTEGER,
    state TEXT NOT NULL, checked INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    owner TEXT, batch INTEGER, reserved_calls INTEGER NOT NULL DEFAULT 0, reserved_tokens INTEGER NOT NULL DEFAULT 0,
    reserved_nusd INTEGER NOT NULL DEFAULT 0,
    error TEXT, planned_at TEXT NOT NULL, updated_at TEXT NOT NULL, bytes INTEGER NOT NULL
);
CREATE TABLE bodies (call_id INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE INDEX calls_by_run ON calls (run_id, state, call_id, kind);
CREATE INDEX calls_open ON calls (state) WHERE state IN ('sending', 'failed', 'unknown');
CREATE INDEX calls_unchecked ON calls (run_id) WHERE state = 'replied' AND checked = 0;
CREATE INDEX calls_following ON calls (parent) WHERE parent IS NOT NULL;
CREATE TABLE wanted (
    prompt_id TEXT NOT NULL, track_id TEXT NOT NULL, doc_id TEXT NOT NULL, sample_idx INTEGER NOT NULL,
    language TEXT NOT NULL, endpoint_id INTEGER NOT NULL, call_id INTEGER NOT NULL, run_id INTEGER NOT NULL,
    PRIMARY KEY (prompt_id, track_id, doc_id, sample_idx, language, endpoint_id, call_id)
) WITHOUT ROWID;
CREATE INDEX wanted_by_call ON wanted (call_id);
CREATE TABLE attempts (
    attempt_id INTEGER PRIMARY KEY, call_id INTEGER NOT NULL, attempt INTEGER NOT NULL, owner TEXT NOT NULL,
    sent_at TEXT NOT NULL, ended_at TEXT NOT NULL, outcome TEXT NOT NULL, status INTEGER, headers TEXT NOT NULL,
    input_tokens INTEGER, output_tokens INTEGER, cost_nusd INTEGER, counted_tokens INTEGER,
    UNIQUE (call_id, sent_at, owner)
);
CREATE TABLE replies (attempt_id INTEGER PRIMARY KEY, reply BLOB NOT NULL);
CREATE TABLE shards (
    shard_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, run_id INTEGER NOT NULL, endpoint_id INTEGER NOT NULL,
    state TEXT NOT NULL, lines INTEGER NOT NULL, bytes INTEGER NOT NULL, tokens INTEGER NOT NULL,
    input_file TEXT, batch TEXT, output_file TEXT, error_file TEXT, error TEXT,
    written_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE INDEX calls_in_batches ON calls (batch) WHERE batch IS NOT NULL;
{budget.SCHEMA}
"""

#: Table of batch lines without a call, made on first use, as few journals need it.
ODD_LINES = (
    "CREATE TABLE IF NOT EXISTS odd_lines (digest TEXT PRIMARY KEY, reason TEXT NOT NULL, finding TEXT NOT NULL,"
    " line BLOB NOT NULL) WITHOUT ROWID"
)
_FROM_FORMAT_1 = """
INSERT INTO endpoints (identity, model) SELECT DISTINCT endpoint, model FROM old_calls ORDER BY 1, 2;
INSERT INTO runs (run_id, started_at, prompt_id, prompt_version, prompt_hash, endpoint_id, plan)
    SELECT r.run_id, r.started_at, w.prompt_id, w.prompt_version, w.prompt_hash, e.endpoint_id, ''
    FROM old_runs r JOIN (SELECT *, MIN(request_key) FROM old_wanted GROUP BY run_id) w USING (run_id)
    JOIN endpoints e ON e.identity = r.endpoint AND e.model = w.model;
INSERT INTO calls (request_key, endpoint_id, run_id, sample_idx, state, attempts, owner, error, planned_at, updated_at,
                   bytes)
    SELECT c.request_key, e.endpoint_id, (SELECT MAX(run_id) FROM old_wanted w WHERE w.request_key = c.request_key),
        c.sample_idx, c.state, c.attempts, 'format-1', c.error, c.planned_at, c.updated_at, length(c.body)
    FROM old_calls c JOIN endpoints e ON e.identity = c.endpoint AND e.model = c.model ORDER BY c.request_key;
INSERT INTO bodies SELECT c.call_id, o.body FROM old_calls o JOIN calls c USING (request_key) ORDER BY c.call_id;
INSERT INTO wanted
    SELECT w.prompt_id, w.track_id, w.doc_id, w.sample_idx, w.language, c.endpoint_id, c.call_id, w.run_id
    FROM old_wanted w JOIN calls c USING (request_key);
INSERT INTO attempts (call_id, attempt, owner, sent_at, ended_at, outcome, status, headers)
    SELECT c.call_id, a.attempt, 'format-1', a.sent_at, a.ended_at, a.outcome, a.status, coalesce(a.headers, '{}')
    FROM old_attempts a JOIN calls c USING (request_key) WHERE a.ended_at IS NOT NULL ORDER BY c.call_id, a.attempt;
INSERT INTO replies
    SELECT a.attempt_id, o.reply FROM old_attempts o JOIN calls c USING (request_key)
    JOIN attempts a ON a.call_id = c.call_id AND a.attempt = o.attempt WHERE o.reply IS NOT NULL;
DROP TABLE old_attempts; DROP TABLE old_wanted; DROP TABLE old_calls; DROP TABLE old_runs;
"""
_FROM_FORMAT_2 = """
CREATE TABLE bodies (call_id INTEGER PRIMARY KEY, body BLOB NOT NULL);
INSERT INTO bodies SELECT call_id, body FROM calls ORDER BY call_id;
ALTER TABLE calls DROP COLUMN body;
CREATE TABLE replies (attempt_id INTEGER PRIMARY KEY, reply BLOB NOT NULL);
INSERT INTO replies SELECT attempt_id, reply FROM attempts WHERE reply IS NOT NULL ORDER BY attempt_id;
ALTER TABLE attempts DROP COLUMN reply;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the journal at `path`, migrating earlier formats; InputError when damaged or of a newer format."""
    # The group-commit thread takes the connection over while a run lasts; only one thread uses it at a time.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        format_number = _format(connection)
        if format_number not in range(_FORMAT + 1):
            raise InputError(str(path), f"it has format {format_number}, known is {_FORMAT}", "upgrade crossmusim")
        if format_number != _FORMAT:
            _make(connection)
        if os.access(path, os.W_OK):
            _add_missing_column(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise InputError(str(path), f"not a sound SQLite file ({error})", "restore it from a backup") from error
    return connection


def _add_missing_column(connection: sqlite3.Connection) -> None:
    """Add the column `attempts.counted_tokens`, missing in journals of earlier versions and not needed for reading."""
    if _lacks_column(connection):
        connection.execute("BEGIN IMMEDIATE")
        if _lacks_column(connection):  # another process may have been first
            connection.execute("ALTER TABLE attempts ADD COLUMN counted_tokens INTEGER")
        connection.execute("COMMIT")


def _lacks_column(connection: sqlite3.Connection) -> bool:
    return not any(row[1] == "counted_tokens" for row in connection.execute("PRAGMA table_info(attempts)"))


def empty() -> sqlite3.Connection:
    """Make an empty journal in memory, for reading where no journal exists."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _make(connection)
    return connection


def _format(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _make(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        format_number = _format(connection)  # another process may have been first
        if format_number != _FORMAT:
            _STEPS[format_number](connection)
            connection.execute(f"PRAGMA user_version = {_FORMAT}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _m000_make_tables(connection: sqlite3.Connection) -> None:
    _run_script(connection, _SCHEMA)
    connection.execute("INSERT INTO meta VALUES ('journal_id', ?)", (secrets.token_hex(16),))


def _m001_part_calls_from_targets(connection: sqlite3.Connection) -> None:
    connection.execute("DROP INDEX IF EXISTS calls_by_state")
    for table in ("runs", "calls", "wanted", "attempts"):
        connection.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    _m000_make_tables(connection)
    _run_script(connection, _FROM_FORMAT_1)


def _m002_part_bodies_from_rows(connection: sqlite3.Connection) -> None:
    _run_script(connection, _FROM_FORMAT_2)


#: Format of a journal → migration to the present format.
_STEPS = {0: _m000_make_tables, 1: _m001_part_calls_from_targets, 2: _m002_part_bodies_from_rows}


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run an SQL script inside the open transaction, which `executescript` would commit."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


class Compressed(bytes):
    """Compressed bytes as stored in the journal."""


def compressor() -> Callable[[bytes], Compressed]:
    """Make a zstd compressing function for one thread, reused as set-up costs more than compressing a reply.

    `Compressed` input is returned unchanged.
    """
    encoder = zstd.ZstdCompressor(3)

    def compress(data: bytes) -> Compressed:
        if isinstance(data, Compressed):
            return data
        return Compressed(encoder.compress(data, zstd.ZstdCompressor.FLUSH_FRAME))

    return compress


def decompress(blob: bytes) -> bytes:
    """Decompress stored bytes: zstd, or zlib from the first format."""
    return zstd.decompress(blob) if blob.startswith(_ZSTD_MAGIC) else zlib.decompress(blob)


#: States in which the process that sends a shard may have died.
HALF_SENT_SHARD_STATES = ("written", "uploaded", "creating")
#: States of a shard that a server has, or may have.
OPEN_SHARD_STATES = (*HALF_SENT_SHARD_STATES, "created")


def as_text(at: datetime) -> str:
    """ISO 8601 text of a time in UTC, with microseconds, so that texts sort like times."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
