"""Archive: where each task's captures lie in the WARC files, and the refusals of pages, should records be lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

__all__ = ["TABLES", "Archive", "Refusal"]

#: Came after the first ledgers. Pages that were opted out before are entered once, with the time of entering.
TABLES = """
CREATE TABLE warc_files (
    id INTEGER PRIMARY KEY, file TEXT NOT NULL UNIQUE, size INTEGER NOT NULL DEFAULT -1, changed INTEGER
);
CREATE TABLE captures (
    file INTEGER NOT NULL, offset INTEGER NOT NULL, key BLOB NOT NULL, whole INTEGER NOT NULL,
    PRIMARY KEY (file, offset)
) WITHOUT ROWID;
CREATE TABLE refusals (key BLOB PRIMARY KEY, at REAL NOT NULL, signal TEXT NOT NULL) WITHOUT ROWID;
"""
_REFUSED = " WHERE state = 4 AND next_at = 0 AND body_sha256 IS NOT NULL"
TABLES += f"INSERT INTO refusals SELECT key, unixepoch(), coalesce(finding, '') FROM tasks{_REFUSED};"
_LOST = -1  # `whole` of a capture that was found spoilt, and whose task was asked again if need be
REASON = "warc_damaged"


class Refusal(NamedTuple):
    """A page's refusal: task, last address, time and signal."""

    source: str
    url: str
    task: str
    at: float
    signal: str


class Archive:
    """The ledger's tables of WARC files, captures and refusals."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._files: dict[str, int] = {}

    # --- captures ---

    def enter(self, captures: Iterable[tuple[str, int, str, bool]]) -> None:
        """Insert captures: file, offset, task, and True for a capture that holds its own body (a revisit does not)."""
        self._db.executemany(
            "INSERT OR REPLACE INTO captures VALUES (?, ?, ?, ?)",
            [(self._file(file), offset, bytes.fromhex(key), whole) for file, offset, key, whole in captures],
        )

    def offsets(self, file: str) -> dict[int, str]:
        """Offset → task of the file's captures, lost captures left out."""
        rows = self._db.execute(
            "SELECT c.offset, hex(c.key) FROM captures c JOIN warc_files f ON f.id = c.file"
            " WHERE f.file = ? AND c.whole <> ?",
            (file, _LOST),
        )
        return {offset: key.lower() for offset, key in rows}

    def files(self) -> set[str]:
        """Names of the files with at least one capture that is not lost."""
        return {
            name
            for (name,) in self._db.execute(
                "SELECT file FROM warc_files f WHERE EXISTS"
                f" (SELECT 1 FROM captures WHERE file = f.id AND whole <> {_LOST})"
            )
        }

    def forget(self, file: str) -> None:
        """Delete the captures of a file whose records moved into new files."""
        self._db.execute("DELETE FROM captures WHERE file = ?", (self._file(file),))

    def lose(self, file: str, offsets: Collection[int], finding: str) -> int:
        """Mark the captures at `offsets` lost; returns the number of tasks made pending for lack of a later capture."""
        number, db = self._file(file), self._db
        db.execute("CREATE TEMP TABLE IF NOT EXISTS lost (key BLOB, offset INTEGER, PRIMARY KEY (key, offset))")
        db.execute("DELETE FROM lost")
        db.executemany(
            "INSERT OR IGNORE INTO lost SELECT key, offset FROM captures WHERE file = ? AND offset = ? AND whole = 1",
            [(number, offset) for offset in offsets],
        )
        db.executemany(
            f"UPDATE captures SET whole = {_LOST} WHERE file = ? AND offset = ?", [(number, each) for each in offsets]
        )
        # One pass over all captures, and none over tasks: a spoilt record is rare.
        db.execute(
            "DELETE FROM lost WHERE EXISTS (SELECT 1 FROM (SELECT key, max(file) AS file, max(offset) AS offset"
            " FROM captures WHERE whole = 1 AND key IN (SELECT key FROM lost) GROUP BY key, file) c"
            " WHERE c.key = lost.key AND (c.file > ? OR (c.file = ? AND c.offset > lost.offset)))",
            (number, number),
        )
        return self._ask("key IN (SELECT key FROM lost)", (), finding)

    def lose_pages(self, urls: Collection[str], finding: str) -> int:
        """Make the pages at `urls` pending, in a ledger older than the table of captures; returns their number."""
        marks = ",".join("?" * len(urls))
        return self._ask(f"url IN ({marks}) OR found_at IN ({marks})", (*urls, *urls), finding) if urls else 0

    def _ask(self, which: str, values: tuple[str, ...], finding: str) -> int:
        # An empty body_sha256 says that there was a body, so that a later no is still a no to it, and which is gone.
        cursor = self._db.execute(
            "UPDATE tasks SET state = 0, next_at = 0, attempts = 0, reason = ?, finding = ?, etag = NULL,"
            f" last_modified = NULL, body_sha256 = '' WHERE state IN (2, 4) AND ({which})",
            (REASON, finding, *values),
        )
        return cursor.rowcount

    # --- files ---

    def looked_through(self, file: str) -> tuple[int, int] | None:
        """Size in bytes and modification time in ns that the file had at the last complete reading."""
        row = self._db.execute("SELECT size, changed FROM warc_files WHERE file = ?", (file,)).fetchone()
        return None if row is None else (row[0], row[1])

    def note_looked_through(self, file: str, size: int, changed_at: int) -> None:
        self._db.execute(
            "UPDATE warc_files SET size = ?, changed = ? WHERE id = ?", (size, changed_at, self._file(file))
        )

    def _file(self, file: str) -> int:
        number = self._files.get(file)
        if number is None:
            self._db.execute("INSERT OR IGNORE INTO warc_files (file) VALUES (?)", (file,))
            number = int(self._db.execute("SELECT id FROM warc_files WHERE file = ?", (file,)).fetchone()[0])
            if not self._db.in_transaction:
                self._files[file] = number
        return number

    # --- refusals ---

    def refuse(self, key: str, at: float, signal: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO refusals VALUES (?, ?, ?)", (bytes.fromhex(key), at, signal))

    def allow(self, key: str) -> None:
        self._db.execute("DELETE FROM refusals WHERE key = ?", (bytes.fromhex(key),))

    def refusals(self) -> Iterator[Refusal]:
        """Refusals in force, in the order of tasks; the denied tasks, in a ledger older than the table of refusals."""
        has_table = self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'refusals'").fetchone()
        older = "(SELECT key, unixepoch() AS at, coalesce(finding, '') AS signal FROM tasks" + _REFUSED + ")"
        for source, url, key, at, signal in self._db.execute(
            "SELECT q.source, coalesce(t.found_at, t.url), hex(t.key), r.at, r.signal"
            f" FROM {'refusals' if has_table else older} r"
            " JOIN tasks t ON t.key = r.key JOIN queues q ON q.id = t.queue ORDER BY t.seq"
        ):
            yield Refusal(source, url, key.lower(), at, signal)
