"""Runs against a loopback model server: what is sent, retried, journalled, stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from genworld import SECRET, World
from loopback import Asked, Reply

from sourcing.errors import StoppedShort, UpstreamError
from sourcing.generation.cost.budget import Ceilings
from sourcing.generation.cost.prices import named_price
from sourcing.generation.journal.journal import JOURNAL_FILE, Journal
from sourcing.generation.journal.plan_writer import unchecked
from sourcing.generation.journal.schema import compressor, decompress
from sourcing.generation.run.options import RunResult
from sourcing.generation.wire import request_key


def echo(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(said(body)))


def said(body: dict[str, Any]) -> str:
    """A reply that fits the pack's schema, with what was asked as its caption."""
    return json.dumps({"aspects": [], "caption": body["messages"][-1]["content"]})


def test_every_call_is_sent_once_as_planned_and_its_reply_kept_byte_for_byte(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url)
        result = world.run()
        assert result.counts() == {
            "planned": 4, "cached": 0, "replied": 4, "failed": 0, "unknown": 0, "held": 0, "elsewhere": 0,
            "followed": 0,
        }  # fmt: skip
        sent = {json.dumps(json.loads(asked.body), sort_keys=True) for asked in server.log}
        assert sent == {json.dumps({**call.request, "stream": False}, sort_keys=True) for call in world.calls}
        assert {asked.path for asked in server.log} == {"/v1/chat/completions"}
        with world.journal() as journal:
            for call in world.calls:
                assert journal.reader.raw_reply(call.request_key) == completion(said(call.request)).encode()
        again = world.run()
        assert (again.cached, again.replied, len(server.log)) == (4, 0, 4)


def test_a_call_is_durably_sending_before_the_server_hears_of_it(tmp_path: Path) -> None:
    seen: list[dict[str, int]] = []

    def look(body: dict[str, Any], asked: Asked) -> Reply:
        with Journal.read(world.folder) as journal:
            seen.append(journal.reader.counts()["recall@1.0.0"])
        return echo(body, asked)

    with chat_server(look) as server:
        world = World(tmp_path, server.url)
        world.run(concurrency=1)
    assert [counts["sending"] for counts in seen] == [1, 1, 1, 1]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_passing_trouble_is_tried_again_and_every_attempt_written_down(tmp_path: Path, status: int) -> None:
    troubled: set[str] = set()

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        title = body["messages"][-1]["content"]
        if title in troubled:
            return echo(body, asked)
        troubled.add(title)
        return json_reply('{"error": {"message": "later"}}', status, Retry_After="0")

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=2)
        assert world.run().replied == 2
        with world.journal() as journal:
            attempts = journal.reader.attempts(world.calls[0].request_key)
    assert [attempt["outcome"] for attempt in attempts] == [f"http_{status}", "replied"]
    assert attempts[0]["headers"]["retry-after"] == "0"


def test_a_call_refused_for_itself_fails_alone_and_is_tried_by_the_next_run(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if body["messages"][-1]["content"] == "Song 1" and len(server.log) < 5:
            return json_reply('{"error": {"message": "prompt too long"}}', 400)
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url)
        result = world.run()
        assert (result.replied, result.failed, result.stopped) == (3, 1, None)
        with world.journal() as journal:
            (row,) = journal.reader.calls_in(("failed",))
        assert row.error == "HTTP 400: prompt too long"
        assert world.run().replied == 1
    assert len(server.log) == 5


@pytest.mark.parametrize(
    ("status", "body", "cure"),
    [
        (401, '{"error": {"message": "bad key"}}', "OPENAI_API_KEY"),
        (403, "{}", "OPENAI_API_KEY"),
        (404, '{"error": {"message": "no such model"}}', "--model"),
        (429, '{"error": {"message": "spent", "code": "insufficient_quota"}}', "top up"),
    ],
)
def test_a_refusal_that_holds_for_all_ends_the_run_at_once(tmp_path: Path, status: int, body: str, cure: str) -> None:
    with chat_server(lambda _body, _asked: json_reply(body, status)) as server:
        world = World(tmp_path, server.url)
        result = world.run(concurrency=1)
        assert len(server.log) == 1
    assert isinstance(result.stopped, UpstreamError)
    assert cure in result.stopped.cure
    assert world.endpoint.name in str(result.stopped)


