"""Quota: requests and tokens per minute, and pauses, that all processes of one workspace share.

Requests and tokens are drawn from a small SQLite file.

A process draws what it needs for a quarter of a second at once, so that calls cost no transaction each. A bucket holds
one second's worth (at least one request): in any minute all processes together stay within limit + one second's worth
+ what each of them has drawn ahead (a quarter of a second's worth or one call, whichever is more). Tokens reserved for
an answer that came out shorter are drawn again. Losing the file costs nothing: every bucket is full again in a second.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from sourcing.generation.limits.headers import Limit, Limits
from sourcing.generation.limits.pauses import SharedPause

__all__ = ["QUOTA_FILE", "SLICE_S", "Quota"]

QUOTA_FILE = "quota.sqlite3"
#: What a process draws ahead, in seconds of the limit's rate.
SLICE_S = 0.25

_BURST_S = 1.0
#: Waits are no shorter, so that a process at its limit draws ten times a second and not once a call.
_SHORTEST_WAIT_S = 0.1
#: Another process that drew so lately is drawing still: it is left half of what there is.
_DRAWING_S = 1.0
#: Limits learnt by another process, or by the last run, are believed this long.
_LEARNT_FOR_S = 3600.0
_ROUNDING = 1e-6
_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (
    name TEXT NOT NULL, kind TEXT NOT NULL, level REAL NOT NULL, at REAL NOT NULL, per_minute REAL NOT NULL,
    drawer TEXT NOT NULL, learnt REAL, learnt_at REAL, PRIMARY KEY (name, kind)
) WITHOUT ROWID
"""
_LOOK = "SELECT level, at, per_minute, drawer FROM buckets WHERE name = ? AND kind = ?"
_DRAWN = """
INSERT INTO buckets (name, kind, level, at, per_minute, drawer, learnt, learnt_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    level = excluded.level, at = excluded.at, per_minute = excluded.per_minute, drawer = excluded.drawer,
    learnt = coalesce(excluded.learnt, learnt), learnt_at = coalesce(excluded.learnt_at, learnt_at)
"""


class Quota:
    """The share of one process in the quota of an endpoint and model. With no limit known it does nothing.

    Limits come from settings, from the headers of replies (`learn`), or both: the lower one holds.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`name` is the endpoint's identity with the model; `clock` gives seconds since 1970."""
        self._path, self._name, self._clock = path, name, clock
        self._connection: sqlite3.Connection | None = None
        self._drawer = uuid.uuid4().hex
        self.pause = SharedPause(path.parent, name, clock=clock)
        self._requests = _Share("requests", requests_per_minute, smallest=1.0)
        self._tokens = _Share("tokens", tokens_per_minute, smallest=0.0)
        if path.exists():
            self._recall()

    def __enter__(self) -> Quota:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def requests_per_minute(self) -> float | None:
        return self._requests.per_minute

    @property
    def tokens_per_minute(self) -> float | None:
        return self._tokens.per_minute

    def take(self, tokens: float) -> tuple[float, float]:
        """Take one request and `tokens`: (0.0, tokens taken), or (seconds to wait before asking again, 0.0).

        The tokens taken go back into `settle`. A call larger than a whole minute's tokens takes the minute.
        """
        requests, token_share = self._requests, self._tokens
        wait_s, need = 0.0, 0.0
        if requests.per_minute is not None and requests.balance < 1.0:
            wait_s = self._draw(requests, 1.0)
        if token_share.per_minute is not None:
            need = min(float(tokens), token_share.per_minute)
            if token_share.balance < need:
                wait_s = max(wait_s, self._draw(token_share, need))
        if wait_s > 0:
            return wait_s, 0.0
        if requests.per_minute is not None:
            requests.balance -= 1.0
        token_share.balance -= need
        return 0.0, need

    def settle(self, tokens: float, used: float) -> None:
        """Give back an excess, or owe the amount used beyond the reservation; `tokens` is what `take` returned."""
        share = self._tokens
        if not tokens or share.per_minute is None:
            return
        share.balance = max(share.balance + tokens - used, -share.per_minute)
        keep = max(share.rate * _BURST_S, 2 * share.largest)
        if share.balance > keep:
            self._put_back(share, share.balance - keep / 2)

    def untake(self, tokens: float) -> None:
        """Give back a call that was not sent after all."""
        if self._requests.per_minute is not None:
            self._requests.balance += 1.0
        self.settle(tokens, 0.0)

    def learn(self, limits: Limits) -> None:
        """Adopt limits told by a reply, and a lower remaining amount than ours."""
        for share, limit in ((self._requests, limits.requests), (self._tokens, limits.tokens)):
            if limit.per_minute is not None or limit.remaining is not None:
                share.learn(limit, self._clock)

    def close(self) -> None:
        """Return drawn and unused amounts."""
        if self._connection is None:
            return
        for share in (self._requests, self._tokens):
            if share.per_minute is not None and share.balance:
                self._put_back(share, share.balance)
        self._connection.execute("UPDATE buckets SET drawer = '' WHERE drawer = ?", (self._drawer,))
        self._connection.close()
        self._connection = None

    def _draw(self, share: _Share, need: float) -> float:
        """Draw from the file as much of `need` and a slice as available; the seconds to wait when it is not enough.

        Parts are drawn too: a large call saves up for itself and is not starved by another process's small ones.
        """
        assert share.per_minute is not None
        early_s = share.drawn_at + _SHORTEST_WAIT_S - self._clock()
        if 0 < early_s < _SHORTEST_WAIT_S:
            return early_s
        share.largest = max(share.largest, need)
        with self._transaction() as connection:
            now = self._clock()
            row = connection.execute(_LOOK, (self._name, share.kind)).fetchone()
            level = share.burst
            if row is not None:
                level, at, per_minute, drawer = row
                if drawer not in ("", self._drawer):
                    share.rival_at = at
                # Processes with unlike settings: the stricter one holds while both draw.
                level = _refilled(level, now - at, min(per_minute, share.per_minute), share.burst)
            level = max(0.0, min(level, share.believed(now)))
            missing = need - share.balance
            amount = min(level, missing + share.rate * SLICE_S)
            if now - share.rival_at < _DRAWING_S and amount > level / 2:
                amount, share.drawn_at = level / 2, now
            values = (level - amount, now, share.per_minute, self._drawer, share.learnt, share.learnt_at)
            connection.execute(_DRAWN, (self._name, share.kind, *values))
        share.balance += amount
        missing -= amount
        if missing <= _ROUNDING:
            return 0.0
        share.drawn_at = now
        # Not so long that the bucket is full meanwhile and time is lost.
        return min(max(_SHORTEST_WAIT_S, missing / share.rate), share.burst / share.rate / 2)

    def _put_back(self, share: _Share, amount: float) -> None:
        with self._transaction() as connection:
            connection.execute(
                "UPDATE buckets SET level = min(per_minute, level + ?) WHERE name = ? AND kind = ?",
                (amount, self._name, share.kind),
            )
        share.balance -= amount

    def _recall(self) -> None:
        """Take over the limits that another process, or the last run, learnt lately."""
        rows = self._opened().execute("SELECT kind, learnt, learnt_at FROM buckets WHERE name = ?", (self._name,))
        limits = {kind: (learnt, learnt_at) for kind, learnt, learnt_at in rows.fetchall()}
        for share in (self._requests, self._tokens):
            learnt, learnt_at = limits.get(share.kind, (None, None))
            if learnt is not None and abs(self._clock() - learnt_at) < _LEARNT_FOR_S:
                share.limit_to(learnt, learnt_at)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = _connect(self._path)
            except sqlite3.DatabaseError as error:
                # Not synced, so a power cut may tear it; nothing in it is worth mending.
                if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                    raise
                self._path.unlink()
                self._connection = _connect(self._path)
        return self._connection


