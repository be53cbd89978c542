"""The limiter, in virtual time against simulated servers: it finds what they bear, obeys, and gives up in time."""

from __future__ import annotations

import asyncio
import math
import random
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sourcing.errors import StoppedShort
from sourcing.generation.limits.headers import Limit, Limits
from sourcing.generation.limits.limiter import Limiter, Permit
from sourcing.generation.limits.quota import Quota

NAME = "http://h/v1 m"
WALL = 1_793_534_400.0  # 2026-11-01 12:00:00 UTC, when the virtual clock shows 0
T = TypeVar("T")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it; with no timer left it has stalled."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        return self.now


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "stalled: nobody will ever wake up"
        self._loop.now += max(0.0, timeout)
        return super().select(0)


def play(story: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(story(loop), 1e6))
    finally:
        loop.close()


def limiter_on(loop: VirtualLoop, max_in_flight: int = 64, **options: Any) -> Limiter:
    options.setdefault("jitter", lambda: 0.5)
    return Limiter(NAME, max_in_flight=max_in_flight, clock=loop.time, wall=lambda: WALL + loop.time(), **options)


# Servers: each takes a call and returns what came of it and with which headers.

Serve = Callable[[], Awaitable[tuple[str, Mapping[str, str]]]]
Wait = Callable[[], float]


class Capacity:
    """Answers so many calls at once and says 429 to the rest."""

    def __init__(self, at_once: int, latency_s: Wait, headers: Mapping[str, str] | None = None) -> None:
        self.at_once, self.latency_s, self.headers = at_once, latency_s, headers or {}
        self.active = 0

    async def __call__(self) -> tuple[str, Mapping[str, str]]:
        if self.active >= self.at_once:
            await asyncio.sleep(0.01)
            return "throttled", self.headers
        self.active += 1
        await asyncio.sleep(self.latency_s())
        self.active -= 1
        return "replied", {}


class Queue:
    """Works on so many calls at once and lets the rest wait."""

    def __init__(self, at_once: int, latency_s: Wait) -> None:
        self.places, self.latency_s = asyncio.Semaphore(at_once), latency_s

    async def __call__(self) -> tuple[str, Mapping[str, str]]:
        async with self.places:
            await asyncio.sleep(self.latency_s())
        return "replied", {}


class Rate:
    """Answers so many calls a second (a token bucket that tells its state) and says 429 to the rest."""

    def __init__(self, loop: VirtualLoop, per_minute: int, *, tells: bool) -> None:
        self.loop, self.per_minute, self.tells = loop, per_minute, tells
        self.level, self.at = per_minute / 60, 0.0

    async def __call__(self) -> tuple[str, Mapping[str, str]]:
        rate = self.per_minute / 60
        self.level = min(rate, self.level + (self.loop.time() - self.at) * rate)
        self.at = self.loop.time()
        headers = {}
        if self.tells:
            headers = {
                "x-ratelimit-limit-requests": str(self.per_minute),
                "x-ratelimit-remaining-requests": str(max(0, int(self.level) - 1)),
                "x-ratelimit-reset-requests": "59.9s",
            }
        if self.level < 1:
            await asyncio.sleep(0.01)
            return "throttled", headers
        self.level -= 1
        await asyncio.sleep(1)
        return "replied", headers


def always(outcome: str, headers: Mapping[str, str] | None = None, latency_s: float = 0.05) -> Serve:
    async def serve() -> tuple[str, Mapping[str, str]]:
        await asyncio.sleep(latency_s)
        return outcome, headers or {}

    return serve


def uneven(mean_s: float, spread: float, seed: int = 1) -> Wait:
    rng = random.Random(seed)
    return lambda: mean_s * math.exp(spread * rng.gauss(0, 1) - spread * spread / 2)


@dataclass
class Traffic:
    replied: int = 0
    throttled: int = 0
    failed: int = 0
    windows: list[int] = field(default_factory=list)
    ended_at: float = 0.0
    last_in_flight: int = 0


