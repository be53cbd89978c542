"""`crawl status` tells how far a crawl is from the ledger alone: honest about rates, caps, pauses and time left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sourcing.commands.console import Advance
from sourcing.commands.crawl.progress import crawl_progress
from sourcing.commands.crawl.status import status, watched
from sourcing.commands.invocation import Invocation
from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.ledger.census import _SOME_TASKS
from sourcing.crawling.ledger.view import looked_at
from sourcing.crawling.monitoring.progress import Progress, SourceProgress, progress_of
from sourcing.crawling.source import TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.errors import InputError, UsageError

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC, twenty seconds into its minute
MIDNIGHT_S = 86_400 - NOW % 86_400
RATED = {"musicbrainz": SOURCES["musicbrainz"]}  # one request a second


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "crawl" / LEDGER_FILE)
    yield ledger
    ledger.close()


def tasks(n: int, source: str = "musicbrainz", host: str = "mb.test") -> list[TaskSpec]:
    return [TaskSpec(source, f"https://{host}/{number}", "recording") for number in range(n)]


def progress(tmp_path: Path, sources: Any = RATED, off: Any = None, now: float = NOW) -> Progress:
    with looked_at(tmp_path / "crawl" / LEDGER_FILE) as view:
        return progress_of(view, sources, off or {}, now)


def source(**changed: Any) -> SourceProgress:
    states = {"pending": 1000, "leased": 0, "fetched": 0, "failed": 0, "denied": 0}
    known: dict[str, Any] = {
        "source": "musicbrainz", "why_off": "", "states": states, "recent": {"fetched": 300}, "span_s": 600.0,
        "deepest": 1000, "asked_today": 0, "stored_bytes": 0, "rate_per_s": 1.0, "daily_cap": None,
        "storage_cap_bytes": None, "running": True, "day_left_s": MIDNIGHT_S,
    }  # fmt: skip
    return SourceProgress(**{**known, **changed})


def run(tmp_path: Path, *arguments: str, as_json: bool = True) -> Any:
    invocation = Invocation(tmp_path, json=as_json)
    return CliRunner().invoke(status, list(arguments), obj=invocation, catch_exceptions=False)


def test_a_running_crawl_tells_how_many_tasks_its_ledger_knows(
    tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    totals: list[tuple[int, int | None]] = []
    monkeypatch.setattr(Advance, "show", lambda advance: totals.append((advance.done, advance.total)))
    monkeypatch.setattr("sourcing.commands.console._PlainAdvance.show", Advance.show)
    monkeypatch.setattr("sourcing.commands.crawl.progress._LOOK_EVERY_S", 0.0)
    monkeypatch.setattr("sourcing.commands.crawl.progress._LOOK_SHARE", 1e9)
    ledger.add([*tasks(5), *tasks(9, "wikipedia", "wp.test")])
    for limit, total in ((None, 6), (4, 4)):
        totals.clear()
        with crawl_progress(Invocation(tmp_path), tmp_path / "crawl" / LEDGER_FILE, RATED, limit) as on_outcome:
            on_outcome("fetched")  # of another task than the five: that many more are known
            on_outcome("failed")
        assert totals == [(1, total), (2, min(total + 1, limit or 99))]


def test_rates_are_those_of_the_minutes_in_which_something_was_asked(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(5))
    count = ledger.tallies.count
    count("musicbrainz", "fetched", NOW - 3600, 9999)
    count("musicbrainz", "fetched", NOW - 180, 90, 5000)
    count("musicbrainz", "unchanged", NOW - 60, 10)
    count("musicbrainz", "failed", NOW, 20)
    count("musicbrainz", "retried", NOW, 5)
    count("musicbrainz", "throttled", NOW, 4)
    count("musicbrainz", "asked", NOW, 130)
    found = progress(tmp_path).sources["musicbrainz"]
    assert found.pages_per_s == pytest.approx(100 / 200)  # three minutes, and the seconds of the running one
    assert found.success_share == pytest.approx(100 / 125)
    assert found.recent == {"fetched": 90, "unchanged": 10, "failed": 20, "retried": 5, "throttled": 4}
    assert (found.asked_today, found.stored_bytes) == (130, 5000)
    assert found.day_left_s == MIDNIGHT_S


def test_a_run_that_began_this_minute_is_rated_from_its_beginning(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(5))
    with ledger.run.entered(NOW - 10):
        ledger.tallies.count("musicbrainz", "fetched", NOW - 5, 40)
        assert progress(tmp_path).sources["musicbrainz"].pages_per_s == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("changed", "eta_s", "outlook"),
    [
        ({}, 2000, "≥ 34 min"),
        ({"recent": {"fetched": 6000}}, 1000, "≥ 17 min"),  # no faster than politeness allows, however it went so far
        ({"recent": {"fetched": 6000}, "deepest": 100}, 100, "≥ 2 min"),  # ten hosts side by side
        ({"recent": {"fetched": 100, "failed": 150, "denied": 50}}, 2000, "≥ 34 min"),  # what fails is settled too
        ({"daily_cap": 800, "asked_today": 300}, MIDNIGHT_S, "≥ 9 h 47 min"),
        ({"daily_cap": 100, "asked_today": 100}, MIDNIGHT_S + 9 * 86_400, "≥ 9 d 10 h"),
        ({"daily_cap": 0}, None, "daily cap 0"),
        ({"storage_cap_bytes": 100, "stored_bytes": 120}, None, "storage full"),
        ({"running": False}, None, "not running"),
        ({"recent": {"retried": 5}}, None, "no answers"),
        ({"why_off": "set A_KEY"}, None, "off"),
        ({"states": dict.fromkeys(["pending", "leased", "failed", "denied"], 0) | {"fetched": 7}}, 0, "done"),
        ({"states": dict.fromkeys(["pending", "leased", "failed", "denied", "fetched"], 0)}, 0, "no tasks"),
    ],
)
def test_time_left_is_bound_by_pace_politeness_and_caps(
    changed: dict[str, Any], eta_s: float | None, outlook: str
) -> None:
    found = source(**changed)
    assert (found.eta_s, found.outlook) == (pytest.approx(eta_s) if eta_s else eta_s, outlook)


def test_what_a_daily_cap_takes_equals_counting_day_by_day() -> None:
    for open_, cap, asked in [(1, 5, 5), (5, 5, 5), (6, 5, 5), (17, 5, 2), (3, 5, 2), (4, 5, 2), (40, 7, 0)]:
        states = {"pending": open_, "leased": 0, "fetched": 0, "failed": 0, "denied": 0}
        left, midnights = open_ - max(0, cap - asked), 0
        while left > 0:
            left, midnights = left - cap, midnights + 1
        expected = MIDNIGHT_S + (midnights - 1) * 86_400 if midnights else 0.0
        found = source(states=states, daily_cap=cap, asked_today=asked, rate_per_s=1e9, deepest=open_)
        assert found.floor_s == pytest.approx(expected, abs=1e-3), (open_, cap, asked)


def test_the_deepest_host_counts_tasks_that_wait_for_their_time(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add([*tasks(3), *tasks(2, host="other.test")])
    for task in ledger.lease(3, NOW, 60.0):
        ledger.failed(task.key, "http_503", NOW + 60)
    assert progress(tmp_path).sources["musicbrainz"].deepest == 3


def test_processes_alive_are_at_work_and_dead_ones_are_not(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(1))
    ledger._db.execute("INSERT INTO runs VALUES ('4711-dead', ?)", (NOW - 50,))
    assert progress(tmp_path).processes == {}
    with ledger.run.entered(NOW - 10):
        found = progress(tmp_path)
        assert found.processes == {ledger.run.owner: NOW - 10}
        assert found.sources["musicbrainz"].running
        assert found.as_dict()["processes"] == [{"name": ledger.run.owner, "since": "2026-09-21T14:13:10+00:00"}]


def test_pauses_of_hosts_are_told_but_not_the_distance_between_requests(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(1))
    for host, until in [("b.test", NOW + 90), ("a.test", NOW + 90), ("short.test", NOW + 1), ("past.test", NOW - 9)]:
        ledger.run.pause(host, until)
    ledger.run.pause("long.test", NOW + 3600)
    found = progress(tmp_path).as_dict(hosts=2)
    assert found["paused_hosts"][0] == {"host": "long.test", "until": "2026-09-21T15:13:20+00:00"}
    assert [each["host"] for each in found["paused_hosts"]] == ["long.test", "a.test"]
    assert found["paused_hosts_total"] == 3


def test_looking_changes_nothing_and_never_makes_a_ledger(tmp_path: Path) -> None:
    answer = json.loads(run(tmp_path).stdout)
    assert answer["total"] == {"pending": 0, "leased": 0, "fetched": 0, "failed": 0, "denied": 0}
    assert list(tmp_path.iterdir()) == []
    ledger = Ledger(tmp_path / "crawl" / LEDGER_FILE)
    ledger.add(tasks(3))
    ledger.close()
    before = [(path.name, path.read_bytes()) for path in sorted((tmp_path / "crawl").iterdir())]
    assert json.loads(run(tmp_path).stdout)["sources"]["musicbrainz"]["pending"] == 3
    assert [(path.name, path.read_bytes()) for path in sorted((tmp_path / "crawl").iterdir())] == before


def test_a_view_cannot_write(tmp_path: Path, ledger: Ledger) -> None:
    with (
        looked_at(tmp_path / "crawl" / LEDGER_FILE) as view,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        assert view is not None
        view.tallies.count("musicbrainz", "fetched", NOW)


def test_a_ledger_is_looked_at_while_its_crawl_writes(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(3))
    with ledger.group():
        ledger.add(tasks(2, host="other.test"))
        assert progress(tmp_path).total()["pending"] == 3
    assert progress(tmp_path).total()["pending"] == 5


def test_counting_never_reads_the_tasks_that_are_open_or_fetched(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(tasks(3))
    plans = [ledger._db.execute(f"EXPLAIN QUERY PLAN {some}").fetchall() for some in _SOME_TASKS]
    indexes = ("tasks_lost", "tasks_later")  # of what failed or was denied, and of what waits for its time
    assert [[step[-1] for step in plan] for plan in plans] == [[f"SCAN tasks USING INDEX {name}"] for name in indexes]
    ledger._db.execute("ALTER TABLE tasks RENAME TO hidden")
    with looked_at(tmp_path / "crawl" / LEDGER_FILE) as view:
        assert view is not None
        assert view.census.counts()["musicbrainz"]["pending"] == 3
        assert view.deepest() == {"musicbrainz": 3}


def test_why_tasks_wait_failed_or_were_denied_is_told_per_source(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add([*tasks(6), *tasks(1, "wikidata", "wd.test")])
    leased = [task.key for task in ledger.lease(7, NOW, 60)]
    ledger.failed(leased[0], "http_429", NOW + 60, http_status=429)
    ledger.failed(leased[1], "http_429", NOW + 60, http_status=429)
    ledger.postpone(leased[2], NOW + 60, "host_paused")
    ledger.failed(leased[3], "too_many_redirects")
    ledger.denied(leased[4], "robots.txt unavailable: HTTP 503", again_at=NOW + 86_400)
    ledger.denied(leased[6], "X-Robots-Tag: noai")
    found = progress(tmp_path, {**RATED, "wikidata": SOURCES["wikidata"]}).as_dict()["sources"]
    assert found["musicbrainz"]["reasons"] == {
        "pending": {"http_429": 2, "host_paused": 1},
        "failed": {"too_many_redirects": 1},
        "denied": {"robots.txt_unavailable": 1},
    }
    assert found["wikidata"]["reasons"] == {"denied": {"X-Robots-Tag": 1}}
    ledger.lease(7, NOW + 61, 60)
    assert "pending" not in progress(tmp_path).as_dict()["sources"]["musicbrainz"]["reasons"]


@pytest.mark.parametrize("content", [b"not a database at all", None])
def test_a_file_that_is_no_ledger_of_this_version_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "crawl" / LEDGER_FILE
    path.parent.mkdir()
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE tasks (key TEXT)")
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=LEDGER_FILE):
        run(tmp_path)


def test_a_ledger_about_to_be_made_holds_nothing_yet(tmp_path: Path) -> None:
    path = tmp_path / "crawl" / LEDGER_FILE
    path.parent.mkdir()
    path.touch()
    assert json.loads(run(tmp_path).stdout)["total"]["pending"] == 0


def test_sources_switched_off_or_unknown_say_why(tmp_path: Path, ledger: Ledger, monkeypatch: Any) -> None:
    monkeypatch.delenv("DISCOGS_TOKEN", raising=False)
    (tmp_path / "crossmusim.toml").write_text("[sources.musicbrainz]\nenabled = false\n")
    ledger.add([*tasks(2), *tasks(1, source="bygone")])
    answer = json.loads(run(tmp_path).stdout)["sources"]
    assert "enabled = false" in answer["musicbrainz"]["why_off"]
    assert answer["musicbrainz"]["outlook"] == "off"
    assert "no such source" in answer["bygone"]["why_off"]
    assert "DISCOGS_TOKEN" in answer["discogs"]["why_off"]
    assert answer["wikidata"]["on"] is True
    shown = run(tmp_path, as_json=False).stdout
    assert "musicbrainz is off: switched off" in shown
    assert "not running" not in shown


def test_the_table_shows_caps_pauses_and_processes_in_a_hundred_columns(tmp_path: Path, ledger: Ledger) -> None:
    (tmp_path / "crossmusim.toml").write_text("[sources.musicbrainz]\ndaily_cap = 50000\nstorage_cap_mb = 100\n")
    ledger.add([*tasks(1), *tasks(1, source="internetarchive", host="ia.test")])
    ledger._db.execute("UPDATE counts SET n = 10000000")
    ledger.tallies.count("musicbrainz", "fetched", NOW - 86_400, 7, 2_500_000)
    for number in range(7):
        ledger.run.pause(f"h{number}.test", 4e9 - number)
    shown = run(tmp_path, as_json=False).stdout
    assert "musicbrainz: 0 of 50000 requests today, 50000 left; 2.5 of 100 MB kept" in shown
    assert "h0.test is paused until 2096-10-02T07:06:40+00:00" in shown
    assert "and 2 more hosts" in shown
    assert "at work: no process" in shown
    table = [line for line in shown.splitlines() if "10000000" in line]
    assert len(table) == 2
    assert "20000000" in shown
    assert "…" not in shown
    assert max(len(line) for line in shown.splitlines()[:7]) <= 100


def test_watching_shows_it_anew_until_an_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    shown, waited = iter(range(10)), []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            raise KeyboardInterrupt

    watched(lambda: [f"look {next(shown)}"], 2.0, wait=wait)
    assert waited == [2.0, 2.0, 2.0]
    assert "look 2" in capsys.readouterr().out
    assert next(shown) == 3


def test_watching_without_a_terminal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--watch"):
        run(tmp_path, "--watch", "5")
