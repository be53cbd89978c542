"""Selection of planned calls for the next shard, by number of lines, bytes and tokens of room in the queue."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sourcing.generation.batch.jsonl import request_line
from sourcing.generation.cost.estimate import worst_case
from sourcing.generation.cost.prices import Price
from sourcing.generation.journal.batch_shards import Pick
from sourcing.generation.journal.journal import Journal, Reserved
from sourcing.generation.journal.plan_writer import register
from sourcing.generation.journal.reader import RunState
from sourcing.generation.planning.plan import Step

__all__ = ["Picks", "pick_calls", "register_plan"]

_STEPS = 256  # targets rendered and written down together
_BYTES_PER_TOKEN = 3  # careful: English prose has four or more


@dataclass
class Picks:
    """Calls picked for a shard; `no_room`: a full queue held calls back, `too_large`: calls that fit into no shard."""

    calls: list[Pick] = field(default_factory=list)
    no_room: bool = False
    too_large: int = 0


def register_plan(
    journal: Journal,
    run: RunState,
    steps: Callable[[int], Iterator[Step]],
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Journal the calls of the rest of a run's plan, 256 targets to a transaction; PromptError as from `steps`."""
    stream, position, is_complete = steps(run.position), run.position, run.planned
    while not is_complete:
        steps_read = list(itertools.islice(stream, _STEPS))
        is_complete = len(steps_read) < _STEPS
        position = steps_read[-1].position if steps_read else position
        with journal.transaction():
            register(
                journal,
                run.run_id,
                [call for step in steps_read for call in step.calls],
                rejected=[step.rejected for step in steps_read if step.rejected is not None],
                position=position,
                done=is_complete,
                at=clock(),
            )


def pick_calls(
    journal: Journal,
    run_id: int,
    price: Price,
    *,
    max_lines: int,
    max_bytes: int,
    room: int | None = None,
    one_at_least: bool = False,
) -> Picks:
    """Pick planned calls of a run for one shard, in planning order, up to `max_lines`, `max_bytes` and `room`.

    `room` is in tokens of the queue, None without a limit; with `one_at_least` the first call ignores `room`.
    """
    picks, size, tokens = Picks(), 0, 0
    for call_id, key, body in journal.reader.planned_bodies(run_id):
        line = len(request_line(key, b"")) + len(body)
        token_count = len(body) // _BYTES_PER_TOKEN
        if line > max_bytes:
            picks.too_large += 1
            continue
        if room is not None and tokens + token_count > room and (picks.calls or not one_at_least):
            picks.no_room = True
            break
        if len(picks.calls) == max_lines or size + line > max_bytes:
            break
        size, tokens = size + line, tokens + token_count
        picks.calls.append(Pick(call_id, Reserved(*worst_case(body, price)), line, token_count))
    return picks
