"""Cases of packs: what each comes to, how a reply is recorded for it, and that nothing passes by mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from chatserver import chat_server, completion, json_reply
from commands import run_command, run_json
from genworld import write_pack
from loopback import Asked, Loopback, Reply

DOCUMENT = "A slow waltz with pump organ and brushed drums, recorded in a church."
REPLY = {"caption": "A slow waltz with pump organ.", "aspects": ["slow waltz", "pump organ", "glass bells"]}


def answer(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(json.dumps(REPLY)))


def case(name: str = "waltz", include: str = "slow waltz") -> dict[str, Any]:
    inputs = {"title": "Dusk", "document": DOCUMENT}
    return {"name": name, "inputs": inputs, "expect": {"aspects_include": [include]}}


def write_cases(pack: Path, *cases: dict[str, Any]) -> None:
    (pack / "cases.yaml").write_text(yaml.safe_dump(list(cases)), encoding="utf-8")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = write_pack(tmp_path / "prompts", "mine")
    write_cases(folder, case())
    return folder


def typed(root: Path, verb: str, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", verb, *more]


def outcomes(capsys: pytest.CaptureFixture[str], root: Path, *more: str) -> tuple[int, dict[str, str]]:
    code, result = run_json(capsys, typed(root, "test", "mine", *more))
    return code, {each["name"]: each["outcome"] for each in result["cases"]}


def record(capsys: pytest.CaptureFixture[str], root: Path, server: Loopback, *more: str) -> tuple[int, dict[str, Any]]:
    own = ["--base-url", f"{server.url}/v1", "--model", "m", *more]
    return run_json(capsys, typed(root, "record", "mine", *own))


def test_a_case_is_written_first_recorded_then_and_stale_once_its_template_changes(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcomes(capsys, tmp_path) == (0, {"waltz": "NEEDS RECORDING"})
    with chat_server(answer) as server:
        code, result = record(capsys, tmp_path, server)
        assert (code, result["recorded"], len(server.log)) == (0, 1, 1)
        assert outcomes(capsys, tmp_path) == (0, {"waltz": "PASS"})
        code, result = record(capsys, tmp_path, server)
        assert (code, result["recorded"], len(server.log)) == (0, 0, 1), "nothing is paid twice"

        path = pack / "prompt.j2"
        path.write_text(path.read_text(encoding="utf-8").replace("{{ title }}", "Hear: {{ title }}"), encoding="utf-8")
        assert outcomes(capsys, tmp_path) == (3, {"waltz": "STALE"})
        code, result = record(capsys, tmp_path, server)
        assert (result["cases"], len(server.log)) == ([{"name": "waltz", "before": "stale"}], 2)
        assert outcomes(capsys, tmp_path) == (0, {"waltz": "PASS"})

        write_cases(pack, {**case(), "inputs": {"title": "Dusk", "document": DOCUMENT + " It is calm."}})
        assert outcomes(capsys, tmp_path) == (3, {"waltz": "STALE"}), "so do other inputs"


def test_a_failure_shows_what_came_out(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cases(pack, case(include="church bells"))
    with chat_server(answer) as server:
        record(capsys, tmp_path, server)
    code, out, _ = run_command(capsys, ["--workspace", str(tmp_path), "prompts", "test", "mine"])
    assert code == 3
    assert "FAIL mine@1.0.0 waltz" in out
    assert "aspect 'church bells' is missing" in out
    assert "aspects: slow waltz, pump organ" in out
    assert "caption: A slow waltz with pump organ." in out
    assert "rejected: quote_not_found" in out


def test_a_broken_case_or_pack_stops_no_other(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cases(pack, case("good"), {**case("bad"), "inputs": {"title": "no document"}})
    broken = write_pack(tmp_path / "prompts", "broken")
    (broken / "prompt.j2").write_text("no front matter", encoding="utf-8")
    with chat_server(answer) as server:
        code, _ = record(capsys, tmp_path, server, "--case", "good")
        assert code == 0
    code, result = run_json(capsys, typed(tmp_path, "test"))
    assert code == 3
    by_name = {(each["pack"].partition("@")[0], each["name"]): each["outcome"] for each in result["cases"]}
    assert by_name["mine", "good"] == "PASS"
    assert by_name["mine", "bad"] == "ERROR"
    assert by_name["broken", "(pack)"] == "ERROR"
    assert by_name["judge", "handmade_cut"] == "PASS"
    code, result = run_json(capsys, typed(tmp_path, "list"))
    assert (code, list(result["broken"])) == (0, ["broken"])
    assert "mine" in [each["id"] for each in result["packs"]]
    code, result = run_json(capsys, typed(tmp_path, "lint"))
    assert (code, "broken" in json.dumps(result)) == (3, True)


def test_what_is_recorded_stays_when_a_later_call_fails(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_cases(pack, case("one"), case("two"), case("three"))
    calls: list[int] = []

    def second_fails(body: dict[str, Any], asked: Asked) -> Reply:
        calls.append(1)
        return Reply("down", status=503) if len(calls) == 2 else answer(body, asked)

    write_cases(
        pack, *({**case(name), "inputs": {"title": name, "document": DOCUMENT}} for name in ("one", "two", "three"))
    )
    with chat_server(second_fails) as server:
        code, result = record(capsys, tmp_path, server)
        assert (code, "'two'" in json.dumps(result)) == (4, True)
        assert outcomes(capsys, tmp_path)[1] == {"one": "PASS", "two": "NEEDS RECORDING", "three": "NEEDS RECORDING"}
        code, result = record(capsys, tmp_path, server)
        assert (code, result["recorded"], len(server.log)) == (0, 2, 4)


def test_a_reply_written_by_hand_is_replaced_only_by_name(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pack / "golden").mkdir()
    (pack / "golden" / "waltz.json").write_text(completion(json.dumps(REPLY)), encoding="utf-8")
    assert outcomes(capsys, tmp_path) == (0, {"waltz": "PASS"})
    with chat_server(answer) as server:
        assert record(capsys, tmp_path, server, "--again")[1]["recorded"] == 0
        assert record(capsys, tmp_path, server, "--case", "waltz")[1]["recorded"] == 1


def test_a_recording_may_be_refused_for_its_price_and_planned_for_nothing(
    tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with chat_server(answer) as server:
        code, result = record(capsys, tmp_path, server, "--price", "1000,1000", "--max-usd", "0.001")
        assert (code, "at worst" in json.dumps(result), server.log) == (2, True, [])
        code, result = record(capsys, tmp_path, server, "--dry-run")
        assert (code, result["recorded"], server.log) == (0, 0, [])
        code, result = record(capsys, tmp_path, server, "--case", "walz")
        assert (code, "waltz" in json.dumps(result)) == (2, True)


def test_a_reply_that_is_no_object_is_not_kept(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(lambda body, asked: json_reply([1])) as server:
        code, result = record(capsys, tmp_path, server)
    assert (code, "no JSON object" in json.dumps(result)) == (3, True)
    assert outcomes(capsys, tmp_path) == (0, {"waltz": "NEEDS RECORDING"})


def test_outcomes_are_written_as_junit_xml(tmp_path: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cases(pack, case("fails", include="x"), case("waits\x01 <&"), {**case("bad"), "inputs": {}})
    with chat_server(answer) as server:
        record(capsys, tmp_path, server, "--case", "fails")
    path = tmp_path / "outcomes.xml"
    outcomes(capsys, tmp_path, "--junit", str(path))
    (suite,) = ElementTree.parse(path).getroot()
    counts = {name: suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")}
    assert counts == {"name": "mine@1.0.0", "tests": "3", "failures": "1", "errors": "1", "skipped": "1"}
    assert [[child.tag for child in element] for element in suite] == [["failure"], ["skipped"], ["error"]]