async def drive(
    limiter: Limiter, serve: Serve, loop: VirtualLoop, *, seconds: float, workers: int = 128, tokens: int = 0
) -> Traffic:
    """Workers that call as long as they are let; the window as it was at each of 20 instants."""
    traffic = Traffic()

    async def work() -> None:
        while (permit := await limiter.acquire(tokens)) is not None:
            sent_at = loop.time()
            outcome, headers = await serve()
            setattr(traffic, outcome, getattr(traffic, outcome) + 1)
            if outcome == "replied":
                permit.replied(tokens, headers, loop.time() - sent_at)
            elif outcome == "throttled":
                permit.throttled(headers, "HTTP 429: slow down")
            else:
                permit.failed("HTTP 500: oops")

    async def watch() -> None:
        for _ in range(20):
            await asyncio.sleep(seconds / 20)
            traffic.windows.append(limiter.window)
        limiter.stop()

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(work() for _ in range(workers)))
    watching.cancel()
    traffic.ended_at, traffic.last_in_flight = loop.time(), limiter.in_flight
    return traffic


# What it finds.


@pytest.mark.parametrize(("at_once", "share"), [(1, 0.9), (4, 0.9), (20, 0.85), (60, 0.8)])
def test_a_server_that_refuses_is_loaded_to_its_capacity_with_few_refusals(at_once: int, share: float) -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 128)
        traffic = await drive(limiter, Capacity(at_once, uneven(1.0, 0.3)), loop, seconds=150)
        assert traffic.replied >= share * at_once * 150
        assert traffic.throttled <= max(0.05 * traffic.replied, 100)
        assert traffic.last_in_flight == 0
        assert limiter.breaker.error is None

    play(story)


@pytest.mark.parametrize("at_once", [4, 20, 60])
def test_a_server_that_asks_for_pauses_gets_them_and_is_still_put_to_use(at_once: int) -> None:
    async def story(loop: VirtualLoop) -> None:
        server = Capacity(at_once, uneven(1.0, 0.3), {"retry-after": "2"})
        traffic = await drive(limiter_on(loop, 128), server, loop, seconds=150)
        assert traffic.replied >= 0.7 * at_once * 150
        assert traffic.throttled <= 0.1 * traffic.replied

    play(story)


@pytest.mark.parametrize("spread", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("at_once", [8, 24])
def test_a_server_that_queues_is_not_flooded_and_not_starved(at_once: int, spread: float) -> None:
    async def story(loop: VirtualLoop) -> None:
        traffic = await drive(limiter_on(loop, 128), Queue(at_once, uneven(1.0, spread)), loop, seconds=500)
        assert traffic.replied >= 0.85 * at_once * 500
        assert sum(traffic.windows[2:]) / len(traffic.windows[2:]) <= 4 * at_once

    play(story)


@pytest.mark.parametrize("spread", [0.3, 0.8, 1.2])
def test_uneven_latency_alone_starves_nobody(spread: float) -> None:
    async def story(loop: VirtualLoop) -> None:
        traffic = await drive(limiter_on(loop, 64), Queue(10**6, uneven(2.0, spread)), loop, seconds=300)
        assert traffic.replied >= 0.9 * 64 * 300 / 2

    play(story)


@pytest.mark.parametrize("latency_at", [lambda t: 1 + 4 * (t > 100), lambda t: 1 + t / 50, lambda t: 1 + t // 50 % 2])
def test_calls_that_take_longer_do_not_shrink_the_window_for_good(latency_at: Callable[[float], float]) -> None:
    async def story(loop: VirtualLoop) -> None:
        noise = uneven(1.0, 0.5)
        traffic = await drive(
            limiter_on(loop, 64), Queue(10**6, lambda: latency_at(loop.time()) * noise()), loop, seconds=400
        )
        assert sum(traffic.windows) / 20 >= 56
        assert min(traffic.windows[1:]) >= 32

    play(story)


def test_a_short_queue_is_no_reason_to_shrink() -> None:
    async def story(loop: VirtualLoop) -> None:
        traffic = await drive(limiter_on(loop, 64), Queue(4, lambda: 0.02), loop, seconds=10)
        assert traffic.windows[-1] == 64

    play(story)


def test_bad_requests_turned_away_at_once_do_not_pass_for_a_fast_server() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64)
        for number in range(400):
            permit = await got(limiter)
            permit.replied(0, {}, None if number % 2 else 1.0)
        assert limiter.concurrency.latency_s == pytest.approx(1.0)
        assert limiter.in_flight == 0

    play(story)


def test_a_few_failing_calls_do_not_slow_the_others() -> None:
    async def story(loop: VirtualLoop) -> None:
        rng = random.Random(1)

        async def serve() -> tuple[str, Mapping[str, str]]:
            await asyncio.sleep(0.5)
            return "failed" if rng.random() < 0.05 else "replied", {}

        traffic = await drive(limiter_on(loop, 64), serve, loop, seconds=100)
        assert traffic.replied >= 0.85 * 64 * 100 * 2
        assert traffic.windows[-1] == 64

    play(story)


def test_a_server_that_goes_away_for_a_while_is_probed_gently_and_found_again() -> None:
    async def story(loop: VirtualLoop) -> None:
        async def serve() -> tuple[str, Mapping[str, str]]:
            await asyncio.sleep(0.25)
            return "failed" if 10 < loop.time() < 50 else "replied", {}

        traffic = await drive(limiter_on(loop, 64), serve, loop, seconds=100)
        assert traffic.failed <= 300, "64 workers failing every 250 ms would be 10,240"
        assert traffic.windows[-1] == 64

    play(story)


def test_a_storm_of_refusals_passes_and_the_window_comes_back() -> None:
    async def story(loop: VirtualLoop) -> None:
        async def serve() -> tuple[str, Mapping[str, str]]:
            storm = 50 < loop.time() < 100
            await asyncio.sleep(0.02 if storm else 1)
            return "throttled" if storm else "replied", {}

        traffic = await drive(limiter_on(loop, 64), serve, loop, seconds=300)
        assert traffic.replied >= 0.85 * 64 * 250
        assert traffic.windows[-1] == 64

    play(story)


# One cut per burst, growth by replies.


def test_the_window_starts_small_and_never_passes_what_is_allowed() -> None:
    async def story(loop: VirtualLoop) -> None:
        assert limiter_on(loop, 64).window == 8
        assert limiter_on(loop, 3).window == 3
        traffic = await drive(limiter_on(loop, 12), always("replied", latency_s=1.0), loop, seconds=30)
        assert max(traffic.windows) == 12

    play(story)


def test_a_burst_of_refusals_is_one_cut() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop)
        permits = [await got(limiter) for _ in range(8)]
        for permit in permits:
            permit.throttled({})
        assert limiter.window == 5
        await asyncio.sleep(1)
        later = await got(limiter)
        later.throttled({})
        assert limiter.window == 3

    play(story)


def test_refusals_that_straggle_in_after_the_cut_do_not_cut_again() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop)
        permits = [await got(limiter) for _ in range(8)]
        permits[7].throttled({})
        await asyncio.sleep(5)
        permits[0].throttled({})
        assert limiter.window == 5

    play(story)


