"""Batch mode against a loopback server: nothing is sent twice and no answer is lost, whatever ends when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batchserver import BatchServer, Body, Ending, Fault, answered, never_begun, refused
from batchworld import OPTIONS, PRICE, Batches, all_good, outputs
from genworld import AT, SECRET

from sourcing.errors import InputError, StoppedShort, UpstreamError, UsageError
from sourcing.generation.batch.export import export_calls, import_answers
from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.estimate import worst_case
from sourcing.generation.endpoint.dialect import DIALECTS
from sourcing.generation.journal.batch_shards import BatchShards
from sourcing.generation.journal.plan_writer import has_open
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.run.reply_checker import ReplyChecker


def test_calls_are_handed_over_as_they_would_be_sent_and_come_back_as_replies(tmp_path: Path) -> None:
    with BatchServer(all_good, looks=3) as server:
        world = Batches(tmp_path, server.url)
        sent = world.submit()
        assert (sent.calls, sent.waiting, len(sent.shards)) == (4, 0, 1)
        (batch,) = server.batches.values()
        assert (batch["endpoint"], batch["completion_window"]) == ("/v1/chat/completions", "24h")
        assert batch["metadata"] == {"crossmusim_shard": sent.shards[0].name}
        raw = server.contents[batch["input_file_id"]]
        assert [line.partition(b'"body":')[2][:-1] for line in raw.splitlines()] == [c.body for c in world.calls]
        handed = server.lines(batch["input_file_id"])
        assert [line["custom_id"] for line in handed] == [call.request_key for call in world.calls]
        assert {(line["method"], line["url"]) for line in handed} == {("POST", "/v1/chat/completions")}
        assert world.counts() == {"sending": 4}
        got = world.collect()
        assert (got.tally.replied, got.open, got.stopped) == (4, [], None)
        assert world.counts() == {"replied": 4}
        with world.journal() as journal:
            for call in world.calls:
                line = next(line for line in handed if line["custom_id"] == call.request_key)
                said = json.dumps(answered(line)["response"]["body"], separators=(",", ":"))
                assert journal.reader.raw_reply(call.request_key) == said.encode()
                (attempt,) = journal.reader.attempts(call.request_key)
                assert (attempt["outcome"], attempt["status"]) == ("replied", 200)
                assert attempt["headers"] == {
                    "x-batch-id": batch["id"], "x-request-id": f"req-{call.request_key[:8]}",
                }  # fmt: skip
            assert len(list(journal.reader.replies())) == 4
        assert world.run().cached == 4
        assert server.online == []


def test_a_shard_is_written_down_with_its_budget_before_anything_is_uploaded(tmp_path: Path) -> None:
    with BatchServer() as server:
        server.faults = [Fault("POST", "/v1/files", times=99)]
        world = Batches(tmp_path, server.url)
        with pytest.raises(UpstreamError, match="run the same command again"):
            world.submit()
        assert world.shard_states() == ["written"]
        assert world.counts() == {"sending": 4}
        totals = world.totals()
        assert (totals.reserved_calls, totals.spent_calls) == (4, 0)
        assert totals.reserved_nusd > 0
        assert world.run().replied == 0  # what lies in a shard is no run's business
        server.faults = []
        assert world.submit().calls == 0
        assert world.shard_states() == ["created"]


CRASH = """
import os, sys
from pathlib import Path
from genworld import World
from test_batch import Batches
from sourcing.generation.batch import api, collect, desk, submit

root, url, point = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
world = Batches.found(root, url)

def dies(owner, name, *, after):
    real = getattr(owner, name)
    def dying(*args, **kwargs):
        result = real(*args, **kwargs) if after else None
        os._exit(9)
    setattr(owner, name, dying)

if point == "shard written":
    dies(submit.Sender, "send", after=False)
elif point == "uploaded":
    dies(api.BatchWire, "upload", after=True)
elif point == "upload noted":
    dies(api.BatchWire, "create", after=False)
elif point == "created":
    dies(api.BatchWire, "create", after=True)
elif point == "within a file":
    collect._LINES = 2
    real_take, taken = collect.Answers._take, []
    def take(self, *args):
        real_take(self, *args)
        taken.append(1)
        if len(taken) == 3:
            os._exit(9)
    collect.Answers._take = take
