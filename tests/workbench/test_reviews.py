"""Decisions taken into packs: golden replies, new cases, and everything that is refused before anything is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from chatserver import chat_server, completion, json_reply
from commands import run_json
from genworld import fill, write_pack
from loopback import Asked, Loopback, Reply

REPLY = {"caption": "A slow waltz with pump organ.", "aspects": ["slow waltz", "pump organ", "glass bells"]}
CASES = """# kept as it is
- name: waltz   # and so is this
  inputs:
    title: Dusk
    document: A slow waltz with pump organ and brushed drums, recorded in a church.

# a comment between
- name: second
  inputs: {title: Dawn, document: "A slow waltz with pump organ, played twice."}
  expect: {}
  note: "the last"
"""


def answer(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(json.dumps(REPLY)))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = write_pack(tmp_path / "prompts", "mine")
    (folder / "cases.yaml").write_text(CASES, encoding="utf-8")
    return folder


def typed(root: Path, verb: str, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", verb, *more]


def run(capsys: pytest.CaptureFixture[str], root: Path, server: Loopback, *more: str) -> dict[str, Any]:
    own = ["mine", "--base-url", f"{server.url}/v1", "--model", "m", *more]
    code, result = run_json(capsys, typed(root, "run", *own))
    assert code == 0, result
    (made,) = result["runs"]
    return dict(made)


def accept(capsys: pytest.CaptureFixture[str], root: Path, *decisions: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    path = root / "decisions.json"
    path.write_text(json.dumps({"format": 1, "decisions": decisions}), encoding="utf-8")
    return run_json(capsys, typed(root, "accept", str(path)))


def test_an_accepted_case_has_a_golden_reply_and_expects_what_came_out(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(answer) as server:
        made = run(capsys, tmp_path, server)
        asked = len(server.log)
        run(capsys, tmp_path, server)
        assert len(server.log) == asked, "nothing is paid twice"
    decisions = [{"run": made["id"], "item": name, "sample": 0, "decision": "accept"} for name in ("waltz", "second")]
    code, result = accept(capsys, tmp_path, *decisions)
    assert code == 0, result
    code, result = run_json(capsys, typed(tmp_path, "test", "mine"))
    assert (code, {each["name"]: each["outcome"] for each in result["cases"]}) == (
        0,
        {"waltz": "PASS", "second": "PASS"},
    )
    text = (pack / "cases.yaml").read_text(encoding="utf-8")
    for comment in ("# kept as it is", "# and so is this", "# a comment between", 'note: "the last"'):
        assert comment in text
    first, second = yaml.safe_load(text)
    assert first["expect"]["aspects_include"] == ["slow waltz", "pump organ"]
    assert second["expect"]["min_supported"] == 0.65
    worse = {**REPLY, "aspects": ["slow waltz", "glass bells"]}
    with chat_server(lambda body, asked: json_reply(completion(json.dumps(worse)))) as other:
        run_json(capsys, typed(tmp_path, "record", "mine", "--again", "--base-url", f"{other.url}/v1", "--model", "m"))
    code, result = run_json(capsys, typed(tmp_path, "test", "mine"))
    assert (code, result["outcomes"]) == (3, {"FAIL": 2}), "the expectation can fail"


def test_an_accepted_track_is_a_new_case_with_its_note(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    mined = {"caption": "A calm piece with slow solo piano.", "aspects": ["slow solo piano", "warm strings"]}
    with chat_server(lambda body, asked: json_reply(completion(json.dumps(mined)))) as server:
        made = run(capsys, tmp_path, server, "--tracks", "2")
    assert made["items"] == 2
    name = made["trials"][0]["name"]
    keep = {"run": made["id"], "item": name, "decision": "accept", "note": "warm strings matter"}
    code, result = accept(capsys, tmp_path, keep, {**keep, "decision": "reject", "note": "no"})
    assert code == 0, result
    *_, added = yaml.safe_load((pack / "cases.yaml").read_text(encoding="utf-8"))
    assert added["note"] == "warm strings matter"
    code, result = run_json(capsys, typed(tmp_path, "test", "mine", "--case", added["name"]))
    assert (code, result["outcomes"]) == (0, {"PASS": 1})
    rows = [json.loads(line) for line in (tmp_path / "workbench" / "reviews.jsonl").read_text().splitlines()]
    assert [(row["decision"], row["case"]) for row in rows] == [("accept", added["name"]), ("reject", None)]


REFUSED = {
    "a run that is not there": ({"run": "r9"}, "there is no run r9"),
    "an item that is not there": ({"item": "other"}, "has no such item"),
    "a decision of another kind": ({"decision": "maybe"}, "decision"),
    "an unknown key": ({"colour": "red"}, "colour"),
    "an item that is no text": ({"item": 7}, "item"),
}


@pytest.mark.parametrize(("changes", "finding"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], finding: str
) -> None:
    with chat_server(answer) as server:
        made = run(capsys, tmp_path, server)
    good = {"run": made["id"], "item": "waltz", "decision": "accept"}
    code, result = accept(capsys, tmp_path, good, {**good, **changes})
    assert (code, finding in json.dumps(result)) == (3, True)
    assert (pack / "cases.yaml").read_text(encoding="utf-8") == CASES
    assert not (tmp_path / "workbench" / "reviews.jsonl").exists()


def test_a_reply_to_another_prompt_is_refused(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(answer) as server:
        made = run(capsys, tmp_path, server)
    path = pack / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8").replace("{{ title }}", "Hear {{ title }}"), encoding="utf-8")
    code, result = accept(capsys, tmp_path, {"run": made["id"], "item": "waltz", "decision": "accept"})
    assert (code, "another prompt" in json.dumps(result)) == (3, True)


def test_a_call_that_was_not_answered_is_an_error_and_cannot_be_accepted(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["mine", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--price", "0"]
    code, _ = run_json(capsys, typed(tmp_path, "run", *own))
    assert code in (4, 5)
    code, result = run_json(capsys, typed(tmp_path, "history"))
    assert result["runs"][0]["outcomes"] == {"ERROR": 2}
    code, result = accept(capsys, tmp_path, {"run": "r1", "item": "waltz", "decision": "accept"})
    assert (code, "not answered" in json.dumps(result)) == (3, True)
