"""Calls of unknown fate looked up among the completions a loopback server stored: found, missing, or not offered."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from chatserver import completion, json_reply
from genworld import AT, SECRET, World
from loopback import Asked, Loopback, Reply

from sourcing.errors import UpstreamError, UsageError
from sourcing.generation.calls import CallEnd
from sourcing.generation.journal.journal import Reserved
from sourcing.generation.journal.plan_writer import enter_run, register
from sourcing.generation.run.reconcile import METADATA_KEY, Patience, reconcile_unknown

MINUTE = timedelta(minutes=1)
CAPTION = '{"aspects": [], "caption": "calm"}'


class Stored:
    """A server that keeps completions by the metadata they carry; `heeds` is whether it filters by them."""

    def __init__(self, *, heeds: bool = True) -> None:
        self.kept: dict[str, dict[str, Any]] = {}
        self.heeds = heeds
        self.trouble: list[Reply] = []

    def keep(self, key: str, content: str = CAPTION) -> None:
        name = f"chatcmpl-{len(self.kept)}"
        self.kept[name] = {**json.loads(completion(content)), "id": name, "metadata": {METADATA_KEY: key}}

    def __call__(self, asked: Asked) -> Reply:
        if self.trouble:
            return self.trouble.pop(0)
        parts = urlsplit(asked.path)
        if asked.method == "POST":
            return json_reply(completion(CAPTION))
        name = parts.path.removeprefix("/v1/chat/completions").strip("/")
        if name:
            return json_reply(json.dumps(self.kept[name], indent=1)) if name in self.kept else json_reply("{}", 404)
        (key,) = parse_qs(parts.query)[f"metadata[{METADATA_KEY}]"]
        entries = [e for e in self.kept.values() if not self.heeds or e["metadata"][METADATA_KEY] == key]
        return json_reply(json.dumps({"object": "list", "data": entries, "has_more": False}))


def lose(world: World, n: int) -> list[str]:
    """Make the first n calls of the world's plan unknown, with something reserved for each; returns their keys."""
    calls = world.calls
    with world.journal() as journal:
        run = enter_run(
            journal,
            pack=("recall", "1.0.0", world.account),
            endpoint=world.endpoint.identity,
            model="m",
            plan=world.job().plan,
            at=AT,
        )
        with journal.transaction():
            waiting = register(journal, run.run_id, calls, position=len(calls), at=AT, done=True)
            for call in waiting[:n]:
                journal.sending(call.call_id, AT, scope=world.account, reserve=Reserved(100, 7000))
                journal.settle(
                    call.call_id, CallEnd("unknown", "unknown", error="lost"), at=AT + MINUTE, scope=world.account
                )
    return [call.request_key for call in waiting[:n]]


def look(world: World, **options: Any) -> dict[str, int]:
    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    with world.journal() as journal:
        return reconcile_unknown(journal, world.endpoint, patience=Patience(max_attempts=3, sleep=no_sleep), **options)


def test_what_was_answered_while_we_were_gone_is_fetched_and_never_paid_again(tmp_path: Path) -> None:
    store = Stored()
    with Loopback(store) as server:
        world = World(tmp_path, server.url)
        first, second = lose(world, 2)
        store.keep("of another")
        store.keep(first)
        heard: list[int] = []
        assert look(world, on_progress=heard.append) == {"found": 1, "missing": 1}
        assert heard == [2, 2]  # of two in all
        with world.journal() as journal:
            assert journal.reader.states([first, second]) == {first: "replied", second: "unknown"}
            assert journal.reader.raw_reply(first) == json.dumps(store.kept["chatcmpl-1"], indent=1).encode()
            assert [a["outcome"] for a in journal.reader.attempts(first)] == ["unknown", "reconciled"]
            assert journal.budget.totals(world.account).reserved_nusd == 14000  # until it is looked at
        result = world.run()
        assert (result.cached, result.replied, result.held) == (1, 2, 1)
        asked = [json.loads(a.body)["messages"][-1]["content"] for a in server.log if a.method == "POST"]
        assert sorted(asked) == ["Song 2", "Song 3"]
        with world.journal() as journal:
            assert journal.reader.attempts(first)[-1]["input_tokens"] == 10
            assert journal.budget.totals(world.account).reserved_nusd == 7000
            assert {reply.request_key for reply in journal.reader.replies()} >= {first}
        assert look(world) == {"found": 0, "missing": 1}


def test_a_server_that_does_not_heed_the_filter_finds_nothing_by_mistake(tmp_path: Path) -> None:
    store = Stored(heeds=False)
    with Loopback(store) as server:
        world = World(tmp_path, server.url)
        first, second = lose(world, 2)
        store.keep("of another")
        store.keep(second)
        assert look(world) == {"found": 1, "missing": 1}
        with world.journal() as journal:
            assert journal.reader.states([first, second]) == {first: "unknown", second: "replied"}


@pytest.mark.parametrize("status", [400, 404, 405])
def test_a_server_that_keeps_no_completions_is_refused_with_the_cures(tmp_path: Path, status: int) -> None:
    with Loopback(lambda asked: json_reply('{"error": {"message": "no"}}', status)) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        with pytest.raises(UsageError, match=r"--on-unknown hold .* --on-unknown resend"):
            look(world)
        with world.journal() as journal:
            assert journal.reader.states([key]) == {key: "unknown"}


