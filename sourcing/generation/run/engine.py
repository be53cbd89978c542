"""Engine: sends the calls of one run concurrently, under limiter and budget, with journal, retries and follow-ups."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from sourcing.errors import CrossmusimError, StoppedShort, UpstreamError
from sourcing.generation.calls import CallEnd
from sourcing.generation.cost.estimate import expected_tokens, worst_case
from sourcing.generation.cost.prices import actual_cost, read_usage
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.journal.group_commit import Durable
from sourcing.generation.journal.journal import TAKEN, Journal, OpenCall, Reserved
from sourcing.generation.journal.plan_writer import add_follow_up, unchecked
from sourcing.generation.journal.schema import compressor
from sourcing.generation.limits.limiter import Limiter, Permit
from sourcing.generation.packs.pack import Pack
from sourcing.generation.replies.failures import CallFailed, MaybeAnswered, NotSent, RawReply, failure_of
from sourcing.generation.replies.parsed_reply import ROW_ERROR, ParsedReply, name_of
from sourcing.generation.run.call_feed import CallFeed
from sourcing.generation.run.options import RunOptions, RunResult, RunTools
from sourcing.generation.run.reconcile import keep_at_endpoint
from sourcing.generation.run.reply_checker import FollowUp, ReplyChecker
from sourcing.generation.wire import unstreamed
from sourcing.store.interrupts import interrupts

__all__ = ["Engine"]

#: Consecutive failed calls before a run is stopped.
_FAILURES_IN_A_ROW = 8


@dataclass
class _Try:
    """A call being attempted, its reservation, and its number of failures, not counting throttling and refusals."""

    call: OpenCall
    reserve: Reserved
    failures: int = 0


class _Unsent(Exception):
    """Raised when a call is not sent: the run is stopping, or a second process took the call first."""


class Engine:
    """Sends the calls of one run from one event loop, with `options.concurrency` workers."""

    def __init__(
        self,
        endpoint: Endpoint,
        pack: Pack,
        options: RunOptions,
        result: RunResult,
        tools: RunTools,
        committing: Durable,
        server: LocalEndpoint | None = None,
    ) -> None:
        """`server` is the process of the embedded model, restarted by the engine when the process dies."""
        self.endpoint, self.committing, self.options, self.result = endpoint, committing, options, result
        self.quota, self.clock, self.on_reply = tools.quota, tools.clock, tools.on_reply
        self.compress = compressor()  # replies are compressed here, as one thread writes the journal for all calls
        self.checker = ReplyChecker(pack, endpoint)
        self.server = server
        self.stopping = asyncio.Event()
        self.freed = asyncio.Event()  # set when a reservation is settled
        self.reserving = 0  # calls with an open reservation
        self.settled = 0  # reservations settled so far
        self.failures_in_a_row = 0
        self.last_failure = ""

    async def send_all(self, run_id: int, feed: CallFeed) -> None:
        options = self.options
        loop = asyncio.get_running_loop()
        self.limiter = Limiter(
            self.endpoint.name,
            max_in_flight=options.concurrency,
            quota=self.quota,
            give_up_after_s=options.give_up_after_s,
        )
        waiting: asyncio.Queue[OpenCall | None] = asyncio.Queue(maxsize=2 * options.concurrency)
        async with (
            self.committing as self.durable,
            ChatClient(self.endpoint, timeout_s=options.timeout_s, concurrency=options.concurrency) as self.client,
        ):
            with interrupts(lambda: _wake(loop, self._interrupted)):
                try:
                    async with asyncio.TaskGroup() as group:
                        feeding = group.create_task(self._feed(waiting, run_id, feed))
                        workers = [group.create_task(self._work(waiting)) for _ in range(options.concurrency)]
                        await asyncio.gather(*workers)
                        feeding.cancel()
                except* sqlite3.Error as errors:
                    finding = f"it cannot be written ({errors.exceptions[0]})"
                    self._stop(StoppedShort("generation journal", finding, "free disk space and run the same command"))
        without_answer = self.result.failed + self.result.unknown
        if without_answer and not self.result.replied and not self.result.stopped:
            cure = _LOOK if self.result.failed else _DECIDE
            self._stop(UpstreamError(self.endpoint.name, f"no call was answered; the last: {self.last_failure}", cure))

    async def _feed(self, waiting: asyncio.Queue[OpenCall | None], run_id: int, feed: CallFeed) -> None:
        """Fill `waiting`: follow-ups of replies never checked before, the calls of `feed`, and a None per worker."""
        for call, raw in await self.durable(unchecked, run_id):
            reply = ParsedReply.read(raw)
            if (failure := failure_of(reply, RawReply(raw, 200, {}))) is not None:
                await self.durable(Journal.retract, call.call_id, **self._fate(failure))
            elif (follow := (await self._check(call, reply))[0]) is not None:
                await waiting.put(follow)
        async for calls in feed.chunks(self.durable):
            for call in calls:
                await waiting.put(call)
        for _ in range(self.options.concurrency):
            await waiting.put(None)

    async def _work(self, waiting: asyncio.Queue[OpenCall | None]) -> None:
        stop_signal = asyncio.ensure_future(self.stopping.wait())
        try:
            while not self.stopping.is_set():
                if waiting.empty():
                    taking = asyncio.ensure_future(waiting.get())
                    await asyncio.wait((taking, stop_signal), return_when=asyncio.FIRST_COMPLETED)
                    if not taking.done():
                        taking.cancel()
                        return
                    call = taking.result()
                else:
                    call = waiting.get_nowait()
                if call is None:
                    return
                following: OpenCall | None = call
                while following is not None:
                    following = await self._make(following)
        finally:
            stop_signal.cancel()

    async def _make(self, call: OpenCall) -> OpenCall | None:
        """Make one call with retries and count the outcome; returns the follow-up call of its reply, or None."""
        worst = worst_case(call.body, self.options.price)
        attempt = _Try(call, Reserved(worst.tokens, worst.nusd))
        try:
            try:
                follow = await self._attempt(attempt)
            except CallFailed as first:
                follow = await self._retry(attempt, first)
        except _Unsent:
            return None
        except CallFailed as failure:
            self._count_failure(failure)
            return None
        self.failures_in_a_row = 0
        if call.kind == "root":
            self.result.replied += 1
            self.on_reply()
        else:
            self.result.followed += 1
        return follow

    async def _retry(self, attempt: _Try, first: CallFailed) -> OpenCall | None:
        """Retry after the failure `first` while `_may_retry`; most calls are spared the cost of tenacity."""
        before = [first]

        async def again(attempt: _Try) -> OpenCall | None:
            if before:
                raise before.pop()
            return await self._attempt(attempt)

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_retry),
            stop=self._tried_enough,
            wait=self._pause_s,
            sleep=self._sleep,
            reraise=True,
        )
        follow: OpenCall | None = await retrying(again, attempt)
        return follow

    async def _attempt(self, attempt: _Try) -> OpenCall | None:
        """Send one request and make the reply durable before parsing; returns the follow-up call, raises CallFailed."""
        call, scope = attempt.call, self.options.account
        permit = await self._take(attempt)
        began_s = time.perf_counter()
        try:
            body = keep_at_endpoint(call.body, call.request_key) if self.options.store_completions else call.body
            answer = await self.client.send_bytes(unstreamed(body))
        except CallFailed as call_error:
            failure = await self._revive(call_error)
            await self._settle_failure(attempt, permit, failure)
            raise failure from None
        except Exception as error:  # an unforeseen answer may have been billed; the other calls go on
            self.result.row_errors.append(name_of(error))
            failure = MaybeAnswered(ROW_ERROR, name_of(error))
            await self._settle_failure(attempt, permit, failure)
            raise failure from error
        latency_s = time.perf_counter() - began_s
        await self.durable(
            Journal.settle, call.call_id,
            CallEnd("replied", "replied", answer.status, answer.headers, self.compress(answer.raw)),
            at=self.clock(), scope=scope,
        )  # fmt: skip
        reply = ParsedReply.read(answer.raw)
        if (no_answer := failure_of(reply, answer)) is not None:
            await self.durable(Journal.retract, call.call_id, **self._fate(no_answer))
            self._settled(attempt, permit, no_answer)
            raise no_answer
        follow, tokens = await self._check(call, reply, attempt.reserve)
        permit.replied(tokens, answer.headers, latency_s)
        self._free()
        return follow

    async def _take(self, attempt: _Try) -> Permit:
        """Wait for a permit and the call's budget, and journal the call as `sending`; _Unsent when it must not go."""
        call, options = attempt.call, self.options
        tokens = expected_tokens(call.body)
        while True:
            permit = await self.limiter.acquire(tokens)
            if permit is None:
                if self.limiter.breaker.error is not None:
                    self._stop(self.limiter.breaker.error)
                raise _Unsent
            self.freed.clear()
            settled_before = self.settled
            refusal = await self.durable(
                Journal.sending, call.call_id, self.clock(), scope=options.account, reserve=attempt.reserve,
                ceilings=options.ceilings, resend=call.state == "unknown",
            )  # fmt: skip
            if not refusal:
                self.reserving += 1
                return permit
            permit.unsent()
            if refusal == TAKEN:
                raise _Unsent
            if self.settled > settled_before:
                continue  # there may be room by now
            if not self.reserving:
                self._stop(StoppedShort("generate run", refusal, "raise it and run the same command for more"))
                raise _Unsent
            await self._first_of(self.freed, self.stopping)

    async def _check(
        self, call: OpenCall, reply: ParsedReply, reserved: Reserved | None = None
    ) -> tuple[OpenCall | None, int | None]:
        """Check and charge a reply, and journal its follow-up call; returns follow-up and tokens used, each or None."""
        reply_check = self.checker.check(call, reply)
        if reply_check.row_error:
            self.result.row_errors.append(reply_check.row_error)
        used = read_usage(reply_check.usage)
        charge_fields: dict[str, Any] = {
            "input_tokens": used.input_tokens if used else None,
            "output_tokens": used.output_tokens if used else None,
            "cost_nusd": actual_cost(self.options.price, reply_check.usage),
            "scope": self.options.account,
            "reserved": reserved,
            "row_error": reply_check.row_error or None,
        }
        tokens = None if used is None else used.input_tokens + used.output_tokens
        if reply_check.follow is None:
            self.durable.later(Journal.charge, call.call_id, **charge_fields)
            return None, tokens
        return await self.durable(_charge_and_follow, call, charge_fields, reply_check.follow, self.clock()), tokens

    async def _settle_failure(self, attempt: _Try, permit: Permit, failure: CallFailed) -> None:
        state = "unknown" if failure.maybe_answered else "failed"
        end = CallEnd(state, failure.outcome, failure.status, failure.headers, failure.raw, str(failure))
        await self.durable(Journal.settle, attempt.call.call_id, end, at=self.clock(), scope=self.options.account)
        self._settled(attempt, permit, failure)

    def _fate(self, failure: CallFailed) -> dict[str, Any]:
        """Keyword arguments of `Journal.retract` for a failure: state, outcome, error, time and account."""
        state = "unknown" if failure.maybe_answered else "failed"
        fate = {"state": state, "outcome": failure.outcome, "error": str(failure)}
        return {**fate, "at": self.clock(), "scope": self.options.account}

    def _settled(self, attempt: _Try, permit: Permit, failure: CallFailed) -> None:
        """Report a failure to the permit as throttled, refused or failed, and count a failed one in `attempt`."""
        if failure.is_throttled:
            permit.throttled(failure.headers, str(failure))
        elif failure.status is not None and not failure.retry:  # it serves, only not this call
            permit.replied(0, failure.headers, None)
        else:
            attempt.failures += 1
            permit.failed(str(failure))
        self._free()

    async def _revive(self, failure: CallFailed) -> CallFailed:
        """Restart the embedded server when its death caused the failure; returns NotSent then, which may be retried."""
        if self.server is None or failure.outcome not in _SERVER_ENDED:
            return failure
        try:
            is_new = await asyncio.to_thread(self.server.ensure_alive)
        except UpstreamError as error:
            self._stop(error)
            return failure.recast(NotSent if failure.retry else CallFailed)
        if is_new:
            self.endpoint = replace(self.endpoint, base_url=self.server.base_url)
            await self.client.move(self.endpoint)
        elif failure.outcome == "timeout":
            return failure
        return failure.recast(NotSent)

    def _free(self) -> None:
        self.reserving -= 1
        self.settled += 1
        self.freed.set()

    def _may_retry(self, error: BaseException) -> bool:
        if not isinstance(error, CallFailed) or not error.retry or error.maybe_answered or self.stopping.is_set():
            return False
        # A server that is not there at the start will not come while we wait; one that goes away may come back.
        return error.outcome != "connection_refused" or self.result.replied > 0 or self.server is not None

    def _tried_enough(self, state: RetryCallState) -> bool:
        attempt: _Try = state.args[0]
        return attempt.failures >= self.options.max_attempts

    def _pause_s(self, state: RetryCallState) -> float:
        """Seconds before a retry: random, exponential, at most 60; 0 if throttled, as the limiter pauses all calls."""
        failure = state.outcome.exception() if state.outcome else None
        if isinstance(failure, CallFailed) and failure.is_throttled:
            return 0.0
        return float(wait_random_exponential(multiplier=self.options.backoff_s, max=60)(state))

    async def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)

    async def _first_of(self, *events: asyncio.Event) -> None:
        tasks = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    def _count_failure(self, failure: CallFailed) -> None:
        self.last_failure = str(failure)
        if failure.maybe_answered:
            self.result.unknown += 1
        else:
            self.result.failed += 1
        self.failures_in_a_row += 1
        if failure.fatal:
            cure = failure.cure(self.endpoint.dialect.key_variable)
            self._stop(UpstreamError(self.endpoint.name, self.last_failure, cure))
        elif failure.outcome == "connection_refused":
            self._stop(UpstreamError(f"model server {self.endpoint.name}", self.last_failure, _START))
        elif self.failures_in_a_row >= _FAILURES_IN_A_ROW:
            finding = f"{self.failures_in_a_row} calls in a row failed; the last: {self.last_failure}"
            self._stop(StoppedShort(self.endpoint.name, finding, _LOOK))

    def _interrupted(self) -> None:
        self._stop(StoppedShort("generate run", "interrupted", "the same command takes up where it ended"))

    def _stop(self, error: CrossmusimError) -> None:
        """Begin no further call; calls in flight end and are journalled. `result.stopped` keeps the first error."""
        self.result.stopped = self.result.stopped or error
        self.stopping.set()
        self.limiter.stop()


def _charge_and_follow(
    journal: Journal, call: OpenCall, charge_fields: dict[str, Any], follow: FollowUp, at: datetime
) -> OpenCall | None:
    """Charge a reply and journal its follow-up in one change: a charged reply is not checked again after a crash."""
    journal.charge(call.call_id, **charge_fields)
    return add_follow_up(journal, call, follow.kind, follow.request_key, follow.body, at)


def _wake(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(callback)


_SERVER_ENDED = ("connection_refused", "connection_lost", "reply_cut", "timeout")
_START = "start it, or use --endpoint local"
_DECIDE = "see how the server is; --on-unknown resend asks again, and may be billed twice"
_LOOK = "see `crossmusim generate status`, mend the cause, run the same command again"