def test_a_server_that_is_not_there_is_named_with_the_cure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        result = World(tmp_path, url).run()
    assert str(result.stopped) == f"model server {url}/v1: connection refused; start it, or use --endpoint local"
    assert isinstance(result.stopped, UpstreamError)


def test_a_server_that_only_fails_is_given_up_and_the_rest_stays_planned(tmp_path: Path) -> None:
    with chat_server(lambda _body, _asked: json_reply("{}", 500)) as server:
        world = World(tmp_path, server.url, count=20)
        result = world.run(max_attempts=2, concurrency=1, give_up_after_s=0.3)
    assert isinstance(result.stopped, StoppedShort)
    assert "HTTP 500" in str(result.stopped)
    with world.journal() as journal:
        counts = journal.reader.counts()["recall@1.0.0"]
    assert counts["failed"] == result.failed + (len(server.log) % 2)
    assert counts["failed"] + counts["planned"] == 20


def test_calls_refused_for_themselves_one_after_the_other_end_the_run(tmp_path: Path) -> None:
    with chat_server(lambda _body, _asked: json_reply('{"error": {"message": "too long"}}', 400)) as server:
        world = World(tmp_path, server.url, count=20)
        result = world.run(concurrency=1)
        assert len(server.log) == 8
    assert isinstance(result.stopped, StoppedShort)
    assert "8 calls in a row failed; the last: HTTP 400: too long" in str(result.stopped)


def test_a_server_that_asks_for_a_long_pause_is_left_alone(tmp_path: Path) -> None:
    with chat_server(lambda _body, _asked: json_reply("{}", 429, Retry_After="3600")) as server:
        result = World(tmp_path, server.url).run(concurrency=1)
        assert len(server.log) == 1
    assert isinstance(result.stopped, StoppedShort)
    assert "3600 s" in str(result.stopped)


def test_a_reply_that_never_came_is_unknown_held_and_resent_only_when_asked(tmp_path: Path) -> None:
    hang = threading.Event()

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if body["messages"][-1]["content"] == "Song 0" and len(server.log) <= 2:
            hang.wait(30)
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=2)
        result = world.run(timeout_s=3.0)  # far more than the other answer takes
        hang.set()
        assert (result.replied, result.unknown, result.failed, result.stopped) == (1, 1, 0, None)
        held = world.run()
        assert (held.cached, held.held, len(server.log)) == (1, 1, 2)
        resent = world.run(resend_unknown=True)
        assert (resent.replied, resent.held, len(server.log)) == (1, 0, 3)


def test_a_host_name_nobody_knows_is_told_apart(tmp_path: Path) -> None:
    result = World(tmp_path, "http://model-server.invalid").run()
    assert "its host name is not known" in str(result.stopped)
    assert isinstance(result.stopped, UpstreamError)


def test_a_reply_that_broke_off_was_billed_and_is_not_paid_again_unasked(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if len(server.log) == 1:
            return Reply('{"choices": [', headers={"Content-Length": "5000", "Connection": "close"})
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=1)
        assert (world.run(timeout_s=5).unknown, world.run().held, len(server.log)) == (1, 1, 1)
        assert world.run(resend_unknown=True).replied == 1
        with world.journal() as journal:
            outcomes = [attempt["outcome"] for attempt in journal.reader.attempts(world.calls[0].request_key)]
    assert outcomes == ["reply_cut", "replied"]


