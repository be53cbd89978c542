"""BatchDesk: submits the calls of a run as shards, waits for and collects batches; resumes after an exit at any point.

    submit: plan → shard in the journal, budget reserved → file uploaded → batch created
    collect: batch ended → output and error files, line by line → journal; calls never begun are planned again

A shard half sent by a dead process is looked up at the server and adopted; no shard is submitted twice.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType

from sourcing.errors import CrossmusimError, StoppedShort, UpstreamError, UsageError
from sourcing.generation.batch.api import BatchSeen, BatchWire, NotThere
from sourcing.generation.batch.collect import Answers, Lines, Tally
from sourcing.generation.batch.select import register_plan
from sourcing.generation.batch.submit import NO_ROOM, WAIT, BatchOptions, Sender, Submitted, Wires
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.batch_shards import BatchShard, BatchShards
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.reader import RunState
from sourcing.generation.journal.schema import OPEN_SHARD_STATES
from sourcing.generation.planning.plan import Step
from sourcing.generation.run.options import RunOptions
from sourcing.generation.run.reply_checker import ReplyChecker
from sourcing.nearest import nearest

__all__ = ["BatchDesk", "BatchOptions", "Collected", "Submitted"]

_LONGEST_PAUSE_S = 60.0
_PAUSE_GROWTH = 1.5


@dataclass
class Collected:
    """Counts of collected shards and calls; `open`: shards not ended with their last state, `ended`: with status.

    `no_room` counts shards refused for a full queue; their calls are planned again, and the next shards are smaller.
    """

    tally: Tally = field(default_factory=Tally)
    open: list[tuple[BatchShard, BatchSeen]] = field(default_factory=list)
    ended: list[tuple[BatchShard, str]] = field(default_factory=list)
    oddities: dict[str, int] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    row_errors: list[str] = field(default_factory=list)
    no_room: int = 0
    stopped: CrossmusimError | None = None


class BatchDesk:
    """Batch mode on one journal: `with BatchDesk(journal, options, ...) as desk: desk.submit(...); desk.collect()`.

    `endpoint_of` maps identity and model of a shard to its endpoint, `checker_of` a run id to its reply checker;
    `lock()` is held by one process of a workspace at a time, and never while waiting.
    """

    def __init__(
        self,
        journal: Journal,
        options: BatchOptions,
        *,
        endpoint_of: Callable[[str, str], Endpoint],
        checker_of: Callable[[int], ReplyChecker | None],
        lock: Callable[[], AbstractContextManager[None]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.journal, self.options, self.shards = journal, options, BatchShards(journal, clock)
        self._answers = Answers(self.shards, checker_of, clock=clock)
        self._lock, self._clock, self._sleep = lock, clock, sleep
        self._wires = Wires(options, endpoint_of, sleep)
        self._sender = Sender(self.shards, options, self._wires)

    def __enter__(self) -> BatchDesk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wires.close()

    # --- handing over ---

    def submit(
        self,
        run: RunState,
        steps: Callable[[int], Iterator[Step]],
        run_options: RunOptions,
        *,
        on_shard: Callable[[BatchShard], object] = lambda shard: None,
    ) -> Submitted:
        """Submit the planned calls of the run, as far as the queue has room, after shards left half sent.

        A ceiling ends the submission with `stopped`, after the calls that fit. A refusal by the server is raised, and
        the calls of its shard are planned again.
        """
        with self._lock():
            self.shards.drop_unfinished_exports()
            self._sender.adopt(run.run_id)
            register_plan(self.journal, run, steps, clock=self._clock)
            return self._sender.submit(run.run_id, run_options, on_shard)

    def drive(
        self,
        run: RunState,
        steps: Callable[[int], Iterator[Step]],
        run_options: RunOptions,
        *,
        total: Collected | None = None,
        on_shard: Callable[[BatchShard], object] = lambda shard: None,
        on_answers: Callable[[int], object] = lambda n: None,
        on_look: Callable[[Collected], object] = lambda collected: None,
    ) -> tuple[Submitted, Collected]:
        """Submit, wait and collect while calls of the run are planned and batches bring replies.

        Collected counts are added to `total`.
        """
        everything, total = Submitted(), Collected() if total is None else total
        while True:
            submission = self.submit(run, steps, run_options, on_shard=on_shard)
            everything.shards += submission.shards
            everything.waiting, everything.too_large, everything.stopped = (
                submission.waiting,
                submission.too_large,
                submission.stopped,
            )
            if submission.stopped and not self.shards.in_states(OPEN_SHARD_STATES):
                return everything, total
            reply_count, no_room = total.tally.replied, total.no_room
            self.collect(wait=True, total=total, on_answers=on_answers, on_look=on_look)
            everything.waiting = self.journal.reader.waiting(run.run_id)
            if total.stopped or everything.waiting <= everything.too_large:
                everything.stopped = None
                return everything, total
            if (total.tally.replied, total.no_room) == (reply_count, no_room):
                total.stopped = StoppedShort("generate batch", "no call of the last batches was answered", WAIT)
                return everything, total

    # --- taking back ---

    def collect(
        self,
        *,
        wait: bool = False,
        total: Collected | None = None,
        on_answers: Callable[[int], object] = lambda n: None,
        on_look: Callable[[Collected], object] = lambda collected: None,
    ) -> Collected:
        """Collect ended batches; with `wait`, until all have ended, with pauses growing to 60 s while states are equal.

        Counts are added to `total`, if given.
        """
        total = Collected() if total is None else total
        pause_s, before = self.options.poll_s, None
        while True:
            with self._lock():
                trouble = self._look_at_all(total, on_answers)
            on_look(total)
            if not wait or not total.open:
                total.stopped = total.stopped or trouble
                return total
            now = [(shard.shard_id, batch_state.status, batch_state.counts) for shard, batch_state in total.open]
            pause_s = self.options.poll_s if now != before else min(pause_s * _PAUSE_GROWTH, _LONGEST_PAUSE_S)
            before = now
            self._sleep(pause_s)

    def _look_at_all(self, total: Collected, on_answers: Callable[[int], object]) -> CrossmusimError | None:
        """Query and collect all open shards; returns the first error, after trying the remaining shards."""
        total.open, trouble = [], None
        for shard in self.shards.in_states(OPEN_SHARD_STATES):
            try:
                if shard.state != "created":
                    shard = self._sender.send(shard, adopted=True)
                wire = self._wires.of(shard)
                batch_state = wire.look(shard.batch or "")
                if batch_state.ended:
                    self._take(shard, batch_state, wire, total, on_answers)
                    total.ended.append((self.shards.get(shard.shard_id), batch_state.status))
                else:
                    total.open.append((shard, batch_state))
            except (UpstreamError, UsageError) as error:
                trouble = trouble or error
        return trouble

    def _take(
        self,
        shard: BatchShard,
        batch_state: BatchSeen,
        wire: BatchWire,
        total: Collected,
        on_answers: Callable[[int], object],
    ) -> None:
        completed_count = batch_state.counts[1] if batch_state.counts is not None else 0
        if batch_state.status == "failed":
            self._note_failure(shard, batch_state, total)
            if not completed_count and not batch_state.output_file and not batch_state.error_file:
                freed = self.shards.drop(shard, batch_state.error or "failed")
                total.tally.again += freed
                on_answers(freed)
                return
        line_log, is_lost = Lines(), False
        shard = self.shards.move(
            shard, "created", output_file=batch_state.output_file, error_file=batch_state.error_file
        )
        for file_id in filter(None, (batch_state.output_file, batch_state.error_file)):
            try:
                line_log = self._download(wire, file_id, line_log, total, on_answers, shard)
            except NotThere:
                is_lost = True  # a server keeps files for a time
        for name, number in line_log.oddities().items():
            total.oddities[name] = total.oddities.get(name, 0) + number
        total.strangers += line_log.named
        total.row_errors += line_log.row_errors
        # More answers than lines of them: those were billed, and which calls they were for is not known.
        short = (
            completed_count > line_log.arrived if batch_state.counts is not None else batch_state.status == "completed"
        )
        self._answers.take_filtered(line_log, total.tally, shard)
        before = total.tally.settled
        self._answers.finish(
            shard,
            state="unknown" if is_lost or short else "planned",
            outcome="batch_failed" if batch_state.status == "failed" else batch_state.status,
            error=_LOST_LINES if is_lost or short else batch_state.error,
            tally=total.tally,
        )
        on_answers(total.tally.settled - before)

    def _download(
        self,
        wire: BatchWire,
        file_id: str,
        line_log: Lines,
        total: Collected,
        on_answers: Callable[[int], object],
        shard: BatchShard,
    ) -> Lines:
        """Counts of lines including a file's; each attempt at the download starts from a copy of `line_log`."""

        def take(lines: Iterator[bytes]) -> Lines:
            return self._answers.take(lines, copy.deepcopy(line_log), total.tally, on_answers, shard)

        return wire.read(file_id, take)

    def _note_failure(self, shard: BatchShard, batch_state: BatchSeen, total: Collected) -> None:
        thing, finding = f"batch {batch_state.batch}", batch_state.error or "it failed, and the server does not say why"
        if NO_ROOM not in finding:
            total.stopped = total.stopped or UpstreamError(thing, finding, "mend that, then submit again")
        elif shard.lines == 1:
            total.stopped = total.stopped or StoppedShort(thing, finding, WAIT)
        else:
            total.no_room += 1

    # --- giving up ---

    def cancel(self, names: Sequence[str] = ()) -> list[tuple[BatchShard, str]]:
        """Cancel the open shards with these names, or all; returns each shard with its new state.

        Answers finished by the server remain to be collected. Calls of a batch unknown to the server become `unknown`;
        calls in exported files and calls never sent are planned again. UsageError for a name without an open shard.
        """
        with self._lock():
            shards = self.shards.in_states((*OPEN_SHARD_STATES, "exported"))
            missing = sorted(set(names) - {shard.name for shard in shards})
            if missing:
                cure = nearest(missing[0], [s.name for s in shards], "`crossmusim generate batch status` lists them")
                raise UsageError(f"shard {missing[0]}", "none of that name is open", cure)
            self.shards.drop_unfinished_exports()
            return [(shard, self._cancel(shard)) for shard in shards if not names or shard.name in names]

    def _cancel(self, shard: BatchShard) -> str:
        if shard.state == "creating":
            batch_state = self._wires.of(shard).find(shard.name)
            shard = shard if batch_state is None else self.shards.move(shard, "created", batch=batch_state.batch)
        if shard.state != "created":
            self.shards.drop(shard, "cancelled before it was sent")
            return "dropped"
        try:
            return self._wires.of(shard).cancel(shard.batch or "").status
        except NotThere as error:
            self._answers.finish(shard, state="unknown", outcome="unknown", error=str(error), tally=Tally())
            return "given up"

    def look(self) -> list[tuple[BatchShard, BatchSeen]]:
        """Query the server for the state of each uncollected batch, without changing the journal."""
        shards = self.shards.in_states(("created",))
        return [(shard, self._wires.of(shard).look(shard.batch or "")) for shard in shards]


_LOST_LINES = "its batch counts more answers than it handed over: it may have been answered and billed"
