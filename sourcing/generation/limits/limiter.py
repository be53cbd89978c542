"""Limiter: admits the next call to an endpoint and model, as it learnt from how the last ones were answered.

A call waits, in order of asking, for a place in the in-flight window, for the pause a server asked for, and for the
quota of the workspace. A refusal (429) is an answer about us and no attempt of the call.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping

from sourcing.generation.limits.circuit_breaker import Breaker
from sourcing.generation.limits.concurrency_window import Window
from sourcing.generation.limits.headers import Limits, read_limits
from sourcing.generation.limits.quota import Quota

__all__ = ["Limiter", "Permit"]

#: Failures with no reply between them that count as a refusal of the server as a whole.
_FAILURES_IN_A_ROW = 4
#: Pauses of our own, where a server refuses and does not say for how long: doubled for each burst without a reply.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = (0.05, 0.5), 15.0


class Permit:
    """The leave to send one call; exactly one of its methods says how that went."""

    __slots__ = ("_limiter", "_number", "_token_share")

    def __init__(self, limiter: Limiter, number: int, token_share: float) -> None:
        self._limiter: Limiter | None = limiter
        self._number, self._token_share = number, token_share

    def replied(self, tokens: int | None, headers: Mapping[str, str], latency_s: float | None) -> None:
        """The server answered; `tokens` as billed, None where it does not say.

        `latency_s` is None where the answer took no work (a bad request): it says nothing of how busy the server is.
        """
        self._spend()._replied(self._number, self._token_share, tokens, headers, latency_s)

    def throttled(self, headers: Mapping[str, str], message: str = "") -> None:
        """Refused as too much: 429, or 503 with Retry-After; `message` is quoted should the run be given up."""
        self._spend()._throttled(self._number, self._token_share, headers, message)

    def failed(self, message: str = "") -> None:
        """Note a call without a reply for any other reason; its tokens count as used, as far as anyone can tell."""
        self._spend()._failed(self._number, message)

    def unsent(self) -> None:
        """The call was not sent after all (a budget, an interrupt)."""
        self._spend()._unsent(self._token_share)

    def _spend(self) -> Limiter:
        limiter, self._limiter = self._limiter, None
        if limiter is None:
            raise RuntimeError("a permit is settled once")
        return limiter


class Limiter:
    """Admits calls to one endpoint and model, from one event loop: `permit = await limiter.acquire(tokens_at_most)`."""

    def __init__(
        self,
        name: str,
        *,
        max_in_flight: int,
        quota: Quota | None = None,
        give_up_after_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`name` is told when the run is given up; `wall` (seconds since 1970) is only for telling times of day."""
        self.breaker = Breaker(name, give_up_after_s)
        self.in_flight = 0
        self.concurrency = Window(max_in_flight)
        self._quota = quota
        self._clock, self._wall, self._jitter = clock, wall, jitter
        self._waiting: deque[tuple[asyncio.Future[Permit | None], int]] = deque()
        self._is_stopped = False
        self._not_before = 0.0  # on `clock`; 0 for no pause
        self._bursts = self._failures = 0  # since the last reply
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = math.inf

    @property
    def window(self) -> int:
        """Calls that may be in flight now."""
        return self.concurrency.places

    async def acquire(self, tokens_at_most: int = 0) -> Permit | None:
        """Wait until a call of at most so many tokens may be sent; None when the run is stopping or given up."""
        if not self._waiting and not self._is_stopped and self._blocked_s() == 0:
            permit, _ = self._take(tokens_at_most)
            if permit is not None:
                return permit
        if self._is_stopped:
            return None
        ticket: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, tokens_at_most))
        self._serve()
        try:
            return await ticket
        except asyncio.CancelledError:
            permit_in_hand = (
                ticket.result() if ticket.done() and not ticket.cancelled() and not ticket.exception() else None
            )
            if permit_in_hand is not None:
                permit_in_hand.unsent()
            raise

    def stop(self) -> None:
        """Let no further call through; those who wait get None, permits in hand are settled as ever."""
        self._is_stopped = True
        while self._waiting:
            ticket, _ = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)
        self._set_alarm(math.inf)

    def _serve(self) -> None:
        """Let waiting calls through as far as possible, and set the alarm for the next waiting call."""
        wait_s = math.inf
        while self._waiting:
            ticket, tokens = self._waiting[0]
            if ticket.done():
                self._waiting.popleft()
                continue
            wait_s = self._blocked_s()
            if wait_s > 0:
                break
            try:
                permit, wait_s = self._take(tokens)
            except Exception as error:  # raised by the one who waits, not by the call that ended or the alarm
                self._waiting.popleft()
                ticket.set_exception(error)
                continue
            if permit is None:
                break
            self._waiting.popleft()
            ticket.set_result(permit)
        if not self._waiting or wait_s == math.inf:
            self._set_alarm(math.inf)
        else:
            self._set_alarm(self._clock() + wait_s)

    def _blocked_s(self) -> float:
        """Seconds until window and pause might let a call through; infinite when only another call's end can."""
        if self.in_flight >= self.concurrency.places:
            return math.inf
        if self._quota is not None and (heard_s := self._quota.pause.left_s()):
            self._hear(heard_s)
        deadline = self.breaker.deadline
        if not self._not_before and deadline == math.inf:
            return 0.0
        now = self._clock()
        if now >= deadline:
            if self.in_flight == 0:
                self._give_up(now)
            return math.inf  # the calls in flight decide
        if now >= self._not_before:
            self._not_before = 0.0
            return 0.0
        return min(self._not_before, deadline) - now

    def _take(self, tokens: int) -> tuple[Permit | None, float]:
        token_share = 0.0
        if self._quota is not None:
            wait_s, token_share = self._quota.take(tokens)
            if wait_s > 0:
                return None, wait_s
        self.in_flight += 1
        return Permit(self, self.concurrency.sent(), token_share), 0.0

    def _replied(
        self, number: int, token_share: float, tokens: int | None, headers: Mapping[str, str], latency_s: float | None
    ) -> None:
        full = bool(self._waiting) or self.in_flight >= self.concurrency.places
        self.in_flight -= 1
        self._bursts = self._failures = 0
        self.breaker.answered()
        if latency_s is not None:
            self.concurrency.replied(number, latency_s, full=full)
        limits = read_limits(headers)
        if limits.shut_s:
            self._pause_all(limits.shut_s)
        self._settle(token_share, token_share if tokens is None else tokens, limits)
        self._serve()

    def _throttled(self, number: int, token_share: float, headers: Mapping[str, str], message: str) -> None:
        self.in_flight -= 1
        now = self._clock()
        self.breaker.refused(now, message=message)
        limits = read_limits(headers, now=self._wall())
        self._settle(token_share, 0.0, limits)
        self._refused_as_a_whole(number, limits.retry_after_s or limits.shut_s)
        self._serve()

    def _failed(self, number: int, message: str) -> None:
        self.in_flight -= 1
        self.breaker.failed(self._clock(), message=message)
        self._failures += 1
        if self._failures >= _FAILURES_IN_A_ROW:
            self._refused_as_a_whole(number, None)
        self._serve()

    def _unsent(self, token_share: float) -> None:
        self.in_flight -= 1
        if self._quota is not None:
            self._quota.untake(token_share)
        self._serve()

    def _settle(self, token_share: float, used: float, limits: Limits) -> None:
        if self._quota is not None:
            self._quota.settle(token_share, used)
            self._quota.learn(limits)

    def _refused_as_a_whole(self, number: int, asked_s: float | None) -> None:
        """Cut the window once a burst, and pause: as long as asked, else longer with each burst without a reply."""
        first_of_burst = self.concurrency.refused(number)
        if asked_s:
            self._pause_all(asked_s)
            since = self.breaker.since
            if since is not None and self._clock() + asked_s > since + self.breaker.give_up_after_s:
                self.breaker.trip_on_pause(asked_s, self._wall())
                self.stop()
        if first_of_burst:
            if not asked_s or (self._bursts and asked_s < _FIRST_PAUSE_S[0]):  # asked for again and again: too short
                self._pause(self._own_pause_s())
            self._bursts += 1

    def _own_pause_s(self) -> float:
        shortest, longest = _FIRST_PAUSE_S
        first_s = min(max(self.concurrency.latency_s or longest, shortest), longest)
        pause_s = min(first_s * 2.0 ** min(self._bursts, 10), _LONGEST_PAUSE_S)
        return pause_s * (0.75 + 0.5 * self._jitter())

    def _pause_all(self, seconds: float) -> None:
        """Pause as the server asks, in all processes of the workspace."""
        self._pause(seconds)
        if self._quota is not None:
            self._quota.pause.extend(seconds)

    def _pause(self, seconds: float) -> None:
        self._not_before = max(self._not_before, self._clock() + seconds)

    def _hear(self, seconds: float) -> None:
        """Keep a pause asked of another process or of the last run; give up at one longer than our patience."""
        self._pause(seconds)
        if seconds > self.breaker.give_up_after_s:
            self.breaker.trip_on_pause(seconds, self._wall())
            self.stop()

    def _give_up(self, now: float) -> None:
        self.breaker.trip(now, self._wall())
        self.stop()

    def _set_alarm(self, at: float) -> None:
        """Serve waiting calls again at that time at the latest: one task sleeps for all of them."""
        if self._alarm is not None:
            if self._alarm_at <= at < math.inf:
                return
            self._alarm.cancel()
            self._alarm = None
        self._alarm_at = at
        if at < math.inf:
            self._alarm = asyncio.get_running_loop().create_task(self._ring(at - self._clock()))

    async def _ring(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._alarm, self._alarm_at = None, math.inf
        self._serve()
