"""The task ledger: every planned request with its outcome, in SQLite, safe when a process dies.

    pending ──lease──▶ leased ──▶ fetched          (its response is in the WARC files)
       ▲                 ├──────▶ denied           (robots.txt or a consent signal said no)
       └──── try again ──┴──────▶ failed           (for good, with a reason)

A task is keyed by source and canonical URL, so adding it twice is one task. Times are seconds since 1970 and
always come from the caller. Several processes may share a ledger; within one, a thread at a time.
"""

from __future__ import annotations

import hashlib
import itertools
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from w3lib.url import canonicalize_url

from sourcing.crawling.ledger.archive import Archive
from sourcing.crawling.ledger.census import Census
from sourcing.crawling.ledger.runs import Run
from sourcing.crawling.ledger.schema import (
    DENIED,
    FAILED,
    FETCHED,
    LATER,
    LEASED,
    PENDING,
    Task,
    Validators,
    connect,
)
from sourcing.crawling.ledger.tallies import Tallies
from sourcing.crawling.policy.politeness import host_of
from sourcing.crawling.redaction import strip_header_secrets, strip_secrets
from sourcing.crawling.source import TaskSpec
from sourcing.errors import InputError
from sourcing.redactor import redact

__all__ = ["LEDGER_FILE", "Ledger", "task_key"]

LEDGER_FILE = "ledger.sqlite"  # in the workspace's crawl folder
_ADD_GROUP = 2000
_QUEUES_AT_A_TIME = 128
_KNOWN_QUEUES = 50_000
_TASK = (
    "t.priority, t.seq, hex(t.key), t.url, t.kind, t.track_id, t.attempts,"
    " t.onward, t.hops, t.etag, t.last_modified, t.body_sha256, t.found_at"
)
#: A task that redirects sent to another host goes back to where it came from.
_HOME = "queue = coalesce(home, queue), home = NULL, onward = NULL, hops = 0"
_SHOWN_CHARS = 300
_INSERT = "INSERT OR IGNORE INTO tasks (key, queue, url, kind, track_id, parent, priority) VALUES (?, ?, ?, ?, ?, ?, ?)"


def task_key(source: str, url: str) -> str:
    """Name of a task: 32 hex digits of a hash over source and canonical URL (sorted query, no fragment, no secrets)."""
    return hashlib.sha256(f"{source}\n{canonicalize_url(strip_secrets(url))}".encode()).hexdigest()[:32]


