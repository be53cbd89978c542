"""The journal: what is durable when, what a crash leaves behind, and which reply counts."""

from __future__ import annotations

import asyncio
import sqlite3
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from chatserver import completion

from sourcing.errors import InputError
from sourcing.generation.calls import CallEnd, PlannedCall
from sourcing.generation.cost.budget import Ceilings, Totals
from sourcing.generation.journal.group_commit import GroupCommit
from sourcing.generation.journal.journal import JOURNAL_FILE, TAKEN, Journal, OpenCall, Reserved
from sourcing.generation.journal.plan_writer import add_follow_up, enter_run, has_open, register, unchecked
from sourcing.store.presence import Presence

AT = datetime(2026, 11, 1, tzinfo=UTC)
PACK = ("mine", "1.0.0", "h1")


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
        body=b'{"messages":[{"role":"user","content":"x"}]}',
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def plan_calls(
    journal: Journal, *calls: PlannedCall, pack: tuple[str, str, str] = PACK, plan: str = "p", model: str = "m"
) -> list[OpenCall]:
    run = enter_run(journal, pack=pack, endpoint=f"http://h/v1 {model}", model=model, plan=plan, at=AT)
    with journal.transaction():
        return register(journal, run.run_id, calls, position=len(calls), done=True, at=AT)


def answer(journal: Journal, call_id: int, content: str = "{}", at: datetime = AT, scope: str = "") -> None:
    assert journal.sending(call_id, at, scope=scope) == ""
    raw = completion(content).encode()
    journal.settle(call_id, CallEnd("replied", "replied", status=200, raw=raw), at=at, scope=scope)


