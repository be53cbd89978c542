"""The ledger's promises: one task per URL, turns by priority, nothing lost on the way between states."""

from __future__ import annotations

from pathlib import Path

import pytest

from sourcing.crawling.ledger import Ledger, strip_secrets, task_key
from sourcing.crawling.sources.base import TaskSpec


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite")


def _spec(path: str, source: str = "site", priority: int = 0) -> TaskSpec:
    return TaskSpec(source, f"http://a.test/{path}", "page", priority=priority)


def test_a_url_is_one_task_however_it_is_written(ledger: Ledger) -> None:
    urls = ["http://a.test/x?b=1&a=2", "http://A.test/x?a=2&b=1", "http://a.test/x?a=2&b=1#part"]
    assert ledger.add(TaskSpec("site", url, "page") for url in urls) == 1
    assert ledger.add([TaskSpec("other", urls[0], "page")]) == 1


def test_higher_priority_goes_first_then_the_order_of_adding(ledger: Ledger) -> None:
    ledger.add([_spec("1"), _spec("2"), _spec("3", priority=5), _spec("4", source="zzz", priority=9)])
    tasks = ledger.lease(3, 0.0, 60.0)
    assert [task.url[-1] for task in tasks] == ["4", "3", "1"]
    assert [task.url[-1] for task in ledger.lease(3, 0.0, 60.0)] == ["2"]


def test_a_failed_task_waits_until_its_time_and_keeps_its_reason(ledger: Ledger) -> None:
    ledger.add([_spec("1")])
    (task,) = ledger.lease(1, 0.0, 60.0)
    ledger.failed(task.key, "http_503", 30.0, now=0.0, finding="HTTP 503", http_status=503)
    assert ledger.lease(1, 29.0, 60.0) == []
    assert ledger.soonest(["site"]) == 30.0
    (again,) = ledger.lease(1, 30.0, 60.0)
    assert again.attempts == 1
    ledger.failed(again.key, "http_503", now=31.0)
    assert ledger.totals()["failed"] == 1
    assert [item.reason for item in ledger.outcomes()] == ["http_503"]


def test_a_fetched_task_stays_fetched_whatever_is_reported_later(ledger: Ledger) -> None:
    ledger.add([_spec("1")])
    (task,) = ledger.lease(1, 0.0, 60.0)
    ledger.fetched(task.key, now=1.0)
    ledger.failed(task.key, "timeout", now=2.0)
    assert ledger.totals() == {"pending": 0, "leased": 0, "fetched": 1, "failed": 0, "denied": 0}


def test_leases_are_released_when_they_run_out_or_when_their_owner_is_gone(ledger: Ledger) -> None:
    ledger.add([_spec("1"), _spec("2")])
    ledger.lease(1, 0.0, 60.0)
    ledger.lease(1, 30.0, 60.0)
    assert ledger.release_own(70.0) == 1
    assert ledger.release_own() == 1
    assert ledger.totals()["pending"] == 2


def test_a_denial_that_may_pass_is_reopened_after_its_time(ledger: Ledger) -> None:
    ledger.add([_spec("1"), _spec("2")])
    one, two = ledger.lease(2, 0.0, 60.0)
    ledger.denied(one.key, "robots.txt unavailable: HTTP 503", now=0.0, again_at=100.0)
    ledger.denied(two.key, "robots.txt: disallowed", now=0.0)
    assert ledger.reopen(99.0) == 0
    assert ledger.reopen(100.0) == 1
    assert {item.reason for item in ledger.outcomes()} == {"robots.txt"}


def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.group():
        ledger.add([_spec("1")])
        raise RuntimeError
    assert ledger.totals()["pending"] == 0


def test_hosts_that_are_left_alone_are_not_leased(ledger: Ledger) -> None:
    ledger.add([_spec("1"), TaskSpec("site", "http://b.test/1", "page")])
    assert [task.host for task in ledger.lease(5, 0.0, 60.0, not_hosts=["a.test"])] == ["b.test"]


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.sqlite")
    first.add([_spec("1")])
    first.mark_warc("a.warc.gz", 42)
    second = Ledger(tmp_path / "ledger.sqlite")
    assert second.counts()["site"]["pending"] == 1
    assert second.warc_mark("a.warc.gz") == 42


@pytest.mark.parametrize(
    ("url", "stripped"),
    [
        ("https://a.test/x?api_key=SECRET&q=1", "https://a.test/x?q=1"),
        ("https://a.test/x?q=1&Access-Token=SECRET", "https://a.test/x?q=1"),
        ("https://user:SECRET@a.test:8080/x#frag", "https://a.test:8080/x"),
        ("https://a.test/x?keyword=token&page=2", "https://a.test/x?keyword=token&page=2"),
        ("https://a.test/x?q=a%20b&client_id=SECRET", "https://a.test/x?q=a%20b"),
    ],
)
def test_secrets_leave_the_url_and_nothing_else_does(url: str, stripped: str) -> None:
    assert strip_secrets(url) == stripped
    assert task_key("s", url) == task_key("s", stripped)
