"""How far apart requests to a host lie: what is declared, what it asks for, and what it teaches."""

from __future__ import annotations

import random

import pytest

from sourcing.crawling.spider.hosts import Host


def sent(host: Host, ticks: list[float]) -> list[float]:
    """When requests that are wanted at these ticks go out."""
    gone: list[float] = []
    for tick in ticks:
        at = max(tick, gone[-1] if gone else 0.0)
        at += host.wait_s(at)
        host.asked(at, at)
        gone.append(at)
    return gone


def test_requests_lie_an_interval_apart() -> None:
    assert sent(Host("a", 2.0, 1), [10.0] * 4) == pytest.approx([10.0, 12.0, 14.0, 16.0])
    assert sent(Host("a", 2.0, 1), [10.0, 11.0, 30.0]) == pytest.approx([10.0, 12.0, 30.0])


def test_a_burst_goes_out_at_once_after_a_rest_and_no_rate_is_passed() -> None:
    assert sent(Host("a", 1.0, 1, burst=3), [10.0] * 5) == pytest.approx([10, 10, 10, 11, 12])
    rng = random.Random(5)
    for _ in range(200):
        host = Host("a", rng.choice([0.1, 1.0, 3.0]), 1, burst=rng.randrange(1, 6))
        times = sent(host, sorted(rng.uniform(1, 40) for _ in range(30)))
        for start in range(30):
            for end in range(start + host.burst, 30):  # n requests beyond a burst take n intervals
                assert times[end] - times[start] >= (end - start - host.burst + 1) * host.interval_s - 1e-6


def test_a_delay_learnt_after_the_first_request_counts_from_it() -> None:
    host = Host("a", 0.001, 1, burst=5)
    host.asked(10.0, 10.0)
    host.slow_down_to(0.3)
    assert host.wait_s(10.01) == pytest.approx(0.29, abs=0.005)
    host.slow_down_to(0.1)
    assert host.interval_s == 0.3


@pytest.mark.parametrize("on_its_way_s", [0.0, 0.4, 1.9])
def test_a_delay_that_the_site_asks_for_lies_between_requests_as_the_site_sees_them(on_its_way_s: float) -> None:
    host = Host("a", 0.1, 4, burst=5)
    host.asked(10.0, 1000.0)
    host.slow_down_to(3.0, theirs=True)
    host.all_answered(10.0 + on_its_way_s)  # the site may have seen it at any moment until then
    assert host.wait_s(10.0 + on_its_way_s) == pytest.approx(3.0)
    assert host.next_at == pytest.approx(1003.0 + on_its_way_s)  # for other processes as well
    assert host.wait_s(13.0 + on_its_way_s) == pytest.approx(0.0)


def test_an_answer_that_takes_long_is_waited_for_two_seconds_and_no_longer() -> None:
    host = Host("a", 0.1, 4)
    host.slow_down_to(3.0, theirs=True)
    host.asked(10.0, 1000.0)
    assert host.wait_s(10.0) == pytest.approx(3.0)  # is looked at again then: it may be answered by now
    assert host.wait_s(13.0) == pytest.approx(2.0)
    assert host.wait_s(15.0) == pytest.approx(0.0)
    host.all_answered(70.0)
    assert (host.wait_s(15.0), host.next_at) == (0.0, 1005.0)


def test_a_pace_of_our_own_is_that_of_sending() -> None:
    host = Host("a", 3.0, 4)
    host.asked(10.0, 1000.0)
    host.slow_down_to(2.0, theirs=True)
    host.all_answered(11.0)
    assert (host.wait_s(12.0), host.next_at) == (1.0, 1003.0)


def test_a_burst_of_refusals_slows_down_once_and_answers_ease_it() -> None:
    host = Host("a", 1.0, 4)
    for _ in range(5):
        host.throttled(130.0, 100.0)
    assert (host.interval_s, host.paused_until) == (2.0, 130.0)
    host.throttled(150.0, 140.0)
    assert host.interval_s == 4.0
    for _ in range(40):
        host.answered(0.1)
    assert host.interval_s == 1.0


def test_latency_far_beyond_the_usual_slows_down_and_its_end_eases() -> None:
    host = Host("a", 0.1, 4)
    for _ in range(50):
        host.answered(0.2)
    assert host.interval_s == 0.1
    for _ in range(50):
        host.answered(5.0)
    assert host.interval_s > 1.0
    for _ in range(200):
        host.answered(0.2)
    assert host.interval_s == 0.1


def test_noisy_latency_does_not_slow_down() -> None:
    rng = random.Random(1)
    host = Host("a", 0.1, 4)
    for _ in range(1000):
        host.answered(rng.lognormvariate(-1.5, 0.5))
    assert host.interval_s == 0.1


def test_failures_in_a_row_open_the_circuit_then_one_request_probes() -> None:
    host = Host("a", 0.01, 8)
    for _ in range(4):
        host.failed("timeout", 100.0, backoff_s=1.0)
    assert (host.paused_until, host.half_open) == (0.0, False)
    host.failed("timeout", 100.0, backoff_s=1.0)
    assert (host.paused_until, host.window) == (130.0, 1)
    host.answered(0.1)
    assert not host.half_open
    assert host.window > 8


def test_a_host_that_never_comes_back_is_left_alone_by_name() -> None:
    host = Host("a.test", 0.01, 8)
    now = 100.0
    while not host.down:
        host.failed("http_500", now, backoff_s=1.0)
        now = max(now, host.paused_until)
    assert host.down == "a.test failed 7 times in a row (http_500)"
    assert now < 100.0 + 300.0
