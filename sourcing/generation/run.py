"""Run: send the planned calls that the journal has no reply to, journal every answer, stop cleanly, resume exactly."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from sourcing.errors import CrossmusimError, StoppedShort, UpstreamError
from sourcing.generation.client import Answer, CallFailed, ChatClient
from sourcing.generation.endpoint import Endpoint
from sourcing.generation.groupcommit import GroupCommit
from sourcing.generation.journal import Journal
from sourcing.generation.local import LocalEndpoint
from sourcing.generation.plan import PlannedCall

__all__ = ["OnUnknown", "RunOptions", "RunResult", "run_calls", "to_send"]

OnUnknown = Literal["hold", "resend"]

#: Calls failing one after the other before a run is called off.
_FAILURES_IN_A_ROW = 8
#: A server that asks for a longer pause than this is asked again by another run.
_LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True)
class RunOptions:
    concurrency: int
    timeout_s: float
    max_attempts: int
    on_unknown: OnUnknown = "hold"
    max_calls: int | None = None  # requests on the wire, retries counted
    backoff_s: float = 1.0  # first pause before a retry; doubles, with jitter


@dataclass
class RunResult:
    """What became of the calls. `stopped` is the error to raise once the replies at hand are described."""

    planned: int = 0
    cached: int = 0
    replied: int = 0
    failed: int = 0
    unknown: int = 0  # lost sight of in this run
    held: int = 0  # unknown from a former run, not resent
    stopped: CrossmusimError | None = None

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in ("planned", "cached", "replied", "failed", "unknown", "held")}


def to_send(
    calls: Sequence[PlannedCall], states: Mapping[str, str], *, resend_unknown: bool
) -> tuple[list[PlannedCall], RunResult]:
    """The calls still to be sent, one per key, never tried ones first; and the counts of the others."""
    distinct = list({call.request_key: call for call in calls}.values())
    fresh = [call for call in distinct if states.get(call.request_key, "planned") == "planned"]
    failed = [call for call in distinct if states.get(call.request_key) == "failed"]
    unknown = [call for call in distinct if states.get(call.request_key) in ("unknown", "sending")]
    cached = sum(states.get(call.request_key) == "replied" for call in distinct)
    result = RunResult(planned=len(distinct), cached=cached, held=0 if resend_unknown else len(unknown))
    return fresh + failed + (unknown if resend_unknown else []), result


def run_calls(
    calls: Sequence[PlannedCall],
    journal: Journal,
    endpoint: Endpoint,
    options: RunOptions,
    *,
    prompt: str,
    on_reply: Callable[[], object] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RunResult:
    """Make the calls the journal has no reply to. Call it under the workspace's lock "generate".

    Returns normally also when it had to stop: `result.stopped` is then UpstreamError (nobody serves us) or
    StoppedShort (interrupt, limit, a server that keeps failing), and the same command takes it up again.
    """
    journal.interrupt_sending(clock())
    journal.register(calls, endpoint=endpoint.identity, prompt=prompt, at=clock())
    resend = options.on_unknown == "resend" or endpoint.resend_is_free
    pending, result = to_send(calls, journal.states(call.request_key for call in calls), resend_unknown=resend)
    if pending:
        with _serving(endpoint) as live:
            # Replies of the embedded model are the same bytes every time only while calls are made one by one.
            workers = 1 if endpoint.is_local else min(options.concurrency, len(pending))
            run = _Run(live, journal, replace(options, concurrency=workers), result, clock=clock, on_reply=on_reply)
            asyncio.run(run.send_all(pending))
    return result


@contextlib.contextmanager
def _serving(endpoint: Endpoint) -> Iterator[Endpoint]:
    if not endpoint.is_local:
        yield endpoint
        return
    with LocalEndpoint() as server:
        yield replace(endpoint, base_url=server.base_url, api_key=server.api_key)


class _Run:
    """The state of one run, all of it used from one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Journal,
        options: RunOptions,
        result: RunResult,
        *,
        clock: Callable[[], datetime],
        on_reply: Callable[[], object],
    ) -> None:
        self.endpoint, self.journal, self.options, self.result = endpoint, journal, options, result
        self.clock, self.on_reply = clock, on_reply
        self.stopping = asyncio.Event()
        self.requests = 0
        self.failures_in_a_row = 0
        self.not_before = 0.0  # loop time until which a server asked all of us to wait

    async def send_all(self, pending: Sequence[PlannedCall]) -> None:
        waiting = iter(pending)
        options = self.options
        async with (
            GroupCommit(self.journal) as self.durable,
            ChatClient(self.endpoint, timeout_s=options.timeout_s, concurrency=options.concurrency) as self.client,
        ):
            with self._interrupts():
                try:
                    async with asyncio.TaskGroup() as group:
                        for _ in range(options.concurrency):
                            group.create_task(self._work(waiting))
                except* sqlite3.Error as errors:
                    found = f"it cannot be written ({errors.exceptions[0]})"
                    self._stop(StoppedShort("generation journal", found, "free disk space and run the same command"))
        if self.result.failed and not self.result.replied and not self.result.stopped:
            self._stop(UpstreamError(self.endpoint.name, f"no call was answered; the last: {self.last_failure}", _LOOK))

    async def _work(self, waiting: Iterator[PlannedCall]) -> None:
        while not self.stopping.is_set():
            call = next(waiting, None)
            if call is None:
                return
            await self._make(call)

    async def _make(self, call: PlannedCall) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_retry),
            stop=stop_after_attempt(self.options.max_attempts),
            wait=self._pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            answer: Answer | None = await retrying(self._attempt, call)
        except CallFailed as failure:
            self._count_failure(failure)
            return
        if answer is not None:
            self.failures_in_a_row = 0
            self.result.replied += 1
            self.on_reply()

    async def _attempt(self, call: PlannedCall) -> Answer | None:
        """One request; None when the run stopped before it was sent."""
        await self._sleep(self.not_before - asyncio.get_running_loop().time())
        if self.stopping.is_set() or not self._take_request():
            return None
        key = call.request_key
        await self.durable(lambda: self.journal.sending(key, self.clock()))
        try:
            answer = await self.client.send(call.body)
        except CallFailed as caught:
            failure = caught
            state = "unknown" if failure.maybe_answered else "failed"
            await self.durable(
                lambda: self.journal.settle(
                    key, state, outcome=failure.outcome, at=self.clock(), status=failure.status,
                    headers=failure.headers, raw=failure.raw, error=str(failure),
                )
            )  # fmt: skip
            raise
        await self.durable(
            lambda: self.journal.settle(
                key, "replied", outcome="replied", at=self.clock(), status=answer.status,
                headers=answer.headers, raw=answer.raw,
            )
        )  # fmt: skip
        return answer

    def _take_request(self) -> bool:
        if self.options.max_calls is not None and self.requests >= self.options.max_calls:
            self._stop(
                StoppedShort(
                    "generate run", f"--max-calls {self.options.max_calls} is reached", "run the same command for more"
                )
            )
            return False
        self.requests += 1
        return True

    def _may_retry(self, error: BaseException) -> bool:
        if not isinstance(error, CallFailed) or not error.retry or self.stopping.is_set():
            return False
        # A server that is not there at the start will not come while we wait; one that goes away may come back.
        return error.outcome != "connection_refused" or self.result.replied > 0

    def _pause_s(self, state: RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after_s if isinstance(failure, CallFailed) else None
        backoff = wait_random_exponential(multiplier=self.options.backoff_s, max=60)(state)
        if asked is None:
            return backoff
        if asked > _LONGEST_PAUSE_S:
            self._stop(
                StoppedShort(self.endpoint.name, f"it asks us to wait {asked:.0f} s", "run the same command then")
            )
            return 0.0
        self.not_before = max(self.not_before, asyncio.get_running_loop().time() + asked)
        return asked

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)

    def _count_failure(self, failure: CallFailed) -> None:
        self.last_failure = str(failure)
        if failure.maybe_answered:
            self.result.unknown += 1
        else:
            self.result.failed += 1
        self.failures_in_a_row += 1
        if failure.fatal:
            self._stop(UpstreamError(self.endpoint.name, self.last_failure, _cure(failure)))
        elif failure.outcome == "connection_refused":
            self._stop(UpstreamError(f"model server {self.endpoint.name}", self.last_failure, _START))
        elif self.failures_in_a_row >= _FAILURES_IN_A_ROW:
            found = f"{self.failures_in_a_row} calls in a row failed; the last: {self.last_failure}"
            self._stop(StoppedShort(self.endpoint.name, found, _LOOK))

    def _stop(self, error: CrossmusimError) -> None:
        """Begin no further call; those in flight end and are journalled. The first reason is the one told."""
        self.result.stopped = self.result.stopped or error
        self.stopping.set()

    @contextlib.contextmanager
    def _interrupts(self) -> Iterator[None]:
        """SIGINT and SIGTERM stop the run cleanly; a second SIGINT is not waited for."""
        loop = asyncio.get_running_loop()
        former = {}

        def interrupted(number: int) -> None:
            self._stop(StoppedShort("generate run", "interrupted", "the same command takes up where it ended"))
            loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            # Only the main thread may handle signals, and not every platform's loop can.
            with contextlib.suppress(ValueError, RuntimeError, NotImplementedError):
                former[number] = signal.getsignal(number)
                loop.add_signal_handler(number, interrupted, number)
        try:
            yield
        finally:
            for number, handler in former.items():
                with contextlib.suppress(ValueError, RuntimeError):
                    loop.remove_signal_handler(number)
                    signal.signal(number, handler)


_START = "start it, or use --endpoint local"
_LOOK = "see `crossmusim generate status`, mend the cause, run the same command again"


def _cure(failure: CallFailed) -> str:
    if failure.outcome == "quota_exhausted" or failure.status == 402:
        return "top up the account, then run the same command again"
    if failure.status == 404:
        return "check --base-url (it usually ends in /v1) and --model"
    return "set OPENAI_API_KEY to a key this endpoint and model accept"
