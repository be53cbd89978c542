"""Journal: records each call's state in SQLite before and after sending, and keeps replies as received.

    planned → sending (committed before the socket is touched) → replied | failed | unknown

A received reply is never lost and never paid twice. A call `sending` in a dead process was in flight at a crash: it
becomes `unknown`, is reported, and is resent only on request. Several processes may work on one journal: a call is
taken by the first process to set `sending`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from sourcing.generation.calls import CallEnd, OpenCall
from sourcing.generation.cost.budget import NO_CEILINGS, Budget, Ceilings
from sourcing.generation.journal.reader import STATES, CallRow, JournalReader, RunState
from sourcing.generation.journal.schema import JOURNAL_FILE, ODD_LINES, as_text, compressor, connect, empty
from sourcing.redactor import redact, redact_bytes
from sourcing.store.presence import Presence
from sourcing.store.turn import Turn

__all__ = [
    "JOURNAL_FILE",
    "STATES",
    "TAKEN",
    "CallRow",
    "Journal",
    "OpenCall",
    "Reserved",
    "RunState",
    "enter_journal",
]

TAKEN = "taken"  # by another process
_KEPT_BYTES = 1_000_000  # of an odd line
IN_FLIGHT_AT_A_CRASH = "in flight when its run ended: it may have been answered and billed"


class Reserved(NamedTuple):
    """Worst case of a call, set aside before sending; cost in nano-USD, `calls` 0 without a reservation."""

    tokens: int = 0
    nusd: int = 0
    calls: int = 1


NOTHING = Reserved()
_HOLD_NOTHING = "UPDATE calls SET reserved_calls = 0, reserved_tokens = 0, reserved_nusd = 0"


class Journal:
    """Writes the journal of one workspace; each statement commits separately unless in a `transaction()`.

    `owner` names this process in its rows; `Presence` tells whether an owner's process is alive.
    """

    def __init__(self, connection: sqlite3.Connection, owner: str = "", turn: Turn | None = None) -> None:
        self.connection = connection
        self.owner = owner
        self.reader = JournalReader(connection)
        self.budget = Budget(connection)
        self.compress = compressor()
        self._turn = turn

    @classmethod
    def open(cls, folder: Path, owner: str = "") -> Journal:
        """Open the journal of a workspace's generation folder for writing; folder and file are made when missing."""
        folder.mkdir(parents=True, exist_ok=True)
        turn = Turn(folder / f"{JOURNAL_FILE}.turn")
        with turn.taken():  # SQLite does not wait for another process that makes the same file
            return cls(connect(folder / JOURNAL_FILE), owner, turn)

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Open the journal for reading; a missing journal reads as empty and is not made."""
        return cls.open(folder) if (folder / JOURNAL_FILE).exists() else cls(empty())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        if self._turn is not None:
            self._turn.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all statements of the block together, or roll back and re-raise."""
        with self._turn.taken() if self._turn is not None else nullcontext():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo writes made inside when the block raises, and keep the surrounding transaction."""
        self.connection.execute("SAVEPOINT inner")
        try:
            yield
        except sqlite3.OperationalError:  # of the disk: the whole transaction is lost
            raise
        except BaseException:
            self.connection.execute("ROLLBACK TO inner")
            self.connection.execute("RELEASE inner")
            raise
        self.connection.execute("RELEASE inner")

    def sending(
        self,
        call_id: int,
        at: datetime,
        *,
        scope: str = "",
        reserve: Reserved = NOTHING,
        ceilings: Ceilings = NO_CEILINGS,
        resend: bool = False,
    ) -> str:
        """Take a call, reserve its worst case and set the state `sending`; must be durable before the socket is used.

        Returns "" when the call may be sent, TAKEN when a second process was first, or the ceiling the call would pass.
        `resend` also takes a call in state `unknown`.
        """
        row = self.connection.execute("SELECT state FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        state = row["state"]
        if state not in ("planned", "failed") and not (resend and state == "unknown"):
            return TAKEN
        if refusal := self.budget.reserve(
            scope, calls=1, tokens=reserve.tokens, cost_nusd=reserve.nusd, ceilings=ceilings
        ):
            return refusal
        if state == "unknown":
            self._give_up(call_id, scope)
        self.connection.execute(
            "UPDATE calls SET state = 'sending', attempts = attempts + 1, owner = ?, error = NULL, updated_at = ?,"
            " reserved_calls = 1, reserved_tokens = ?, reserved_nusd = ? WHERE call_id = ?",
            (self.owner, as_text(at), reserve.tokens, reserve.nusd, call_id),
        )
        return ""

    def release(self, call_id: int, at: datetime, *, scope: str = "") -> None:
        """Return a call that was taken and not sent to the state `planned`."""
        self.give_back(call_id, scope)
        self.connection.execute(
            "UPDATE calls SET state = 'planned', attempts = attempts - 1, owner = NULL, batch = NULL, updated_at = ?"
            " WHERE call_id = ?",
            (as_text(at), call_id),
        )

    def never_begun(
        self, call_id: int, outcome: str, *, headers: Mapping[str, str], at: datetime, scope: str = ""
    ) -> None:
        """Journal an attempt that no model saw, free the reservation and plan the call again."""
        end = CallEnd("unknown", outcome, headers=headers)  # keeps what is reserved, which `release` gives back
        self.settle(call_id, end, at=at, scope=scope)
        self.release(call_id, at, scope=scope)
        self.connection.execute("UPDATE calls SET attempts = attempts + 1 WHERE call_id = ?", (call_id,))

    def plan_again(self, call_id: int) -> None:
        """Set a call with a passing failure to `planned`."""
        self.connection.execute("UPDATE calls SET state = 'planned', error = NULL WHERE call_id = ?", (call_id,))

    def settle(self, call_id: int, end: CallEnd, *, at: datetime, scope: str = "") -> None:
        """End the call's current attempt and store its outcome and reply.

        A `failed` call frees its reservation. A `replied` call keeps the reservation until `charge`, an `unknown` call
        as long as it is unknown.
        """
        attempt = self.connection.execute(
            "INSERT INTO attempts (call_id, attempt, owner, sent_at, ended_at, outcome, status, headers)"
            " SELECT call_id, attempts, coalesce(owner, ''), updated_at, ?, ?, ?, ? FROM calls WHERE call_id = ?",
            (as_text(at), end.outcome, end.status, json.dumps(dict(end.headers or {}), sort_keys=True), call_id),
        )
        if end.raw is not None:
            self.connection.execute("INSERT INTO replies VALUES (?, ?)", (attempt.lastrowid, self.compress(end.raw)))
        self._end(call_id, end.state, scope=scope, error=end.error, at=at)

    def _end(self, call_id: int, state: str, *, scope: str, error: str | None, at: datetime) -> None:
        if state == "failed":
            self._spend(self._reserved(call_id), scope, tokens=0, cost_nusd=0)
            self._hold_nothing(call_id)
        self.connection.execute(
            "UPDATE calls SET state = ?, error = ?, updated_at = ?, owner = NULL, batch = NULL WHERE call_id = ?",
            (state, redact(error) if error else error, as_text(at), call_id),
        )

    def retract(self, call_id: int, state: str, *, outcome: str, at: datetime, scope: str = "", error: str) -> None:
        """Undo a reply that proved to hold no answer: `failed` frees the reservation, `unknown` keeps the reservation.

        The bytes of the reply stay with the attempt.
        """
        self.connection.execute(
            "UPDATE attempts SET outcome = ? WHERE attempt_id ="
            " (SELECT MAX(attempt_id) FROM attempts WHERE call_id = ?)",
            (outcome, call_id),
        )
        self._end(call_id, state, scope=scope, error=error, at=at)

    def charge(
        self,
        call_id: int,
        *,
        input_tokens: int | None,
        output_tokens: int | None,
        cost_nusd: int | None,
        scope: str = "",
        reserved: Reserved | None = None,
        row_error: str | None = None,
    ) -> None:
        """Replace the reservation by the usage of a reply, and mark the reply as checked.

        `row_error` names the exception raised by the check; such a reply counts as checked, too.

        A reply without usage is charged the whole reservation, a reply without known cost the reserved cost. `reserved`
        saves reading the reservation. Charging is idempotent: a process may find replies that a second process is about
        to charge, and only the first charge counts.
        """
        reserved = self._reserved(call_id) if reserved is None else reserved
        if not self.connection.execute(
            f"{_HOLD_NOTHING}, checked = 1, error = ? WHERE call_id = ? AND checked = 0", (row_error, call_id)
        ).rowcount:
            return
        is_known = input_tokens is not None and output_tokens is not None
        tokens = (input_tokens or 0) + (output_tokens or 0) if is_known else reserved.tokens
        cost = reserved.nusd if cost_nusd is None or not is_known else cost_nusd
        self._spend(reserved, scope, tokens=tokens, cost_nusd=cost)
        self.connection.execute(
            "UPDATE attempts SET input_tokens = ?, output_tokens = ?, cost_nusd = ?, counted_tokens = ?"
            " WHERE attempt_id = (SELECT MAX(attempt_id) FROM attempts WHERE call_id = ?)",
            (input_tokens, output_tokens, cost, tokens, call_id),
        )

    def give_back(self, call_id: int, scope: str) -> None:
        """Free the reservation of a call that was not sent, or whose cost a second journal knows."""
        reservation = self._reserved(call_id)
        self.budget.release(scope, calls=reservation.calls, tokens=reservation.tokens, cost_nusd=reservation.nusd)
        self._hold_nothing(call_id)

    def _give_up(self, call_id: int, scope: str) -> None:
        """Charge an `unknown` call its whole reservation before a resend, as the first attempt may have been paid."""
        reservation = self._reserved(call_id)
        self._spend(reservation, scope, tokens=reservation.tokens, cost_nusd=reservation.nusd)
        self.connection.execute(
            "UPDATE attempts SET cost_nusd = ?, counted_tokens = ?"
            " WHERE attempt_id = (SELECT MAX(attempt_id) FROM attempts WHERE call_id = ?)",
            (reservation.nusd, reservation.tokens, call_id),
        )
        self._hold_nothing(call_id)

    def _spend(self, reservation: Reserved, scope: str, *, tokens: int, cost_nusd: int) -> None:
        """Replace a reservation by actual tokens and cost in the budget."""
        self.budget.settle(
            scope,
            calls=reservation.calls,
            reserved_tokens=reservation.tokens,
            reserved_nusd=reservation.nusd,
            tokens=tokens,
            cost_nusd=cost_nusd,
        )

    def _hold_nothing(self, call_id: int) -> None:
        self.connection.execute(f"{_HOLD_NOTHING} WHERE call_id = ?", (call_id,))

    def _reserved(self, call_id: int) -> Reserved:
        row = self.connection.execute(
            "SELECT reserved_tokens, reserved_nusd, reserved_calls FROM calls WHERE call_id = ?", (call_id,)
        ).fetchone()
        return Reserved(*row)

    def keep_odd_line(self, line: bytes, reason: str, finding: str) -> None:
        """Keep the first 1 MB, redacted, of a batch's answer line without a call; equal lines are kept once."""
        line = redact_bytes(line)[:_KEPT_BYTES]
        self.connection.execute(ODD_LINES)
        self.connection.execute(
            "INSERT OR IGNORE INTO odd_lines VALUES (?, ?, ?, ?)",
            (hashlib.sha256(line).hexdigest(), reason, redact(finding), self.compress(line)),
        )

    def bury(self, is_dead: Callable[[str], bool], at: datetime) -> int:
        """Set calls in flight of dead processes to `unknown`, except calls in a batch; returns their number."""
        owners = [
            str(row[0])
            for row in self.connection.execute(
                "SELECT DISTINCT coalesce(owner, '') FROM calls WHERE state = 'sending' AND batch IS NULL"
            )
        ]
        lost_count = 0
        for owner in filter(is_dead, owners):
            with self.transaction():
                ids = self.connection.execute(
                    "SELECT call_id FROM calls WHERE state = 'sending' AND batch IS NULL AND coalesce(owner, '') = ?",
                    (owner,),
                ).fetchall()
                for (call_id,) in ids:
                    self.settle(call_id, CallEnd("unknown", "unknown", error=IN_FLIGHT_AT_A_CRASH), at=at)
                lost_count += len(ids)
        return lost_count


@contextmanager
def enter_journal(folder: Path) -> Iterator[tuple[Journal, Presence]]:
    """Open a folder's journal for writing, with this process registered in the folder's `Presence` meanwhile."""
    presence = Presence(folder)
    with presence.entered(), Journal.open(folder, presence.owner) as journal:
        yield journal, presence