def test_a_page_in_place_of_a_list_is_no_list(tmp_path: Path) -> None:
    with Loopback(lambda asked: json_reply('{"object": "model"}')) as server:
        world = World(tmp_path, server.url)
        lose(world, 1)
        with pytest.raises(UsageError, match="stored completions"):
            look(world)


def test_a_passing_trouble_is_waited_out_and_a_lasting_one_named(tmp_path: Path) -> None:
    store = Stored()
    with Loopback(store) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        store.keep(key)
        store.trouble = [json_reply("{}", 503), json_reply("{}", 429)]
        assert look(world) == {"found": 1, "missing": 0}
        (key,) = lose(World(tmp_path / "second", server.url), 1)
        store.trouble = [json_reply("{}", 503)] * 3
        with pytest.raises(UpstreamError, match="HTTP 503"):
            look(World(tmp_path / "second", server.url))
        store.trouble = [json_reply('{"error": {"message": "who are you"}}', 401)]
        with pytest.raises(UpstreamError, match="OPENAI_API_KEY"):
            look(World(tmp_path / "second", server.url))


def test_a_completion_removed_between_list_and_fetch_is_missing(tmp_path: Path) -> None:
    store = Stored()

    def forgetful(asked: Asked) -> Reply:
        reply = store(asked)
        store.kept.clear()
        return reply

    with Loopback(forgetful) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        store.keep(key)
        assert look(world) == {"found": 0, "missing": 1}


def test_nothing_unknown_asks_nobody(tmp_path: Path) -> None:
    with Loopback(Stored()) as server:
        world = World(tmp_path, server.url)
        lose(world, 0)
        assert look(world) == {"found": 0, "missing": 0}
        assert server.log == []


def test_the_key_is_sent_and_stands_nowhere_in_the_journal(tmp_path: Path) -> None:
    store = Stored()
    with Loopback(store) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        store.keep(key, f"your key is {SECRET}")
        assert look(world)["found"] == 1
        assert {a.headers["authorization"] for a in server.log} == {f"Bearer {SECRET}"}
        with world.journal() as journal:
            assert b"[key]" in journal.reader.raw_reply(key)
            assert SECRET not in "\n".join(journal.connection.iterdump())


def test_only_calls_of_the_named_run_and_endpoint_are_looked_up(tmp_path: Path) -> None:
    store = Stored()
    with Loopback(store) as server:
        world = World(tmp_path, server.url)
        lose(world, 2)
        assert look(world, run_id=99) == {"found": 0, "missing": 0}
        with world.journal() as journal:
            journal.connection.execute("UPDATE endpoints SET model = 'another'")
        assert look(world) == {"found": 0, "missing": 0}
        assert server.log == []


def test_a_reply_cut_on_its_way_is_found_where_the_endpoint_kept_it_and_not_paid_again(tmp_path: Path) -> None:
    stored, billed = Stored(), []

    def answer(asked: Asked) -> Reply:
        if asked.method != "POST":
            return stored(asked)
        body = json.loads(asked.body)
        assert body["store"] is True
        billed.append(body["metadata"][METADATA_KEY])
        stored.keep(body["metadata"][METADATA_KEY])
        if len(billed) == 2:
            return Reply(
                "{", headers={"Content-Type": "application/json", "Content-Length": "99", "Connection": "close"}
            )
        return json_reply(completion(CAPTION))

    with Loopback(answer) as server:
        world = World(tmp_path, server.url, count=3)
        keys = {call.request_key for call in world.calls}
        result = world.run(store_completions=True, concurrency=1)
        assert (result.replied, result.unknown) == (2, 1)
        with world.journal() as journal:
            assert reconcile_unknown(journal, world.endpoint) == {"found": 1, "missing": 0}
        again = world.run(store_completions=True)
        assert (again.cached, again.replied, again.held) == (3, 0, 0)
    assert sorted(billed) == sorted(keys), "each once, under the key of the plain body"


@pytest.mark.parametrize("stored", [b"<html>", b'{"error": {"code": 500}}', b"[" * 3000, b'data: {"choices": []}\n\n'])
def test_what_is_kept_but_is_no_completion_leaves_the_call_unknown(tmp_path: Path, stored: bytes) -> None:
    store = Stored()

    def answer(asked: Asked) -> Reply:
        return Reply(stored) if asked.path.endswith("/chatcmpl-0") else store(asked)

    with Loopback(answer) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        store.keep(key)
        assert look(world) == {"found": 0, "missing": 1}
        with world.journal() as journal:
            assert journal.reader.states([key]) == {key: "unknown"}


def test_entries_of_any_shape_are_passed_over(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        metadata = {METADATA_KEY: key}
        odd = [
            7, None, [], {}, {"id": 7, "metadata": metadata}, {"id": "a", "metadata": [key]},
            {"id": "a", "metadata": "x"}, {"id": "\ud83d", "metadata": metadata},
        ]  # fmt: skip
        return json_reply(json.dumps({"data": odd})) if "?" in asked.path else json_reply("{}", 404)

    with Loopback(answer) as server:
        world = World(tmp_path, server.url)
        (key,) = lose(world, 1)
        assert look(world) == {"found": 0, "missing": 1}