def test_a_call_goes_from_planned_over_sending_to_replied(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        (opened,) = plan_calls(journal, call())
        assert (opened.state, opened.body) == ("planned", call().body)
        assert journal.reader.states(["k1", "other"]) == {"k1": "planned"}
        journal.sending(opened.call_id, AT)
        assert journal.reader.states(["k1"]) == {"k1": "sending"}
        journal.settle(opened.call_id, CallEnd("replied", "replied", status=200, raw=b"any bytes \xff"), at=AT)
        assert journal.reader.raw_reply("k1") == b"any bytes \xff"
    with Journal.open(tmp_path) as journal:
        assert journal.reader.counts() == {"mine@1.0.0": {"replied": 1}}
        (reply,) = journal.reader.replies()
        assert (reply.request_key, reply.track_id, reply.doc_id, reply.content) == ("k1", "t-1", "d-1", None)


def test_it_is_written_ahead_and_synced_on_every_commit(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        pragma = journal.connection.execute
        assert pragma("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert pragma("PRAGMA synchronous").fetchone()[0] == 2


def test_a_call_in_flight_at_a_crash_becomes_unknown_and_planning_it_again_does_not_forget_that(tmp_path: Path) -> None:
    presence = Presence(tmp_path)
    with Journal.open(tmp_path, "dead") as journal:
        opened = plan_calls(journal, call(), call("k2", track_id="t-2"))
        journal.sending(opened[0].call_id, AT)
    with presence.entered(), Journal.open(tmp_path, presence.owner) as journal:
        journal.sending(opened[1].call_id, AT)
        assert journal.bury(presence.is_dead, AT) == 1, "this process is alive"
        assert len(plan_calls(journal, call(), call("k2", track_id="t-2"))) == 2
        assert journal.reader.states(["k1", "k2"]) == {"k1": "unknown", "k2": "sending"}
        (row,) = journal.reader.calls_in(("unknown",))
        assert "billed" in (row.error or "")
        assert [attempt["outcome"] for attempt in journal.reader.attempts("k1")] == ["unknown"]


def test_of_two_processes_one_takes_a_call(tmp_path: Path) -> None:
    with Journal.open(tmp_path, "a") as one, Journal.open(tmp_path, "b") as other:
        (opened,) = plan_calls(one, call())
        assert plan_calls(other, call())[0].state == "planned"
        assert [one.sending(opened.call_id, AT), other.sending(opened.call_id, AT)] == ["", TAKEN]
        one.settle(opened.call_id, CallEnd("replied", "replied", raw=b"{}"), at=AT)
        assert other.sending(opened.call_id, AT, resend=True) == TAKEN


def test_every_attempt_is_kept(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        (opened,) = plan_calls(journal, call())
        journal.sending(opened.call_id, AT)
        refused = {"outcome": "http_429", "status": 429, "headers": {"retry-after": "1"}, "error": "slow"}
        journal.settle(opened.call_id, CallEnd("failed", **refused), at=AT)
        answer(journal, opened.call_id, at=AT + timedelta(seconds=1))
        assert [(a["attempt"], a["outcome"], a["headers"]) for a in journal.reader.attempts("k1")] == [
            (1, "http_429", {"retry-after": "1"}),
            (2, "replied", {}),
        ]
        assert [reply.content for reply in journal.reader.replies()] == ["{}"]


def test_of_two_replies_to_one_target_the_one_last_wanted_counts(tmp_path: Path) -> None:
    old, new = call("k-old"), call("k-new", prompt_version="1.1.0", prompt_hash="h2")
    newer = ("mine", "1.1.0", "h2")
    with Journal.open(tmp_path) as journal:
        answer(journal, plan_calls(journal, old)[0].call_id)
        (opened,) = plan_calls(journal, new, pack=newer, plan="p2")
        assert [reply.request_key for reply in journal.reader.replies()] == ["k-old"]  # the new one has no reply yet
        answer(journal, opened.call_id, at=AT + timedelta(days=1))
        assert [reply.prompt_version for reply in journal.reader.replies()] == ["1.1.0"]
        plan_calls(journal, old)  # the designer went back
        assert [reply.request_key for reply in journal.reader.replies()] == ["k-old"]


def test_a_run_is_taken_up_until_another_plan_of_its_pack_is_begun(tmp_path: Path) -> None:
    def enter(journal: Journal, plan: str, shard: str = "") -> tuple[int, int, bool]:
        run = enter_run(journal, pack=PACK, endpoint="e", model="m", plan=plan, shard=shard, at=AT)
        return run.run_id, run.position, run.planned

    with Journal.open(tmp_path) as journal:
        first, _, _ = enter(journal, "p")
        with journal.transaction():
            register(journal, first, [call()], position=7, at=AT)
            register(journal, first, [], position=3, at=AT)
        assert enter(journal, "p") == (first, 7, False), "another process may plan the same run, and be further"
        parts = [enter(journal, "p", shard)[0] for shard in ("1/2", "2/4", "4/4")]
        assert len({first, *parts}) == 4
        again = [enter(journal, "p", shard)[0] for shard in ("1/2", "2/4", "4/4")]
        assert again == parts, "parts that share no track do not supersede each other"
        whole, position, _ = enter(journal, "p")
        assert (whole > parts[-1], position) == (True, 0), "a part took calls from the whole"
        assert enter(journal, "p", "1/2")[0] > whole, "and the whole from its parts"
        other, _, _ = enter(journal, "p2")
        assert enter(journal, "p")[0] > other


def test_a_call_belongs_to_the_newest_run_that_wants_it(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        runs = [
            enter_run(journal, pack=PACK, endpoint="e", model="m", plan="p", shard=shard, at=AT)
            for shard in ("", "1/2")
        ]
        for run in (*runs, runs[0]):  # the first one is at work still, while the second has planned
            with journal.transaction():
                register(journal, run.run_id, [call()], position=1, at=AT)
        assert [journal.reader.run_counts(run.run_id)["planned"] for run in runs] == [0, 1]


def test_a_reply_that_was_followed_up_gives_way_to_what_followed(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        (opened,) = plan_calls(journal, call())
        answer(journal, opened.call_id, "cut")
        larger = add_follow_up(journal, opened, "larger", "k-larger", b"{}", AT)
        assert larger is not None
        assert add_follow_up(journal, opened, "larger", "k-larger", b"{}", AT) is None, "it is written down once"
        assert [reply.content for reply in journal.reader.replies()] == ["cut"]
        answer(journal, larger.call_id, "whole but wrong")
        repair = add_follow_up(journal, larger, "repair", "k-repair", b"{}", AT)
        assert repair is not None
        assert repair.parent == opened.call_id
        assert [(r.request_key, r.content) for r in journal.reader.replies()] == [("k-larger", "whole but wrong")]
        answer(journal, repair.call_id, "mended")
        assert [(r.request_key, r.track_id, r.content) for r in journal.reader.replies()] == [
            ("k-repair", "t-1", "mended")
        ]
        run_id = journal.connection.execute("SELECT run_id FROM calls").fetchone()[0]
        assert journal.reader.run_counts(run_id)["replied"] == 1, "what follows is no call of its own in the counts"


def test_a_reply_nobody_looked_at_is_found_again(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        opened = plan_calls(journal, call(), call("k2", track_id="t-2"))
        for one in opened:
            answer(journal, one.call_id, one.request_key)
        journal.charge(opened[0].call_id, input_tokens=3, output_tokens=4, cost_nusd=5)
        run_id = journal.connection.execute("SELECT run_id FROM calls").fetchone()[0]
        assert [found.request_key for found, _ in unchecked(journal, run_id)] == ["k2"]
        assert has_open(journal, run_id, resend=False)
        journal.charge(opened[1].call_id, input_tokens=3, output_tokens=4, cost_nusd=5)
        assert not has_open(journal, run_id, resend=True)


def test_what_a_call_may_use_is_reserved_charged_and_given_back(tmp_path: Path) -> None:
    ceilings, reserve = Ceilings(max_nusd=250), Reserved(tokens=10, nusd=100)
    with Journal.open(tmp_path) as journal:
        one, two, three, four = plan_calls(journal, *(call(f"k{n}", track_id=f"t-{n}") for n in range(4)))
        send = {"scope": "s", "reserve": reserve, "ceilings": ceilings}
        assert journal.sending(one.call_id, AT, **send) == journal.sending(two.call_id, AT, **send) == ""
        assert "max-usd" in journal.sending(three.call_id, AT, **send)
        assert journal.reader.states(["k2"]) == {"k2": "planned"}
        journal.settle(one.call_id, CallEnd("failed", "http_500"), at=AT, scope="s")
        assert journal.sending(three.call_id, AT, **send) == "", "a refused call cost nothing"
        journal.settle(two.call_id, CallEnd("replied", "replied", raw=b"{}"), at=AT, scope="s")
        assert journal.sending(four.call_id, AT, **send) != "", "a reply is charged once it was looked at"
        journal.charge(two.call_id, input_tokens=1, output_tokens=1, cost_nusd=40, scope="s")
        assert journal.sending(four.call_id, AT, **send) == ""
        journal.settle(three.call_id, CallEnd("unknown", "timeout"), at=AT, scope="s")
        journal.release(four.call_id, AT, scope="s")
        assert journal.reader.states(["k3"]) == {"k3": "planned"}
        assert journal.sending(four.call_id, AT, **send) == "", "40 spent, 100 unknown, 100 free"


@pytest.mark.parametrize("knows", list(permutations((None, Reserved(tokens=10, nusd=100)))))
def test_a_reply_two_processes_look_at_is_charged_once(
    tmp_path: Path, knows: tuple[Reserved | None, Reserved | None]
) -> None:
    with Journal.open(tmp_path) as journal:
        (one,) = plan_calls(journal, call())
        journal.sending(one.call_id, AT, scope="s", reserve=Reserved(tokens=10, nusd=100))
        journal.settle(one.call_id, CallEnd("replied", "replied", raw=b"{}"), at=AT, scope="s")
        for reserved in knows:  # the one that asked remembers it, the other reads it
            journal.charge(one.call_id, input_tokens=1, output_tokens=2, cost_nusd=40, scope="s", reserved=reserved)
        assert journal.budget.totals("s") == Totals(spent_calls=1, spent_tokens=3, spent_nusd=40)
        assert [attempt["cost_nusd"] for attempt in journal.reader.attempts("k1")] == [40]


def test_other_models_and_samples_stand_beside_each_other(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        opened = plan_calls(journal, call("k1"), call("k3", sample_idx=1))
        opened += plan_calls(journal, call("k2", model="m2"), model="m2")
        opened += plan_calls(journal, call("k4", prompt_id="recall", doc_id=None), pack=("recall", "1.0.0", "h"))
        for made in opened:
            answer(journal, made.call_id)
        assert {reply.request_key for reply in journal.reader.replies()} == {"k1", "k2", "k3", "k4"}
        assert [reply.request_key for reply in journal.reader.replies(["recall"])] == ["k4"]


def test_two_tracks_with_equal_requests_share_one_reply(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        (opened,) = plan_calls(journal, call(), call(track_id="t-2"))
        answer(journal, opened.call_id)
        assert [reply.track_id for reply in journal.reader.replies()] == ["t-1", "t-2"]
        assert journal.reader.counts() == {"mine@1.0.0": {"replied": 1}}


def test_what_could_not_be_asked_is_told_of_the_newest_plan(tmp_path: Path) -> None:
    row = {"key": "t-9", "reason": "input_missing", "finding": "the track has no year"}
    with Journal.open(tmp_path) as journal:
        for plan, rejected in (("p", [row]), ("p2", [])):
            run = enter_run(journal, pack=PACK, endpoint="e", model="m", plan=plan, at=AT)
            with journal.transaction():
                register(journal, run.run_id, [], position=1, done=True, rejected=rejected, at=AT)
            assert journal.reader.refused() == [{"stage": "generate", **each} for each in rejected]


def test_looking_leaves_no_trace_and_a_broken_file_is_named(tmp_path: Path) -> None:
    with Journal.read(tmp_path / "none") as journal:
        assert journal.reader.counts() == {}
    assert not (tmp_path / "none").exists()
    (tmp_path / JOURNAL_FILE).write_bytes(b"not a database, but long enough to be read as one" * 20)
    with pytest.raises(InputError, match="not a sound SQLite file"):
        Journal.open(tmp_path)


FORMAT_1 = """
CREATE TABLE runs (run_id INTEGER PRIMARY KEY, started_at TEXT, prompt TEXT, endpoint TEXT);
CREATE TABLE calls (request_key TEXT PRIMARY KEY, endpoint TEXT, model TEXT, sample_idx INTEGER, body BLOB, state TEXT,
    attempts INTEGER, error TEXT, planned_at TEXT, updated_at TEXT) WITHOUT ROWID;
CREATE INDEX calls_by_state ON calls (state);
CREATE TABLE wanted (request_key TEXT, prompt_id TEXT, track_id TEXT, doc_id TEXT, sample_idx INTEGER, language TEXT,
    model TEXT, prompt_version TEXT, prompt_hash TEXT, run_id INTEGER,
    PRIMARY KEY (request_key, prompt_id, track_id, doc_id)) WITHOUT ROWID;
CREATE TABLE attempts (request_key TEXT, attempt INTEGER, sent_at TEXT, ended_at TEXT, outcome TEXT, status INTEGER,
    headers TEXT, reply BLOB, PRIMARY KEY (request_key, attempt));
INSERT INTO runs VALUES (1, '2026-10-01T00:00:00.000000+00:00', 'mine@1.0.0', 'http://h/v1 m');
PRAGMA user_version = 1;
"""


def test_a_journal_of_the_first_format_keeps_its_replies(tmp_path: Path) -> None:
    at = "2026-10-01T00:00:00.000000+00:00"
    old = sqlite3.connect(tmp_path / JOURNAL_FILE)
    old.executescript(FORMAT_1)
    body = zlib.compress(call().body)
    for key, state in (("k1", "replied"), ("k2", "sending"), ("k3", "planned")):
        values = (key, "http://h/v1 m", "m", 0, body, state, int(state != "planned"), None, at, at)
        old.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        wanted = (key, "mine", f"t-{key}", "d-1", 0, "en", "m", "1.0.0", "h1", 1)
        old.execute("INSERT INTO wanted VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", wanted)
    reply = completion("said").encode()
    sent = ("k1", 1, at, at, "replied", 200, '{"x-request-id": "r"}', zlib.compress(reply))
    old.execute("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", sent)
    old.execute("INSERT INTO attempts VALUES ('k2', 1, ?, NULL, NULL, NULL, NULL, NULL)", (at,))
    old.commit()
    old.close()
    with Journal.open(tmp_path) as journal:
        assert journal.reader.states(["k1", "k2", "k3"]) == {"k1": "replied", "k2": "sending", "k3": "planned"}
        assert journal.bury(Presence(tmp_path).is_dead, AT) == 1
        assert journal.reader.raw_reply("k1") == reply
        (kept,) = journal.reader.replies()
        assert (kept.track_id, kept.content, kept.prompt_hash, kept.model) == ("t-k1", "said", "h1", "test-model")
        assert journal.reader.attempts("k1")[0]["headers"] == {"x-request-id": "r"}
        (again,) = plan_calls(journal, call("k1"), call("k3", track_id="t-k3", body=b'{"as":"sent"}'))
        assert (again.request_key, again.state) == ("k3", "planned")
        assert journal.reader.body("k3") == b'{"as":"sent"}', "the first format kept bodies in another order"


TO_FORMAT_2 = """
ALTER TABLE calls ADD COLUMN body BLOB NOT NULL DEFAULT '';
UPDATE calls SET body = (SELECT body FROM bodies b WHERE b.call_id = calls.call_id);
DROP TABLE bodies;
ALTER TABLE attempts ADD COLUMN reply BLOB;
UPDATE attempts SET reply = (SELECT reply FROM replies r WHERE r.attempt_id = attempts.attempt_id);
DROP TABLE replies;
PRAGMA user_version = 2;
"""


def test_a_journal_of_the_second_format_keeps_what_was_sent_and_said(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        said, cut, _ = opened = plan_calls(journal, call("k1"), call("k2", track_id="t2"), call("k3", track_id="t3"))
        for each in opened[:2]:
            journal.sending(each.call_id, AT)
        journal.settle(said.call_id, CallEnd("replied", "replied", status=200, raw=completion("said").encode()), at=AT)
        journal.settle(cut.call_id, CallEnd("failed", "connection_lost", error="cut"), at=AT)
        before = [journal.reader.attempts(key) for key in ("k1", "k2", "k3")]
        journal.connection.executescript(TO_FORMAT_2)
    with Journal.open(tmp_path) as journal:
        assert [journal.reader.attempts(key) for key in ("k1", "k2", "k3")] == before
        assert [journal.reader.body(key) for key in ("k1", "k2", "k3")] == [call().body] * 3
        assert journal.reader.raw_reply("k1") == completion("said").encode()
        with pytest.raises(KeyError):
            journal.reader.raw_reply("k2")
        assert [each.request_key for each in plan_calls(journal, call("k1"), call("k2"), call("k3"))] == ["k2", "k3"]


def test_a_group_commit_is_durable_when_it_returns(tmp_path: Path) -> None:
    async def send_all(journal: Journal, opened: list[OpenCall]) -> int:
        async with GroupCommit(journal) as durable:
            sent = await asyncio.gather(*(durable(Journal.sending, c.call_id, AT) for c in opened))
            assert set(sent) == {""}
            other = sqlite3.connect(tmp_path / JOURNAL_FILE)
            seen = other.execute("SELECT COUNT(*) FROM calls WHERE state = 'sending'").fetchone()[0]
            other.close()
            return int(seen)

    with Journal.open(tmp_path) as journal:
        opened = plan_calls(journal, *(call(f"k{n}", track_id=f"t-{n}") for n in range(300)))
        assert asyncio.run(send_all(journal, opened)) == 300


def test_a_change_that_sqlite_refuses_is_raised_where_it_was_awaited(tmp_path: Path) -> None:
    async def break_it(journal: Journal, *, awaited: bool) -> None:
        def change(journal: Journal) -> object:
            return journal.connection.execute("INSERT INTO absent VALUES (1)")

        async with GroupCommit(journal) as durable:
            if awaited:
                await durable(change)
            else:
                durable.later(change)

    for awaited in (True, False):
        with Journal.open(tmp_path) as journal, pytest.raises(sqlite3.OperationalError, match="absent"):
            asyncio.run(break_it(journal, awaited=awaited))
