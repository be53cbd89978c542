"""Retry-After: every form servers write, and that what makes no sense is no pause rather than a call at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.store.retry_after import LONGEST_S, retry_after_s

NOW = 1_000.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        (" 3 ", 3.0),
        ("2.5", 2.5),
        ("1m30s", 90.0),
        ("250ms", 0.25),
        (b"20", 20.0),
        ([b"5", b"10"], 10.0),
        ("5, 10", 10.0),
        ("10, soon", 10.0),
        ("Thu, 01 Jan 1970 00:20:00 GMT", 200.0),
        ("Thursday, 01-Jan-70 00:20:00 GMT", 200.0),
        ("Thu Jan  1 00:20:00 1970", 200.0),
        ("Thu, 01 Jan 1970 02:20:00 +0200", 200.0),
        ("1970-01-01T00:20:00Z", 200.0),
        ("Thu, 01 Jan 1970 00:20:00 GMT, Thu, 01 Jan 1970 00:25:00 GMT", 500.0),
        ("Thu, 01 Jan 1970 00:20:00 GMT, 300", 300.0),
        ("99999999999999999999", LONGEST_S),
        ("9" * 200, LONGEST_S),
        ("Fri, 30 Jan 1970 00:00:00 GMT", LONGEST_S),
    ],
)
def test_a_wish_is_heard_in_every_form(value: str | bytes | list[bytes], seconds: float) -> None:
    assert retry_after_s(value, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0.0000001",
        "-5",
        "+5",
        "1e12",
        "1e400",
        "inf",
        "nan",
        "-inf",
        "1_0",
        "0x10",
        "٣",
        "１２",
        "5 seconds",
        "later",
        "9" * 100_000,
        "Thu, 01 Jan 1970 00:00:10 GMT",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Fri, 31 Dec 9999 23:59:59",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Mon, 01 Jan 0000 00:00:00 GMT",
        "Wed, 21 Oct 2026 07:28:00 +999999999999999999999",
        "Wed, 21 Oct 2026 99:99:99 GMT",
        "Wed, 00 Foo 2026 07:28:00 GMT",
        "Wed,",
        ",",
        ", , ,",
        "\x00",
        "\ud800",
    ],
)
def test_a_bad_past_or_empty_wish_is_none(value: str) -> None:
    assert retry_after_s(value, now=NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7", "Retry-After-Ms": "250"}, 0.25),
        ({"x-ms-retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "-1", "x-ms-retry-after-ms": "nan", "retry-after": "7"}, 7.0),
        ({"retry-after-ms": "9" * 40}, LONGEST_S),
        ({b"Retry-After": [b"5", b"10"]}, 10.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:01:00 GMT", "Date": "Thu, 01 Jan 1970 00:00:50 GMT"}, 10.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:20:00 GMT", "Date": "Wed, 21 Oct 99999999999 07:28:00 GMT"}, 200.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:20:00 GMT", "Date": "Thu, 01 Jan 1970 00:30:00 GMT"}, None),
    ],
)
def test_headers_are_read_whatever_their_case_and_the_most_precise_that_makes_sense_holds(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after_s(headers, now=NOW) == seconds


_LIKE_A_DATE = st.from_regex(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun)?,? ?[0-9]{0,3} ?(Jan|Oct|Foo)? ?[0-9]{0,25} [0-9:]{0,12} ?(GMT|[+-][0-9]{0,25})?"
)


@given(st.one_of(st.text(max_size=400), st.binary(max_size=400), _LIKE_A_DATE, st.lists(st.text(max_size=40))))
def test_whatever_stands_there_it_is_a_pause_within_bounds_or_none(value: str | bytes | list[str]) -> None:
    for asked in (value, {"Retry-After": value, "date": value, "retry-after-ms": value}):
        wait_s = retry_after_s(asked, now=NOW)
        assert wait_s is None or 0 < wait_s <= LONGEST_S
