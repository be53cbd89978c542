"""The generate and prompts commands as typed, against a loopback model server; also killed and taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_json
from genworld import MINED, PROSE, SECRET, fill, write_pack
from loopback import Asked, Loopback, Reply

from sourcing.cli import main
from sourcing.generation.cost.budget import NO_CEILINGS
from sourcing.generation.descriptions import rebuild
from sourcing.generation.journal.journal import Journal, Reserved
from sourcing.generation.journal.plan_writer import open_calls
from sourcing.store import Description, Document
from sourcing.store.presence import Presence

CROSSMUSIM = str(Path(sys.executable).with_name("crossmusim"))


def good(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(MINED))


def arguments(root: Path, server: Loopback | str, *more: str, verb: str = "run") -> list[str]:
    url = server if isinstance(server, str) else f"{server.url}/v1"
    return ["--workspace", str(root), "--json", "generate", verb, "mine", "--base-url", url, "--model", "m", *more]


def test_a_plan_counts_and_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    with chat_server(good) as server:
        code, result = run_json(capsys, arguments(tmp_path, server, "--limit", "3", verb="plan"))
        assert (code, server.log) == (0, [])
    assert (result["planned"], result["cached"], result["to_send"]) == (3, 0, 3)
    assert result["input_tokens_p50"] > 3 * len(PROSE) // 4
    assert result["input_tokens_p50"] <= result["input_tokens_p95"] < result["worst_tokens"]
    assert (result["cost_nusd_p50"], result["price"]) == (0, "free"), "a server on loopback bills nobody"
    assert not (tmp_path / "generation").exists()


def test_a_run_writes_descriptions_and_a_second_one_asks_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = fill(tmp_path)
    with chat_server(good) as server:
        code, result = run_json(capsys, arguments(tmp_path, server))
        assert code == 0
        assert {name: result[name] for name in ("planned", "cached", "replied", "failed", "unknown")} == {
            "planned": 4, "cached": 0, "replied": 4, "failed": 0, "unknown": 0,
        }  # fmt: skip
        assert result["descriptions"]["mined"] == 4
        before = workspace.table_path(Description).read_bytes()
        code, again = run_json(capsys, arguments(tmp_path, server))
        assert (code, again["cached"], again["replied"], len(server.log)) == (0, 4, 0, 4)
        assert workspace.table_path(Description).read_bytes() == before
    workspace.table_path(Description).unlink()
    code, rebuilt = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "describe"])
    assert (code, rebuilt["descriptions"]) == (0, result["descriptions"])
    assert workspace.table_path(Description).read_bytes() == before
    code, status = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "status"])
    assert list(status["calls"].values()) == [{"replied": 4}]


def test_what_is_described_already_is_described_again_only_where_something_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def counted(*args: Any, **named: Any) -> dict[str, Any]:
        made.append(1)
        return make(*args, **named)

    make = rebuild.rebuild_descriptions
    monkeypatch.setattr(rebuild, "rebuild_descriptions", counted)
    workspace = fill(tmp_path)

    def described(*more: str, verb: str = "run") -> bool:
        """Whether a command, which succeeds and tells of a description a reply, had to describe."""
        before = len(made)
        asked = arguments(tmp_path, server, *more) if verb == "run" else [*arguments(tmp_path, server)[:4], verb]
        code, told = run_json(capsys, asked)
        assert (code, told["descriptions"]["mined"]) == (0, len(server.log))
        return len(made) > before

    with chat_server(good) as server:
        assert described()
        assert not described()
        assert described(verb="describe"), "whoever asks for it gets it"
        assert not described()
        assert described("--samples", "2"), "there are new replies"
        assert not described("--samples", "2")
        workspace.write(Document, workspace.read(Document))
        assert described("--samples", "2"), "the documents may be others"
        for lost in (workspace.table_path(Description), workspace.rejected_path("describe")):
            lost.unlink()
            assert described("--samples", "2")
            assert lost.exists()
        monkeypatch.setenv("CROSSMUSIM_GENERATION__MIN_AGREEMENT", "0.5")
        assert described("--samples", "2"), "a setting is another"
        assert not described("--samples", "2")


def test_cut_empty_and_meaningless_replies_become_rejected_rows_while_others_pass(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {
        "Song 0": json_reply(completion(MINED[:60], finish_reason="length")),
        "Song 1": json_reply(completion("")),
        "Song 2": json_reply(completion("I like this song!")),
        "Song 3": json_reply(completion('{"mood": "sad"}')),
        "Song 4": json_reply("<html>gateway</html>"),
    }

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        said = body["messages"][-1]["content"]
        return next((reply for song, reply in broken.items() if f"{song} is" in said), good(body, asked))

    workspace = fill(tmp_path, count=7)
    with chat_server(answer) as server:
        code, result = run_json(capsys, arguments(tmp_path, server))
        assert (code, result["replied"], result["failed"], result["unknown"]) == (0, 6, 0, 1)
        # One larger try for what was cut, one repair for what was no JSON and one for another shape.
        assert (result["followed"], len(server.log)) == (3, 10)
        assert result["descriptions"]["mined"] == 4, "two were mended"
        rejected = workspace.read_rejected().filter(pl.col("reason").str.starts_with("reply"))
        assert set(rejected["reason"]) == {"reply_truncated", "reply_empty"}
        assert len(rejected) == 2
        (unread,) = workspace.read_rejected().filter(pl.col("reason") == "call_unknown")["finding"]
        assert "<html>gateway</html>" in unread
        code, again = run_json(capsys, arguments(tmp_path, server))
        assert (again["cached"], again["held"], len(server.log)) == (6, 1, 10)  # a bad reply is paid for once


def test_failed_calls_are_rejected_rows_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if "Song 0 is" in body["messages"][-1]["content"]:
            return json_reply('{"error": {"message": "too long"}}', 400)
        return good(body, asked)

    workspace = fill(tmp_path)
    with chat_server(answer) as server:
        code, result = run_json(capsys, arguments(tmp_path, server))
    assert (code, result["failed"], result["descriptions"]["mined"]) == (0, 1, 3)
    (row,) = workspace.read_rejected().filter(pl.col("stage") == "generate").to_dicts()
    assert row["reason"] == "call_failed"
    assert row["finding"] == "t-000: HTTP 400: too long"


def test_no_endpoint_is_a_usage_error_that_names_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    code, said = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "run", "mine"])
    assert code == 2
    assert "--endpoint local" in said["error"]["cure"]
    assert "--base-url" in said["error"]["cure"]


def test_a_server_that_is_not_there_ends_with_4_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    with chat_server(good) as gone:
        url = f"{gone.url}/v1"
    code, said = run_json(capsys, arguments(tmp_path, url))
    assert code == 4
    assert said["error"]["message"] == f"model server {url}: connection refused; start it, or use --endpoint local"


def test_a_server_that_answers_nobody_ends_with_4_though_calls_may_have_been_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken_off(body: dict[str, Any], asked: Asked) -> Reply:
        raise ConnectionResetError

    fill(tmp_path)
    with chat_server(broken_off) as server:
        code, result = run_json(capsys, arguments(tmp_path, server))
        assert (code, len(server.log)) == (4, 4)
        assert "no call was answered" in result["error"]["found"]
        assert "--on-unknown" in result["error"]["cure"]


def test_a_call_ceiling_ends_with_5_and_keeps_what_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = fill(tmp_path)
    with chat_server(good) as server:
        code, said = run_json(capsys, arguments(tmp_path, server, "--max-calls", "1"))
        assert (code, len(server.log)) == (5, 1)
        assert "--max-calls 1 has no room for 1 more" in said["error"]["message"]
    assert workspace.read(Description).filter(pl.col("origin") == "mined").height == 1


def test_a_budget_of_money_needs_a_named_price_even_on_this_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    with chat_server(good) as server:  # as a proxy of a provider that bills would stand here
        code, result = run_json(capsys, arguments(tmp_path, server, "--max-usd", "1"))
        assert (code, server.log) == (2, [])
        assert "--price" in result["error"]["cure"]
        code, result = run_json(capsys, arguments(tmp_path, server, "--max-usd", "1", "--price", "0"))
        assert (code, result["replied"]) == (0, 4)


def test_a_language_that_is_no_tag_is_refused_before_anyone_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    with chat_server(good) as server:
        for wrong in ("English", "en_US", "zh-", ""):
            code, result = run_json(capsys, arguments(tmp_path, server, "--language", wrong))
            assert (code, result["error"]["thing"], server.log) == (2, f"--language {wrong}", [])
        for right in ("zh", "zh-Hant", "pt-BR", "yue"):
            code, result = run_json(capsys, arguments(tmp_path, server, "--language", right, verb="plan"))
            assert (code, result["planned"]) == (0, 4)


def test_a_call_whose_process_was_killed_is_unknown_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = fill(tmp_path)
    with chat_server(good) as server:
        assert run_json(capsys, arguments(tmp_path, server, "--max-calls", "1"))[0] == 5
    presence = Presence(workspace.generation_dir)  # that of a process at work, and then of one that is gone
    with Journal.open(presence.folder, presence.owner) as journal:
        run_id = journal.connection.execute("SELECT run_id FROM calls").fetchone()[0]
        opened = open_calls(journal, run_id, "planned", before=datetime.now(UTC))[0]
        sent = {"scope": "s", "reserve": Reserved(10, 10), "ceilings": NO_CEILINGS}
        assert journal.sending(opened.call_id, datetime.now(UTC), **sent) == ""
    asking = ["--workspace", str(tmp_path), "--json", "generate", "status"]
    with presence.entered():
        _, alive = run_json(capsys, asking)
    _, gone = run_json(capsys, asking)
    counts = [next(iter(told["calls"].values())) for told in (alive, gone)]
    assert counts == [{"planned": 2, "replied": 1, "sending": 1}, {"planned": 2, "replied": 1, "unknown": 1}]
    states = [[call["state"] for call in told["unknown"]] for told in (alive, gone)]
    assert states == [["sending"], ["unknown"]]


def test_what_is_looked_up_for_several_models_is_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSMUSIM_GENERATION__STORE_COMPLETIONS", "true")
    stored: dict[str, dict[str, Any]] = {}

    def answer(asked: Asked) -> Reply:
        path = asked.path.partition("?")[0].removeprefix("/v1/chat/completions").strip("/")
        if asked.method == "GET":
            return json_reply(json.dumps(stored[path] if path else {"data": list(stored.values())}))
        body = json.loads(asked.body)
        kept = {**json.loads(completion(MINED)), "id": f"c-{len(stored)}", "metadata": body["metadata"]}
        if body["model"] != "m" or len(stored) < 2:  # what "m" is asked later is not kept
            stored[kept["id"]] = kept
        raise ConnectionResetError

    fill(tmp_path)
    with Loopback(answer) as server:
        both = arguments(tmp_path, server, "--model", "n", "--limit", "3", "--dialect", "openai", "--concurrency", "1")
        assert run_json(capsys, both)[0] == 4  # "m" answered nobody
        assert run_json(capsys, [*both, "--on-unknown", "reconcile"])[0] == 4  # and now "n"
        code, result = run_json(capsys, [*both, "--on-unknown", "reconcile"])
        assert (code, result["cached"], result["held"]) == (0, 5, 1)
        assert result["reconciled"] == {"found": 3, "missing": 1}
        main([*(word for word in both if word != "--json"), "--on-unknown", "reconcile"])
    words = capsys.readouterr().out
    assert "0 of 1 unknown calls found at the endpoint" in words
    assert "6 calls: 5 answered before, 0 now, 0 failed, 1 unknown" in words


def test_what_is_looked_up_keeps_to_the_settings_of_calls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSMUSIM_GENERATION__STORE_COMPLETIONS", "true")
    monkeypatch.setenv("CROSSMUSIM_GENERATION__MAX_ATTEMPTS", "1")

    def answer(asked: Asked) -> Reply:
        if asked.method == "GET":
            return json_reply('{"error": {"message": "overloaded"}}', 503)
        raise ConnectionResetError

    fill(tmp_path)
    with Loopback(answer) as server:
        line = arguments(tmp_path, server, "--limit", "1", "--dialect", "openai")
        assert run_json(capsys, line)[0] == 4
        assert run_json(capsys, [*line, "--on-unknown", "reconcile"])[0] == 4
    assert [asked.method for asked in server.log].count("GET") == 1


def test_a_refused_key_names_the_variable_that_this_kind_of_server_is_given_it_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    with chat_server(lambda body, asked: json_reply('{"error": {"message": "denied"}}', 401)) as server:
        for dialect, variable in (("azure", "AZURE_OPENAI_API_KEY"), ("vllm", "OPENAI_API_KEY")):
            code, result = run_json(capsys, arguments(tmp_path, server, "--dialect", dialect))
            assert (code, result["error"]["cure"].split()[:2]) == (4, ["set", variable])


def test_a_workspace_pack_lints_renders_and_locks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    user = '{{ title }}: <document>\n{{ document | replace("</", "< /") }}\n</document>'
    folder = write_pack(tmp_path / "prompts", "own", user=user)
    typed = ["--workspace", str(tmp_path), "--json", "prompts"]
    code, listed = run_json(capsys, [*typed, "list"])
    assert {"own", "mine", "recall"} <= {pack["id"] for pack in listed["packs"]}
    assert run_json(capsys, [*typed, "lint", "own"]) == (0, {"packs": {"own@1.0.0": []}})
    code, rendered = run_json(capsys, [*typed, "render", "own", "--track", "t-001"])
    assert (code, rendered["doc_id"]) == (0, "d-001")
    assert rendered["messages"][1]["content"].startswith("Song 1: <document>\nSong 1 is described here.")
    assert run_json(capsys, [*typed, "lock", "own"]) == (0, {"locked": ["own@1.0.0"]})
    path = folder / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8").replace("Name what", "Say what"), encoding="utf-8")
    for verb in (["lint", "own"], ["lock", "own"]):
        code, said = run_json(capsys, [*typed, *verb])
        assert code == 3
        assert "crossmusim prompts lock" in said["error"]["message"]


def test_the_built_in_packs_pass_their_own_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, result = run_json(capsys, ["--workspace", str(tmp_path), "--json", "prompts", "test"])
    assert code == 0
    assert result["failed"] == 0
    assert result["passed"] >= 2


def start(root: Path, server: Loopback, *more: str) -> subprocess.Popen[str]:
    command = [CROSSMUSIM, *arguments(root, server, *more)]
    environment = {**os.environ, "OPENAI_API_KEY": SECRET}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def song_of(body: bytes) -> str:
    """The track a request was about."""
    said = json.loads(body)["messages"][-1]["content"]
    return f"t-{int(said.split('Song ')[1].split(' is')[0]):03}"


@pytest.mark.e2e
def test_killed_at_any_moment_the_same_command_ends_where_an_undisturbed_run_would(tmp_path: Path) -> None:
    count = 24
    killing: dict[int, subprocess.Popen[str]] = {}  # number of the request → the process it kills

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        victim = killing.pop(len(server.log), None)
        if victim is not None:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        return good(body, asked)

    with chat_server(answer) as server:
        undisturbed = fill(tmp_path / "undisturbed", count)
        assert finish(start(undisturbed.root, server))[0] == 0
        assert len(server.log) == count
        expected = Counter(asked.body for asked in server.log)

        server.log.clear()
        workspace = fill(tmp_path / "killed place", count)  # with a space in its name
        for at in (5, 14):
            process = start(workspace.root, server, "--concurrency", "3")
            killing[at] = process
            assert finish(process)[0] == -signal.SIGKILL
        code, out, _ = finish(start(workspace.root, server, "--concurrency", "3"))
        assert code == 0
        result = json.loads(out)
        status = [CROSSMUSIM, "--workspace", str(workspace.root), "--json", "generate", "status"]
        shown = json.loads(subprocess.run(status, capture_output=True, check=True, text=True).stdout)
        unknown = shown["unknown"]
        assert 2 <= len(unknown) == result["held"] <= 6
        asked_once = Counter(asked.body for asked in server.log)
        assert max(asked_once.values()) == 1  # nothing was repeated while unknown calls were held
        assert result["replied"] + result["cached"] + result["held"] == count

        code, out, _ = finish(start(workspace.root, server, "--on-unknown", "resend"))
        assert (code, json.loads(out)["replied"]) == (0, len(unknown))
        asked = Counter(asked.body for asked in server.log)
        assert set(asked) == set(expected)
        repeated = {song_of(body) for body, number in asked.items() if number > 1}
        assert repeated <= {row["track_id"] for row in unknown}

    tables = [w.read(Description).drop("created_at") for w in (undisturbed, workspace)]
    assert tables[0].equals(tables[1])
    assert tables[0].filter(pl.col("origin") == "mined").height == count
    for path in workspace.root.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


@pytest.mark.e2e
def test_an_interrupted_command_says_so_and_is_taken_up(tmp_path: Path) -> None:
    stopping: list[subprocess.Popen[str]] = []

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if len(server.log) == 3:
            stopping[0].send_signal(signal.SIGTERM)
        return good(body, asked)

    workspace = fill(tmp_path, 12)
    with chat_server(answer) as server:
        stopping.append(start(workspace.root, server, "--concurrency", "1"))
        code, out, err = finish(stopping[0])
        assert code == 5
        assert "interrupted" in json.loads(out)["error"]["message"]
        assert "error: generate run: interrupted" in err
        answered = len(server.log)
        assert answered < 12
        code, out, _ = finish(start(workspace.root, server))
        assert (code, json.loads(out)["cached"], len(server.log)) == (0, answered, 12)


@pytest.mark.e2e
def test_an_interrupt_of_all_processes_at_once_loses_no_reply_that_workers_wait_for(tmp_path: Path) -> None:
    """As a terminal does it: Ctrl-C goes to every process of the foreground."""
    started: list[subprocess.Popen[str]] = []
    interrupted, asked_for = threading.Event(), threading.Barrier(4)

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if not interrupted.is_set() and asked_for.wait(60) == 0:  # two calls of each worker are in flight
            os.killpg(started[0].pid, signal.SIGINT)
            interrupted.set()
        interrupted.wait(60)
        return good(body, asked)

    workspace = fill(tmp_path, 24)
    with chat_server(answer) as server:
        command = [CROSSMUSIM, *arguments(workspace.root, server, "--concurrency", "4", "--workers", "2")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, start_new_session=True, **pipes))
        code, out, err = finish(started[0])
        assert (code, json.loads(out)["error"]["found"]) == (5, "interrupted"), err
        with Journal.read(workspace.generation_dir) as journal:
            states = next(iter(journal.reader.counts().values()))
    answered = len(server.log)
    assert 4 <= answered < 24
    assert states == {"planned": 24 - answered, "replied": answered}, err
