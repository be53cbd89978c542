"""Batch shards: groups of calls submitted to a batch endpoint or exported to a file, journalled until settled.

    written → uploaded → creating → created → collected        a batch at a server
    exporting → exported → collected                           a file for `vllm run-batch`
    any but collected → dropped                                 no batch was made: the calls are planned again

One transaction writes a shard with its calls and reserves their worst-case cost, before the first request is sent.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.prices import Price, Rates
from sourcing.generation.journal.journal import TAKEN, Journal, Reserved
from sourcing.generation.journal.schema import OPEN_SHARD_STATES, as_text, decompress
from sourcing.redactor import redact

__all__ = ["BatchShard", "BatchShards", "Pick", "ShardTerms"]

_LIMIT_SAID = re.compile(r"Limit: ([\d,]+) enqueued tokens")
_COLUMNS = (
    "s.shard_id, s.name, s.run_id, e.identity, e.model, s.state, s.lines, s.bytes, s.tokens, s.input_file, s.batch,"
    " s.error, s.written_at"
)


@dataclass(frozen=True, slots=True)
class Pick:
    """A call picked for a shard: worst-case reservation, size of its line in bytes, and its tokens in the queue."""

    call_id: int
    reserve: Reserved
    size: int
    tokens: int


@dataclass(frozen=True)
class ShardTerms:
    """Budget account and price under which a shard was written."""

    account: str
    price: Price


@dataclass(frozen=True)
class BatchShard:
    """One shard in the journal; `batch` is the batch id given by the server, `identity` the endpoint's."""

    shard_id: int
    name: str
    run_id: int
    identity: str
    model: str
    state: str
    lines: int
    bytes: int
    tokens: int
    input_file: str | None
    batch: str | None
    error: str | None
    written_at: str


