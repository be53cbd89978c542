"""The batch commands as typed, against a loopback server; submitted, collected, cancelled, exported and imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from batchserver import BatchServer, Body, Ending, Fault, answered, never_begun
from click.testing import CliRunner, Result
from genworld import MINED, SECRET, fill

from sourcing.commands.generate import batch
from sourcing.commands.generate.run import run
from sourcing.commands.invocation import Invocation
from sourcing.errors import InputError, StoppedShort, UpstreamError, UsageError
from sourcing.generation.journal.journal import Journal
from sourcing.store import Description


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def typed(root: Path, verb: str, *arguments: str, as_json: bool = True) -> Result:
    command = getattr(batch, verb)
    return CliRunner().invoke(command, list(arguments), obj=Invocation(workspace_dir=root, json=as_json))


def told(root: Path, verb: str, *arguments: str) -> dict[str, Any]:
    result = typed(root, verb, *arguments)
    assert result.exception is None, result.exception
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def asked(server: BatchServer | str, *more: str) -> list[str]:
    url = server if isinstance(server, str) else f"{server.url}/v1"
    return ["mine", "--base-url", url, "--model", "m", *more]


def all_mined(lines: list[Body]) -> Ending:
    return Ending([answered(line, MINED) for line in lines])


def test_what_is_submitted_is_collected_later_and_described(tmp_path: Path) -> None:
    workspace = fill(tmp_path)
    with BatchServer(all_mined, looks=2) as server:
        sent = told(tmp_path, "submit", *asked(server))
        assert (sent["submitted"], sent["waiting"], len(sent["shards"])) == (4, 0, 1)
        first = told(tmp_path, "collect")
        assert (first["replied"], first["open"][0]["status"]) == (0, "in_progress")
        (row,) = told(tmp_path, "status")["shards"]
        assert (row["status"], row["state"], row["calls"], row["completed"]) == ("completed", "created", 4, 4)
        got = told(tmp_path, "collect")
        assert (got["replied"], got["open"], got["ended"][0]["status"]) == (4, [], "completed")
        assert sum(got["descriptions"].values()) == workspace.read(Description).height == 4
        assert {a.headers["authorization"] for a in server.log} == {f"Bearer {SECRET}"}
        (row,) = told(tmp_path, "status")["shards"]
        assert (row["status"], row["state"]) == (None, "collected")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()


def test_submitting_with_wait_ends_with_descriptions(tmp_path: Path) -> None:
    workspace = fill(tmp_path)
    with BatchServer(all_mined) as server:
        done = told(tmp_path, "submit", *asked(server, "--wait"))
        assert (done["submitted"], done["replied"]) == (4, 4)
        assert workspace.read(Description).height == 4
        again = told(tmp_path, "submit", *asked(server, "--wait"))
        assert (again["submitted"], again["replied"], len(server.batches)) == (0, 0, 1)


def test_a_run_says_which_calls_are_in_batches(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(all_mined, looks=2) as server:
        told(tmp_path, "submit", *asked(server))
        command = [*asked(server), "--price", "0"]
        result = CliRunner().invoke(run, command, obj=Invocation(workspace_dir=tmp_path, json=False))
        assert result.exception is None, result.exception
        assert server.online == []
    assert "4 calls are in batches" in result.output
    assert f"`crossmusim generate batch collect --workspace {tmp_path}`" in result.output


def test_a_refused_key_is_said_in_the_servers_words_with_the_variable_it_is_set_by(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(all_mined) as server:
        server.faults = [Fault("POST", "/v1/files", 401)]
        error = typed(tmp_path, "submit", *asked(server, "--dialect", "azure-v1")).exception
    assert isinstance(error, UpstreamError)
    assert error.found == "could not take the file: HTTP 401: trouble"
    assert error.cure.startswith("set AZURE_OPENAI_API_KEY to")


def test_words_say_what_the_numbers_say(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(lambda lines: Ending([], [never_begun(line) for line in lines], "expired")) as server:
        assert "no batches yet" in typed(tmp_path, "status", as_json=False).stdout
        assert "4 calls handed over in 1 batches" in typed(tmp_path, "submit", *asked(server), as_json=False).stdout
        assert "batch_1" in typed(tmp_path, "status", as_json=False).stdout
        said = typed(tmp_path, "collect", as_json=False).stdout
        assert "1 batches ended: 0 replies, 0 failed, 4 planned again, 0 unknown" in said
        assert "no batch is under way" in typed(tmp_path, "cancel", as_json=False).stdout


def test_a_ceiling_ends_with_exit_code_5_and_what_fits_is_handed_over(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(all_mined) as server:
        result = typed(tmp_path, "submit", *asked(server, "--max-calls", "3"))
        assert isinstance(result.exception, StoppedShort)
        assert "3 calls handed over in 1 batches" in result.stderr
        assert [len(server.lines(batch["input_file_id"])) for batch in server.batches.values()] == [3]


def test_status_is_told_also_when_the_server_is_not_there(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(all_mined) as server:
        told(tmp_path, "submit", *asked(server))
    (tmp_path / "crossmusim.toml").write_text("[generation]\nmax_attempts = 1\n", encoding="utf-8")
    result = typed(tmp_path, "status")
    assert json.loads(result.stdout)["shards"][0]["status"] is None
    assert "the servers were not asked" in result.stderr
    assert isinstance(typed(tmp_path, "collect").exception, UpstreamError)


def test_cancelling_says_what_became_of_each(tmp_path: Path) -> None:
    fill(tmp_path)
    with BatchServer(all_mined, looks=99) as server:
        told(tmp_path, "submit", *asked(server))
        (row,) = told(tmp_path, "cancel")["cancelled"]
        assert (row["became"], row["calls"]) == ("cancelling", 4)
        assert told(tmp_path, "collect")["replied"] == 4


def test_exported_calls_come_back_through_import(tmp_path: Path) -> None:
    workspace = fill(tmp_path)
    calls, replies = tmp_path / "calls.jsonl", tmp_path / "replies.jsonl"
    done = told(tmp_path, "export", *asked("http://127.0.0.1:9/v1", "--out", str(calls)))
    assert (done["exported"], done["bytes"]) == (4, calls.stat().st_size)
    with Journal.read(workspace.generation_dir) as journal:
        assert [set(states) for states in journal.reader.counts().values()] == [{"sending"}]
    lines = [answered(json.loads(line), MINED) for line in calls.read_text(encoding="utf-8").splitlines()]
    replies.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    got = told(tmp_path, "import_", str(replies))
    assert (got["replied"], got["already"]) == (4, 0)
    assert workspace.read(Description).height == 4
    assert told(tmp_path, "import_", str(replies))["already"] == 4
    empty = told(tmp_path, "export", *asked("http://127.0.0.1:9/v1", "--out", str(tmp_path / "more.jsonl")))
    assert (empty["exported"], empty["file"]) == (0, None)


def test_what_holds_no_answers_is_refused_and_its_calls_stay_exported(tmp_path: Path) -> None:
    fill(tmp_path)
    calls, notes, empty = tmp_path / "calls.jsonl", tmp_path / "notes.txt", tmp_path / "empty.jsonl"
    told(tmp_path, "export", *asked("http://127.0.0.1:9/v1", "--out", str(calls)))
    notes.write_text("track_id,title\nt-000,Song 0\n", encoding="utf-8")
    empty.touch()
    for path, lines in ((calls, 4), (notes, 2)):  # the export itself is the file next to the one that is meant
        error = typed(tmp_path, "import_", str(path)).exception
        assert isinstance(error, InputError)
        assert error.found == f"none of its {lines} lines is an answer"
    assert told(tmp_path, "import_", str(empty))["replied"] == 0, "nothing is answered yet"
    (row,) = told(tmp_path, "status")["shards"]
    assert (row["state"], row["calls"]) == ("exported", 4)


@pytest.mark.parametrize(
    ("verb", "more", "found"),
    [
        ("submit", ["mine", "--endpoint", "local"], "no Batch API"),
        ("submit", asked("http://127.0.0.1:9/v1", "--on-unknown", "resend"), "--on-unknown resend"),
        ("export", ["mine", "--endpoint", "local", "--out", "x.jsonl"], "reads no batch files"),
        ("export", asked("http://127.0.0.1:9/v1", "--model", "n", "--out", "x.jsonl"), "2 were named"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    tmp_path: Path, verb: str, more: list[str], found: str
) -> None:
    fill(tmp_path)
    result = typed(tmp_path, verb, *more)
    assert isinstance(result.exception, UsageError)
    assert found in str(result.exception)
    assert not (tmp_path / "generation").exists()
