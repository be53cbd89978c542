"""A designer's commands as typed: new, copy, show, render --body and --diff, lock and earlier versions, watch."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_command, run_json
from loopback import Asked, Reply


def typed(root: Path, verb: str, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", verb, *more]


def answer(body: dict[str, Any], asked: Asked) -> Reply:
    document = body["messages"][-1]["content"]
    aspects = [{"text": "slow waltz", "quote": "slow waltz"}] if "waltz" in document else []
    return json_reply(
        completion(json.dumps({"caption": "A slow waltz for harp." if aspects else "", "aspects": aspects}))
    )


def test_a_pack_is_begun_looked_at_recorded_changed_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result = run_json(capsys, typed(tmp_path, "new", "texture", "--description", 'Say "what" sounds.'))
    assert (code, result["path"]) == (0, str(tmp_path / "prompts" / "texture"))
    assert run_json(capsys, typed(tmp_path, "lint", "texture"))[0] == 0
    code, shown = run_json(capsys, typed(tmp_path, "show", "texture"))
    assert (shown["lock"], shown["origin"], shown["hides"]) == ("not locked", "of the workspace", [])
    assert shown["inputs"]["document"]["example"] == "A slow waltz for harp."
    assert shown["cases"] == {"first": "missing", "nothing_to_say": "missing"}
    assert run_json(capsys, typed(tmp_path, "lock", "texture"))[0] == 0

    path = tmp_path / "prompts" / "texture" / "prompt.j2"
    path.write_text(path.read_text(encoding="utf-8").replace("one plain sentence", "five words"), encoding="utf-8")
    assert run_json(capsys, typed(tmp_path, "show", "texture"))[1]["pack"] == "texture@0.1.0-draft"
    code, result = run_json(capsys, typed(tmp_path, "lint", "texture"))
    assert (code, "changed under a locked version" in json.dumps(result)) == (3, True)
    path.write_text(path.read_text(encoding="utf-8").replace("0.1.0", "0.2.0"), encoding="utf-8")
    code, result = run_json(capsys, typed(tmp_path, "render", "texture", "--case", "first", "--diff", "0.1.0"))
    changed = [line for line in result["diff"] if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert [line[0] for line in changed] == ["-", "+"]
    assert "five words" in changed[1]

    with chat_server(answer) as server:
        own = ["--base-url", f"{server.url}/v1", "--model", "m"]
        code, result = run_json(capsys, typed(tmp_path, "compare", "texture@0.1.0", "texture", *own, "--dry-run"))
        assert (code, len(server.log)) == (0, 0), "nothing is sent before it is agreed to"
        assert any("show a difference of" in line for line in result["plan"])
        code, result = run_json(capsys, typed(tmp_path, "compare", "texture@0.1.0", "texture", *own))
        assert (code, len(server.log)) == (0, 4), result
        assert result["a"]["variant"] == "texture@0.1.0, m"
        assert result["measures"]["passed"]["ties"] == 2
    code, result = run_json(capsys, typed(tmp_path, "history", "texture"))
    assert [each["pack"] for each in result["runs"]] == ["texture@0.1.0", "texture@0.2.0"]
    assert result["runs"][0]["outcomes"] == {"FAIL": 1, "PASS": 1}


def test_the_whole_body_is_shown_with_schema_and_sampling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "page.txt"
    document.write_text("A slow waltz for harp, twice as long.", encoding="utf-8")
    code, result = run_json(capsys, typed(tmp_path, "render", "extract", "--document", str(document), "--body"))
    assert code == 0
    assert result["body"]["response_format"]["json_schema"]["strict"]
    assert (result["body"]["temperature"], result["body"]["max_tokens"]) == (0, 900)
    assert "twice as long" in result["body"]["messages"][-1]["content"]
    code, result = run_json(capsys, typed(tmp_path, "render", "recall", "--document", str(document)))
    assert (code, "reads no document" in json.dumps(result)) == (2, True)


def test_a_copy_in_the_workspace_wins_and_says_what_it_hides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_json(capsys, typed(tmp_path, "copy", "mine"))[0] == 0
    code, shown = run_json(capsys, typed(tmp_path, "show", "mine"))
    assert (code, shown["path"]) == (0, str(tmp_path / "prompts" / "mine"))
    assert len(shown["hides"]) == 1
    assert set(shown["cases"].values()) == {"current", "handmade"}
    code, result = run_json(capsys, typed(tmp_path, "copy", "mine"))
    assert (code, "there already" in json.dumps(result)) == (2, True)
    assert run_json(capsys, typed(tmp_path, "new", "judge"))[0] == 2, "a starter hides no pack unasked"
    code, result = run_json(capsys, typed(tmp_path, "new", "../out"))
    assert (code, (tmp_path / "out").exists()) == (2, False)


def test_live_tests_ask_the_model_and_say_what_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, typed(tmp_path, "new", "texture"))
    with chat_server(answer) as server:
        own = ["--base-url", f"{server.url}/v1", "--model", "m"]
        code, result = run_json(capsys, typed(tmp_path, "test", "texture", "--live", *own))
        assert (code, result["outcomes"]) == (3, {"FAIL": 1, "PASS": 1})
        assert result["cases"][0]["problems"] == ["aspect 'harp' is missing", "no aspect is of the facet instrument"]
    code, result = run_json(capsys, typed(tmp_path, "test", "texture", *own))
    assert (code, "--live" in json.dumps(result)) == (2, True)
    code, result = run_json(capsys, typed(tmp_path, "test", "texture"))
    assert result["outcomes"] == {"NEEDS RECORDING": 2}, "a live reply is no recording until it is accepted"


def test_a_judge_of_another_model_has_the_last_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, typed(tmp_path, "new", "texture"))
    cases = """- name: waltz
  inputs: {document: "A slow waltz for harp, played in a wide hall."}
  expect: {min_aspects: 1, judged_by: judge}