class BatchShards:
    """Reads, writes and moves the batch shards of one journal."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.journal, self.clock = journal, clock
        self._execute = journal.connection.execute

    def all(self) -> list[BatchShard]:
        """All shards, oldest first."""
        rows = self._execute(
            f"SELECT {_COLUMNS} FROM shards s JOIN endpoints e USING (endpoint_id) ORDER BY s.shard_id"
        )
        return [BatchShard(*row) for row in rows]

    def in_states(self, states: Collection[str]) -> list[BatchShard]:
        """Shards in one of `states`, oldest first."""
        return [shard for shard in self.all() if shard.state in states]

    def get(self, shard_id: int) -> BatchShard:
        row = self._execute(
            f"SELECT {_COLUMNS} FROM shards s JOIN endpoints e USING (endpoint_id) WHERE s.shard_id = ?", (shard_id,)
        ).fetchone()
        return BatchShard(*row)

    def terms(self, shard: BatchShard) -> ShardTerms:
        (text,) = self._execute("SELECT value FROM meta WHERE name = ?", (_terms_name(shard.name),)).fetchone()
        values = json.loads(text)
        price = values["price"]
        rates = tuple(Rates(**each) for each in price.pop("rates"))
        return ShardTerms(values["account"], Price(rates=rates, **price))

    def write(
        self,
        run_id: int,
        picks: Iterable[Pick],
        terms: ShardTerms,
        *,
        ceilings: Ceilings = NO_CEILINGS,
        state: str = "written",
    ) -> tuple[BatchShard | None, str]:
        """Write a shard, take the picked calls and reserve their worst case; must be durable before sending.

        Returns the shard (None when no call could be taken), and the ceiling that held further calls back, or "". The
        caller opens the transaction.
        """
        at, name = self.clock(), f"crossmusim-{secrets.token_hex(12)}"
        now, refusal, lines, size, tokens = as_text(at), "", 0, 0, 0
        row = self._execute(
            "INSERT INTO shards (name, run_id, endpoint_id, state, lines, bytes, tokens, written_at, updated_at)"
            " SELECT ?, run_id, endpoint_id, ?, 0, 0, 0, ?, ? FROM runs WHERE run_id = ?",
            (name, state, now, now, run_id),
        )
        shard_id = int(row.lastrowid or 0)
        for pick in picks:
            refusal = self.journal.sending(
                pick.call_id, at, scope=terms.account, reserve=pick.reserve, ceilings=ceilings
            )
            if refusal == TAKEN:
                refusal = ""
                continue
            if refusal:
                break
            self._execute("UPDATE calls SET batch = ? WHERE call_id = ?", (shard_id, pick.call_id))
            lines, size, tokens = lines + 1, size + pick.size, tokens + pick.tokens
        if not lines:
            self._execute("DELETE FROM shards WHERE shard_id = ?", (shard_id,))
            return None, refusal
        self._execute(
            "UPDATE shards SET lines = ?, bytes = ?, tokens = ? WHERE shard_id = ?", (lines, size, tokens, shard_id)
        )
        terms_text = json.dumps({"account": terms.account, "price": asdict(terms.price)})
        self._execute("INSERT INTO meta VALUES (?, ?)", (_terms_name(name), terms_text))
        return self.get(shard_id), refusal

    def bodies(self, shard: BatchShard) -> Iterator[tuple[str, bytes]]:
        """Yield request key and body of each call of the shard, by call id, so that repeated reads are equal."""
        rows = self._execute(
            "SELECT request_key, body FROM calls JOIN bodies USING (call_id) WHERE batch = ? ORDER BY call_id",
            (shard.shard_id,),
        )
        for key, body in rows:
            yield str(key), decompress(body)

    def move(self, shard: BatchShard, state: str, **columns: str | None) -> BatchShard:
        """Set the state of a shard, and `input_file`, `batch`, `output_file`, `error_file` or `error` (redacted)."""
        assignments = "".join(f", {name} = ?" for name in columns)
        self._execute(
            f"UPDATE shards SET state = ?, updated_at = ?{assignments} WHERE shard_id = ?",
            (state, as_text(self.clock()), *(text and redact(text) for text in columns.values()), shard.shard_id),
        )
        return self.get(shard.shard_id)

    def drop(self, shard: BatchShard, error: str) -> int:
        """Drop a shard that made no batch and plan its calls again, as if never taken; returns their number."""
        account, at = self.terms(shard).account, self.clock()
        with self.journal.transaction():
            calls_left = self.left(shard)
            for call_id in calls_left:
                self.journal.release(call_id, at, scope=account)
            self.move(shard, "dropped", error=error)
        return len(calls_left)

    def drop_unfinished_exports(self) -> None:
        """Drop the shards of processes that ended while writing an export file; answers to such a file still count."""
        for shard in self.in_states(("exporting",)):
            self.drop(shard, "its file was not written to the end")

    def close_answered_exports(self) -> None:
        """Set exported shards without open calls to `collected`."""
        self._execute(
            "UPDATE shards SET state = 'collected', updated_at = ? WHERE state = 'exported'"
            " AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.batch = shards.shard_id)",
            (as_text(self.clock()),),
        )

    def last(self, run_id: int) -> BatchShard | None:
        """Newest shard of a run, None without one."""
        (shard_id,) = self._execute("SELECT MAX(shard_id) FROM shards WHERE run_id = ?", (run_id,)).fetchone()
        return None if shard_id is None else self.get(shard_id)

    def left(self, shard: BatchShard) -> list[int]:
        """Ids of the shard's calls without an outcome, sorted."""
        rows = self._execute("SELECT call_id FROM calls WHERE batch = ? ORDER BY call_id", (shard.shard_id,))
        return [int(row[0]) for row in rows]

    def enqueued_tokens(self, run_id: int) -> int:
        """Estimated tokens of the journal's open shards at the run's endpoint and model."""
        marks = ", ".join("?" * len(OPEN_SHARD_STATES))
        row = self._execute(
            f"SELECT coalesce(SUM(tokens), 0) FROM shards WHERE state IN ({marks})"
            " AND endpoint_id = (SELECT endpoint_id FROM runs WHERE run_id = ?)",
            (*OPEN_SHARD_STATES, run_id),
        ).fetchone()
        return int(row[0])

    def learnt_limit(self, run_id: int) -> int | None:
        """Limit of tokens in the queue of the run's endpoint and model, learnt from its last refusal; None without one.

        Half of the refused shard's tokens, as others fill the queue and count differently, or 5/4 of the largest
        shard collected since, if more; but at most the limit in the refusal's text.
        """
        refusal = self._execute(
            "SELECT shard_id, tokens, error FROM shards WHERE state = 'dropped' AND error LIKE '%limit_exceeded%'"
            " AND endpoint_id = (SELECT endpoint_id FROM runs WHERE run_id = ?) ORDER BY shard_id DESC LIMIT 1",
            (run_id,),
        ).fetchone()
        if refusal is None:
            return None
        (accepted_tokens,) = self._execute(
            "SELECT coalesce(MAX(tokens), 0) FROM shards WHERE state = 'collected' AND shard_id > ?"
            " AND endpoint_id = (SELECT endpoint_id FROM runs WHERE run_id = ?)",
            (refusal["shard_id"], run_id),
        ).fetchone()
        limit = max(int(refusal["tokens"]) // 2, int(accepted_tokens) * 5 // 4)
        match = _LIMIT_SAID.search(refusal["error"])
        return limit if match is None else min(limit, int(match.group(1).replace(",", "")))


def _terms_name(name: str) -> str:
    return f"shard {name}"
