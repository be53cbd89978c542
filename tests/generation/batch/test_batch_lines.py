"""Lines and answers of a batch server that no specification foresees: none ends a collection, none is asked for twice.

`poisons/batch_lines.jsonl` holds a line of each kind, its bytes as Latin-1, and what becomes of the call it names by
`@ID@`: replied, unknown, failed, again (planned), or the line is a stranger, broken or nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from batchserver import BatchServer, Fault, answered, refused
from batchworld import Batches, outputs
from hypothesis import given
from hypothesis import strategies as st

from sourcing.generation.batch.jsonl import UNREADABLE, CutLine, CutShort, json_lines, read_answer
from sourcing.generation.cost.budget import Ceilings
from sourcing.generation.run import reply_checker as checking

POISONED = Path(__file__).parents[1] / "poisons" / "batch_lines.jsonl"
POISONS = [json.loads(line) for line in POISONED.read_text(encoding="utf-8").split("\n") if line]
OF_A_CALL = ("replied", "unknown", "failed", "again")
ID = "0123456789abcdef" * 4


def poison(row: dict[str, str], custom_id: str) -> bytes:
    return row["line"].replace("@ID@", custom_id).encode("latin-1")


def serve(world: Batches, server: BatchServer, output: bytes, errors: bytes = b"") -> None:
    """The files that the one batch of this server ends with."""
    (batch,) = server.batches.values()
    batch.update(status="completed", request_counts=None)
    for key, content in (("output_file_id", output), ("error_file_id", errors)):
        if content:
            server._keep(key, content, "batch_output")
            batch[key] = f"file-{len(server.files)}"


@pytest.mark.parametrize("row", POISONS, ids=lambda row: row["name"])
def test_a_line_is_read_as_what_it_is(row: dict[str, str]) -> None:
    lines = list(json_lines([poison(row, ID), b"\n"]))
    assert len(lines) == (row["becomes"] != "nothing")
    for line in lines:
        answer = read_answer(line)
        assert (answer.custom_id == ID) == (row["becomes"] in OF_A_CALL)
        if row["becomes"] == "broken" or not answer.custom_id:
            assert (answer.custom_id, answer.outcome, bool(answer.message)) == ("", UNREADABLE, True)


def test_one_of_each_poison_among_two_hundred_lines_costs_nobody_else_anything(tmp_path: Path) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 200)
        ceilings = Ceilings(max_nusd=200_000_000)
        assert world.submit(ceilings).calls == 200
        handed = server.lines("file-1")
        spoilt = [row for row in POISONS if row["becomes"] in OF_A_CALL]
        others = [row for row in POISONS if row["becomes"] not in OF_A_CALL]
        output = [poison(row, line["custom_id"]) for row, line in zip(spoilt, handed, strict=False)]
        output += [poison(row, handed[-1]["custom_id"]) for row in others]
        output += [json.dumps(line).encode() for line in outputs(handed[len(spoilt) :])]
        serve(world, server, b"\n".join(output[::-1]) + b"\n")
        got = world.collect()
        kinds = Counter(row["becomes"] for row in POISONS)
        replied = 200 - len(spoilt) + kinds["replied"]
        assert got.tally.counts() == {
            "replied": replied, "failed": kinds["failed"], "again": kinds["again"], "unknown": kinds["unknown"],
            "followed": got.tally.followed,
        }  # fmt: skip
        assert got.oddities == {"broken": kinds["broken"], "strangers": kinds["stranger"]}
        assert (got.stopped, got.row_errors) == (None, [])
        counts = world.counts()
        assert (counts["replied"], counts["unknown"]) == (replied, kinds["unknown"])
        with world.journal() as journal:
            odd = journal.reader.odd_lines()
            assert Counter(row["reason"] for row in odd) == {
                "batch_line_unreadable": kinds["broken"], "batch_line_unknown_call": kinds["stranger"],
            }  # fmt: skip
            kept = {poison(row, ID)[:40] for row in spoilt if row["becomes"] == "unknown"}
            assert kept
            assert all(row.error for row in journal.reader.calls_in(("unknown", "failed")))
        assert world.collect().tally.settled == 0, "no line is met twice"
        world.submit(ceilings)
        again = server.lines(server.batches["batch_2"]["input_file_id"])
        answered_once = {
            line["custom_id"] for line, row in zip(handed, spoilt, strict=False) if row["becomes"] != "again"
        }
        answered_once |= {line["custom_id"] for line in handed[len(spoilt) :]}
        assert not answered_once & {line["custom_id"] for line in again}, "what was answered is not asked again"
        totals = world.totals()
        assert totals.spent_nusd + totals.reserved_nusd <= 200_000_000


def test_the_bytes_of_a_line_that_cannot_be_read_stay_with_its_call(tmp_path: Path) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 1)
        world.submit()
        (line,) = server.lines("file-1")
        broken = json.dumps(answered(line)).encode()[:-30]
        serve(world, server, broken + b"\n")
        assert world.collect().tally.unknown == 1
        with world.journal() as journal:
            (row,) = journal.connection.execute("SELECT reply FROM replies").fetchall()
            (call,) = journal.reader.calls_in(("unknown",))
        from sourcing.generation.journal.schema import decompress

        assert decompress(row["reply"]) == broken
        assert call.error
        assert world.totals().reserved_nusd > 0, "it may have been billed"


def test_a_line_of_fifty_megabytes_is_cut_at_the_door(tmp_path: Path) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 3)
        world.submit()
        lines = server.lines("file-1")
        huge = json.dumps(answered(lines[0])).encode().replace(b"calm", b"calm") + b" " * 10
        head, _, tail = huge.partition(b'"content": "')
        output = [
            head + b'"content": "' + b"x" * 50_000_000 + tail,
            *(json.dumps(g).encode() for g in outputs(lines[1:])),
        ]
        serve(world, server, b"\n".join(output) + b"\n")
        assert world.collect().tally.counts() == {"replied": 2, "failed": 0, "again": 0, "unknown": 1, "followed": 0}
        size = (world.folder / "journal.sqlite3").stat().st_size
        assert size < 5_000_000


def test_what_a_filter_says_is_the_answer_and_stands_for_no_lost_line(tmp_path: Path) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 3)
        world.submit()
        lines = server.lines("file-1")
        words = json.dumps(refused(lines[1], 400, "blocked by our content filter policy")).encode()
        serve(world, server, json.dumps(outputs(lines)[0]).encode() + b"\n", words + b"\n")
        (batch,) = server.batches.values()
        batch["request_counts"] = {"total": 3, "completed": 2, "failed": 1}
        got = world.collect()
        assert got.tally.counts() == {"replied": 2, "failed": 0, "again": 0, "unknown": 1, "followed": 0}
        assert world.counts() == {"replied": 2, "unknown": 1}
        assert world.submit().calls == 0
        with world.journal() as journal:
            assert {reply.reason for reply in journal.reader.replies()} == {"", "reply_filtered"}


@pytest.mark.parametrize("errors_first", [True, False])
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("words", ["no", "blocked by our content filter policy"])
def test_of_an_error_and_an_answer_to_one_call_the_answer_counts(
    tmp_path: Path, files: int, errors_first: bool, status: int, words: str
) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 3)
        world.submit()
        lines = server.lines("file-1")
        right = [json.dumps(line).encode() + b"\n" for line in outputs(lines, prompt_tokens=100, completion_tokens=50)]
        wrong = [json.dumps(refused(line, status, words)).encode() + b"\n" for line in lines[:2]]
        parts = [b"".join(wrong), b"".join(right)] if errors_first else [b"".join(right), b"".join(wrong)]
        serve(world, server, *(parts if files == 2 else [b"".join(parts)]))
        got = world.collect()
        assert got.tally.counts() == {"replied": 3, "failed": 0, "again": 0, "unknown": 0, "followed": 0}
        assert world.counts() == {"replied": 3}
        totals = world.totals()
        assert (totals.spent_nusd, totals.reserved_nusd) == (3 * (100 * 1000 + 50 * 2000), 0)
        assert world.run().cached == 3


def test_an_answer_behind_an_error_counts_also_when_the_first_collection_broke_off_between_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url, 2)
        world.submit()
        lines = server.lines("file-1")
        wrong = b"".join(json.dumps(refused(line, 400, "no")).encode() + b"\n" for line in lines)
        right = b"".join(json.dumps(line).encode() + b"\n" for line in outputs(lines, prompt_tokens=100))
        serve(world, server, wrong, right)
        server.faults = [Fault("GET", "/v1/files/file-3/content", 503, times=3)]
        assert world.collect(wait=False).stopped is not None
        assert world.counts() == {"failed": 2}
        assert world.collect().tally.replied == 2
        assert world.counts() == {"replied": 2}
        with world.journal() as journal:
            attempts = journal.reader.attempts(world.calls[0].request_key)
        assert [attempt["outcome"] for attempt in attempts] == ["http_400", "replied"]
        assert attempts[-1]["cost_nusd"] > 0, "at the price of its shard"


def test_a_row_that_raises_what_nobody_foresaw_is_kept_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checking.ReplyChecker._check

    def trip(self: Any, call: Any, reply: Any) -> Any:
        if b"Song 1" in call.body:
            raise ZeroDivisionError("nobody foresaw this")
        return real(self, call, reply)

    monkeypatch.setattr(checking.ReplyChecker, "_check", trip)
    with BatchServer() as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        got = world.collect()
        assert got.tally.replied == 4
        assert got.row_errors == ["ZeroDivisionError: nobody foresaw this"]
        assert world.collect().row_errors == [], "it is not looked at again"
        assert world.submit().calls == 0


def test_a_line_whose_settling_raises_leaves_its_call_unknown_and_the_others_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sourcing.generation.batch.collect import Answers

    real = Answers._check

    def trip(self: Any, call: Any, *others: Any) -> None:
        if call.request_key == world.calls[1].request_key:
            raise KeyError("odd")
        real(self, call, *others)

    monkeypatch.setattr(Answers, "_check", trip)
    with BatchServer() as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        got = world.collect()
        assert (got.tally.replied, got.tally.unknown, got.row_errors) == (3, 1, ["KeyError: 'odd'"])
        assert world.counts() == {"replied": 3, "unknown": 1}
        assert world.totals().reserved_calls == 1


def test_a_file_that_really_ends_within_a_line_is_taken_as_it_is(tmp_path: Path) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        lines = server.lines("file-1")
        whole = b"".join(json.dumps(line).encode() + b"\n" for line in outputs(lines))
        serve(world, server, whole[:-40])
        got = world.collect()
        assert (got.tally.replied, got.tally.unknown, got.stopped) == (3, 1, None)
        assert world.shard_states() == ["collected"]


def test_lines_come_apart_wherever_the_pieces_end() -> None:
    text = b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"b": 2}\r{"custom_id": "x", "response": {}}\n\n  \n'
    for size in range(1, len(text)):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert [line.removeprefix(b"\xef\xbb\xbf") for line in json_lines(pieces)] == [
            b'{"a": 1}', b'{"b": 2}', b'{"custom_id": "x", "response": {}}',
        ]  # fmt: skip
    with pytest.raises(CutShort):
        list(json_lines([b'{"custom_id": "x", "resp']))
    assert [type(line) for line in json_lines([b'{"custom_id": "x", "resp'], must_be_whole=False)] == [CutLine]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_PARTS = dict.fromkeys(("custom_id", "response", "error", "id", "method", "url", "body"), _JSON)
_LINE_LIKE = st.fixed_dictionaries({}, optional=_PARTS)
_RESPONSE_LIKE = st.fixed_dictionaries({}, optional=dict.fromkeys(("status_code", "request_id", "body"), _JSON))


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
        _LINE_LIKE.map(lambda line: json.dumps(line).encode()),
        st.tuples(_RESPONSE_LIKE, _JSON).map(
            lambda both: json.dumps({"custom_id": ID, "response": both[0], "error": both[1]}).encode()
        ),
        st.tuples(st.sampled_from(POISONS), st.integers(0, 400), st.binary(max_size=3)).map(
            lambda cut: poison(cut[0], ID)[: cut[1]] + cut[2] + poison(cut[0], ID)[cut[1] :]
        ),
    )
)
def test_whatever_a_line_holds_it_is_read_as_something_that_can_be_written_down(line: bytes) -> None:
    answer = read_answer(line)
    for text in (answer.custom_id, answer.outcome, answer.request_id, answer.message):
        text.encode()
    assert len(answer.message) <= 300 and len(answer.request_id) <= 200
    assert answer.status is None or 100 <= answer.status < 600
    assert answer.raw is not None


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_whatever_a_file_holds_it_comes_apart_into_lines(pieces: list[bytes]) -> None:
    lines = list(json_lines(pieces, must_be_whole=False))
    assert all(line.strip() and b"\n" not in line and b"\r" not in line for line in lines)


BATCH_ANSWERS = [
    '{"id": "batch_1"}',
    '{"id": "batch_1", "object": "batch", "status": "pondering"}',
    '{"id": "batch_1", "object": "batch", "status": {"a": 1}}',
    '{"id": "batch_1", "object": "batch", "status": "in_progress", "request_counts": [1, 2]}',
    '{"id": "batch_1", "object": "batch", "status": "in_progress", "request_counts": {"total": "x", "completed": -5}}',
    '{"id": "batch_1", "object": "batch", "status": "in_progress", "request_counts": {"completed": 1' + "0" * 30 + "}}",
    '{"id": "batch_1", "object": "batch", "status": "in_progress", "errors": "none", "metadata": [1]}',
    '{"id": "batch_1", "object": "batch", "status": "in_progress", "errors": {"data": [7, null]}}',
    '{"id": "batch_1", "object": "batch", "status": "\\ud83d", "output_file_id": 7, "error_file_id": ["x"]}',
]
NO_BATCH = [
    "", "null", "[]", "7", '"x"', "{}", '{"id": null}', '{"id": 7}', '{"id": ""}', '{"id": "\\ud83d"}',
    '{"id": "a b/../c"}', '{"id": ' + "[" * 3000 + "]" * 3000 + "}", '{"id": ' + "9" * 5000 + "}", "<html>", "\x00",
]  # fmt: skip


@pytest.mark.parametrize("body", BATCH_ANSWERS)
def test_an_odd_word_on_a_batch_leaves_it_under_way(tmp_path: Path, body: str) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.faults = [Fault("GET", "/v1/batches/.*", 200, body=body)]
        got = world.collect(wait=False)
        assert (len(got.open), got.stopped) == (1, None)
        assert world.collect().tally.replied == 4


@pytest.mark.parametrize("body", NO_BATCH, ids=range(len(NO_BATCH)))
def test_what_is_no_batch_is_asked_for_again_and_said_in_the_end(tmp_path: Path, body: str) -> None:
    with BatchServer() as server:
        world = Batches(tmp_path, server.url)
        world.submit()
        server.faults = [Fault("GET", "/v1/batches/.*", 200, times=3, body=body)]
        assert "could not tell of the batch" in str(world.collect(wait=False).stopped)
        assert world.collect().tally.replied == 4


@pytest.mark.parametrize(
    "body", [*NO_BATCH[:8], '{"object": "list", "data": [7, null, {"id": 3}, {}], "has_more": "yes"}']
)
def test_odd_lists_and_files_make_no_second_batch(tmp_path: Path, body: str) -> None:
    with BatchServer() as server:
        server.faults = [
            Fault("POST", "/v1/files", 200, body=body),
            Fault("POST", "/v1/batches", 0, done=True),
            Fault("GET", "/v1/batches", 200, body=body),
        ]
        world = Batches(tmp_path, server.url)
        assert world.submit().calls == 4
        assert len(server.batches) == 1
        assert world.collect().tally.replied == 4