def test_a_window_that_is_not_used_does_not_grow() -> None:
    async def story(loop: VirtualLoop) -> None:
        traffic = await drive(limiter_on(loop, 64), always("replied", latency_s=1.0), loop, seconds=100, workers=2)
        assert traffic.windows[-1] == 8

    play(story)


# Pauses.


def test_nobody_is_sent_before_the_time_the_server_asked_for() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop)
        (await got(limiter)).throttled({"Retry-After": "30"})
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(29.9):
                await limiter.acquire()
        (await got(limiter)).replied(0, {}, 1.0)
        assert loop.time() == pytest.approx(30)
        (await got(limiter)).unsent()
        assert loop.time() == pytest.approx(30)

    play(story)


def test_a_shorter_pause_asked_for_later_does_not_cut_a_longer_one_short() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop)
        permits = [await got(limiter) for _ in range(2)]
        permits[0].throttled({"retry-after": "30"})
        permits[1].throttled({"retry-after-ms": "500"})
        await got(limiter)
        assert loop.time() == pytest.approx(30)

    play(story)


def test_a_window_told_to_be_spent_is_waited_out_before_any_refusal() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop)
        spent = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17"}
        (await got(limiter)).replied(10, spent, 1.0)
        await got(limiter)
        assert loop.time() == pytest.approx(17)

    play(story)


@pytest.mark.parametrize("nonsense", ["-1", "NaN", "soon", "0", ""])
def test_nonsense_headers_neither_stall_nor_hurry_a_run(nonsense: str) -> None:
    async def story(loop: VirtualLoop) -> None:
        names = [
            f"x-ratelimit-{part}-{kind}" for part in ("limit", "remaining", "reset") for kind in ("requests", "tokens")
        ]
        headers = dict.fromkeys([*names, "retry-after", "retry-after-ms"], nonsense)
        quota = Quota(Path("/nonexistent/quota.sqlite3"), NAME, clock=loop.time)
        traffic = await drive(limiter_on(loop, 8, quota=quota), always("replied", headers, 1.0), loop, seconds=50)
        assert traffic.replied == 8 * 50
        assert quota.requests_per_minute is None and quota.tokens_per_minute is None

    play(story)


