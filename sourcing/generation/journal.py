"""The call journal: SQLite that says of every call whether it was sent and keeps every reply as it arrived.

    planned → sending (committed before the socket is touched) → replied | failed | unknown

A reply that reached us is never lost and never paid twice. A call found `sending` whose process is gone was in
flight at a crash: it becomes `unknown`, is reported, and is never resent unless asked for. Several processes may
work on one journal: a call is taken by the one whose `sending` comes first.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from sourcing.generation.budget import NO_CEILINGS, Ceilings
from sourcing.generation.journal_reading import STATES, CallRow, JournalReader, RunState
from sourcing.generation.journal_schema import JOURNAL_FILE, connect, empty, packer, unpack
from sourcing.generation.plan import PlannedCall
from sourcing.store.shard import Shard
from sourcing.store.turn import Turn

__all__ = ["JOURNAL_FILE", "STATES", "TAKEN", "CallRow", "Journal", "OpenCall", "Reserved", "RunState"]

_TURN_FILE = "journal.turn"
TAKEN = "taken"  # by another process
IN_FLIGHT_AT_A_CRASH = "in flight when its run ended: it may have been answered and billed"


class Reserved(NamedTuple):
    """The worst a call may use, set aside before it is sent; cost in nano-USD. `calls` is 0 where nothing is held."""

    tokens: int = 0
    nusd: int = 0
    calls: int = 1


NOTHING = Reserved()
_HOLD_NOTHING = "UPDATE calls SET reserved_calls = 0, reserved_tokens = 0, reserved_nusd = 0"


class OpenCall(NamedTuple):
    """A call that has no reply yet, with the body as it is sent. `kind`: root, larger or repair."""

    call_id: int
    request_key: str
    body: bytes
    kind: str = "root"
    parent: int | None = None
    state: str = "planned"


class Journal(JournalReader):
    """The journal of one workspace; each statement commits by itself unless it stands in a `transaction()`.

    `owner` names this process in what it writes; `Presence` tells whether the process of an owner is alive.
    """

    def __init__(self, connection: sqlite3.Connection, owner: str = "", turn: Turn | None = None) -> None:
        super().__init__(connection)
        self.owner = owner
        self._turn = turn
        self._pack = packer()

    @classmethod
    def open(cls, folder: Path, owner: str = "") -> Journal:
        """Open for writing; made when missing."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(connect(folder / JOURNAL_FILE), owner, Turn(folder / _TURN_FILE))

    @classmethod
    def read(cls, folder: Path) -> Journal:
        """Open for reading; a missing journal reads as an empty one and is not made."""
        return cls.open(folder) if (folder / JOURNAL_FILE).exists() else cls(empty())

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        if self._turn is not None:
            self._turn.close()

    @property
    def connection(self) -> sqlite3.Connection:
        return self._connection

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements inside become durable together, or not at all."""
        with self._turn.taken() if self._turn is not None else contextlib.nullcontext():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # --- calls come in ---

    def enter_run(
        self, *, pack: tuple[str, str, str], endpoint: str, model: str, plan: str, shard: str = "", at: datetime
    ) -> RunState:
        """The run of this plan to take up, or a new one; `pack` is its id, version and prompt hash.

        A run is taken up only while nothing that may share calls with it was begun after it, for its pack and endpoint:
        another plan, or another part of the tracks that overlaps with its own. A call belongs to the run that wanted
        it last.
        """
        with self.transaction():
            self._connection.execute(
                "INSERT OR IGNORE INTO endpoints (identity, model) VALUES (?, ?)", (endpoint, model)
            )
            (endpoint_id,) = self._connection.execute(
                "SELECT endpoint_id FROM endpoints WHERE identity = ? AND model = ?", (endpoint, model)
            ).fetchone()
            found = self._connection.execute(
                "SELECT run_id, position, planned FROM runs WHERE plan = ? AND shard = ? AND prompt_id = ?"
                " AND endpoint_id = ? ORDER BY run_id DESC LIMIT 1",
                (plan, shard, pack[0], endpoint_id),
            ).fetchone()
            newer = self._connection.execute(
                "SELECT DISTINCT plan, shard FROM runs WHERE prompt_id = ? AND endpoint_id = ? AND run_id > ?",
                (pack[0], endpoint_id, found[0] if found is not None else 0),
            )
            if found is not None and any(began != plan or _overlap(part, shard) for began, part in newer.fetchall()):
                found = None
            if found is not None:
                return RunState(int(found[0]), int(found[1]), bool(found[2]))
            made = self._connection.execute(
                "INSERT INTO runs (started_at, prompt_id, prompt_version, prompt_hash, endpoint_id, plan, shard)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (_text(at), *pack, endpoint_id, plan, shard),
            )
            return RunState(int(made.lastrowid or 0), 0, False)

    def register(
        self,
        run_id: int,
        calls: Sequence[PlannedCall],
        *,
        position: int,
        at: datetime,
        done: bool = False,
        rejected: Sequence[Mapping[str, str]] = (),
    ) -> list[OpenCall]:
        """Write down calls that a run wants and how far its plan has come; returns those without a reply, one per key.

        Calls already known keep their state. Call it inside a transaction, or as a change of the group commit.
        """
        now = _text(at)
        execute = self._connection.execute
        (endpoint_id,) = execute("SELECT endpoint_id FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        waiting: dict[int, OpenCall] = {}
        for call in calls:
            call_id, state, kind, parent = execute(
                "INSERT INTO calls (request_key, endpoint_id, run_id, sample_idx, state, planned_at, updated_at, bytes,"
                " body) VALUES (?, ?, ?, ?, 'planned', ?, ?, ?, ?) ON CONFLICT (request_key) DO UPDATE SET"
                " run_id = max(run_id, excluded.run_id), body = iif(state = 'replied', body, excluded.body)"
                " RETURNING call_id, state, kind, parent",
                (
                    *(call.request_key, endpoint_id, run_id, call.sample_idx, now, now),
                    *(len(call.payload), self._pack(call.payload)),
                ),
            ).fetchone()
            execute(
                "INSERT OR REPLACE INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(call.prompt_id, call.track_id, call.doc_id or "", call.sample_idx, call.language),
                    *(endpoint_id, call_id, run_id),
                ),
            )
            if state != "replied":
                waiting[call_id] = OpenCall(call_id, call.request_key, call.payload, kind, parent, state)
        for row in rejected:
            execute("INSERT INTO refused VALUES (?, ?, ?, ?)", (run_id, row["key"], row["reason"], row["finding"]))
        # Another process may plan the same run, and be further.
        execute(
            "UPDATE runs SET position = max(position, ?), planned = max(planned, ?) WHERE run_id = ?",
            (position, done, run_id),
        )
        return list(waiting.values())

    def follow(self, parent: OpenCall, kind: str, request_key: str, body: bytes, at: datetime) -> OpenCall | None:
        """Write down a call that follows a reply (`larger`, `repair`); None when its key is known already."""
        now, root = _text(at), parent.parent or parent.call_id
        row = self._connection.execute(
            "INSERT INTO calls (request_key, endpoint_id, run_id, sample_idx, kind, parent, state, planned_at,"
            " updated_at, bytes, body) SELECT ?, endpoint_id, run_id, sample_idx, ?, ?, 'planned', ?, ?, ?, ?"
            " FROM calls WHERE call_id = ? ON CONFLICT (request_key) DO NOTHING RETURNING call_id",
            (request_key, kind, root, now, now, len(body), self._pack(body), root),
        ).fetchone()
        return None if row is None else OpenCall(int(row[0]), request_key, body, kind, root)

    def open_calls(self, run_id: int, state: str, *, before: datetime, after: int = 0, n: int = 256) -> list[OpenCall]:
        """Up to `n` calls of a run that have been in `state` since `before`, by call_id from the one behind `after`.

        Calls that lie in a batch are not among them.
        """
        rows = self._connection.execute(
            "SELECT call_id, request_key, body, kind, parent, state FROM calls WHERE run_id = ? AND state = ?"
            " AND call_id > ? AND updated_at < ? AND batch IS NULL ORDER BY call_id LIMIT ?",
            (run_id, state, after, _text(before), n),
        )
        return [_open(row) for row in rows]

    def has_open(self, run_id: int, *, resend: bool) -> bool:
        """Whether anything of a run is to be sent, or to be looked at."""
        states = ("planned", "failed", "unknown") if resend else ("planned", "failed")
        marks = ", ".join("?" * len(states))
        row = self._connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM calls WHERE run_id = ? AND state IN ({marks}))"
            " OR EXISTS (SELECT 1 FROM calls WHERE run_id = ? AND state = 'replied' AND checked = 0)",
            (run_id, *states, run_id),
        ).fetchone()
        return bool(row[0])

    def unchecked(self, run_id: int) -> list[tuple[OpenCall, bytes]]:
        """Replied calls of a run whose reply nobody has looked at: their process ended in between."""
        ids = self._connection.execute(
            "SELECT call_id, request_key, body, kind, parent, state FROM calls"
            " WHERE run_id = ? AND state = 'replied' AND checked = 0 ORDER BY call_id",
            (run_id,),
        ).fetchall()
        return [(_open(row), self.raw_reply(row["request_key"])) for row in ids]

    # --- calls go out ---

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
        """Take a call and note that it is about to touch the socket; must be durable before it does.

        Returns "" when it may be sent, TAKEN when another process was first, or which ceiling it would pass.
        """
        row = self._connection.execute("SELECT state FROM calls WHERE call_id = ?", (call_id,)).fetchone()
        state = row["state"]
        if state not in ("planned", "failed") and not (resend and state == "unknown"):
            return TAKEN
        if refusal := self.budget.reserve(
            scope, calls=1, tokens=reserve.tokens, cost_nusd=reserve.nusd, ceilings=ceilings
        ):
            return refusal
        if state == "unknown":
            self._give_up(call_id, scope)
        self._connection.execute(
            "UPDATE calls SET state = 'sending', attempts = attempts + 1, owner = ?, error = NULL, updated_at = ?,"
            " reserved_calls = 1, reserved_tokens = ?, reserved_nusd = ? WHERE call_id = ?",
            (self.owner, _text(at), reserve.tokens, reserve.nusd, call_id),
        )
        return ""

    def release(self, call_id: int, at: datetime, *, scope: str = "") -> None:
        """A call that was taken and then not sent after all is planned again, as if it had never been taken."""
        self.give_back(call_id, scope)
        self._connection.execute(
            "UPDATE calls SET state = 'planned', attempts = attempts - 1, owner = NULL, batch = NULL, updated_at = ?"
            " WHERE call_id = ?",
            (_text(at), call_id),
        )

    def settle(
        self,
        call_id: int,
        state: str,
        *,
        outcome: str,
        at: datetime,
        scope: str = "",
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
        error: str | None = None,
    ) -> None:
        """End the call's current attempt: `raw` is the reply body, or the body of a refusal, untouched.

        A `failed` call gives back what was reserved. A replied one keeps it until `charge` knows what it used, and an
        `unknown` one as long as it is unknown.
        """
        self._connection.execute(
            "INSERT INTO attempts (call_id, attempt, owner, sent_at, ended_at, outcome, status, headers, reply)"
            " SELECT call_id, attempts, coalesce(owner, ''), updated_at, ?, ?, ?, ?, ? FROM calls WHERE call_id = ?",
            (
                *(_text(at), outcome, status, json.dumps(dict(headers or {}), sort_keys=True)),
                *(None if raw is None else self._pack(raw), call_id),
            ),
        )
        if state == "failed":
            self._spend(self._reserved(call_id), scope, tokens=0, cost_nusd=0)
            self._connection.execute(f"{_HOLD_NOTHING} WHERE call_id = ?", (call_id,))
        self._connection.execute(
            "UPDATE calls SET state = ?, error = ?, updated_at = ?, owner = NULL, batch = NULL WHERE call_id = ?",
            (state, error, _text(at), call_id),
        )

    def charge(
        self,
        call_id: int,
        *,
        input_tokens: int | None,
        output_tokens: int | None,
        cost_nusd: int | None,
        scope: str = "",
    ) -> None:
        """Enter what a reply used in place of what was reserved, and note that it was looked at.

        A reply that tells no usage, or whose price is not known, is charged all that was reserved.
        """
        reserved = self._reserved(call_id)
        told = input_tokens is not None and output_tokens is not None
        tokens = (input_tokens or 0) + (output_tokens or 0) if told else reserved.tokens
        cost = reserved.nusd if cost_nusd is None or not told else cost_nusd
        self._spend(reserved, scope, tokens=tokens, cost_nusd=cost)
        self._connection.execute(
            "UPDATE attempts SET input_tokens = ?, output_tokens = ?, cost_nusd = ? WHERE attempt_id ="
            " (SELECT MAX(attempt_id) FROM attempts WHERE call_id = ?)",
            (input_tokens, output_tokens, cost, call_id),
        )
        self._connection.execute(f"{_HOLD_NOTHING}, checked = 1 WHERE call_id = ?", (call_id,))

    def give_back(self, call_id: int, scope: str) -> None:
        """What was reserved for a call is free again: it was not sent, or another journal knows what it cost."""
        held = self._reserved(call_id)
        self.budget.release(scope, calls=held.calls, tokens=held.tokens, cost_nusd=held.nusd)
        self._connection.execute(f"{_HOLD_NOTHING} WHERE call_id = ?", (call_id,))

    def _give_up(self, call_id: int, scope: str) -> None:
        """A call of unknown fate that is sent again may have been paid: it counts at its worst."""
        held = self._reserved(call_id)
        self._spend(held, scope, tokens=held.tokens, cost_nusd=held.nusd)
        self._connection.execute(f"{_HOLD_NOTHING} WHERE call_id = ?", (call_id,))

    def _spend(self, held: Reserved, scope: str, *, tokens: int, cost_nusd: int) -> None:
        """Enter in the budget what was used in place of what was held."""
        self.budget.settle(
            scope,
            calls=held.calls,
            reserved_tokens=held.tokens,
            reserved_nusd=held.nusd,
            tokens=tokens,
            cost_nusd=cost_nusd,
        )

    def _reserved(self, call_id: int) -> Reserved:
        row = self._connection.execute(
            "SELECT reserved_tokens, reserved_nusd, reserved_calls FROM calls WHERE call_id = ?", (call_id,)
        ).fetchone()
        return Reserved(*row)

    def bury(self, is_dead: Callable[[str], bool], at: datetime) -> int:
        """Calls in flight whose process is gone become `unknown`; returns how many. Those in a batch live on."""
        owners = [
            str(row[0])
            for row in self._connection.execute(
                "SELECT DISTINCT coalesce(owner, '') FROM calls WHERE state = 'sending' AND batch IS NULL"
            )
        ]
        lost = 0
        for owner in filter(is_dead, owners):
            with self.transaction():
                ids = self._connection.execute(
                    "SELECT call_id FROM calls WHERE state = 'sending' AND batch IS NULL AND coalesce(owner, '') = ?",
                    (owner,),
                ).fetchall()
                for (call_id,) in ids:
                    self.settle(call_id, "unknown", outcome="unknown", at=at, error=IN_FLIGHT_AT_A_CRASH)
                lost += len(ids)
        return lost


def _open(row: sqlite3.Row) -> OpenCall:
    call_id, key, body, kind, parent, state = row
    return OpenCall(int(call_id), str(key), unpack(body), str(kind), parent, str(state))


def _overlap(one: str, other: str) -> bool:
    """Whether two parts of the tracks, "" for all of them, may have a track in common."""
    first, second = (Shard.parse(text or "1/1") for text in (one, other))
    return (first.index - second.index) % math.gcd(first.count, second.count) == 0


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
