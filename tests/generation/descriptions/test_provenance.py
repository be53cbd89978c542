"""Where a description came from: quotes in context, prompt, reply and price; also when a page is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_command, run_json
from genworld import MINED, fill, write_pack

from sourcing.store import Description, Document, Workspace


def made(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """A workspace with mined descriptions; the id of one of them."""
    workspace = fill(root, 2)
    write_pack(root / "prompts", "mine")
    with chat_server(lambda body, asked: json_reply(completion(MINED))) as server:
        command = ["--workspace", str(root), "--json", "generate", "run", "mine", "--base-url", f"{server.url}/v1"]
        code, result = run_json(capsys, [*command, "--model", "m", "--price", "1,2"])
    assert code == 0, result
    table = workspace.read(Description).filter(origin="mined")
    return str(table["description_id"][0])


def why(root: Path, description_id: str) -> list[str]:
    return ["--workspace", str(root), "--json", "generate", "why", description_id]


def test_everything_behind_a_description_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = made(tmp_path, capsys)
    code, origin = run_json(capsys, why(tmp_path, name))
    assert code == 0
    (quote,) = origin["aspects"][0]["quotes"]
    assert origin["aspects"][0]["text"].casefold() in quote["quote"].casefold()
    assert quote["before"].startswith("Song")
    assert origin["documents"][0]["url"].startswith("http://localhost/")
    assert origin["documents"][0]["licences"][0]["licence"] == "CC0-1.0"
    call = origin["call"]
    assert (call["prompt"], call["model"]) == ("mine@1.0.0", "test-model")
    assert "Song" in call["messages"][-1]["content"]
    assert call["reply"] == MINED
    assert call["usd"] > 0
    code, out, _ = run_command(capsys, [each for each in why(tmp_path, name) if each != "--json"])
    assert "prompt as sent:" in out
    assert f"[{quote['quote']}]" in out


def test_it_works_when_the_page_is_gone_and_when_its_text_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = made(tmp_path, capsys)
    workspace = Workspace(tmp_path)
    documents = workspace.read(Document)
    for table, said in ((documents.with_columns(text=None), "text is not"), (documents.clear(), "no longer in")):
        workspace.write(Document, Document.validate(table, cast=True))
        code, origin = run_json(capsys, why(tmp_path, name))
        assert code == 0
        assert origin["aspects"][0]["quotes"][0]["end"] > 0
        assert said in str(origin["documents"]) + str(origin["aspects"])


def test_an_unknown_description_is_refused_with_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = made(tmp_path, capsys)
    code, result = run_json(capsys, why(tmp_path, name[:-1]))
    assert (code, name in str(result)) == (3, True)