class _Share:
    """Share of this process in one kind of limit, requests or tokens."""

    __slots__ = (
        "balance",
        "burst",
        "drawn_at",
        "kind",
        "largest",
        "learnt",
        "learnt_at",
        "per_minute",
        "rate",
        "rival_at",
        "setting",
        "smallest",
        "surplus",
        "surplus_at",
    )  # fmt: skip

    def __init__(self, kind: str, setting: float | None, *, smallest: float) -> None:
        self.kind, self.setting, self.smallest = kind, setting, smallest
        self.balance = 0.0  # drawn and not yet used; below 0 when answers were longer than reserved
        self.largest = 0.0  # call so far
        self.drawn_at = -math.inf  # the last draw that did not bring all that was asked for
        self.rival_at = -math.inf  # the last draw of another process
        self.learnt: float | None = None
        self.learnt_at: float | None = None
        self.surplus: float | None = None  # the server's remaining beyond `held`, when it is less than we thought
        self.surplus_at = 0.0
        self._limit(setting)

    def learn(self, limit: Limit, clock: Callable[[], float]) -> None:
        if limit.per_minute is not None:
            self.limit_to(limit.per_minute, clock())
        if limit.remaining is None or self.per_minute is None or limit.remaining >= self.balance + self.burst:
            return
        self.balance = min(self.balance, limit.remaining)
        self.surplus, self.surplus_at = limit.remaining - max(0.0, self.balance), clock()

    def believed(self, now: float) -> float:
        """The most that the file may hold after the server's last word, which counts once."""
        if self.surplus is None:
            return math.inf
        most, self.surplus = self.surplus + max(0.0, now - self.surplus_at) * self.rate, None
        return most

    def limit_to(self, learnt: float, at: float) -> None:
        self.learnt_at = at
        if learnt != self.learnt:
            self.learnt = learnt
            self._limit(learnt if self.setting is None else min(self.setting, learnt))

    def _limit(self, per_minute: float | None) -> None:
        self.per_minute = per_minute
        self.rate = 0.0 if per_minute is None else per_minute / 60.0  # per second
        self.burst = max(self.rate * _BURST_S, self.smallest)


def _refilled(level: float, elapsed_s: float, per_minute: float, burst: float) -> float:
    """Level of a bucket after some time, at most the burst; a clock set back fills nothing."""
    return max(level, min(burst, level + max(0.0, elapsed_s) * per_minute / 60.0))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute(_SCHEMA)
    except BaseException:
        connection.close()
        raise
    return connection
