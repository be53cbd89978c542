"""Sender: turns planned calls into shards in the journal, uploaded files and batches, each step journalled."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

from sourcing.errors import CrossmusimError, StoppedShort, UsageError
from sourcing.generation.batch.api import BatchRefused, BatchWire
from sourcing.generation.batch.jsonl import request_line
from sourcing.generation.batch.select import pick_calls
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.batch_shards import BatchShard, BatchShards, ShardTerms
from sourcing.generation.journal.schema import HALF_SENT_SHARD_STATES
from sourcing.generation.run.options import RunOptions

__all__ = ["NO_ROOM", "WAIT", "BatchOptions", "Sender", "Submitted", "Wires"]

#: Part of the server's error code for a full queue, token_limit_exceeded.
NO_ROOM = "limit_exceeded"
WAIT = "wait until other batches of this account have ended, or make the calls with `crossmusim generate run PACK`"


@dataclass(frozen=True)
class BatchOptions:
    """Limits of a shard, and timeouts and retries of requests; `enqueued_tokens` None: learnt from refusals."""

    max_lines: int = 50_000
    max_bytes: int = 190_000_000
    enqueued_tokens: int | None = None
    poll_s: float = 10.0
    timeout_s: float = 120.0
    max_attempts: int = 4
    backoff_s: float = 1.0


@dataclass
class Submitted:
    """Submitted shards; `waiting`: number of calls still planned, for lack of room in the queue or under a ceiling."""

    shards: list[BatchShard] = field(default_factory=list)
    waiting: int = 0
    too_large: int = 0  # of these, calls that fit into no shard
    stopped: CrossmusimError | None = None

    @property
    def calls(self) -> int:
        return sum(shard.lines for shard in self.shards)

    def __add__(self, other: Submitted) -> Submitted:
        return Submitted(
            self.shards + other.shards,
            self.waiting + other.waiting,
            self.too_large + other.too_large,
            self.stopped or other.stopped,
        )


class Wires:
    """Open `BatchWire`s, one per endpoint, until `close`; `endpoint_of` maps identity and model to an endpoint."""

    def __init__(
        self, options: BatchOptions, endpoint_of: Callable[[str, str], Endpoint], sleep: Callable[[float], None]
    ) -> None:
        self._options, self._endpoint_of, self._sleep = options, endpoint_of, sleep
        self._known: dict[str, BatchWire] = {}
        self._open = contextlib.ExitStack()

    def of(self, shard: BatchShard) -> BatchWire:
        if shard.identity not in self._known:
            options = self._options
            wire = BatchWire(
                self._endpoint_of(shard.identity, shard.model), timeout_s=options.timeout_s,
                max_attempts=options.max_attempts, backoff_s=options.backoff_s, look_again_s=options.poll_s,
                sleep=self._sleep,
            )  # fmt: skip
            self._known[shard.identity] = self._open.enter_context(wire)
        return self._known[shard.identity]

    def close(self) -> None:
        self._open.close()


class Sender:
    """Submits shards to their endpoints; the caller holds the lock of batch mode."""

    def __init__(self, shards: BatchShards, options: BatchOptions, wires: Wires) -> None:
        self.shards, self.options, self._wires = shards, options, wires

    def adopt(self, run_id: int) -> None:
        """Finish sending the half-sent shards of ended processes at the run's endpoint."""
        identity = self.shards.journal.reader.run_target(run_id).identity
        for shard in self.shards.in_states(HALF_SENT_SHARD_STATES):
            if shard.identity == identity:
                self.send(shard, adopted=True)

    def submit(self, run_id: int, run_options: RunOptions, on_shard: Callable[[BatchShard], object]) -> Submitted:
        """Submit shard after shard, until no call is planned, the queue is full or a ceiling is reached."""
        submission = Submitted()
        while self._submit_one(run_id, run_options, submission, on_shard):
            pass
        submission.waiting = self.shards.journal.reader.waiting(run_id)
        return submission

    def _submit_one(
        self, run_id: int, run_options: RunOptions, submission: Submitted, on_shard: Callable[[BatchShard], object]
    ) -> bool:
        """Submit one shard; True when more may follow."""
        tokens_in_queue = self.shards.enqueued_tokens(run_id)
        limit = self._limit(run_id)
        picks = pick_calls(
            self.shards.journal,
            run_id,
            run_options.price,
            max_lines=self.options.max_lines,
            max_bytes=self.options.max_bytes,
            room=None if limit is None else limit - tokens_in_queue,
            one_at_least=not tokens_in_queue,  # whether it has room for one is for the server to say
        )
        submission.too_large = picks.too_large
        if not picks.calls:
            return False
        terms = ShardTerms(run_options.account, run_options.price)
        with self.shards.journal.transaction():
            shard, refusal = self.shards.write(run_id, picks.calls, terms, ceilings=run_options.ceilings)
        if refusal:
            submission.stopped = StoppedShort("generate batch", refusal, "raise it and run the same command for more")
        if shard is not None:
            try:
                shard = self.send(shard)
            except BatchRefused as batch_refusal:
                if NO_ROOM not in batch_refusal.found:
                    raise
                if shard.lines == 1:
                    submission.stopped = StoppedShort(batch_refusal.thing, batch_refusal.found, WAIT)
                return submission.stopped is None
            submission.shards.append(shard)
            on_shard(shard)
        return not refusal

    def _limit(self, run_id: int) -> int | None:
        """Limit of tokens in the queue: the lesser of option and learnt limit, None if neither is known."""
        limits = (self.options.enqueued_tokens, self.shards.learnt_limit(run_id))
        return min((limit for limit in limits if limit is not None), default=None)

    def send(self, shard: BatchShard, *, adopted: bool = False) -> BatchShard:
        """Upload the file and create the batch, each step journalled; a refusal drops the shard and is raised."""
        wire = self._wires.of(shard)
        try:
            if shard.state == "written":
                with tempfile.TemporaryFile() as stream:
                    for key, body in self.shards.bodies(shard):
                        stream.write(request_line(key, body, wire.chat_url))
                    file_id = wire.upload(f"{shard.name}.jsonl", stream.tell(), stream, maybe_there=adopted)
                shard = self.shards.move(shard, "uploaded", input_file=file_id)
            maybe_there = shard.state == "creating"
            shard = self.shards.move(shard, "creating")
            batch_state = wire.create(shard.name, shard.input_file or "", maybe_there=maybe_there)
        except (BatchRefused, UsageError) as batch_refusal:
            self.shards.drop(shard, str(batch_refusal))
            raise
        return self.shards.move(shard, "created", batch=batch_state.batch)