# Giving up.


def test_a_permanent_refusal_ends_the_run_in_time_and_says_what_was_seen() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64, give_up_after_s=120)
        traffic = await drive(limiter, always("throttled"), loop, seconds=10_000)
        assert traffic.ended_at <= 121
        assert 10 <= traffic.throttled <= 60, "it keeps trying, and not like mad"
        error = limiter.breaker.error
        assert isinstance(error, StoppedShort)
        assert str(error) == (
            f"{NAME}: no call was answered for 120 s: {traffic.throttled} calls were refused as too many"
            " since 2026-11-01 12:00:00 UTC; the last: HTTP 429: slow down;"
            " see how the server is, then run the same command again"
        )
        assert await limiter.acquire() is None

    play(story)


def test_a_permanent_refusal_with_pauses_ends_as_soon_as_they_lead_beyond_the_patience() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64, give_up_after_s=120)
        traffic = await drive(limiter, always("throttled", {"retry-after": "50"}), loop, seconds=10_000)
        assert traffic.ended_at == pytest.approx(100, abs=1)

    play(story)


def test_a_pause_longer_than_the_patience_ends_the_run_at_once_with_the_time_to_come_back() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64)
        traffic = await drive(limiter, always("throttled", {"retry-after": "3600"}), loop, seconds=10_000)
        assert traffic.ended_at < 1
        error = limiter.breaker.error
        assert error is not None
        assert "3600 s" in error.found and "2026-11-01 13:00:00 UTC" in error.cure

    play(story)


def test_a_server_that_only_fails_ends_the_run_in_time() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64)
        traffic = await drive(limiter, always("failed"), loop, seconds=10_000)
        assert traffic.ended_at <= 121
        assert limiter.breaker.error is not None and "met by a failure" in limiter.breaker.error.found

    play(story)


def test_answers_however_rare_keep_a_run_alive() -> None:
    async def story(loop: VirtualLoop) -> None:
        turn = 0

        async def serve() -> tuple[str, Mapping[str, str]]:
            nonlocal turn
            turn += 1
            await asyncio.sleep(1)
            return "replied" if turn % 10 == 0 else "throttled", {}

        limiter = limiter_on(loop, 64, give_up_after_s=120)
        traffic = await drive(limiter, serve, loop, seconds=2000)
        assert traffic.replied > 0 and limiter.breaker.error is None
        assert traffic.ended_at >= 2000

    play(story)


def test_calls_still_out_are_waited_for_before_the_run_is_given_up() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 64, give_up_after_s=60)
        slow, first, second = [await got(limiter) for _ in range(3)]
        first.failed()
        second.failed()
        waiting = asyncio.create_task(limiter.acquire())
        waiting_too = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        for task in (waiting, waiting_too):
            permit = await task
            assert permit is not None
            permit.failed()
        await asyncio.sleep(100)
        last = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(100)
        assert not last.done() and limiter.breaker.error is None
        slow.replied(1, {}, 200.0)
        assert await last is not None and limiter.breaker.error is None

    play(story)


# Stopping, and permits.


def test_stopping_lets_nobody_through_and_leaves_nobody_waiting() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 1)
        permit = await got(limiter)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(1)
        limiter.stop()
        assert await asyncio.gather(*waiting) == [None, None, None]
        assert await limiter.acquire() is None
        permit.replied(1, {}, 1.0)
        assert limiter.in_flight == 0
        assert len(asyncio.all_tasks()) <= 2, "no alarm is left behind"

    play(story)


def test_calls_go_in_the_order_they_asked() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 1)
        permit = await got(limiter)
        order: list[int] = []

        async def ask(number: int) -> None:
            mine = await got(limiter)
            order.append(number)
            mine.replied(1, {}, 1.0)

        asking = [asyncio.create_task(ask(number)) for number in range(5)]
        await asyncio.sleep(0)
        permit.replied(1, {}, 1.0)
        await asyncio.gather(*asking)
        assert order == [0, 1, 2, 3, 4]

    play(story)