@pytest.mark.parametrize("raw", ["", "<html>proxy</html>", "[]", "{}"])
def test_what_cannot_be_read_may_have_been_billed_and_is_never_asked_again_by_itself(tmp_path: Path, raw: str) -> None:
    with chat_server(lambda _body, _asked: json_reply(raw)) as server:
        world = World(tmp_path, server.url, count=1)
        result = world.run()
        assert (result.replied, result.unknown, len(server.log)) == (0, 1, 1)
        with world.journal() as journal:
            (kept,) = journal.connection.execute("SELECT reply FROM replies").fetchone()
            assert decompress(kept) == raw.encode()
            assert [attempt["outcome"] for attempt in journal.reader.attempts(world.calls[0].request_key)] == [
                "reply_unreadable"
            ]
        assert (world.run().held, len(server.log)) == (1, 1)


@pytest.mark.parametrize("raw", ['{"choices": []}', '{"choices": null}', '{"choices": [{"message": 7}]}'])
def test_a_reply_is_journalled_before_it_is_parsed(tmp_path: Path, raw: str) -> None:
    with chat_server(lambda _body, _asked: json_reply(raw)) as server:
        world = World(tmp_path, server.url, count=1)
        result = world.run()
        assert (result.replied, len(server.log)) == (1, 1)
        with world.journal() as journal:
            assert journal.reader.raw_reply(world.calls[0].request_key) == raw.encode()
            (reply,) = journal.reader.replies()
            assert reply.content is None
        assert world.run().cached == 1


def test_a_cut_reply_gets_one_larger_try_and_a_misfit_one_repair_each_paid_once(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        title = body["messages"][1]["content"]
        larger, repair = body["max_tokens"] == 400, len(body["messages"]) > 2
        if title == "Song 0" and not larger:
            return json_reply(completion(said(body)[:10], finish_reason="length"))
        if title in ("Song 0", "Song 1") and not repair:
            return json_reply(completion('{"aspects": "none"}'))
        if title == "Song 2":
            return json_reply(completion("never JSON"))
        return json_reply(completion(json.dumps({"aspects": [], "caption": f"{title} {larger} {repair}"})))

    with chat_server(answer) as server:
        world = World(tmp_path, server.url)
        result = world.run(concurrency=1)
        assert (result.planned, result.replied, result.followed, result.failed) == (4, 4, 4, 0)
        asked = Counter(asked.body for asked in server.log)
        assert (len(asked), max(asked.values())) == (8, 1)
        with world.journal() as journal:
            captions = [
                json.loads(reply.content or "{}").get("caption")
                for reply in journal.reader.replies()
                if reply.content != "never JSON"
            ]
            assert captions == ["Song 0 True True", "Song 1 False True", "Song 3 False False"]
            problem = json.loads(next(body for body in asked if b"Song 1" in body and b"none" in body))
            assert problem["messages"][2] == {"role": "assistant", "content": '{"aspects": "none"}'}
            assert "aspects" in problem["messages"][3]["content"]
        again = world.run()
        assert (again.cached, again.followed, len(server.log)) == (4, 0, 8)


def test_what_a_killed_run_had_no_time_to_look_at_is_followed_up_by_the_next(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if body["max_tokens"] < 400:
            return json_reply(completion("{", finish_reason="length"))
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=2)
        world.run(concurrency=1)
        with world.journal() as journal:  # as if the process had ended before it looked
            larger = "SELECT call_id FROM calls WHERE kind = 'larger'"
            journal.connection.execute(f"DELETE FROM bodies WHERE call_id IN ({larger})")
            journal.connection.execute("DELETE FROM calls WHERE kind = 'larger'")
            journal.connection.execute("UPDATE calls SET checked = 0")
        assert len(server.log) == 4
        assert (world.run().followed, len(server.log)) == (2, 6)


def test_the_bill_never_passes_the_budget_at_any_concurrency(tmp_path: Path) -> None:
    lock, billed = threading.Lock(), []

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if (tokens := int(body["messages"][-1]["content"].split()[-1]) % 3) == 0 and asked.at_s % 0.01 < 0.003:
            return json_reply("{}", 500)
        used = {"prompt_tokens": 100, "completion_tokens": 60 * tokens + 80}
        with lock:
            billed.append(used["prompt_tokens"] * 100 + used["completion_tokens"] * 400)
        return json_reply(json.dumps({**json.loads(completion(said(body))), "usage": used}))

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=600)
        price = named_price("100,400")  # USD per million tokens
        assert price is not None
        limits = {"ceilings": Ceilings.of_flags("1.00"), "price": price, "concurrency": 256, "timeout_s": 60.0}
        result = world.run(**limits)
        assert isinstance(result.stopped, StoppedShort)
        assert "--max-usd 1.00" in str(result.stopped)
        spent = sum(billed)
        assert 0.6e6 < spent <= 1e6, "in millionths of a dollar"
        assert len(billed) == result.replied
        with world.journal() as journal:
            totals = journal.budget.totals(world.account)
        assert (totals.spent_nusd, totals.reserved_nusd, totals.broken_calls) == (1000 * spent, 0, 0)
        assert world.run(**limits).replied <= 2, "the ceiling is over all runs"
        assert sum(billed) <= 1e6