"""
    (tmp_path / "prompts" / "texture" / "cases.yaml").write_text(cases, encoding="utf-8")
    supported = True

    def both(body: dict[str, Any], asked: Asked) -> Reply:
        if body["model"] != "strict":
            return answer(body, asked)
        verdicts = [{"aspect": "slow waltz", "supported": supported}]
        return json_reply(completion(json.dumps({"verdicts": verdicts, "caption_supported": True})))

    with chat_server(both) as server:
        own = typed(tmp_path, "test", "texture", "--live", "--base-url", f"{server.url}/v1", "--model", "m")
        assert run_json(capsys, own)[1]["outcomes"] == {"NEEDS REVIEW": 1}
        assert run_json(capsys, [*own, "--judge-model", "m"])[0] == 2, "nobody judges himself"
        assert run_json(capsys, [*own, "--judge-model", "strict"])[1]["outcomes"] == {"PASS": 1}
        run_json(capsys, typed(tmp_path, "copy", "texture", "other"))
        both_packs = typed(tmp_path, "test", "texture", "other", *own[6:], "--judge-model", "strict")
        assert run_json(capsys, both_packs)[1]["outcomes"] == {"PASS": 2}
    supported = False
    with chat_server(both) as server:
        own = typed(tmp_path, "test", "texture", "--live", "--base-url", f"{server.url}/v1", "--model", "m")
        code, result = run_json(capsys, [*own, "--judge-model", "strict"])
        assert (code, result["cases"][0]["problems"]) == (3, ["the judge denies 'slow waltz'"])


def test_watching_shows_a_saved_change_and_a_slip_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_json(capsys, typed(tmp_path, "new", "texture"))
    path = tmp_path / "prompts" / "texture" / "prompt.j2"
    sound = path.read_text(encoding="utf-8")

    def save_twice() -> None:
        for text in (sound.replace("no praise", "no praise at all"), sound.replace("{{ document", "{{ documnt")):
            time.sleep(1.0)
            path.write_text(text, encoding="utf-8")

    saving = threading.Thread(target=save_twice)
    saving.start()
    command = ["--workspace", str(tmp_path), "prompts", "watch", "texture", "--case", "first", "--for-s", "4"]
    code, out, err = run_command(capsys, command)
    saving.join()
    assert code == 0
    assert "A slow waltz for harp and strings" in out
    assert "+names, no history, no praise at all" in out
    assert "'documnt', which is not declared" in err
