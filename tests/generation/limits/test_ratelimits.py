"""Rate headers: what servers really send, and that nonsense reads as absent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.limits.headers import Limit, Limits, read_limits

OPENAI = {
    "X-RateLimit-Limit-Requests": "10000",
    "X-RateLimit-Remaining-Requests": "9999",
    "X-RateLimit-Reset-Requests": "6ms",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-tokens": "159976",
    "x-ratelimit-reset-tokens": "8ms",
}


def pause_s(**headers: str) -> float | None:
    return read_limits({name.replace("_", "-"): value for name, value in headers.items()}, now=0.0).retry_after_s


def test_openai_headers_are_read_whatever_their_case() -> None:
    assert read_limits(OPENAI) == Limits(Limit(10000, 9999, 0.006), Limit(160000, 159976, 0.008), None)


def test_azure_headers_are_seconds_and_may_leave_the_limit_out() -> None:
    limits = read_limits({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17"})
    assert limits.tokens == Limit(None, 0, 17.0)
    assert limits.requests == Limit()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6ms", 0.006), ("1m0s", 60.0), ("0s", 0.0), ("1.5", 1.5), ("59.5s", 59.5), ("250us", 0.00025), ("12µs", 12e-6)],
)
def test_resets_are_durations_or_seconds(text: str, seconds: float) -> None:
    reset_s = read_limits({"x-ratelimit-reset-requests": text}).requests.reset_s
    assert reset_s == pytest.approx(seconds)


def test_longer_durations_are_added_up() -> None:
    assert read_limits({"retry-after": "1h2m3.5s"}).retry_after_s == 3723.5


@pytest.mark.parametrize("nonsense", ["-1", "0", "nan", "inf", "-inf", "", "plenty", "1e400", "0x10", "9,000"])
def test_a_nonsense_limit_makes_its_whole_kind_absent(nonsense: str) -> None:
    limits = read_limits({**OPENAI, "x-ratelimit-limit-tokens": nonsense})
    assert limits.tokens == Limit()
    assert limits.requests.per_minute == 10000


@pytest.mark.parametrize("nonsense", ["-1", "nan", "inf", "some", "170000"])
def test_a_nonsense_remaining_is_absent_and_the_limit_stays(nonsense: str) -> None:
    limits = read_limits({**OPENAI, "x-ratelimit-remaining-tokens": nonsense}).tokens
    assert (limits.per_minute, limits.remaining) == (160000, None)


@pytest.mark.parametrize("nonsense", ["-1", "soon", "1m0", "m", "5 s", "1e99", "2026-01-01T00:00:00Z", "s" * 1000])
def test_a_nonsense_reset_is_absent(nonsense: str) -> None:
    assert read_limits({**OPENAI, "x-ratelimit-reset-tokens": nonsense}).tokens.reset_s is None


def test_a_limit_of_a_day_is_not_taken_for_one_of_a_minute() -> None:
    limits = read_limits({**OPENAI, "x-ratelimit-limit-requests": "10000", "x-ratelimit-reset-requests": "2m59.56s"})
    assert limits.requests == Limit(None, 9999, 179.56)


def test_a_spent_window_is_shut_until_it_ends_and_a_spent_bucket_is_not() -> None:
    assert Limit(60, 0, 30.0).shut_s == 30.0
    assert Limit(60, 0, 60.0).shut_s is None
    assert Limit(60, 1, 30.0).shut_s is None
    assert Limit(None, 0, 17.0).shut_s == 17.0
    assert Limit(None, 0, 7200.0).shut_s is None
    assert Limits(Limit(60, 0, 30.0), Limit(None, 0, 17.0)).shut_s == 30.0
    assert Limits().shut_s is None


def test_the_pause_asked_for_is_read_from_milliseconds_seconds_or_a_date() -> None:
    assert pause_s(retry_after_ms="250", retry_after="1") == 0.25
    assert pause_s(x_ms_retry_after_ms="1500") == 1.5
    assert pause_s(retry_after="20") == 20.0
    assert pause_s(retry_after="Thu, 01 Jan 1970 00:01:00 GMT") == 60.0
    assert pause_s(Retry_After="Thu, 01 Jan 1970 00:01:00 GMT", Date="Thu, 01 Jan 1970 00:00:50 GMT") == 10.0
    assert pause_s(retry_after="Wed, 31 Dec 1969 23:00:00 GMT") is None, "a wish that is past is none"


@pytest.mark.parametrize(
    "nonsense", ["-5", "nan", "later", "", "1e12", "Fri, 99 Foo 2026", "Fri, 31 Dec 9999 23:59:59"]
)
def test_a_nonsense_pause_is_absent(nonsense: str) -> None:
    assert pause_s(retry_after=nonsense) is None


def test_headers_without_limits_are_no_limits() -> None:
    assert read_limits({"date": "Thu, 01 Jan 1970 00:01:00 GMT", "content-type": "application/json"}) == Limits()
    assert read_limits({}) == Limits()


@given(st.dictionaries(st.sampled_from([*OPENAI, "retry-after", "retry-after-ms", "date"]), st.text(max_size=60)))
def test_whatever_a_server_writes_it_is_read_as_something_sane(headers: dict[str, str]) -> None:
    limits = read_limits(headers, now=0.0)
    for kind in (limits.requests, limits.tokens):
        assert kind.per_minute is None or 0 < kind.per_minute < math.inf
        assert kind.remaining is None or 0 <= kind.remaining < math.inf
        assert kind.reset_s is None or 0 <= kind.reset_s < math.inf
    assert limits.retry_after_s is None or 0 <= limits.retry_after_s < math.inf
