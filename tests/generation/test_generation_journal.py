"""The journal: what is durable when, what a crash leaves behind, and which reply counts."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chatserver import completion

from sourcing.errors import InputError
from sourcing.generation.groupcommit import GroupCommit
from sourcing.generation.journal import JOURNAL_FILE, Journal
from sourcing.generation.plan import PlannedCall

AT = datetime(2026, 11, 1, tzinfo=UTC)


def call(key: str = "k1", **changes: object) -> PlannedCall:
    made = PlannedCall(
        request_key=key,
        prompt_id="mine",
        prompt_version="1.0.0",
        prompt_hash="h1",
        track_id="t-1",
        doc_id="d-1",
        sample_idx=0,
        language="en",
        model="m",
        body={"messages": [{"role": "user", "content": "x"}]},
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def answer(journal: Journal, key: str, content: str = "{}", at: datetime = AT) -> None:
    journal.sending(key, at)
    journal.settle(key, "replied", outcome="replied", at=at, status=200, raw=completion(content).encode())


def register(journal: Journal, *calls: PlannedCall) -> None:
    journal.register(calls, endpoint="http://h/v1 m", prompt="mine@1.0.0", at=AT)


def test_a_call_goes_from_planned_over_sending_to_replied(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        register(journal, call())
        assert journal.states(["k1", "other"]) == {"k1": "planned"}
        journal.sending("k1", AT)
        assert journal.states(["k1"]) == {"k1": "sending"}
        journal.settle("k1", "replied", outcome="replied", at=AT, status=200, raw=b"any bytes \xff")
        assert journal.raw_reply("k1") == b"any bytes \xff"
    with Journal.open(tmp_path) as journal:
        assert journal.counts() == {"mine@1.0.0": {"replied": 1}}
        (reply,) = journal.replies()
        assert (reply.request_key, reply.track_id, reply.doc_id, reply.content) == ("k1", "t-1", "d-1", None)


def test_it_is_written_ahead_and_synced_on_every_commit(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        pragma = journal._connection.execute
        assert pragma("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert pragma("PRAGMA synchronous").fetchone()[0] == 2


def test_a_call_in_flight_at_a_crash_becomes_unknown_and_planning_it_again_does_not_forget_that(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        register(journal, call(), call("k2"))
        journal.sending("k1", AT)
    with Journal.open(tmp_path) as journal:
        assert journal.interrupt_sending(AT) == 1
        register(journal, call(), call("k2"))
        assert journal.states(["k1", "k2"]) == {"k1": "unknown", "k2": "planned"}
        (row,) = journal.calls_in(("unknown",))
        assert "billed" in (row.error or "")


def test_every_attempt_is_kept(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        register(journal, call())
        journal.sending("k1", AT)
        journal.settle(
            "k1", "failed", outcome="http_429", at=AT, status=429, headers={"retry-after": "1"}, error="slow"
        )
        answer(journal, "k1")
        assert [(a["attempt"], a["outcome"], a["headers"]) for a in journal.attempts("k1")] == [
            (1, "http_429", {"retry-after": "1"}),
            (2, "replied", {}),
        ]
        assert [reply.content for reply in journal.replies()] == ["{}"]


def test_of_two_replies_to_one_target_the_one_last_wanted_counts(tmp_path: Path) -> None:
    old, new = call("k-old"), call("k-new", prompt_version="1.1.0", prompt_hash="h2")
    with Journal.open(tmp_path) as journal:
        register(journal, old)
        answer(journal, "k-old")
        register(journal, new)
        assert [reply.request_key for reply in journal.replies()] == ["k-old"]  # the new one has no reply yet
        answer(journal, "k-new", at=AT + timedelta(days=1))
        assert [reply.prompt_version for reply in journal.replies()] == ["1.1.0"]
        register(journal, old)  # the designer went back
        assert [reply.request_key for reply in journal.replies()] == ["k-old"]


def test_other_models_and_samples_stand_beside_each_other(tmp_path: Path) -> None:
    calls = [call("k1"), call("k2", model="m2"), call("k3", sample_idx=1), call("k4", prompt_id="recall", doc_id=None)]
    with Journal.open(tmp_path) as journal:
        register(journal, *calls)
        for made in calls:
            answer(journal, made.request_key)
        assert {reply.request_key for reply in journal.replies()} == {"k1", "k2", "k3", "k4"}
        assert [reply.request_key for reply in journal.replies(["recall"])] == ["k4"]


def test_two_tracks_with_equal_requests_share_one_reply(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        register(journal, call(), call(track_id="t-2"))
        answer(journal, "k1")
        assert [reply.track_id for reply in journal.replies()] == ["t-1", "t-2"]
        assert journal.counts() == {"mine@1.0.0": {"replied": 1}}


def test_looking_leaves_no_trace_and_a_broken_file_is_named(tmp_path: Path) -> None:
    with Journal.read(tmp_path / "none") as journal:
        assert journal.counts() == {}
    assert not (tmp_path / "none").exists()
    (tmp_path / JOURNAL_FILE).write_bytes(b"not a database, but long enough to be read as one" * 20)
    with pytest.raises(InputError, match="not a sound SQLite file"):
        Journal.open(tmp_path)


def test_a_group_commit_is_durable_when_it_returns(tmp_path: Path) -> None:
    calls = [call(f"k{n}") for n in range(100)]

    async def send_all(journal: Journal) -> int:
        async with GroupCommit(journal) as durable:
            await asyncio.gather(*(durable(lambda key=c.request_key: journal.sending(key, AT)) for c in calls))
            other = sqlite3.connect(tmp_path / JOURNAL_FILE)
            seen = other.execute("SELECT COUNT(*) FROM calls WHERE state = 'sending'").fetchone()[0]
            other.close()
            return int(seen)

    with Journal.open(tmp_path) as journal:
        register(journal, *calls)
        assert asyncio.run(send_all(journal)) == 100


def test_a_change_that_sqlite_refuses_is_raised_where_it_was_awaited(tmp_path: Path) -> None:
    async def break_it(journal: Journal) -> None:
        async with GroupCommit(journal) as durable:
            await durable(lambda: journal._connection.execute("INSERT INTO absent VALUES (1)"))

    with Journal.open(tmp_path) as journal, pytest.raises(sqlite3.OperationalError, match="absent"):
        asyncio.run(break_it(journal))
