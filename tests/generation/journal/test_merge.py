"""Journals of several machines joined: nothing lost, nothing counted twice, what is known never becomes less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batchserver import BatchServer, Ending, answered, never_begun, refused
from batchworld import Batches
from chatserver import chat_server, completion, json_reply
from genworld import World
from loopback import Asked, Reply

from sourcing.errors import InputError
from sourcing.generation.cost.prices import named_price
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.merge import merge_journal, open_batches
from sourcing.generation.planning.plan import Scope
from sourcing.store.shard import Shard

PRICE = named_price("100,400")


def echo(body: dict[str, Any], asked: Asked) -> Reply:
    said = json.dumps({"aspects": [], "caption": body["messages"][-1]["content"]})
    return json_reply(completion(said))


def told(journal: Journal, world: World) -> dict[str, Any]:
    """What a journal knows, without numbers of its own."""
    replies = [(reply.request_key, reply.track_id, reply.content) for reply in journal.reader.replies()]
    return {
        "replies": replies,
        "counts": journal.reader.counts(),
        "totals": journal.budget.totals(world.account),
        "attempts": {key: journal.reader.attempts(key) for key, _, _ in replies},
    }


def world(root: Path, url: str, shard: str, **options: Any) -> World:
    made = World(root, url, count=40)
    made.run(Scope(shard=Shard.parse(shard)), price=PRICE, **options)
    return made


def test_the_shards_of_two_machines_make_the_whole_and_merging_again_changes_nothing(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        here, there = (world(tmp_path / name, server.url, shard) for name, shard in (("a", "1/2"), ("b", "2/2")))
        whole = world(tmp_path / "whole", server.url, "1/1")
        with here.journal() as journal, there.journal() as other:
            mine, theirs = len(list(journal.reader.replies())), len(list(other.reader.replies()))
            counts = merge_journal(journal, there.folder)
            assert counts == {"calls": theirs, "new": theirs, "answered": theirs, "both": 0, "attempts": theirs}
            once = told(journal, here)
            assert len(once["replies"]) == mine + theirs == 40
            with whole.journal() as expected:
                assert [reply[1:] for reply in once["replies"]] == [
                    reply[1:] for reply in told(expected, whole)["replies"]
                ]
                assert once["totals"] == told(expected, whole)["totals"]
            again = merge_journal(journal, there.folder)
            assert again == {"calls": theirs, "new": 0, "answered": 0, "both": theirs, "attempts": 0}
            assert told(journal, here) == once
            merge_journal(other, here.folder)
            assert told(other, there) == once
        asked = len(server.log)
        assert here.run(price=PRICE).cached == 40
        assert len(server.log) == asked, "nothing is asked again after a merge"


def test_an_answer_found_elsewhere_settles_what_was_unknown_here(tmp_path: Path) -> None:
    def cut(body: dict[str, Any], asked: Asked) -> Reply:
        return Reply("{", headers={"Content-Type": "application/json", "Content-Length": "99", "Connection": "close"})

    with chat_server(cut) as server:
        here = world(tmp_path / "a", server.url, "1/1", concurrency=1)
    with here.journal() as journal:
        assert set(journal.reader.counts()["recall@1.0.0"]) == {"unknown", "planned"}
        assert told(journal, here)["totals"].reserved_nusd > 0
        unknown = [row.request_key for row in journal.reader.calls_in(("unknown",))]
    with chat_server(echo) as server:
        there = World(tmp_path / "b", server.url, count=40)
        object.__setattr__(there.endpoint, "identity", here.endpoint.identity)
        there.run(price=PRICE)
    with here.journal() as journal, there.journal() as other:
        theirs = told(other, there)["totals"]
        counts = merge_journal(journal, there.folder)
        assert counts["answered"] == 40
        assert set(journal.reader.states(unknown).values()) == {"replied"}
        totals = told(journal, here)["totals"]
        assert (totals.reserved_nusd, totals.spent_nusd) == (0, theirs.spent_nusd)
        assert merge_journal(other, here.folder)["attempts"] == len(unknown), "what was tried there is known here too"
        assert set(other.reader.states(unknown).values()) == {"replied"}, "what is known never becomes less"


def usd_and_calls(totals: Any) -> tuple[int, ...]:
    spent = (totals.spent_calls, totals.spent_tokens, totals.spent_nusd)
    return (*spent, totals.reserved_calls, totals.reserved_tokens, totals.reserved_nusd)


def merged_totals(tmp_path: Path, there: World) -> tuple[int, ...]:
    """What a fresh journal counts after it took `there` over, twice."""
    with Journal.open(tmp_path / "fresh") as journal:
        merge_journal(journal, there.folder)
        merge_journal(journal, there.folder)
        return usd_and_calls(journal.budget.totals(there.account))


def silent(body: dict[str, Any], asked: Asked) -> Reply:
    said = json.loads(completion('{"aspects": [], "caption": "calm"}'))
    del said["usage"]
    return json_reply(json.dumps(said))


def test_replies_without_usage_count_after_a_merge_as_they_counted_before(tmp_path: Path) -> None:
    with chat_server(silent) as server:
        there = world(tmp_path / "b", server.url, "1/1")
    with there.journal() as other:
        totals = usd_and_calls(other.budget.totals(there.account))
    assert totals[1] > 0 and totals[2] > 0, "they count at their worst"
    assert merged_totals(tmp_path, there) == totals


def test_unknown_calls_that_were_resent_count_after_a_merge_as_they_counted_before(tmp_path: Path) -> None:
    cut = Reply("{", headers={"Content-Type": "application/json", "Content-Length": "99", "Connection": "close"})
    with chat_server(lambda body, asked: cut if len(server.log) % 3 == 1 else echo(body, asked)) as server:
        there = world(tmp_path / "b", server.url, "1/1", concurrency=1)
        with there.journal() as other:
            assert other.reader.counts()["recall@1.0.0"]["unknown"] > 1
            assert merged_totals(tmp_path / "before", there) == usd_and_calls(other.budget.totals(there.account))
        there.run(price=PRICE, concurrency=1, resend_unknown=True)
        with there.journal() as other:
            totals = usd_and_calls(other.budget.totals(there.account))
    assert totals[0] > 40, "what was resent counts twice"
    assert merged_totals(tmp_path, there) == totals


def test_refusals_and_time_outs_count_after_a_merge_as_they_counted_before(tmp_path: Path) -> None:
    def trouble(body: dict[str, Any], asked: Asked) -> Reply:
        kinds = {1: json_reply("{}", 500), 2: json_reply("{}", 504), 3: json_reply("{}", 400)}
        return kinds.get(len(server.log) % 7) or echo(body, asked)

    with chat_server(trouble) as server:
        there = world(tmp_path / "b", server.url, "1/1", concurrency=1)
    with there.journal() as other:
        assert other.reader.counts()["recall@1.0.0"]["unknown"] > 1
        totals = usd_and_calls(other.budget.totals(there.account))
    assert merged_totals(tmp_path, there) == totals


def test_batches_count_after_a_merge_as_they_counted_before_also_those_under_way(tmp_path: Path) -> None:
    def end(lines: list[Any]) -> Ending:
        return Ending([answered(line) for line in lines[:2]], [never_begun(lines[2]), refused(lines[3], 400, "no")])

    with BatchServer(end) as server:
        there = Batches(tmp_path / "b", server.url, 6)
        there.submit(max_lines=4)
        with there.journal() as other:
            assert open_batches(there.folder) == 2
            assert merged_totals(tmp_path / "before", there) == usd_and_calls(other.budget.totals(there.account))
        server.end = lambda lines: Ending() if len(lines) < 4 else end(lines)
        there.collect()
        assert open_batches(there.folder) == 0
        with there.journal() as other:
            totals = usd_and_calls(other.budget.totals(there.account))
        assert merged_totals(tmp_path, there) == totals


def test_a_path_without_a_journal_is_named(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "a") as journal, pytest.raises(InputError, match="there is no journal"):
        merge_journal(journal, tmp_path)
