"""One of each poison among two hundred calls: all others are answered, and nothing answered is asked again."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_command, run_json
from genworld import tracks, write_pack
from loopback import Asked, Loopback, Reply

from sourcing.generation.descriptions import describe
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.schema import decompress
from sourcing.generation.replies.failures import RawReply
from sourcing.generation.run import reply_checker as checking
from sourcing.store import Description, Track, Workspace

FOLDER = Path(__file__).parents[1] / "raw_replies"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expectations.json").read_text(encoding="utf-8"))
POISONS = [name for name, expected in EXPECTED.items() if expected["fate"] != "fatal"]
CALLS = 200
#: What a call costs that was answered or may have been, in USD: 50 tokens in and 20 out at 1,000 USD a million.
COST_USD = 0.07
GOOD = json.dumps(
    {"aspects": [{"quote": "q", "text": "slow piano", "facet": "instrument"}], "caption": "A slow piano ballad."}
)


class PoisonedServer:
    """Gives each song its poison at first, and answers when asked again; keeps a bill of its own."""

    def __init__(self, calls: int = CALLS) -> None:
        songs = random.Random(7).sample(range(calls), len(POISONS))
        self.poison_of = {f"Song {n}": name for n, name in zip(songs, POISONS, strict=True)}
        self.asked: Counter[str] = Counter()
        self.billed_usd = 0.0
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any], _asked: Asked) -> Reply:
        assert body["stream"] is False
        song = body["messages"][1]["content"]
        first_try = body["max_tokens"] == 200 and len(body["messages"]) == 2
        name = self.poison_of.get(song)
        with self._lock:
            self.asked[song] += first_try
            poisoned = name is not None and first_try and self.asked[song] == 1
            if not poisoned or EXPECTED[str(name)]["fate"] not in ("throttled", "retried", "failed"):
                self.billed_usd += COST_USD
        if not poisoned:
            said = {**json.loads(completion(GOOD)), "usage": {"prompt_tokens": 50, "completion_tokens": 20}}
            return json_reply(json.dumps(said))
        raw = (FOLDER / str(name)).read_bytes()
        kind = {".txt": "text/event-stream", ".html": "text/html"}.get(Path(str(name)).suffix, "application/json")
        return Reply(raw, headers={"Content-Type": kind})


def workspace(root: Path, calls: int = CALLS) -> Workspace:
    made = Workspace(root)
    made.write(Track, tracks(calls))
    write_pack(root / "prompts", "hear", inputs={"title": "string"}, user="{{ title }}")
    return made


def arguments(root: Path, server: Loopback, *more: str) -> list[str]:
    base = ["--workspace", str(root), "--json", "generate", "run", "hear", "--base-url", f"{server.url}/v1"]
    return [*base, "--model", "m", "--price", "1000,1000", *more]


def test_one_of_each_poison_among_two_hundred_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, poisoned = workspace(tmp_path), PoisonedServer()
    fates = Counter(EXPECTED[name]["fate"] for name in POISONS)
    with chat_server(poisoned.answer) as server:
        code, result = run_json(capsys, arguments(tmp_path, server, "--max-usd", "1000"))
        assert code == 0
        assert (result["failed"], result["unknown"]) == (fates["failed"], fates["unknown"])
        assert result["replied"] == CALLS - fates["failed"] - fates["unknown"]
        twice = {poisoned.poison_of[song] for song, times in poisoned.asked.items() if times > 1}
        assert twice == {name for name in POISONS if EXPECTED[name]["fate"] in ("throttled", "retried")}
        billed = poisoned.billed_usd
        with Journal.read(made.generation_dir) as journal:
            (spent,) = journal.reader.spend().values()
        assert spent["usd"] + spent["reserved_usd"] >= billed, "what the server may bill is counted or set aside"

        code, again = run_json(capsys, arguments(tmp_path, server, "--max-usd", "1000"))
        assert (code, again["replied"], again["held"]) == (0, fates["failed"], fates["unknown"])
        asked_again = {poisoned.poison_of[song] for song, times in poisoned.asked.items() if times > 1}
        assert asked_again - twice == {name for name in POISONS if EXPECTED[name]["fate"] == "failed"}
        assert max(poisoned.asked.values()) == 2
        n = len(server.log)
        code, last = run_json(capsys, arguments(tmp_path, server, "--max-usd", "1000"))
        assert (code, last["replied"], len(server.log)) == (0, 0, n)
    unused = sum(EXPECTED[name]["fate"] in ("rejected", "unknown") for name in POISONS)
    described = made.read(Description)
    assert len(described) >= CALLS - unused
    assert set(described["aspect_list"].explode()) == {"slow piano"}
    reasons = Counter(made.read_rejected().filter(pl.col("stage") != "catalogue")["reason"])
    assert reasons["call_unknown"] == fates["unknown"]
    assert reasons["reply_refused"] == 5 and reasons["reply_tool_call"] == 3 and reasons["row_error"] == 0
    code, status = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "status"])
    assert status["rejected"] == dict(reasons)


def test_the_bytes_of_every_poison_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made, poisoned = workspace(tmp_path), PoisonedServer()
    with chat_server(poisoned.answer) as server:
        run_json(capsys, arguments(tmp_path, server))
    with Journal.read(made.generation_dir) as journal:
        kept = {decompress(row[0]) for row in journal.connection.execute("SELECT reply FROM replies")}
    assert kept >= {(FOLDER / name).read_bytes() for name in POISONS}


def test_the_servers_own_bill_stays_under_the_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace(tmp_path)
    poisoned = PoisonedServer()
    with chat_server(poisoned.answer) as server:
        for _ in range(3):
            code, said = run_json(capsys, arguments(tmp_path, server, "--max-usd", "12"))
            assert code == 5 and "--max-usd 12.00" in said["error"]["found"]
            assert poisoned.billed_usd <= 12
    assert poisoned.billed_usd > 2


@pytest.mark.parametrize("name", ["error_quota.json", "error_key.json"])
def test_an_error_that_holds_for_all_ends_the_run_under_200_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    workspace(tmp_path, 20)
    with chat_server(lambda _body, _asked: json_reply((FOLDER / name).read_text(encoding="utf-8"))) as server:
        code, said = run_json(capsys, arguments(tmp_path, server, "--concurrency", "1"))
        assert (code, len(server.log)) == (4, 1)
    assert EXPECTED[name]["words"] in said["error"]["found"]


def test_what_still_raises_is_that_rows_rejection_counted_loudly_and_not_looked_at_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = workspace(tmp_path, 6)
    looked: list[str] = []
    is_mended = False

    def answer(body: dict[str, Any], _asked: Asked) -> Reply:
        song = body["messages"][1]["content"]
        return json_reply(completion(GOOD.replace("ballad", f"ballad {song}")))

    read = checking.read_payload
    accept = describe.accept

    def checked(content: str) -> Any:
        if "Song 2" in content:
            looked.append(content)
            raise ZeroDivisionError("of the checker")
        return read(content)

    def accepted(payload: Any, **more: Any) -> Any:
        if "Song 3" in payload["caption"] and not is_mended:
            raise RecursionError("of the describer")
        return accept(payload, **more)

    monkeypatch.setattr(checking, "read_payload", checked)
    monkeypatch.setattr(describe, "accept", accepted)
    with chat_server(answer) as server:
        assert _fails_loudly(arguments(tmp_path, server), capsys) == "ZeroDivisionError"
        assert (len(server.log), len(looked)) == (6, 1)
        rejected = made.read_rejected().filter(pl.col("reason") == "row_error")
        assert sorted(rejected.select("stage", "finding").iter_rows()) == [
            ("describe", "RecursionError: of the describer"),
            ("generate", "ZeroDivisionError: of the checker"),
        ]
        assert len(made.read(Description)) == 5, "the others went on"
        assert _fails_loudly(arguments(tmp_path, server), capsys) == "RecursionError"
        assert (len(server.log), len(looked)) == (6, 1), "neither asked nor looked at again"
    is_mended = True
    code, told = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "describe"])
    assert (code, told["descriptions"]) == (0, {"prompted": 6}), "a bug that is mended costs no second call"


def test_an_answer_that_the_wire_itself_cannot_take_is_unknown_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = workspace(tmp_path, 6)
    send = ChatClient.send_bytes

    async def broken(self: ChatClient, body: bytes) -> RawReply:
        answer = await send(self, body)
        if b"Song 2" in body:
            raise ZeroDivisionError("of the wire")
        return answer

    monkeypatch.setattr(ChatClient, "send_bytes", broken)
    with chat_server(lambda _body, _asked: json_reply(completion(GOOD))) as server:
        assert _fails_loudly(arguments(tmp_path, server), capsys) == "ZeroDivisionError"
        assert len(made.read(Description)) == 5
        (finding,) = made.read_rejected().filter(pl.col("reason") == "call_unknown")["finding"]
        assert finding == "t-002: ZeroDivisionError: of the wire"
        code, again = run_json(capsys, arguments(tmp_path, server))
        assert (code, again["held"], len(server.log)) == (0, 1, 6)


def _fails_loudly(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The exception that the command names first on stderr, when it has done the rest."""
    code, out, err = run_command(capsys, command)
    assert code == 1
    assert "planned" in json.loads(out), "the result is told all the same, as one JSON object"
    assert "replies raised" in err
    return next(name for name in ("ZeroDivisionError", "RecursionError") if name in err)
