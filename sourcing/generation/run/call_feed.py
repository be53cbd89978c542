"""CallFeed: the unsent calls of one run in lists, first planned calls of earlier processes, last failed calls."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime

from sourcing.errors import PromptError
from sourcing.generation.journal.group_commit import Durable
from sourcing.generation.journal.journal import OpenCall
from sourcing.generation.journal.plan_writer import compress_calls, open_calls, unanswered_calls, want
from sourcing.generation.journal.reader import RunState
from sourcing.generation.journal.schema import compressor
from sourcing.generation.planning.plan import Step

__all__ = ["CallFeed"]

_STEPS = 32  # targets rendered and written down together
_CALLS = 256


class CallFeed:
    """Feeds planned calls (those in the journal, then the rest of the plan, rendered lazily), then failed calls.

    Last, with `resend`, come the calls in state `unknown`. Failed and unknown calls are those from before the feed
    started. A prompt that does not render ends the plan: `error` holds the PromptError.
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
        self._compress = compressor()
        self.error: PromptError | None = None

    async def chunks(self, durable: Durable) -> AsyncIterator[list[OpenCall]]:
        """Yield lists of calls without a reply, each call once."""
        start_s = self._clock()
        async for calls in self._left_open(durable, "planned", start_s):
            yield calls
        if not self._run.planned:
            async for calls in self._planned(durable):
                yield calls
        for state in ("failed", *(("unknown",) if self._resend else ())):
            async for calls in self._left_open(durable, state, start_s):
                yield calls

    async def _left_open(self, durable: Durable, state: str, before: datetime) -> AsyncIterator[list[OpenCall]]:
        run_id, after = self._run.run_id, 0
        while calls := await durable(open_calls, run_id, state, before=before, after=after, n=_CALLS):
            after = calls[-1].call_id
            yield calls

    async def _planned(self, durable: Durable) -> AsyncIterator[list[OpenCall]]:
        position = self._run.position
        steps, is_complete = self._steps(position), False
        while not is_complete:
            try:
                steps_read = list(itertools.islice(steps, _STEPS))
            except PromptError as error:
                self.error = error
                return
            is_complete = len(steps_read) < _STEPS
            position = steps_read[-1].position if steps_read else position
            calls = [call for step in steps_read for call in step.calls]
            known_calls = await durable(
                want,
                self._run.run_id,
                compress_calls(calls, self._compress),
                rejected=[step.rejected for step in steps_read if step.rejected is not None],
                position=position,
                done=is_complete,
                at=self._clock(),
            )
            waiting = unanswered_calls(calls, known_calls)
            yield [call for call in waiting if call.state == "planned"]
