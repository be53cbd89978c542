"""`prompts bench` as typed: the rules alone, and a pack against a scripted model server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_json
from loopback import Asked, Reply

from sourcing.generation.text.phrases import sentences


def copies_all(body: dict[str, Any], asked: Asked) -> Reply:
    """Copies the first sentences of the document, as a small model does."""
    document = body["messages"][-1]["content"].split("<document>\n")[-1].split("\n</document>")[0]
    own = sentences(document)[:3]
    return json_reply(completion(json.dumps({"caption": own[0], "aspects": own})))


def bench(root: Path, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "prompts", "bench", *more]


def test_the_rules_are_measured_without_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, result = run_json(capsys, bench(tmp_path, "--language", "de", "--language", "zh"))
    assert code == 0
    (figures,) = result["variants"].values()
    assert set(figures["by"]["language"]) == {"de", "zh"}
    value, low, high = figures["measures"]["f1"]
    assert 0 < low <= value <= high < 1
    assert len(figures["details"]) == figures["documents"]
    assert (tmp_path / "workbench" / "runs" / f"{figures['run']}.json").is_file()


def test_a_pack_is_asked_about_each_document_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with chat_server(copies_all) as server:
        own = ("mine", "--base-url", f"{server.url}/v1", "--model", "m", "--language", "en", "--kind", "review")
        code, result = run_json(capsys, bench(tmp_path, *own))
        assert code == 0, result
        (name, figures), *_ = result["variants"].items()
        assert name == "mine@1.0.0, m"
        assert figures["documents"] == 21
        asked = len(server.log)  # once each, and again where a reply does not fit the schema
        assert figures["measures"]["recall"][0] > 0.15
        assert figures["usd"] == 0
        code, again = run_json(capsys, bench(tmp_path, *own))
        assert (code, len(server.log)) == (0, asked), "nothing is paid twice"
        runs = [each["variants"][name].pop("run") for each in (result, again)]
        assert again == result
    assert runs == ["r1", "r2"]


def test_a_model_that_is_not_there_ends_the_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://127.0.0.1:9/v1"
    code, result = run_json(capsys, bench(tmp_path, "mine", "--base-url", address, "--model", "m", "--language", "de"))
    assert code in (4, 5)
    assert address in json.dumps(result)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--kind", "reveiw"), "review"),
        (("--language", "xx"), "no gold documents"),
        (("mien", "--endpoint", "local"), "mine"),
    ],
)
def test_a_slip_gets_the_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], says: str
) -> None:
    code, result = run_json(capsys, bench(tmp_path, *options))
    assert code in (2, 3)
    assert says in json.dumps(result)
