"""The ledger's promises: one task per URL, turns by priority, nothing lost on the way between states."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sourcing.crawling.ledger import STATES, Ledger, task_key
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.source import TaskSpec
from sourcing.errors import InputError


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
    ledger.add([_spec("1"), _spec("2"), _spec("3", priority=5), _spec("4", priority=9)])
    assert [task.url[-1] for task in ledger.lease(3, 0.0, 60.0)] == ["4", "3", "1"]
    assert [task.url[-1] for task in ledger.lease(3, 0.0, 60.0)] == ["2"]


def test_queues_take_turns(ledger: Ledger) -> None:
    ledger.add(TaskSpec("site", f"http://{host}.test/{n}", "page") for host in "abc" for n in range(4))
    taken = [ledger.lease(2, 0.0, 60.0, room=lambda _source, _host: 2) for _ in range(4)]
    assert [{task.host[0] for task in tasks} for tasks in taken] == [{"a"}, {"b"}, {"c"}, {"a"}]


def test_a_failed_task_waits_until_its_time_and_keeps_its_reason(ledger: Ledger) -> None:
    ledger.add([_spec("1")])
    (task,) = ledger.lease(1, 0.0, 60.0)
    ledger.failed(task.key, "http_503", 30.0, finding="HTTP 503", http_status=503)
    assert ledger.lease(1, 29.0, 60.0) == []
    assert ledger.census.soonest(["site"]) == 30.0
    (again,) = ledger.lease(1, 30.0, 60.0)
    assert again.attempts == 1
    ledger.failed(again.key, "http_503")
    assert ledger.census.totals()["failed"] == 1
    assert [item.reason for item in ledger.census.outcomes()] == ["http_503"]


def test_a_fetched_task_stays_fetched_whatever_is_reported_later(ledger: Ledger) -> None:
    ledger.add([_spec("1")])
    (task,) = ledger.lease(1, 0.0, 60.0)
    ledger.fetched(task.key, now=1.0)
    ledger.failed(task.key, "timeout")
    assert ledger.census.totals() == {"pending": 0, "leased": 0, "fetched": 1, "failed": 0, "denied": 0}


def test_a_lease_that_ran_out_is_pending_again(ledger: Ledger) -> None:
    ledger.add([_spec("1"), _spec("2")])
    ledger.lease(1, 0.0, 60.0)
    ledger.lease(1, 30.0, 60.0)
    assert ledger.release_expired(70.0) == 1
    assert ledger.release_expired(90.0) == 1
    assert ledger.census.totals()["pending"] == 2


def test_a_denial_that_may_pass_is_reopened_after_its_time(ledger: Ledger) -> None:
    ledger.add([_spec("1"), _spec("2")])
    one, two = ledger.lease(2, 0.0, 60.0)
    ledger.denied(one.key, "robots.txt unavailable: HTTP 503", again_at=100.0)
    ledger.denied(two.key, "robots.txt: disallowed")
    assert ledger.reopen(99.0) == 0
    assert ledger.reopen(100.0) == 1
    assert {item.reason for item in ledger.census.outcomes()} == {"robots.txt"}


def test_a_group_is_all_or_nothing(ledger: Ledger) -> None:
    with pytest.raises(RuntimeError), ledger.group():
        ledger.add([_spec("1")])
        raise RuntimeError
    assert ledger.census.totals()["pending"] == 0


def test_a_paused_host_is_not_leased_before_its_time(ledger: Ledger) -> None:
    ledger.add([_spec("1"), TaskSpec("site", "http://b.test/1", "page")])
    ledger.run.pause("a.test", 100.0)
    assert [task.host for task in ledger.lease(5, 99.0, 60.0)] == ["b.test"]
    assert [task.host for task in ledger.lease(5, 100.0, 60.0)] == ["a.test"]


def test_a_host_belongs_to_one_process_until_it_gives_it_back(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.add([_spec("1"), _spec("2"), TaskSpec("site", "http://b.test/1", "page")])
    assert [task.url for task in one.lease(1, 0.0, 600.0)] == ["http://a.test/1"]
    assert [task.url for task in two.lease(5, 1.0, 600.0)] == ["http://b.test/1"]
    one.run.rest()
    assert [task.url for task in two.lease(5, 2.0, 600.0)] == ["http://a.test/2"]


def test_a_host_whose_process_does_not_renew_it_is_taken_over(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.add([_spec("1"), _spec("2")])
    one.lease(1, 0.0, 600.0)
    one.run.keep(["a.test"], 20.0)
    assert two.lease(5, 45.0, 600.0) == []
    assert [task.url for task in two.lease(5, 51.0, 600.0)] == ["http://a.test/2"]


def test_a_process_with_fewer_hosts_gets_some_of_one_with_more(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.add(TaskSpec("site", f"http://{host}.test/{n}", "page") for host in "abcdefg" for n in range(100))
    one.add(TaskSpec("site", f"http://small.test/{n}", "page") for n in range(9))
    one.add(TaskSpec("other", f"http://other.test/{n}", "page") for n in range(400))
    assert len(one.lease(9 * 20, 0.0, 60.0, room=lambda *_: 8)) == 9 * 8  # the first to come takes every host
    assert two.lease(9, 0.0, 60.0, ["site"]) == []
    two.run.wish(["site"], 0.0)
    wished = one.run.wished(0.0)
    assert len(wished) == 3  # of seven: not those with little to ask, nor those of a source that is not asked
    assert wished < {f"{host}.test" for host in "abcdefg"}
    assert two.run.wished(0.0) == set()
    for host in wished:
        one.run.give_up(host)
    assert {task.host for task in two.lease(100, 0.0, 60.0, ["site"], room=lambda *_: 8)} == wished
    assert one.run.wished(0.0) == set()  # fulfilled
    one.run.wish(["site"], 0.0)
    two.run.wish(["site"], 0.0)
    assert (one.run.wished(0.0), two.run.wished(0.0)) == (set(), set())  # four and three: nobody has to move
    three = Ledger(tmp_path / "ledger.sqlite")
    three.run.wish(["site"], 1.0)
    assert len(one.run.wished(2.0)) == 2
    assert one.run.wished(7.0) == set()  # a wish that is not repeated is forgotten


def test_what_a_dead_process_held_goes_to_the_living(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.add([_spec("1")])
    with one.run.entered(0.0), two.run.entered(0.0):
        one.lease(1, 0.0, 600.0)
        assert two.run.others() == [one.run.owner]
        assert two.run.dead() == []
        code = (
            "import sys; from sourcing.crawling.ledger import Ledger; ledger = Ledger(sys.argv[1]);"
            "entered = ledger.run.entered(0.0); entered.__enter__(); print(ledger.run.owner, flush=True);"
            "import os; os._exit(9)"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "ledger.sqlite"], stdout=subprocess.PIPE)
        owner = done.stdout.decode().strip()
        assert two.run.dead() == [owner]
        two.run.forget(owner)
        assert two.run.others() == [one.run.owner]
    assert two.lease(1, 1.0, 600.0)


def test_a_feed_goes_on_from_where_it_was_noted(ledger: Ledger) -> None:
    assert ledger.cursor("list:1") == 0
    ledger.add([_spec("1")], cursor=("list:1", 17))
    assert ledger.cursor("list:1") == 17


def test_a_ledger_of_another_layout_is_refused_by_name(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.sqlite") as db:
        db.execute("CREATE TABLE tasks (seq INTEGER PRIMARY KEY)")
    with pytest.raises(InputError, match=r"old\.sqlite: layout 0"):
        Ledger(tmp_path / "old.sqlite")


def test_counts_are_those_of_a_stupid_count(ledger: Ledger) -> None:
    rng = random.Random(3)
    ledger.add(_spec(str(n), source=rng.choice(["x", "y"])) for n in range(60))
    for step in range(100):
        for task in ledger.lease(rng.randrange(4), float(step), rng.choice([1.0, 50.0])):
            match rng.randrange(6):
                case 0:
                    ledger.fetched(task.key, now=1.0)
                case 1:
                    ledger.failed(task.key, "timeout", rng.choice([None, step + 3.0]))
                case 2:
                    ledger.denied(task.key, "robots.txt: no")
                case 3:
                    ledger.postpone(task.key, rng.choice([0.0, step + 2.0]))
        ledger.release_expired(float(step))
    states = ["pending", "leased", "fetched", "failed", "denied", "pending"]
    slow = Counter(states[row[0]] for row in ledger._db.execute("SELECT state FROM tasks"))
    assert ledger.census.totals() == {state: slow[state] for state in STATES}


def test_what_was_written_is_there_for_the_next_process(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.sqlite")
    first.add([_spec("1")])
    first.mark_warc("a.warc.gz", 42)
    second = Ledger(tmp_path / "ledger.sqlite")
    assert second.census.counts()["site"]["pending"] == 1
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
