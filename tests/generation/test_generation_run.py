"""Runs against a loopback model server: what is sent, retried, journalled, stopped and resumed."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from genworld import SECRET, World
from loopback import Asked, Reply

from sourcing.errors import StoppedShort, UpstreamError
from sourcing.generation.budget import Ceilings
from sourcing.generation.journal import JOURNAL_FILE, Journal
from sourcing.generation.journal_schema import unpack

def echo(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(json.dumps({"said": body["messages"][-1]["content"]})))


def test_every_call_is_sent_once_as_planned_and_its_reply_kept_byte_for_byte(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url)
        result = world.run()
        assert result.counts() == {
            "planned": 4, "cached": 0, "replied": 4, "failed": 0, "unknown": 0, "held": 0, "followed": 0,
        }  # fmt: skip
        sent = {json.dumps(json.loads(asked.body), sort_keys=True) for asked in server.log}
        assert sent == {json.dumps(call.body, sort_keys=True) for call in world.calls}
        assert {asked.path for asked in server.log} == {"/v1/chat/completions"}
        with world.journal() as journal:
            for call in world.calls:
                said = json.dumps({"said": call.body["messages"][-1]["content"]})
                assert journal.raw_reply(call.request_key) == completion(said).encode()
        again = world.run()
        assert (again.cached, again.replied, len(server.log)) == (4, 0, 4)


def test_a_call_is_durably_sending_before_the_server_hears_of_it(tmp_path: Path) -> None:
    seen: list[dict[str, int]] = []

    def look(body: dict[str, Any], asked: Asked) -> Reply:
        with Journal.read(world.folder) as journal:
            seen.append(journal.counts()["recall@1.0.0"])
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
            attempts = journal.attempts(world.calls[0].request_key)
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
            (row,) = journal.calls_in(("failed",))
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
        result = world.run(max_attempts=2, concurrency=1)
    assert isinstance(result.stopped, StoppedShort)
    assert result.failed == 8
    with world.journal() as journal:
        assert journal.counts()["recall@1.0.0"] == {"failed": 8, "planned": 12}


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
        result = world.run(timeout_s=0.2)
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
            outcomes = [attempt["outcome"] for attempt in journal.attempts(world.calls[0].request_key)]
    assert outcomes == ["reply_cut", "replied"]


@pytest.mark.parametrize("raw", ["", "<html>proxy</html>", "[]", '{"choices": []}', '{"choices": [{"message": 7}]}'])
def test_a_reply_is_journalled_before_it_is_parsed(tmp_path: Path, raw: str) -> None:
    with chat_server(lambda _body, _asked: Reply(raw)) as server:
        world = World(tmp_path, server.url, count=1)
        result = world.run()
        assert (result.replied, len(server.log)) == (1, 1)
        with world.journal() as journal:
            assert journal.raw_reply(world.calls[0].request_key) == raw.encode()
            (reply,) = journal.replies()
            assert reply.content is None
        assert world.run().cached == 1


def test_a_ceiling_of_calls_is_kept_at_any_concurrency(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=12)
        result = world.run(ceilings=Ceilings(max_calls=5), concurrency=8)
        assert len(server.log) == result.replied == 5
        assert isinstance(result.stopped, StoppedShort)
        assert world.run(ceilings=Ceilings(max_calls=5)).replied == 0, "it is a ceiling over all runs"
        assert world.run(ceilings=Ceilings(max_calls=12)).stopped is None
        assert len(server.log) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
            assert set(journal.counts()["recall@1.0.0"]) == {"planned", "replied"}
        assert world.run().stopped is None
        assert len(server.log) == 12


def test_the_key_is_sent_and_stands_nowhere_in_the_journal(tmp_path: Path) -> None:
    def blab(body: dict[str, Any], asked: Asked) -> Reply:
        said = asked.headers["authorization"]
        title = body["messages"][-1]["content"]
        if title == "Song 0":
            return json_reply(json.dumps({"error": {"message": f"bad {said}"}}), 400, X_Request_Id="r-1")
        return json_reply(completion(said), X_Echo=said)

    with chat_server(blab) as server:
        world = World(tmp_path, server.url)
        assert world.run().replied == 3
        assert {asked.headers["authorization"] for asked in server.log} == {f"Bearer {SECRET}"}
    with world.journal() as journal:
        rows = journal.connection.execute("SELECT reply FROM attempts").fetchall()
        kept = [unpack(row["reply"]) for row in rows]
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
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with chat_server(echo) as server:
        world = World(tmp_path, server.url)
        monkeypatch.setattr(Journal, "sending", full)
        result = world.run()
        assert server.log == []
    assert isinstance(result.stopped, StoppedShort)
    assert "disk is full" in str(result.stopped)
