"""The optimiser against a scripted model: it finds the better instruction, keeps its budget, goes on for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_json
from loopback import Asked, Reply

pytest.importorskip("gepa", reason="the optimiser is not installed")
CASES = "".join(
    f"- name: c{n}\n  inputs: {{document: \"A slow waltz for harp, number {word}.\"}}\n"
    "  expect: {aspects_include: [slow waltz, harp]}\n"
    for n, word in enumerate(("one", "two", "three"))
)  # fmt: skip
BETTER = "Name the instruments, too: each sound of the document is an aspect with its quote."


def answer(body: dict[str, Any], asked: Asked) -> Reply:
    if body["response_format"]["json_schema"]["name"] == "rewrite":
        return json_reply(completion(json.dumps({"instruction": BETTER})))
    names = ["slow waltz", "harp"] if "instruments" in body["messages"][0]["content"] else ["slow waltz"]
    aspects = [{"text": name, "quote": name} for name in names]
    return json_reply(completion(json.dumps({"caption": "", "aspects": aspects})))


def typed(root: Path, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", *more]


@pytest.fixture
def workspace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run_json(capsys, typed(tmp_path, "new", "texture"))[0] == 0
    (tmp_path / "prompts" / "texture" / "cases.yaml").write_text(CASES, encoding="utf-8")
    return tmp_path


def test_a_better_instruction_is_found_and_written_as_a_pack_of_its_own(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(answer) as server:
        own = typed(workspace, "optimise", "texture", "finer", "--base-url", f"{server.url}/v1", "--model", "m")
        code, result = run_json(capsys, [*own, "--max-calls", "20"])
        assert code == 0, result
        assert (result["score_before"], result["score"]) == (0.5, 1.0)
        asked = len(server.log)
        text = (workspace / "prompts" / "finer" / "prompt.j2").read_text(encoding="utf-8")
        assert BETTER in text
        assert run_json(capsys, typed(workspace, "lint", "finer"))[0] == 0
        again = typed(workspace, "optimise", "texture", "finest", *own[-4:], "--max-calls", "20")
        assert run_json(capsys, again)[0] == 0
        assert len(server.log) == asked, "the same search is paid once"


def test_a_budget_for_one_candidate_is_refused_before_anything_is_sent(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(answer) as server:
        own = typed(workspace, "optimise", "texture", "finer", "--base-url", f"{server.url}/v1", "--model", "m")
        code, result = run_json(capsys, [*own, "--max-calls", "12"])
        assert (code, "need 13" in json.dumps(result), len(server.log)) == (2, True, 0)
        code, result = run_json(capsys, own)
        assert (code, "--max-calls N" in json.dumps(result)) == (2, True)
        code, result = run_json(capsys, [*own, "--max-calls", "20", "--max-usd", "0.000001", "--price", "10,10"])
        assert (code, len(server.log)) == (5, 0), "a spent budget stops it"


def test_an_instruction_with_template_code_scores_nothing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def hostile(body: dict[str, Any], asked: Asked) -> Reply:
        if body["response_format"]["json_schema"]["name"] == "rewrite":
            code = "{{ document.__class__ }} {% include '../x' %} name the instruments and all the rest"
            return json_reply(completion(json.dumps({"instruction": code})))
        return answer(body, asked)

    with chat_server(hostile) as server:
        own = typed(workspace, "optimise", "texture", "finer", "--base-url", f"{server.url}/v1", "--model", "m")
        code, result = run_json(capsys, [*own, "--max-calls", "20"])
    assert (code, result["path"]) == (0, None)
    assert not (workspace / "prompts" / "finer").exists()
