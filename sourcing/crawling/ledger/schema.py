"""SQL schema of the ledger, and row classes for tasks.

Ten million tasks must cost neither memory nor a scan: tasks point to a queue (one source on one host), partial
indices hold only what is still to be asked, and triggers keep the counts per queue and state.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sourcing.crawling.ledger import archive
from sourcing.store.turn import Turn

__all__ = ["CODES", "DENIED", "FAILED", "FETCHED", "LATER", "LEASED", "PENDING", "STATES", "Outcome", "Task"]
__all__ += ["Validators", "connect"]

STATES = ("pending", "leased", "fetched", "failed", "denied")
#: A pending task whose time has not come is LATER inside the database and `pending` to everyone else.
PENDING, LEASED, FETCHED, FAILED, DENIED, LATER = range(6)
CODES = dict(enumerate((*STATES, "pending")))

_VERSION = 2
_TABLES = """
CREATE TABLE IF NOT EXISTS queues (
    id INTEGER PRIMARY KEY, source TEXT NOT NULL, host TEXT NOT NULL, UNIQUE (source, host)
);
CREATE TABLE IF NOT EXISTS tasks (
    seq           INTEGER PRIMARY KEY,
    key           BLOB NOT NULL UNIQUE,
    queue         INTEGER NOT NULL REFERENCES queues,
    url           TEXT NOT NULL,
    kind          TEXT NOT NULL,
    track_id      TEXT,
    parent        BLOB,
    priority      INTEGER NOT NULL DEFAULT 0,
    state         INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_at       REAL NOT NULL DEFAULT 0,
    lease_until   REAL,
    owner         TEXT,
    http_status   INTEGER,
    reason        TEXT,
    finding       TEXT,
    fetched_at    REAL,
    etag          TEXT,
    last_modified TEXT,
    body_sha256   TEXT,
    found_at      TEXT
);
CREATE INDEX IF NOT EXISTS tasks_ready ON tasks (queue, priority DESC, seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS tasks_leased ON tasks (lease_until) WHERE state = 1;
CREATE INDEX IF NOT EXISTS tasks_lost ON tasks (seq) WHERE state IN (3, 4);
CREATE INDEX IF NOT EXISTS tasks_later ON tasks (next_at) WHERE state = 5;
CREATE TABLE IF NOT EXISTS counts (
    state INTEGER, queue INTEGER, n INTEGER NOT NULL, PRIMARY KEY (state, queue)
) WITHOUT ROWID;
CREATE TRIGGER IF NOT EXISTS task_added AFTER INSERT ON tasks BEGIN
    INSERT INTO counts VALUES (new.state, new.queue, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER IF NOT EXISTS task_moved AFTER UPDATE OF state ON tasks WHEN old.state <> new.state BEGIN
    UPDATE counts SET n = n - 1 WHERE state = old.state AND queue = old.queue;
    DELETE FROM counts WHERE state = old.state AND queue = old.queue AND n = 0;
    INSERT INTO counts VALUES (new.state, new.queue, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TABLE IF NOT EXISTS hosts (
    host TEXT PRIMARY KEY, owner TEXT, claimed_until REAL NOT NULL DEFAULT 0, paused_until REAL NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hosts_owned ON hosts (owner) WHERE owner IS NOT NULL;
CREATE TABLE IF NOT EXISTS runs (owner TEXT PRIMARY KEY, started_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cursors (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS warc_marks (file TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS minutes (
    source TEXT, minute INTEGER, outcome TEXT, n INTEGER NOT NULL, bytes INTEGER NOT NULL,
    PRIMARY KEY (source, minute, outcome)
) WITHOUT ROWID;
"""
# Came later, and a ledger without them is none the worse: no reason for another layout.
_LATER_TABLES = """
CREATE TABLE IF NOT EXISTS wishes (
    host TEXT PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS site_files (
    url TEXT PRIMARY KEY, status INTEGER NOT NULL, body BLOB NOT NULL, fetched_at REAL NOT NULL
) WITHOUT ROWID;
"""
#: Where a redirect sent a task: the address to ask next, how many redirects it took, and the queue the task came from;
#: of a host, the distance between requests that its last process kept.
_LATER_COLUMNS = {
    "tasks": {"onward": "TEXT", "hops": "INTEGER NOT NULL DEFAULT 0", "home": "INTEGER"},
    "hosts": {"delay_s": "REAL NOT NULL DEFAULT 0"},
}


@dataclass(frozen=True)
class Validators:
    """ETag and date of an earlier answer, for conditional requests."""

    etag: str | None = None
    last_modified: str | None = None
    body_sha256: str | None = None
    found_at: str | None = None  # the address behind redirects, where it is another than the task's


@dataclass(frozen=True)
class Task:
    """A leased task with the fields that the request needs."""

    priority: int
    seq: int
    key: str
    source: str
    url: str
    host: str
    kind: str
    track_id: str | None
    attempts: int
    known: Validators = Validators()  # empty before the first answer
    onward: str | None = None  # where redirects to other hosts led so far
    hops: int = 0

    @property
    def address(self) -> str:
        """The URL to ask: the last redirect's, or the task's own."""
        return self.onward or self.url


@dataclass(frozen=True)
class Outcome:
    """A task that is not fetched, with why; a row of the crawl's rejected table."""

    key: str
    source: str
    url: str
    state: str
    reason: str
    finding: str


def connect(path: Path | str) -> sqlite3.Connection:
    """Open or make the database; ValueError for a ledger of another layout."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # SQLite does not wait for another process that makes the same file.
    with contextlib.closing(Turn(Path(f"{path}.turn"))) as turn, turn.taken():
        return _connect(path)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=60.0)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA cache_size=-65536")  # 64 MiB, whatever the number of tasks
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'tasks'").fetchone():
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
    elif version != _VERSION:
        db.close()
        raise ValueError(f"layout {version}, this version reads layout {_VERSION}")
    db.executescript(_LATER_TABLES)
    for table, later in _LATER_COLUMNS.items():
        columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for name, declaration in later.items():
            if name not in columns:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {declaration}")
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'refusals'").fetchone():
        db.executescript(f"BEGIN IMMEDIATE; {archive.TABLES} COMMIT;")
    return db
