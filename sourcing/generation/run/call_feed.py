"""CallFeed: the calls of one run that wait to be sent, a few at a time, first what earlier runs left open."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

from sourcing.errors import PromptError
from sourcing.generation.journal.group_commit import Durable
from sourcing.generation.journal.journal import Journal, OpenCall
from sourcing.generation.journal.plan_writer import open_calls, pack_calls
from sourcing.generation.journal.reader import RunState
from sourcing.generation.journal.schema import packer
from sourcing.generation.planning.plan import Step

__all__ = ["CallFeed"]

_STEPS = 32  # targets rendered and written down together
_CALLS = 256


class CallFeed:
    """Planned calls first: those written down by an earlier run, then the rest of the plan, rendered as it is needed.

    Then the calls that failed before this run, and, where `resend`, those whose fate is unknown. A prompt that does not
    render ends it: `error` tells, and what was handed out before goes its way.
    """

    def __init__(
        self,
        run: RunState,
        steps: Callable[[int], Iterator[Step]],
        *,
        resend: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._run, self._steps = run, steps
        self._resend, self._clock = resend, clock
        self._pack = packer()
        self.error: PromptError | None = None

    async def chunks(self, durable: Durable) -> AsyncIterator[list[OpenCall]]:
        """Lists of calls without a reply; none of them twice."""
        started = self._clock()
        async for calls in self._left_open(durable, "planned", started):
            yield calls
        if not self._run.planned:
            async for calls in self._planned(durable):
                yield calls
        for state in ("failed", *(("unknown",) if self._resend else ())):
            async for calls in self._left_open(durable, state, started):
                yield calls

    async def _left_open(self, durable: Durable, state: str, before: datetime) -> AsyncIterator[list[OpenCall]]:
        run_id, after = self._run.run_id, 0
        while calls := await durable(Journal.open_calls, run_id, state, before=before, after=after, n=_CALLS):
            after = calls[-1].call_id
            yield calls

    async def _planned(self, durable: Durable) -> AsyncIterator[list[OpenCall]]:
        position = self._run.position
        steps, done = self._steps(position), False
        while not done:
            try:
                taken = list(itertools.islice(steps, _STEPS))
            except PromptError as error:
                self.error = error
                return
            done = len(taken) < _STEPS
            position = taken[-1].position if taken else position
            calls = [call for step in taken for call in step.calls]
            known = await durable(
                Journal.want,
                self._run.run_id,
                pack_calls(calls, self._pack),
                rejected=[step.rejected for step in taken if step.rejected is not None],
                position=position,
                done=done,
                at=self._clock(),
            )
            waiting = open_calls(calls, known)
            yield [call for call in waiting if call.state == "planned"]