def test_a_storm_of_refusals_converges(tmp_path: Path) -> None:
    inside, most, refused, lock = [0], [0], [0], threading.Lock()

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        with lock:
            if inside[0] >= 4:
                refused[0] += 1
                return json_reply('{"error": {"message": "slow down"}}', 429)
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        try:
            return echo(body, asked)
        finally:
            with lock:
                inside[0] -= 1

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=200)
        result = world.run(concurrency=64, max_attempts=1, give_up_after_s=20.0)
    assert (result.replied, result.failed, result.stopped) == (200, 0, None), "a refusal is no attempt of the call"
    assert refused[0] < 200


def test_refusals_without_end_end_the_run_within_the_breakers_time(tmp_path: Path) -> None:
    with chat_server(lambda _body, _asked: json_reply('{"error": {"message": "slow down"}}', 429)) as server:
        world = World(tmp_path, server.url, count=50)
        result = world.run(concurrency=16, give_up_after_s=1.0)
    assert isinstance(result.stopped, StoppedShort)
    assert "refused as too many" in str(result.stopped)
    assert "slow down" in str(result.stopped)
    assert result.replied == 0


def test_two_runs_at_once_share_the_calls_and_the_budget(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=120)
        results: list[RunResult] = []
        ceilings = Ceilings(max_calls=100)
        both = [threading.Thread(target=lambda: results.append(world.run(ceilings=ceilings))) for _ in range(2)]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
        assert len(server.log) == sum(result.replied for result in results) == 100
        assert max(Counter(asked.body for asked in server.log).values()) == 1
        assert world.run().replied == 20


