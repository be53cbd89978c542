"""The shared quota: what processes may take together, what the server's headers change, and what a lost file costs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sourcing.generation.limits.headers import Limit, Limits
from sourcing.generation.limits.quota import SLICE_S, Quota

NAME = "http://h/v1 m"


class Clock:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "generation" / "quota.sqlite3"


def take_all(quota: Quota, tokens: float = 0) -> int:
    """Calls that go through now."""
    count = 0
    while quota.take(tokens)[0] == 0:
        count += 1
    return count


def busiest_minute(times: list[float], weights: list[float] | None = None) -> float:
    """The stupid loop: the most that was taken in any 60 seconds."""
    weights = weights or [1.0] * len(times)
    return max(
        sum(weight for at, weight in zip(times, weights, strict=True) if start <= at < start + 60) for start in times
    )


def test_with_no_limit_known_nothing_is_counted_and_no_file_is_made(path: Path) -> None:
    with Quota(path, NAME) as quota:
        for _ in range(1000):
            assert quota.take(10**9) == (0.0, 0.0)
        quota.settle(0.0, 10**9)
        quota.learn(Limits())
    assert not path.parent.exists()


def test_requests_are_paced_to_the_limit(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=120, clock=clock) as quota:
        times = []
        for _ in range(900):
            times += [clock.now] * take_all(quota)
            clock.now += 0.2
    assert 3 * 120 - 1 <= len(times) <= 3 * 120 + 2
    assert busiest_minute(times) <= 120 + 2 + 120 / 60 * SLICE_S


def test_waiting_as_long_as_told_is_long_enough(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=6, tokens_per_minute=600, clock=clock) as quota:
        assert quota.take(100) != (0.0, 0.0)
        for _ in range(5):
            start = clock.now
            while (wait_s := quota.take(100)[0]) > 0:
                clock.now += wait_s
            assert clock.now - start <= 10.2


def test_two_processes_share_one_quota(path: Path, clock: Clock) -> None:
    limit = 240
    one, two = (Quota(path, NAME, requests_per_minute=limit, clock=clock) for _ in range(2))
    draws: dict[Quota, list[float]] = {one: [], two: []}
    with one, two:
        for _ in range(3 * 60 * 5):
            for quota in (one, two):
                draws[quota] += [clock.now] * take_all(quota)
            clock.now += 0.2
    times = sorted(draws[one] + draws[two])
    slice_ = limit / 60 * SLICE_S
    assert busiest_minute(times) <= limit + limit / 60 + 2 * slice_
    assert len(times) >= 3 * limit * 0.99, "and nothing of it is wasted"
    assert min(len(draws[one]), len(draws[two])) >= len(times) * 0.3


PROCESS = """
import sys
from pathlib import Path
from sourcing.generation.limits.quota import Quota

now = [0.0]
quota = Quota(Path(sys.argv[1]), "m", requests_per_minute=60000, clock=lambda: now[0])
for line in sys.stdin:
    now[0] = float(line)
    count = 0
    while quota.take(0)[0] == 0:
        count += 1
    print(count, flush=True)