def test_a_caller_that_goes_away_gives_its_place_to_the_next() -> None:
    async def story(loop: VirtualLoop) -> None:
        limiter = limiter_on(loop, 1)
        permit = await got(limiter)
        waiting = [asyncio.create_task(limiter.acquire()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        permit.replied(1, {}, 1.0)  # grants the second one in this very moment
        waiting[1].cancel()
        await asyncio.sleep(0)
        assert await waiting[2] is not None
        assert limiter.in_flight == 1

    play(story)


def test_a_permit_is_settled_once() -> None:
    async def story(loop: VirtualLoop) -> None:
        permit = await got(limiter_on(loop))
        permit.unsent()
        with pytest.raises(RuntimeError, match="settled once"):
            permit.failed()

    play(story)


# With a quota.


def test_limits_learnt_from_replies_end_the_refusals(tmp_path: Path) -> None:
    async def story(loop: VirtualLoop, *, tells: bool, folder: str) -> Traffic:
        with Quota(tmp_path / folder / "quota.sqlite3", NAME, clock=loop.time) as quota:
            limiter = limiter_on(loop, 64, quota=quota)
            return await drive(limiter, Rate(loop, 600, tells=tells), loop, seconds=120)

    told = play(lambda loop: story(loop, tells=True, folder="told"))
    untold = play(lambda loop: story(loop, tells=False, folder="untold"))
    assert told.replied >= 0.95 * 1200 and untold.replied >= 0.85 * 1200
    assert told.throttled <= 10 < untold.throttled


def test_two_limiters_on_one_workspace_keep_one_limit_together(tmp_path: Path) -> None:
    async def story(loop: VirtualLoop) -> None:
        def side() -> tuple[Quota, Limiter]:
            quota = Quota(tmp_path / "quota.sqlite3", NAME, tokens_per_minute=60_000, clock=loop.time)
            return quota, limiter_on(loop, 64, quota=quota)

        (one, first), (two, second) = side(), side()
        with one, two:
            traffic = await asyncio.gather(
                *(
                    drive(lim, always("replied", latency_s=1.0), loop, seconds=120, tokens=500)
                    for lim in (first, second)
                )
            )
        spent = sum(each.replied for each in traffic) * 500
        assert 0.97 * 120_000 <= spent <= 120_000 + 1000 + 2 * 500
        assert min(each.replied for each in traffic) >= 0.25 * sum(each.replied for each in traffic)

    play(story)


def test_tokens_reserved_for_longer_answers_are_settled_back(tmp_path: Path) -> None:
    async def story(loop: VirtualLoop) -> None:
        with Quota(tmp_path / "quota.sqlite3", NAME, tokens_per_minute=60_000, clock=loop.time) as quota:
            limiter, count = limiter_on(loop, 64, quota=quota), 0

            async def work() -> None:
                nonlocal count
                while (permit := await limiter.acquire(5000)) is not None:
                    await asyncio.sleep(2)
                    permit.replied(500, {}, 2.0)
                    count += 1

            loop.call_later(300, limiter.stop)
            await asyncio.gather(*(work() for _ in range(64)))
        assert count * 500 >= 0.8 * 300_000, "and not the tenth of it that the reserves would have left"

    play(story)


def test_refused_and_unsent_calls_cost_no_tokens_and_failed_ones_do(tmp_path: Path) -> None:
    async def story(loop: VirtualLoop) -> None:
        with Quota(tmp_path / "quota.sqlite3", NAME, tokens_per_minute=60_000, clock=loop.time) as quota:
            limiter = limiter_on(loop, 64, quota=quota)
            (await got(limiter, 900)).unsent()
            (await got(limiter, 900)).throttled({"retry-after-ms": "1"})
            permit = await got(limiter, 900)
            assert loop.time() < 0.01
            permit.failed()
            await got(limiter, 900)
            assert 0.5 < loop.time() < 1.0

    play(story)


def test_a_quota_that_cannot_be_written_is_told_to_the_caller(tmp_path: Path) -> None:
    async def story(loop: VirtualLoop) -> None:
        quota = Quota(tmp_path / "file" / "quota.sqlite3", NAME, clock=loop.time)
        limiter = limiter_on(loop, 1, quota=quota)
        permit = await got(limiter)
        waiting = asyncio.create_task(limiter.acquire())
        await asyncio.sleep(0)
        (tmp_path / "file").write_text("in the way")
        quota.learn(Limits(Limit(60, 59, 1.0)))
        permit.replied(1, {}, 1.0)
        with pytest.raises(OSError, match="file"):
            await waiting

    play(story)


async def got(limiter: Limiter, tokens: int = 0) -> Permit:
    permit = await limiter.acquire(tokens)
    assert permit is not None
    return permit