def test_a_ceiling_of_calls_is_kept_at_any_concurrency(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=12)
        result = world.run(ceilings=Ceilings(max_calls=5), concurrency=8)
        assert len(server.log) == result.replied == 5
        assert isinstance(result.stopped, StoppedShort)
        assert world.run(ceilings=Ceilings(max_calls=5)).replied == 0, "it is a ceiling over all runs"
        assert world.run(ceilings=Ceilings(max_calls=12)).stopped is None
        assert len(server.log) == 12


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that is heard here, also where the tests were started in the background of a shell, which ignores it."""
    before = signal.getsignal(request.param)
    signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def test_an_interrupt_lets_calls_in_flight_end_and_begins_no_other(tmp_path: Path, number: signal.Signals) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if len(server.log) == 3:
            os.kill(os.getpid(), number)
        return echo(body, asked)

    before = signal.getsignal(number)
    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=12)
        result = world.run(concurrency=1)
        assert isinstance(result.stopped, StoppedShort)
        assert result.replied == len(server.log) < 12
        assert signal.getsignal(number) == before
        with world.journal() as journal:
            assert set(journal.reader.counts()["recall@1.0.0"]) == {"planned", "replied"}
        assert world.run().stopped is None
        assert len(server.log) == 12


def test_the_key_is_sent_and_stands_nowhere_in_the_journal(tmp_path: Path) -> None:
    def blab(body: dict[str, Any], asked: Asked) -> Reply:
        key = asked.headers.get("authorization") or asked.headers["Authorization"]
        if body["messages"][-1]["content"] == "Song 0":
            return json_reply(json.dumps({"error": {"message": f"bad {key}"}}), 400, X_Request_Id="r-1")
        return json_reply(completion(json.dumps({"aspects": [], "caption": key})), X_Echo=key)

    with chat_server(blab) as server:
        world = World(tmp_path, server.url)
        assert world.run().replied == 3
        assert {asked.headers.get("authorization") or asked.headers["Authorization"] for asked in server.log} == {
            f"Bearer {SECRET}"
        }
    with world.journal() as journal:
        rows = journal.connection.execute("SELECT reply FROM replies").fetchall()
        kept = [decompress(row["reply"]) for row in rows]
        assert all(SECRET.encode() not in raw for raw in kept)
        assert any(b"Bearer [key]" in raw for raw in kept)
        dump = "\n".join(journal.connection.iterdump())
    assert SECRET not in dump
    for path in world.folder.glob(f"{JOURNAL_FILE}*"):
        assert SECRET.encode() not in path.read_bytes()
    assert SECRET not in repr(world.endpoint)


def test_a_journal_that_cannot_be_written_stops_the_run_before_the_socket_is_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with chat_server(echo) as server:
        world = World(tmp_path, server.url)
        monkeypatch.setattr(Journal, "sending", full)
        result = world.run()
        assert server.log == []
    assert isinstance(result.stopped, StoppedShort)
    assert "disk is full" in str(result.stopped)


@pytest.mark.parametrize(
    ("name", "after", "asked"),
    [
        ("html.html", "unknown", 1),
        ("deep_body.json", "unknown", 1),
        ("sse_cut.txt", "unknown", 1),
        ("error_429.json", "replied", 2),
        ("error_bad_request.json", "replied", 2),
        ("surrogate_in_model.json", "replied", 1),
        ("tokens_of_10_to_the_30.json", "replied", 1),
        ("refusal.json", "replied", 1),
    ],
)
def test_a_poison_that_a_killed_run_left_unread_is_looked_at_once(
    tmp_path: Path, name: str, after: str, asked: int
) -> None:
    raw = (Path(__file__).parents[1] / "raw_replies" / name).read_bytes()

    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=2)
        world.run()
        key = world.calls[0].request_key
        with world.journal() as journal:  # as if the process had ended with the reply on disk and unread
            (call_id,) = journal.connection.execute(
                "SELECT call_id FROM calls WHERE request_key = ?", (key,)
            ).fetchone()
            journal.connection.execute(
                "UPDATE calls SET checked = 0, reserved_calls = 1, reserved_tokens = 9 WHERE call_id = ?", (call_id,)
            )
            journal.connection.execute("UPDATE budgets SET reserved_calls = 1, reserved_tokens = 9")
            journal.connection.execute(
                "UPDATE replies SET reply = ? WHERE attempt_id ="
                " (SELECT MAX(attempt_id) FROM attempts WHERE call_id = ?)",
                (compressor()(raw), call_id),
            )
        for _ in range(2):
            result = world.run()
            assert (result.stopped, result.row_errors) == (None, [])
            with world.journal() as journal:
                assert journal.reader.states([key]) == {key: after}
                run_id = journal.connection.execute("SELECT MAX(run_id) FROM runs").fetchone()[0]
                assert unchecked(journal, run_id) == [], "it is not handed out again and again"
                totals = journal.budget.totals(world.account)
        assert totals.reserved_tokens == (9 if after == "unknown" else 0)
        assert len(server.log) == 1 + asked


def test_the_wish_for_one_piece_is_no_part_of_the_key_and_old_replies_stay_valid(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=1)
        world.run()
        (call,) = world.calls
        assert json.loads(server.log[0].body) == {**call.request, "stream": False}
        assert call.request_key == request_key(call.request, world.endpoint.identity, 0)
        with world.journal() as journal:
            assert b'"stream"' not in journal.reader.body(call.request_key)