"""


@pytest.fixture
def processes(path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-c", PROCESS, str(path)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def ask(process: subprocess.Popen[str], now: float) -> int:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{now}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def test_real_processes_that_draw_at_the_same_time_never_get_more_than_there_is(
    path: Path, processes: list[subprocess.Popen[str]]
) -> None:
    total = 0
    steps = [1_790_000_000 + step / 4 for step in range(40)]
    with ThreadPoolExecutor(2) as pool:
        for now in steps:
            total += sum(pool.map(ask, processes, [now, now]))
    elapsed_s = steps[-1] - steps[0]
    assert 1000 * elapsed_s <= total <= 1000 * (1 + elapsed_s)


def test_the_slice_of_a_killed_process_is_all_that_is_lost(
    path: Path, clock: Clock, processes: list[subprocess.Popen[str]]
) -> None:
    with Quota(path, "m", requests_per_minute=60000, clock=clock) as other:
        assert other.take(0)[0] == 0
        ask(processes[0], clock.now)
        clock.now += 0.2
        ask(processes[0], clock.now)
        processes[0].kill()
        count = 0
        for _ in range(60 * 4):
            clock.now += 0.25
            count += take_all(other)
    assert count >= 60000 * (1 - SLICE_S / 60)


def test_a_large_call_saves_up_and_is_not_starved_by_small_ones(path: Path, clock: Clock) -> None:
    large, small = (Quota(path, NAME, tokens_per_minute=6000, clock=clock) for _ in range(2))
    with large, small:
        start = clock.now
        while large.take(4000)[0] > 0:
            take_all(small, 50)
            clock.now += 0.1
            assert clock.now - start < 120


def test_a_call_larger_than_a_minute_takes_the_minute(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, tokens_per_minute=600, clock=clock) as quota:
        start = clock.now
        while (found := quota.take(10_000))[0] > 0:
            clock.now += found[0]
        assert found == (0.0, 600.0)
        assert 58 <= clock.now - start <= 62


def test_tokens_reserved_in_excess_can_be_used_by_the_next_call(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, tokens_per_minute=60_000, clock=clock) as quota:
        wait_s, draws = quota.take(1000)
        assert (wait_s, draws) == (0.0, 1000.0)
        assert quota.take(1000)[0] > 0
        quota.settle(draws, 200)
        assert quota.take(800) == (0.0, 800.0)


def test_tokens_used_beyond_the_reserve_are_owed(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, tokens_per_minute=60_000, clock=clock) as quota:
        _, draws = quota.take(100)
        quota.settle(draws, 5100)
        start = clock.now
        while (wait_s := quota.take(1)[0]) > 0:
            clock.now += wait_s
        assert clock.now - start == pytest.approx(4.1, abs=0.6)


def test_a_process_keeps_no_more_than_it_needs_of_what_comes_back(path: Path, clock: Clock) -> None:
    one, two = (Quota(path, NAME, tokens_per_minute=60_000, clock=clock) for _ in range(2))
    with one, two:
        draws = []
        for _ in range(100):
            draws += [one.take(500)[1]]
            clock.now += 0.5
        for amount in draws:
            one.settle(amount, 10)
        assert take_all(two, 500) > 50


def test_a_call_not_sent_costs_nothing(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=60, tokens_per_minute=6000, clock=clock) as quota:
        _, draws = quota.take(100)
        assert quota.take(100)[0] > 0
        quota.untake(draws)
        assert quota.take(100) == (0.0, 100.0)


def test_what_is_left_at_the_end_is_handed_back(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=6000, clock=clock) as quota:
        quota.take(0)
    with Quota(path, NAME, requests_per_minute=6000, clock=clock) as quota:
        assert take_all(quota) == 99


def test_limits_are_learnt_from_a_reply_and_known_to_the_next_process(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, clock=clock) as quota:
        assert quota.take(500) == (0.0, 0.0)
        quota.learn(Limits(Limit(600, 599, 0.1), Limit(60_000, 59_000, 1.0)))
        assert (quota.requests_per_minute, quota.tokens_per_minute) == (600, 60_000)
        assert take_all(quota, 1) <= 10
    with Quota(path, NAME, clock=clock) as quota:
        assert (quota.requests_per_minute, quota.tokens_per_minute) == (600, 60_000)
    clock.now += 86400
    with Quota(path, NAME, clock=clock) as quota:
        assert quota.requests_per_minute is None, "what was learnt yesterday may have changed"


def test_the_lower_of_setting_and_learnt_limit_holds(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=100, tokens_per_minute=100, clock=clock) as quota:
        quota.learn(Limits(Limit(60, None, None), Limit(1000, None, None)))
        assert (quota.requests_per_minute, quota.tokens_per_minute) == (60, 100)
        quota.learn(Limits(Limit(80, None, None)))
        assert quota.requests_per_minute == 80, "limits change; the latest word counts"


def test_the_server_is_believed_when_it_says_that_less_remains(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=6000, clock=clock) as quota:
        quota.take(0)
        quota.learn(Limits(Limit(6000, 3, 1.0)))
        assert take_all(quota) == 3
        clock.now += 0.5
        assert take_all(quota) == 50, "from there it fills up at the limit's rate"


def test_the_server_is_not_believed_when_it_says_that_more_remains(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=600, clock=clock) as quota:
        assert take_all(quota) == 10
        quota.learn(Limits(Limit(600, 590, 1.0)))
        assert take_all(quota) == 0


def test_other_endpoints_and_models_have_buckets_of_their_own(path: Path, clock: Clock) -> None:
    with (
        Quota(path, NAME, requests_per_minute=60, clock=clock) as quota,
        Quota(path, "http://h/v1 other", requests_per_minute=60, clock=clock) as other,
    ):
        assert take_all(quota) == 1
        assert take_all(other) == 1


def test_the_stricter_of_two_processes_settings_holds(path: Path, clock: Clock) -> None:
    strict, loose = (Quota(path, NAME, requests_per_minute=limit, clock=clock) for limit in (60, 6000))
    count = 0
    with strict, loose:
        for _ in range(600):
            count += take_all(strict) + take_all(loose)
            clock.now += 0.1
    assert count <= 60 + 200


def test_a_clock_set_back_neither_fills_nor_stalls(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=600, clock=clock) as quota:
        assert take_all(quota) == 10
        clock.now -= 3600
        assert take_all(quota) == 0
        clock.now += 1
        assert take_all(quota) == 10


def test_a_torn_file_is_begun_anew(path: Path, clock: Clock) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not a database at all" * 100)
    with Quota(path, NAME, requests_per_minute=60, clock=clock) as quota:
        assert take_all(quota) == 1


def test_a_call_costs_no_transaction_of_its_own(path: Path, clock: Clock) -> None:
    with Quota(path, NAME, requests_per_minute=60_000, clock=clock) as quota:
        quota.take(0)
        assert quota._connection is not None
        statements: list[str] = []
        quota._connection.set_trace_callback(statements.append)
        count = 0
        for _ in range(100):
            clock.now += 0.1
            count += take_all(quota)
        assert count >= 9_900
        assert statements.count("BEGIN IMMEDIATE") <= 500