class Ledger:
    """Open, or make, the ledger at `path`; InputError when its layout is another version's."""

    def __init__(self, path: Path | str) -> None:
        try:
            self._db = connect(path)
        except ValueError as other:
            raise InputError(str(path), str(other), "finish that crawl with the version that began it") from None
        self.tallies = Tallies(self._db)
        self.census = Census(self._db)
        self.archive = Archive(self._db)
        self.run = Run(self._db, Path(path).parent)
        self._queues: dict[tuple[str, str], int] = {}
        self._turn = 0  # the queue that was served last

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def group(self) -> Iterator[None]:
        """Run the block as one transaction; groups may nest."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            self._queues.clear()
            raise
        self._db.execute("COMMIT")

    # --- tasks come in ---

    def add(self, specs: Iterable[TaskSpec], *, cursor: tuple[str, int] | None = None) -> int:
        """Add tasks, skipping known keys; returns the number of new tasks. Reads `specs` lazily.

        A task with an invalid URL, as pages may hold, is added as failed.
        `cursor` (name, position) is noted with the last task: a feed that is cut off goes on from there.
        """
        new = 0
        stream = iter(specs)
        while chunk := list(itertools.islice(stream, _ADD_GROUP)):
            with self.group():
                rows = [row for spec in chunk if (row := self._usable_row(spec)) is not None]
                new += self._db.executemany(_INSERT, rows).rowcount
        if cursor is not None:
            self._db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", cursor)
        return new

    def refuse(self, spec: TaskSpec, reason: str, finding: str) -> None:
        """Add a task that cannot be asked, as failed; of a long or unprintable URL an excerpt is kept."""
        ((_, url),) = strip_header_secrets([("", spec.url)])
        digest = hashlib.sha256(f"{spec.source}\n{url}".encode("utf-8", "surrogatepass")).digest()
        excerpt = url[:_SHOWN_CHARS].encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        if len(url) > _SHOWN_CHARS:
            excerpt += f"… ({len(url)} characters, sha256 {digest.hex()[:12]})"
        with self.group():
            row = (digest[:16], self._queue(spec.source, ""), excerpt, spec.kind, None, None, spec.priority)
            if self._db.execute(_INSERT, row).rowcount:
                finding = finding.encode("utf-8", "backslashreplace").decode()
                self.failed(digest[:16].hex(), reason, finding=finding)

    def cursor(self, name: str) -> int:
        """Position of the named feed; 0 at its beginning."""
        row = self._db.execute("SELECT position FROM cursors WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _usable_row(self, spec: TaskSpec) -> tuple[Any, ...] | None:
        try:
            return self._row(spec)
        except ValueError as error:  # no URL, or one with characters that do not encode
            self.refuse(spec, "url_unusable", f"not a URL ({error})")
            return None

    def _row(self, spec: TaskSpec) -> tuple[Any, ...]:
        url = strip_secrets(spec.url)
        queue = self._queue(spec.source, host_of(url))
        key = bytes.fromhex(task_key(spec.source, url))
        parent = bytes.fromhex(spec.parent_key) if spec.parent_key else None
        return (key, queue, url, spec.kind, spec.track_id, parent, spec.priority)

    def _queue(self, source: str, host: str) -> int:
        queue = self._queues.get((source, host))
        if queue is None:
            self._db.execute("INSERT OR IGNORE INTO queues (source, host) VALUES (?, ?)", (source, host))
            row = self._db.execute("SELECT id FROM queues WHERE source = ? AND host = ?", (source, host)).fetchone()
            if len(self._queues) >= _KNOWN_QUEUES:
                self._queues.clear()
            queue = self._queues[source, host] = int(row[0])
        return queue

    # --- tasks go out ---

    def lease(
        self,
        n: int,
        now: float,
        lease_s: float,
        sources: Collection[str] | None = None,
        *,
        room: Callable[[str, str], int] = lambda _source, _host: sys.maxsize,
    ) -> list[Task]:
        """Lease up to `n` due tasks of hosts that are neither paused nor claimed by a second process.

        Queues (one source on one host) take turns; within one, highest priority first, then the order of adding.
        `room(source, host)` is how many tasks of that queue are wanted; it is called once per queue and lease.
        """
        tasks: list[Task] = []
        with self.group():
            self._db.execute("UPDATE tasks SET state = 0 WHERE state = 5 AND next_at <= ?", (now,))
            for queue, source, host in self._open_queues(now):
                task_count = min(room(source, host), n - len(tasks)) if sources is None or source in sources else 0
                if task_count <= 0:
                    continue
                rows = self._db.execute(
                    f"SELECT {_TASK} FROM tasks t WHERE t.queue = ? AND t.state = 0"
                    " ORDER BY t.priority DESC, t.seq LIMIT ?",
                    (queue, task_count),
                ).fetchall()
                tasks += [_task(row, source, host) for row in rows]
                self.run.claim(host, now)
                self._turn = queue
                if len(tasks) >= n:
                    break
            self._db.executemany(
                "UPDATE tasks SET state = 1, lease_until = ?, owner = ? WHERE seq = ?",
                [(now + lease_s, self.run.owner, task.seq) for task in tasks],
            )
        return tasks

    def _open_queues(self, now: float) -> Iterator[tuple[int, str, str]]:
        """Queues with due tasks, starting behind the queue served last."""
        start, living = self._turn, self.run.living()
        for low, high in ((start, sys.maxsize), (-1, start)):
            while rows := self._db.execute(
                "SELECT q.id, q.source, q.host FROM counts c JOIN queues q ON q.id = c.queue"
                " LEFT JOIN hosts h ON h.host = q.host"
                " WHERE c.state = 0 AND c.queue > ? AND c.queue <= ? AND (h.owner IS NULL OR h.owner = ?"
                f" OR (h.claimed_until < ? AND h.owner NOT IN ({','.join('?' * len(living))})))"
                " AND coalesce(h.paused_until, 0) <= ? ORDER BY c.queue LIMIT ?",
                (low, high, self.run.owner, now, *living, now, _QUEUES_AT_A_TIME),
            ).fetchall():
                yield from rows
                low = rows[-1][0]

    # --- what became of them ---

    def fetched(
        self,
        key: str,
        *,
        now: float,
        http_status: int = 200,
        reason: str | None = None,
        finding: str | None = None,
        known: Validators | None = None,
    ) -> None:
        """Mark the task fetched; `reason` says why the page object could not be asked for follow-ups."""
        known = known or Validators()
        self._db.execute(
            f"UPDATE tasks SET state = 2, {_HOME}, attempts = attempts + 1, reason = ?, finding = ?, next_at = 0,"
            " http_status = ?, lease_until = NULL, owner = NULL, fetched_at = ?, etag = ?, last_modified = ?,"
            " body_sha256 = ?, found_at = nullif(?, url) WHERE key = ?",
            (
                *(reason, redact(finding) if finding else finding, http_status, now),
                *(known.etag, known.last_modified, known.body_sha256, known.found_at),
                bytes.fromhex(key),
            ),
        )

    def failed(
        self,
        key: str,
        reason: str,
        retry_at: float | None = None,
        *,
        finding: str = "",
        http_status: int | None = None,
    ) -> None:
        """Mark the task failed, or with `retry_at` pending from that time on; the attempt counts either way."""
        state, next_at = (FAILED, 0.0) if retry_at is None else (LATER, retry_at)
        self._settle(key, state, reason=reason, finding=finding, next_at=next_at, http_status=http_status)

    def denied(self, key: str, signal: str, *, again_at: float = 0.0, http_status: int | None = None) -> None:
        """Mark the task denied by `signal`; with `again_at`, `reopen` makes it pending from that time on."""
        reason = signal.partition(":")[0].strip().replace(" ", "_")
        self._settle(key, DENIED, reason=reason, finding=signal, next_at=again_at, http_status=http_status)

    def postpone(self, key: str, until: float, reason: str = "") -> None:
        """Return a leased task to pending, due at `until`, without counting an attempt: no request was sent."""
        self._db.execute(
            "UPDATE tasks SET state = ?, next_at = ?, lease_until = NULL, owner = NULL, reason = ?"
            " WHERE key = ? AND state = ?",
            (LATER if until else PENDING, until, reason or None, bytes.fromhex(key), LEASED),
        )

    def moved(self, key: str, source: str, url: str, until: float = 0.0) -> None:
        """Move a leased task to the URL of a redirect, in the queue of that URL's host, pending from `until` on."""
        url = strip_secrets(url)
        self._db.execute(
            "UPDATE tasks SET home = coalesce(home, queue), queue = ?, onward = ?, hops = hops + 1, state = ?,"
            " next_at = ?, reason = 'redirected', lease_until = NULL, owner = NULL WHERE key = ? AND state = ?",
            (self._queue(source, host_of(url)), url, LATER if until else PENDING, until, bytes.fromhex(key), LEASED),
        )

    def _settle(
        self,
        key: str,
        state: int,
        *,
        reason: str | None = None,
        finding: str | None = None,
        next_at: float = 0.0,
        http_status: int | None = None,
    ) -> None:
        reason, finding = (text and redact(text) for text in (reason, finding))
        # A fetched task stays fetched: its response is durable, whatever a late loser reports.
        self._db.execute(
            f"UPDATE tasks SET state = ?, {'' if state == LATER else _HOME + ','} attempts = attempts + 1, reason = ?,"
            " finding = ?, next_at = ?, http_status = ?, lease_until = NULL, owner = NULL WHERE key = ? AND state <> ?",
            (state, reason, finding, next_at, http_status, bytes.fromhex(key), FETCHED),
        )

    # --- back to pending ---

    def renew(self, now: float, lease_s: float) -> None:
        """Renew the own process's leases: a living process keeps them, however long the tasks wait for their turn."""
        self._db.execute(
            "UPDATE tasks SET lease_until = ? WHERE state = 1 AND owner = ?", (now + lease_s, self.run.owner)
        )

    def release_expired(self, now: float) -> int:
        """Make tasks with an expired lease pending, except tasks of living foreign processes; returns the number."""
        living = self.run.living()
        cursor = self._db.execute(
            "UPDATE tasks SET state = 0, lease_until = NULL, owner = NULL WHERE state = 1 AND lease_until <= ?"
            f" AND owner NOT IN ({','.join('?' * len(living))})",
            (now, *living),
        )
        return cursor.rowcount

    def reopen(self, now: float, *, reasons: Collection[str] = ()) -> int:
        """Make denied tasks that are due, and tasks failed for one of `reasons`, pending again."""
        marks = ",".join("?" * len(reasons))
        cursor = self._db.execute(
            "UPDATE tasks SET state = 0, next_at = 0, attempts = 0 WHERE state IN (3, 4) AND"
            f" ((state = 4 AND next_at > 0 AND next_at <= ?) OR (state = 3 AND reason IN ({marks})))",
            (now, *reasons),
        )
        return cursor.rowcount

    def ask_again(self, before: float, sources: Collection[str]) -> int:
        """Make tasks of the sources fetched before the time pending again; returns how many."""
        queues = f"SELECT id FROM queues WHERE source IN ({','.join('?' * len(sources))})"
        cursor = self._db.execute(
            f"UPDATE tasks SET state = 0, next_at = 0, attempts = 0 WHERE state = 2 AND fetched_at < ?"
            f" AND queue IN ({queues})",
            (before, *sources),
        )
        return cursor.rowcount

    def retry(self, whys: Collection[str], sources: Collection[str]) -> int:
        """Make tasks of the sources lost for one of `whys` pending again, as if never tried; returns how many.

        So do those put off for one of them, which would be asked again by themselves, but later.
        A why is a reason, or "failed" or "denied" for every task in that state.
        """
        queues, reasons = (",".join("?" * len(names)) for names in (sources, whys))
        states = [FAILED if why == "failed" else DENIED for why in whys if why in ("failed", "denied")]
        n = 0
        for some in ("state IN (3, 4)", "state = 5"):  # each has an index of its own
            n += self._db.execute(
                f"UPDATE tasks SET state = 0, {_HOME}, next_at = 0, attempts = 0 WHERE {some}"
                f" AND (reason IN ({reasons}) OR state IN ({','.join('?' * len(states))}))"
                f" AND queue IN (SELECT id FROM queues WHERE source IN ({queues}))",
                (*whys, *states, *sources),
            ).rowcount
        return n

    # --- what sites say for all their pages ---

    def site_file(self, url: str) -> tuple[int, bytes, float] | None:
        """Status, body and fetch time of a site's own file (robots.txt), kept for later turns at a slow host."""
        row: tuple[int, bytes, float] | None = self._db.execute(
            "SELECT status, body, fetched_at FROM site_files WHERE url = ?", (url,)
        ).fetchone()
        return row

    def keep_site_file(self, url: str, status: int, body: bytes, now: float) -> None:
        self._db.execute("INSERT OR REPLACE INTO site_files VALUES (?, ?, ?, ?)", (url, status, body, now))

    # --- what of the WARC files is taken account of ---

    def warc_mark(self, file: str) -> int:
        """Bytes of the WARC file that the ledger accounts for."""
        row = self._db.execute("SELECT offset FROM warc_marks WHERE file = ?", (file,)).fetchone()
        return int(row[0]) if row else 0

    def mark_warc(self, file: str, offset: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO warc_marks VALUES (?, ?)", (file, offset))


def _task(row: tuple[Any, ...], source: str, host: str) -> Task:
    priority, seq, key, url, kind, track_id, attempts, onward, hops, *validator_fields = row
    validators = Validators(*validator_fields)
    return Task(priority, seq, key.lower(), source, url, host, kind, track_id, attempts, validators, onward, hops)