elif point == "between files":
    dies(desk.Answers, "finish", after=False)
if point in ("within a file", "between files"):
    world.collect()
else:
    world.submit()
"""


@pytest.mark.parametrize(
    "point", ["shard written", "uploaded", "upload noted", "created", "within a file", "between files"]
)
def test_a_process_that_dies_at_any_point_is_taken_up_and_nothing_is_submitted_twice(
    tmp_path: Path, point: str
) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url, 5)
        if point in ("within a file", "between files"):
            world.submit()
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2] / "support")])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])}
        died = subprocess.run(
            [sys.executable, "-c", CRASH, str(tmp_path), server.url, point], env=environment, check=False
        )
        assert died.returncode == 9
        again = world.submit()
        assert (again.calls, again.stopped) == (0, None)
        got = world.collect()
        assert (got.stopped, world.counts()) == (None, {"replied": 5})
        assert len(server.batches) == len(server.asked("POST", "/v1/batches")) == 1
        assert len(server.asked("POST", "/v1/files")) == 1
        assert set(server.bills.values()) == {1}
        with world.journal() as journal:
            spent = sum(a["cost_nusd"] for call in world.calls for a in journal.reader.attempts(call.request_key))
        totals = world.totals()
        assert (totals.spent_calls, totals.spent_nusd, totals.reserved_calls) == (5, spent, 0)
        assert totals.reserved_nusd == 0


@pytest.mark.parametrize(
    "fault", [Fault("POST", "/v1/batches", 0, done=True), Fault("POST", "/v1/batches", 503, done=True)]
)
def test_a_batch_whose_making_was_not_confirmed_is_looked_for_before_another_is_made(
    tmp_path: Path, fault: Fault
) -> None:
    with BatchServer(all_good, page=1) as server:
        server._create({"input_file_id": "file-of-another", "metadata": None})
        server._create({"input_file_id": "file-of-another", "metadata": {"crossmusim_shard": "another"}})
        server.faults = [replace(fault)]
        world = Batches(tmp_path, server.url)
        assert world.submit().calls == 4
        assert len(server.batches) == 3


def test_a_batch_that_was_not_made_is_made_once_it_was_looked_for_twice(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        server.faults = [Fault("POST", "/v1/batches", 500)]
        world = Batches(tmp_path, server.url)
        assert world.submit().calls == 4
        assert [len(server.asked(method, "/v1/batches")) for method in ("POST", "GET")] == [2, 2]
        assert OPTIONS.poll_s in world.slept_s


def test_what_cannot_be_looked_for_is_neither_made_again_nor_given_up(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        server.faults = [Fault("POST", "/v1/batches", 0, done=True), Fault("GET", "/v1/batches", 403, times=99)]
        world = Batches(tmp_path, server.url)
        with pytest.raises(UpstreamError, match="403"):
            world.submit()
        assert (world.shard_states(), len(server.batches)) == (["creating"], 1)
        server.faults = []
        assert world.collect().tally.replied == 4
        assert len(server.batches) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "cure"),
    [
        (Fault("POST", "/v1/files", 401), UpstreamError, "OPENAI_API_KEY"),
        (Fault("POST", "/v1/files", 404), UsageError, "generate run"),
        (Fault("POST", "/v1/batches", 400), UpstreamError, "mend that"),
        (
            Fault(
                "POST", "/v1/batches", 429, times=9, body='{"error": {"code": "insufficient_quota", "message": "x"}}'
            ),
            UpstreamError,
            "top up",
        ),
    ],
)
def test_a_refusal_leaves_nothing_behind(tmp_path: Path, fault: Fault, kind: type[Exception], cure: str) -> None:
    with BatchServer(all_good) as server:
        server.faults = [replace(fault)]
        world = Batches(tmp_path, server.url)
        with pytest.raises(kind, match=cure):
            world.submit()
        assert world.shard_states() == ["dropped"]
        assert world.counts() == {"planned": 4}
        totals = world.totals()
        assert (totals.reserved_calls, totals.reserved_nusd, totals.spent_calls) == (0, 0, 0)
        server.faults = []
        assert world.submit().calls == 4


def test_an_expired_batch_keeps_its_finished_part_and_the_rest_is_planned_again(tmp_path: Path) -> None:
    def expire(lines: list[Body]) -> Ending:
        return Ending(outputs(lines[:2]), [never_begun(line) for line in lines[2:4]], "expired")

    with BatchServer(expire) as server:
        world = Batches(tmp_path, server.url, 5)  # the fifth call is in neither file
        world.submit()
        got = world.collect()
        assert got.tally.counts() == {"replied": 2, "failed": 0, "again": 3, "unknown": 0, "followed": 0}
        assert world.counts() == {"planned": 3, "replied": 2}
        totals = world.totals()
        assert (totals.spent_calls, totals.reserved_calls, totals.reserved_nusd) == (2, 0, 0)
        with world.journal() as journal:
            outcomes = [[a["outcome"] for a in journal.reader.attempts(call.request_key)] for call in world.calls]
            assert outcomes == [["replied"], ["replied"], ["expired"], ["expired"], ["expired"]]
        online = world.run()  # leftovers may finish online
        assert (online.cached, online.replied) == (2, 3)
        assert world.counts() == {"replied": 5}


@pytest.mark.parametrize("status", ["expired", "cancelled", "failed", "completed"])
def test_output_and_errors_of_every_ending_are_taken(tmp_path: Path, status: str) -> None:
    def end(lines: list[Body]) -> Ending:
        code = "batch_cancelled" if status == "cancelled" else "batch_expired"
        errors = [
            refused(lines[1], 400, "prompt too long"),
            refused(lines[2], 500, "oops"),
            never_begun(lines[3], code),
        ]
        problem = [{"code": "broken", "message": "it broke"}] if status == "failed" else []
        return Ending(outputs(lines[:1]), errors, status, refused=problem)

    with BatchServer(end) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        got = world.collect()
        assert got.tally.counts() == {"replied": 1, "failed": 1, "again": 2, "unknown": 0, "followed": 0}
        assert world.counts() == {"failed": 1, "planned": 2, "replied": 1}
        assert (str(got.stopped) if status == "failed" else got.stopped) == (
            "batch batch_1: broken: it broke; mend that, then submit again" if status == "failed" else None
        )
        with world.journal() as journal:
            outcomes = [journal.reader.attempts(call.request_key)[-1]["outcome"] for call in world.calls]
            (failed,) = journal.reader.calls_in(("failed",))
        last = "cancelled" if status == "cancelled" else "expired"
        assert outcomes == ["replied", "http_400", "http_500", last]
        assert failed.error == "prompt too long"


@pytest.mark.parametrize(
    ("ending", "state"), [({"completed": 4}, "unknown"), ({"counted": False}, "unknown"), ({}, "planned")]
)
def test_answers_that_were_counted_and_not_handed_over_are_unknown(
    tmp_path: Path, ending: dict[str, Any], state: str
) -> None:
    with BatchServer(lambda lines: Ending(outputs(lines[:3]), **ending)) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        world.collect()
        assert world.counts() == {"replied": 3, state: 1}
        totals = world.totals()
        assert totals.reserved_calls == (1 if state == "unknown" else 0)


def test_a_file_that_the_server_no_longer_has_leaves_its_calls_unknown(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.faults = [Fault("GET", "/v1/files/file-2/content", 404)]
        assert world.collect().tally.unknown == 4
        assert (world.counts(), world.shard_states()) == ({"unknown": 4}, ["collected"])


def test_a_replied_call_is_charged_at_the_price_its_shard_was_written_down_under(tmp_path: Path) -> None:
    with BatchServer(lambda lines: Ending(outputs(lines, prompt_tokens=100, completion_tokens=50))) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        world.collect()
        with world.journal() as journal:
            (attempt,) = journal.reader.attempts(world.calls[0].request_key)
        assert (attempt["input_tokens"], attempt["output_tokens"]) == (100, 50)
        assert attempt["cost_nusd"] == 100 * 1000 + 50 * 2000
        assert world.totals().spent_nusd == 4 * attempt["cost_nusd"]
        with world.journal() as journal:  # nothing is left to look at, so nothing is charged again
            assert has_open(journal, 1, resend=False) is False


def test_lines_without_sense_are_reported_and_hurt_nobody(tmp_path: Path) -> None:
    def end(lines: list[Body]) -> Ending:
        stranger = {**answered(lines[0]), "custom_id": "nobody's"}
        return Ending([*outputs(lines), outputs(lines[:1])[0], stranger, "{torn", '["no", "line"]', ""], completed=4)

    with BatchServer(end) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        got = world.collect()
        assert got.tally.counts() == {"replied": 4, "failed": 0, "again": 0, "unknown": 0, "followed": 0}
        assert got.oddities == {"duplicates": 1, "broken": 2, "strangers": 1}
        assert got.strangers == ["nobody's"]
        assert world.totals().spent_calls == 4


def test_replies_that_were_cut_or_do_not_fit_are_followed_in_the_next_batch(tmp_path: Path) -> None:
    def end(lines: list[Body]) -> Ending:
        output = outputs(lines)
        if len(server.batches) == 1:
            output[0] = answered(lines[0], '{"aspects": [')
            output[0]["response"]["body"]["choices"][0]["finish_reason"] = "length"
            output[1] = answered(lines[1], '{"no": "schema"}')
        return Ending(output)

    with BatchServer(end) as server:
        world = Batches(tmp_path, server.url)
        sent, got = world.drive()
        assert (got.tally.replied, got.tally.followed, sent.calls) == (6, 2, 6)
        larger, repair = server.lines(server.batches["batch_2"]["input_file_id"])
        assert larger["body"]["max_tokens"] == 400
        assert len(repair["body"]["messages"]) > len(world.calls[1].request["messages"])
        with world.journal() as journal:
            said = [json.loads(reply.content or "") for reply in journal.reader.replies()]
        assert all("caption" in reply for reply in said)


def test_a_download_that_breaks_off_is_begun_anew_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sourcing.generation.batch.collect._LINES", 1)
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.faults = [Fault("GET", "/v1/files/.*/content", cut=900), Fault("GET", "/v1/files/.*/content", cut=1500)]
        got = world.collect()
        assert (got.tally.replied, got.oddities) == (4, {})
        assert len(server.asked("GET", "/v1/files/.*/content")) == 3
        assert world.totals().spent_calls == 4


def test_a_download_that_never_comes_whole_is_left_for_the_next_time(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.faults = [Fault("GET", "/v1/files/.*/content", cut=900, times=3)]
        assert isinstance(world.collect().stopped, UpstreamError)
        assert world.shard_states() == ["created"]
        assert world.collect().tally.replied == 4


def test_shards_are_cut_by_count_and_by_bytes(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url, 7)
        assert [shard.lines for shard in world.submit(max_lines=3).shards] == [3, 3, 1]
        sizes = [file["bytes"] for file in server.files.values()]
        with world.desk() as desk:
            assert [shard.bytes for shard in desk.shards.all()] == sizes
        assert world.collect().tally.replied == 7
    with BatchServer(all_good) as server:
        world = Batches(tmp_path / "second", server.url, 7)
        assert [shard.lines for shard in world.submit(max_bytes=2 * sizes[-1] + 1).shards] == [2, 2, 2, 1]
        assert all(file["bytes"] <= 2 * sizes[-1] + 1 for file in server.files.values())


def test_a_call_too_large_for_any_batch_is_said_so_and_left_to_be_made_online(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        sent = world.submit(max_bytes=50)
        assert (sent.calls, sent.too_large, sent.waiting) == (0, 4, 4)
        assert world.run().replied == 4


def test_no_more_tokens_are_queued_than_the_setting_says(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url, 5)
        one = len(world.calls[0].body) // 3
        sent = world.submit(enqueued_tokens=2 * one + 5)
        assert ([shard.lines for shard in sent.shards], sent.waiting) == ([2], 3)
        assert world.submit(enqueued_tokens=2 * one + 5).calls == 0  # the queue is full
        sent, got = world.drive(enqueued_tokens=2 * one + 5)
        assert (got.tally.replied, sent.waiting) == (5, 0)
        assert [len(server.lines(b["input_file_id"])) for b in server.batches.values()] == [2, 2, 1]


def test_a_full_queue_splits_what_it_refused_into_smaller_shards(tmp_path: Path) -> None:
    message = "Enqueued token limit reached for m. Please try again once some in_progress batches have been completed."

    def end(lines: list[Body]) -> Ending:
        if len(lines) > 2:
            problem = {"code": "token_limit_exceeded", "message": message, "line": None, "param": None}
            return Ending(status="failed", refused=[problem], counted=False)
        return all_good(lines)

    with BatchServer(end) as server:
        world = Batches(tmp_path, server.url, 8)
        sent = world.submit()
        assert sent.calls == 8
        got = world.collect()
        assert (got.tally.again, got.no_room, got.stopped) == (8, 1, None)
        assert world.counts() == {"planned": 8}
        assert (world.totals().reserved_calls, world.totals().spent_calls) == (0, 0)
        sent, got = world.drive()
        assert (got.tally.replied, got.stopped, sent.waiting) == (8, None, 0)
        sizes = [len(server.lines(b["input_file_id"])) for b in server.batches.values()]
        assert sizes[:3] == [8, 4, 2]
        assert set(server.bills.values()) == {1}
        with world.journal() as journal:  # a call that never left the queue was no attempt
            assert {len(journal.reader.attempts(call.request_key)) for call in world.calls} == {1}


def test_a_refusal_that_names_the_limit_is_taken_at_its_word(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url, 8)
        one = len(world.calls[0].body) // 3
        said = f"Enqueued token limit reached. Limit: {3 * one + 9:,} enqueued tokens."
        server.faults = [
            Fault(
                "POST",
                "/v1/batches",
                400,
                body=json.dumps({"error": {"code": "token_limit_exceeded", "message": said}}),
            )
        ]
        sent = world.submit()
        assert ([shard.lines for shard in sent.shards], sent.waiting) == ([3], 5)
        assert world.shard_states() == ["dropped", "created"]


def test_a_queue_without_room_for_a_single_call_ends_with_a_word(tmp_path: Path) -> None:
    problem = {"code": "token_limit_exceeded", "message": "full"}
    with BatchServer(lambda _: Ending(status="failed", refused=[problem], counted=False)) as server:
        world = Batches(tmp_path, server.url, 2)
        sent, got = world.drive()
        assert isinstance(got.stopped, StoppedShort)
        assert "token_limit_exceeded: full" in str(got.stopped)
        assert (world.counts(), sent.waiting) == ({"planned": 2}, 2)


def test_batches_that_only_expire_are_not_submitted_for_ever(tmp_path: Path) -> None:
    with BatchServer(lambda lines: Ending([], [never_begun(line) for line in lines], "expired")) as server:
        world = Batches(tmp_path, server.url)
        _, got = world.drive()
        assert isinstance(got.stopped, StoppedShort)
        assert len(server.batches) == 1


def test_one_ceiling_holds_over_online_calls_and_batches_together(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url, 8)
        assert world.run(ceilings=Ceilings(max_calls=3)).replied == 3
        sent = world.submit(Ceilings(max_calls=5))
        assert (sent.calls, sent.waiting) == (2, 3)
        assert isinstance(sent.stopped, StoppedShort)
        assert "--max-calls 5" in str(sent.stopped)
        assert world.counts() == {"planned": 3, "replied": 3, "sending": 2}
        refused_online = world.run(ceilings=Ceilings(max_calls=5))
        assert (refused_online.replied, isinstance(refused_online.stopped, StoppedShort)) == (0, True)
        none = world.submit(Ceilings(max_calls=5))
        assert (none.calls, len(server.batches), world.shard_states()) == (0, 1, ["created"])
        assert world.collect().tally.replied == 2
        assert len(server.online) + len(server.bills) == 5


def test_money_set_aside_for_a_batch_is_spent_on_more_calls_once_it_is_collected(tmp_path: Path) -> None:
    with BatchServer(lambda lines: Ending(outputs(lines, prompt_tokens=10, completion_tokens=5))) as server:
        world = Batches(tmp_path, server.url, 6)
        worst_nusd = max(worst_case(call.body, PRICE).nusd for call in world.calls)
        ceiling_nusd = 2 * worst_nusd + worst_nusd // 2
        sent, got = world.drive(Ceilings(max_nusd=ceiling_nusd))
        assert (got.tally.replied, sent.stopped, sent.waiting) == (6, None, 0)
        assert [len(server.lines(batch["input_file_id"])) for batch in server.batches.values()] == [2, 2, 2]
        totals = world.totals()
        assert (totals.spent_nusd, totals.reserved_nusd) == (6 * (10 * 1000 + 5 * 2000), 0)
        assert totals.spent_nusd <= ceiling_nusd


def test_a_cancelled_batch_hands_over_what_it_had_finished(tmp_path: Path) -> None:
    with BatchServer(lambda lines: Ending(outputs(lines[:1]), completed=1), looks=99) as server:
        world = Batches(tmp_path, server.url)
        (shard,) = world.submit().shards
        with world.desk() as desk:
            assert [became for _, became in desk.cancel([shard.name])] == ["cancelling"]
            with pytest.raises(UsageError, match="none of that name"):
                desk.cancel(["crossmusim-0"])
        got = world.collect()
        assert (got.tally.replied, got.tally.again) == (1, 3)
        with world.desk() as desk:
            assert desk.cancel() == []


def test_a_batch_the_server_has_forgotten_is_given_up_only_when_asked(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.batches.clear()
        assert "generate batch cancel" in str(world.collect().stopped)
        assert world.counts() == {"sending": 4}
        with world.desk() as desk:
            assert [became for _, became in desk.cancel()] == ["given up"]
        assert world.counts() == {"unknown": 4}


def test_polling_is_patient_while_nothing_changes(tmp_path: Path) -> None:
    with BatchServer(all_good, looks=9) as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        world.collect()
        assert world.slept_s == [10.0, 15.0, 22.5, 33.75, 50.625, 60.0, 60.0, 60.0]
        assert world.collect(wait=False).ended == []


def test_a_server_that_asks_for_a_pause_is_given_it(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        server.faults = [Fault("POST", "/v1/files", 429, headers={"Retry_After": "7"})]
        world = Batches(tmp_path, server.url)
        assert world.submit().calls == 4
        assert world.slept_s[0] >= 7


def test_a_page_in_place_of_an_answer_is_no_batch(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        server.faults = [Fault("GET", "/v1/batches/batch_1", 200, times=99, body='"<html>proxy</html>"')]
        world = Batches(tmp_path, server.url)
        world.submit()
        assert "proxy" in str(world.collect().stopped)
        assert world.shard_states() == ["created"]


def test_one_process_at_a_time_hands_over_and_takes_back(tmp_path: Path) -> None:
    with BatchServer(all_good) as server:
        world = Batches(tmp_path, server.url)
        other = Batches(tmp_path, server.url)
        with world.workspace.lock("batch"), pytest.raises(StoppedShort):
            other.submit()
        assert server.log == []


def test_endpoints_without_batches_are_refused_before_a_shard_is_written(tmp_path: Path) -> None:
    from sourcing.generation.batch.api import require_batches

    world = Batches(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="/openai/v1"):
        require_batches(replace(world.endpoint, dialect=DIALECTS["azure"]))
    with pytest.raises(UsageError, match="generate run"):
        require_batches(replace(world.endpoint, base_url=None))


def vllm_output(path: Path, lines: list[Body]) -> Path:
    output = [answered(line) for line in lines[:-1]]
    wrong = {"id": "vllm-1", "custom_id": lines[-1]["custom_id"], "response": {"status_code": 400, "body": None}}
    output.append({**wrong, "error": {"message": "too long", "type": "BadRequestError", "code": 400}})
    path.write_text("".join(json.dumps(line) + "\n" for line in output), encoding="utf-8")
    return path


class Files(Batches):
    def export(self, path: Path, ceilings: Ceilings = NO_CEILINGS) -> Any:
        with self.journal() as journal:
            job = self.job(ceilings=ceilings, price=PRICE)
            run, steps = job.enter(journal, AT), job.steps
            return export_calls(
                BatchShards(journal), run, steps, job.options, path, lock=lambda: self.workspace.lock("batch")
            )

    def take(self, *paths: Path) -> Any:
        with self.journal() as journal:
            checker = ReplyChecker(load_pack(self.pack_folder), self.endpoint)
            return import_answers(
                journal, paths, checker_of=lambda _: checker, lock=lambda: self.workspace.lock("batch")
            )


def test_what_is_exported_for_vllm_comes_back_as_replies(tmp_path: Path) -> None:
    world = Files(tmp_path, "http://gpu:8000", 4)
    path = tmp_path / "calls.jsonl"
    done = world.export(path)
    assert (done.calls, done.bytes) == (4, path.stat().st_size)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["method"], line["url"]) for line in lines] == [("POST", "/v1/chat/completions")] * 4
    assert [line["body"] for line in lines] == [call.request for call in world.calls]
    assert world.counts() == {"sending": 4}
    assert world.export(tmp_path / "more.jsonl").calls == 0
    assert not (tmp_path / "more.jsonl").exists()
    with pytest.raises(UsageError, match="there is such a file"):
        world.export(path)
    replies = vllm_output(tmp_path / "replies.jsonl", lines)
    tally, found = world.take(replies)
    assert (tally.replied, tally.failed, found.already) == (3, 1, 0)
    assert (world.counts(), world.shard_states()) == ({"failed": 1, "replied": 3}, ["collected"])
    with world.journal() as journal:
        (failed,) = journal.reader.calls_in(("failed",))
        assert failed.error == "too long"
    tally, found = world.take(replies)
    assert (tally.settled, found.already) == (0, 4)


def test_an_output_file_that_was_cut_gives_what_it_has(tmp_path: Path) -> None:
    world = Files(tmp_path, "http://gpu:8000", 4)
    path = tmp_path / "calls.jsonl"
    world.export(path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    replies = vllm_output(tmp_path / "replies.jsonl", lines)
    whole = replies.read_bytes()
    replies.write_bytes(whole[: len(whole) // 2])
    tally, found = world.take(replies)
    assert (tally.replied, found.broken, world.shard_states()) == (1, 1, ["exported"])
    replies.write_bytes(whole)
    tally, _ = world.take(replies)
    assert (tally.settled, world.counts()) == (3, {"failed": 1, "replied": 3})


def test_an_export_that_is_interrupted_leaves_no_file_and_its_calls_are_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = Files(tmp_path, "http://gpu:8000", 4)
    path = tmp_path / "calls.jsonl"
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.export(path)
    assert list(tmp_path.glob("*calls.jsonl*")) == []
    assert world.export(path).calls == 4
    assert world.shard_states() == ["dropped", "exported"]


def test_a_reply_to_a_call_that_was_given_up_still_counts(tmp_path: Path) -> None:
    world = Files(tmp_path, "http://gpu:8000", 4)
    path = tmp_path / "calls.jsonl"
    world.export(path, Ceilings(max_calls=9))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    with world.desk() as desk:
        assert [became for _, became in desk.cancel()] == ["dropped"]
    assert world.counts() == {"planned": 4}
    tally, _ = world.take(vllm_output(tmp_path / "replies.jsonl", lines))
    assert (tally.replied, world.counts()) == (3, {"planned": 1, "replied": 3})


def test_a_ceiling_holds_for_an_export(tmp_path: Path) -> None:
    world = Files(tmp_path, "http://gpu:8000", 4)
    done = world.export(tmp_path / "calls.jsonl", Ceilings(max_calls=3))
    assert (done.calls, isinstance(done.stopped, StoppedShort)) == (3, True)
    assert world.counts() == {"planned": 1, "sending": 3}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.jsonl"):
        Files(tmp_path, "http://gpu:8000").take(tmp_path / "nothing.jsonl")


def test_the_key_is_sent_and_stands_in_no_file(tmp_path: Path) -> None:
    def blab(lines: list[Body]) -> Ending:
        wrong = refused(lines[1], 400, f"bad key {SECRET}")
        return Ending([answered(lines[0], f"your key is {SECRET}"), *outputs(lines[2:])], [wrong])

    with BatchServer(blab) as server:
        server.faults = [Fault("POST", "/v1/batches", 500, body=json.dumps({"error": {"message": SECRET}}))]
        world = Batches(tmp_path, server.url)
        world.submit()
        world.collect()
        assert {asked.headers["authorization"] for asked in server.log} == {f"Bearer {SECRET}"}
        assert all(SECRET.encode() not in content for name, content in server.contents.items() if name == "file-1")
        server.faults = [Fault("GET", "/v1/batches/.*", 400, body=json.dumps({"error": {"message": SECRET}}))]
        world.drive()
    with world.journal() as journal:
        kept = [journal.reader.raw_reply(call.request_key) for call in world.calls[:1]]
        assert b"[key]" in kept[0]
        dump = "\n".join(journal.connection.iterdump())
    assert SECRET not in dump
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()
