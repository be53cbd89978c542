"""Queries on the journal: calls by state, the counting reply of each target, attempts, usage and spend."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sourcing.generation.calls import OpenCall, Reply
from sourcing.generation.cost.budget import Budget
from sourcing.generation.cost.estimate import Sample
from sourcing.generation.journal.schema import decompress
from sourcing.generation.replies.bounded_json import line_of
from sourcing.generation.replies.parsed_reply import ParsedReply

__all__ = ["STATES", "Answer", "BatchCall", "CallRow", "JournalReader", "RunState"]

STATES = ("planned", "sending", "replied", "failed", "unknown")

_SHOWN_CHARS = 500  # of an odd line, among the rejected rows
# One target may have been asked under several keys (a newer template, a longer document): the one last wanted counts.
_REPLIES = """
SELECT place.*, r.prompt_version, r.prompt_hash, e.model FROM (
    SELECT w.*, ROW_NUMBER() OVER (
        PARTITION BY w.prompt_id, w.track_id, w.doc_id, w.sample_idx, w.language, w.endpoint_id
        ORDER BY w.run_id DESC, c.request_key
    ) AS place
    FROM wanted w JOIN calls c USING (call_id) WHERE c.state = 'replied'
) place JOIN runs r USING (run_id) JOIN endpoints e ON e.endpoint_id = place.endpoint_id
WHERE place.place = 1
ORDER BY place.doc_id, place.prompt_id, place.track_id, place.sample_idx, place.language, e.identity, e.model
"""
_LAST_REPLY = """
SELECT c.request_key, reply, a.ended_at FROM calls c JOIN attempts a USING (call_id) JOIN replies USING (attempt_id)
WHERE c.call_id = ? AND c.state = 'replied' AND a.outcome IN ('replied', 'reconciled')
ORDER BY a.attempt_id DESC LIMIT 1
"""


@dataclass(frozen=True)
class CallRow:
    """One call with state, prompt, track and document, for `generate status` and rejected rows."""

    request_key: str
    state: str
    prompt: str
    track_id: str
    doc_id: str | None
    error: str | None
    updated_at: str
    owner: str | None  # the process that asked last


@dataclass(frozen=True)
class RunState:
    """State of a resumable run: `position` targets of the plan are journalled, all if `planned`."""

    run_id: int
    position: int
    planned: bool


class BatchCall(NamedTuple):
    """A call answered by a line of a batch file; `batch` is the id of its shard, None outside a shard."""

    call_id: int
    request_key: str
    packed_body: bytes
    kind: str
    parent: int | None
    state: str
    batch: int | None
    run_id: int
    prompt_hash: str

    @property
    def body(self) -> bytes:
        return decompress(self.packed_body)

    @property
    def open_call(self) -> OpenCall:
        return OpenCall(self.call_id, self.request_key, self.body, self.kind, self.parent)


class Answer(NamedTuple):
    """State of a call with its last reply, follow-ups included; tokens, nano-USD and seconds sum all attempts."""

    request_key: str  # of the first call, which a larger try or a repair may have followed
    state: str
    raw: bytes | None
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_nusd: int | None
    seconds: float


class RunTarget(NamedTuple):
    """Prompt id and hash, endpoint identity and model of a run."""

    prompt_id: str
    prompt_hash: str
    identity: str
    model: str


class JournalReader:
    """Read-only queries on one journal, written by `Journal`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self.budget = Budget(connection)

    @property
    def journal_id(self) -> str:
        """Random name of the journal, given at creation."""
        return str(self._connection.execute("SELECT value FROM meta WHERE name = 'journal_id'").fetchone()[0])

    def stamp(self) -> list[Any]:
        """JSON list that changes with replies, refusals, odd lines, runs and call counts of the journal."""
        sums = self._connection.execute(
            "SELECT (SELECT MAX(attempt_id) FROM attempts), (SELECT MAX(run_id) FROM runs),"
            " (SELECT SUM(position) FROM runs), (SELECT COUNT(*) FROM wanted), (SELECT COUNT(*) FROM refused)"
        ).fetchone()
        odd = [row["key"] for row in self.odd_lines()]
        return [self.journal_id, *sums, self.counts(), *odd]

    def states(self, keys: Iterable[str]) -> dict[str, str]:
        """Request key → state, for known keys."""
        counts_by_state = {}
        for key in keys:
            row = self._connection.execute("SELECT state FROM calls WHERE request_key = ?", (key,)).fetchone()
            if row is not None:
                counts_by_state[key] = str(row["state"])
        return counts_by_state

    def run_counts(self, run_id: int) -> dict[str, int]:
        """State → calls of one run, without follow-ups of replies."""
        rows = self._connection.execute(
            "SELECT state, COUNT(*) AS n FROM calls WHERE run_id = ? AND kind = 'root' GROUP BY state", (run_id,)
        )
        return {**dict.fromkeys(STATES, 0), **{str(row["state"]): int(row["n"]) for row in rows}}

    def refused(self) -> list[dict[str, str]]:
        """Rejected rows of targets not asked about, from the newest plan of each prompt and endpoint."""
        rows = self._connection.execute(
            "SELECT DISTINCT key, reason, finding FROM refused JOIN runs r USING (run_id) WHERE NOT EXISTS ("
            "SELECT 1 FROM runs n WHERE n.prompt_id = r.prompt_id AND n.endpoint_id = r.endpoint_id"
            " AND n.run_id > r.run_id AND n.plan <> r.plan) ORDER BY 1"
        )
        return [{"stage": "generate", **dict(row)} for row in rows]

    def row_errors(self) -> list[tuple[str, str]]:
        """Request key and error of each reply whose check raised an exception, sorted by key."""
        rows = self._connection.execute(
            "SELECT request_key, error FROM calls WHERE state = 'replied' AND error IS NOT NULL ORDER BY request_key"
        )
        return [(str(key), str(error)) for key, error in rows]

    def odd_lines(self) -> list[dict[str, str]]:
        """Rejected rows of batch answer lines without a call, sorted by digest."""
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'odd_lines'").fetchone():
            return []
        rows = self._connection.execute("SELECT digest, reason, finding, line FROM odd_lines ORDER BY digest")
        return [
            {
                "stage": "generate",
                "key": f"line {digest[:16]}",
                "reason": reason,
                "finding": finding,
                "row": line_of(decompress(line).decode(errors="replace"), _SHOWN_CHARS),
            }
            for digest, reason, finding, line in rows
        ]

    def run_target(self, run_id: int) -> RunTarget:
        """Prompt id and hash, endpoint identity and model of a run."""
        row = self._connection.execute(
            "SELECT r.prompt_id, r.prompt_hash, e.identity, e.model FROM runs r JOIN endpoints e USING (endpoint_id)"
            " WHERE r.run_id = ?",
            (run_id,),
        ).fetchone()
        return RunTarget(*map(str, row))

    def counts(self) -> dict[str, dict[str, int]]:
        """Prompt (id@version, as last wanted) → state → calls."""
        rows = self._connection.execute(
            "SELECT r.prompt_id || '@' || r.prompt_version AS prompt, c.state, SUM(c.n) AS n FROM ("
            "SELECT run_id, state, COUNT(*) AS n FROM calls GROUP BY run_id, state"
            ") c JOIN runs r USING (run_id) GROUP BY 1, 2 ORDER BY 1, 2"
        )
        counts: dict[str, dict[str, int]] = {}
        for row in rows:
            counts.setdefault(str(row["prompt"]), {})[str(row["state"])] = int(row["n"])
        return counts

    def calls_in(self, states: Collection[str]) -> list[CallRow]:
        """Calls in one of `states`, one row per target, sorted by target; calls sending in a batch are left out."""
        marks = ", ".join("?" * len(states))
        rows = self._connection.execute(
            "SELECT c.request_key, c.state, c.error, c.updated_at, c.owner,"
            " r.prompt_id || '@' || r.prompt_version AS prompt, w.track_id, w.doc_id"
            " FROM calls c JOIN wanted w ON w.call_id = coalesce(c.parent, c.call_id)"
            f" JOIN runs r ON r.run_id = c.run_id WHERE c.state IN ({marks})"
            " AND (c.state <> 'sending' OR c.batch IS NULL)"
            " ORDER BY w.prompt_id, w.track_id, w.doc_id, c.request_key",
            tuple(states),
        )
        return [CallRow(**{**dict(row), "doc_id": row["doc_id"] or None}) for row in rows]

    def replies(
        self, prompt_ids: Collection[str] | None = None, *, track_prefix: str = "", model: str | None = None
    ) -> Iterator[Reply]:
        """Yield the counting reply of each target, sample and model, sorted by document, prompt, track and sample.

        Where a target was asked again under a new key (changed template or document), the reply last wanted counts;
        where a `larger` or `repair` follow-up was answered, its last answer counts. `model` is the name asked by.
        """
        following = self._following()
        for row in self._connection.execute(_REPLIES):
            if prompt_ids is not None and row["prompt_id"] not in prompt_ids:
                continue
            if not row["track_id"].startswith(track_prefix) or model not in (None, row["model"]):
                continue
            call_id = following.get(row["call_id"], row["call_id"])
            request_key, blob, ended_at = self._connection.execute(_LAST_REPLY, (call_id,)).fetchone()
            parsed_reply = ParsedReply.read(decompress(blob))
            yield Reply(
                request_key=request_key,
                prompt_id=row["prompt_id"],
                prompt_version=row["prompt_version"],
                prompt_hash=row["prompt_hash"],
                track_id=row["track_id"],
                doc_id=row["doc_id"] or None,
                sample_idx=row["sample_idx"],
                language=row["language"],
                model=parsed_reply.model or row["model"],
                finish_reason=parsed_reply.finish_reason,
                content=parsed_reply.content,
                replied_at=datetime.fromisoformat(ended_at),
                usage=parsed_reply.usage,
                reason=parsed_reply.reason,
                words=parsed_reply.words,
            )

    def _following(self) -> dict[int, int]:
        """Call id → id of the last answered follow-up; calls without a follow-up are left out."""
        rows = self._connection.execute(
            "SELECT parent, MAX(call_id) FROM calls WHERE parent IS NOT NULL AND state = 'replied' GROUP BY parent"
        )
        return {int(parent): int(call_id) for parent, call_id in rows}

    def raw_reply(self, key: str) -> bytes:
        """Reply body of a replied call, byte for byte; KeyError without a reply."""
        call = self._connection.execute("SELECT call_id FROM calls WHERE request_key = ?", (key,)).fetchone()
        row = self._connection.execute(_LAST_REPLY, (call["call_id"],)).fetchone() if call else None
        if row is None:
            raise KeyError(key)
        return decompress(row["reply"])

    def answer(self, key: str) -> Answer | None:
        """What became of a call, a follow-up standing for the call it follows; None for a key that is not known."""
        call = self._connection.execute(
            "SELECT c.call_id, c.request_key, c.state, c.error"
            " FROM calls k JOIN calls c ON c.call_id = coalesce(k.parent, k.call_id)"
            " WHERE k.request_key = ?",
            (key,),
        ).fetchone()
        if call is None:
            return None
        family = "SELECT ?1 UNION SELECT call_id FROM calls WHERE parent = ?1"
        (last,) = self._connection.execute(
            f"SELECT MAX(call_id) FROM calls WHERE state = 'replied' AND call_id IN ({family})", (call["call_id"],)
        ).fetchone()
        reply = self._connection.execute(_LAST_REPLY, (last,)).fetchone() if last is not None else None
        sums = self._connection.execute(
            f"SELECT SUM(input_tokens), SUM(output_tokens), SUM(cost_nusd) FROM attempts WHERE call_id IN ({family})",
            (call["call_id"],),
        ).fetchone()
        times = self._connection.execute(
            f"SELECT sent_at, ended_at FROM attempts WHERE call_id IN ({family})", (call["call_id"],)
        )
        raw = decompress(reply["reply"]) if reply is not None else None
        tokens_in, tokens_out, cost_nusd = sums
        seconds = sum(_seconds(*row) for row in times)
        return Answer(
            str(call["request_key"]), str(call["state"]), raw, call["error"], tokens_in, tokens_out, cost_nusd, seconds
        )

    def body(self, key: str) -> bytes:
        """Request body of a call, byte for byte; KeyError when the key is not known."""
        row = self._connection.execute(
            "SELECT body FROM calls JOIN bodies USING (call_id) WHERE request_key = ?", (key,)
        ).fetchone()
        if row is None:
            raise KeyError(key)
        return decompress(row["body"])

    def batch_call(self, key: str) -> BatchCall | None:
        """Call with request key `key`, for a batch's answer line; None for an unknown key."""
        row = self._connection.execute(
            "SELECT c.call_id, c.request_key, body, c.kind, c.parent, c.state, c.batch, c.run_id, r.prompt_hash"
            " FROM calls c JOIN bodies USING (call_id) JOIN runs r USING (run_id) WHERE c.request_key = ?",
            (key,),
        ).fetchone()
        return None if row is None else BatchCall(*row)

    def waiting(self, run_id: int) -> int:
        """Number of calls of a run in state `planned`."""
        row = self._connection.execute(
            "SELECT COUNT(*) FROM calls WHERE run_id = ? AND state = 'planned'", (run_id,)
        ).fetchone()
        return int(row[0])

    def planned_bodies(self, run_id: int) -> Iterator[tuple[int, str, bytes]]:
        """Yield id, key and body of each planned call of a run by call id, one body in memory at a time."""
        execute = self._connection.execute
        ids = execute("SELECT call_id FROM calls WHERE run_id = ? AND state = 'planned' ORDER BY call_id", (run_id,))
        for (call_id,) in ids:
            key, body = execute(
                "SELECT request_key, body FROM calls JOIN bodies USING (call_id) WHERE call_id = ?", (call_id,)
            ).fetchone()
            yield int(call_id), str(key), decompress(body)

    def unknown_calls(self, identity: str, model: str, run_id: int | None = None) -> list[tuple[int, str, str]]:
        """Id, key and prompt hash of each unknown call to a model at an endpoint, of one run or of all."""
        rows = self._connection.execute(
            "SELECT c.call_id, c.request_key, r.prompt_hash FROM calls c JOIN endpoints e USING (endpoint_id)"
            " JOIN runs r USING (run_id) WHERE c.state = 'unknown' AND e.identity = ?1 AND e.model = ?2"
            " AND (?3 IS NULL OR c.run_id = ?3) ORDER BY c.call_id",
            (identity, model, run_id),
        )
        return [(int(call_id), str(key), str(prompt_hash)) for call_id, key, prompt_hash in rows]

    def attempts(self, key: str) -> list[dict[str, Any]]:
        """Ended attempts at a call as dicts, oldest first, without reply bodies."""
        rows = self._connection.execute(
            "SELECT attempt, sent_at, ended_at, outcome, status, headers, input_tokens, output_tokens, cost_nusd"
            " FROM attempts JOIN calls USING (call_id) WHERE request_key = ? ORDER BY attempt_id",
            (key,),
        )
        return [{**dict(row), "headers": json.loads(row["headers"])} for row in rows]

    def samples(self, prompt_id: str, model: str, *, newest: int = 2000) -> list[Sample]:
        """Usage and latency in seconds (None in a batch) of the newest replies of a prompt and model, for estimates."""
        rows = self._connection.execute(
            "SELECT c.bytes, a.input_tokens, a.output_tokens, a.sent_at, a.ended_at, a.headers LIKE '%x-batch-id%'"
            " FROM attempts a"
            " JOIN calls c USING (call_id) JOIN runs r USING (run_id) JOIN endpoints e ON e.endpoint_id = c.endpoint_id"
            " WHERE a.outcome = 'replied' AND a.input_tokens IS NOT NULL AND a.output_tokens IS NOT NULL"
            " AND r.prompt_id = ? AND e.model = ? ORDER BY a.attempt_id DESC LIMIT ?",
            (prompt_id, model, newest),
        )
        return [
            Sample(size, input_tokens, output_tokens, None if is_batch else _seconds(sent_at, ended_at))
            for size, input_tokens, output_tokens, sent_at, ended_at, is_batch in rows
        ]

    def spend(self) -> dict[str, dict[str, float]]:
        """Prompt (id@version) → calls, tokens and USD spent, USD reserved, and number of calls beyond their bound."""
        totals = self.budget.all_totals()
        spend: dict[str, dict[str, float]] = {}
        for prompt_id, version, scope in self._connection.execute(
            "SELECT DISTINCT prompt_id, prompt_version, prompt_hash FROM runs ORDER BY 1, 2"
        ):
            if scope in totals:
                used = totals[scope]
                spend[f"{prompt_id}@{version}"] = {
                    "calls": used.spent_calls,
                    "tokens": used.spent_tokens,
                    "usd": used.spent_nusd / 1e9,
                    "reserved_usd": used.reserved_nusd / 1e9,
                    "beyond_bound": used.broken_calls,
                }
        return spend


def _seconds(sent_at: str, ended_at: str) -> float:
    return (datetime.fromisoformat(ended_at) - datetime.fromisoformat(sent_at)).total_seconds()
