"""Dialects: which one an address tells, what each sends, and that the request key is the hash of just that."""

from __future__ import annotations

from typing import Any

import pytest

from sourcing.errors import UsageError
from sourcing.generation.endpoint.dialect import AZURE_API_VERSION, COMPATIBLE, DIALECTS, choose_dialect, fit_body
from sourcing.generation.endpoint.endpoint import resolve_endpoint
from sourcing.generation.wire import request_body, request_key
from sourcing.settings import GenerationSettings

AZURE = "https://studio.openai.azure.com"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def body(model: str = "m") -> dict[str, Any]:
    sampling = {"temperature": 0.4, "max_tokens": 100, "seed": 3, "frequency_penalty": 0.5}
    messages = [{"role": "user", "content": "hi"}]
    return request_body(model, messages, schema_name="p", schema=SCHEMA, sampling=sampling, sample_idx=0)


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "openai"),
        (AZURE, "azure"),
        ("https://hub.services.ai.azure.com/openai/v1/", "azure-v1"),
        (f"{AZURE}/openai/deployments/d", "azure"),
        ("http://gpu-1:8000/v1", "vllm"),
        ("http://127.0.0.1:8080/v1", "llama.cpp"),
        ("http://localhost:11434/v1", "ollama"),
        ("https://api.example.com/v1", "compatible"),
        ("https://api.openai.com.example.com/v1", "compatible"),
    ],
)
def test_host_and_port_tell_the_dialect(base_url: str, name: str) -> None:
    assert choose_dialect(base_url, "m").name == name


def test_a_dialect_can_be_named_and_an_unknown_name_lists_the_known() -> None:
    assert choose_dialect("http://gpu-1:9999/v1", "m", name="vllm") is DIALECTS["vllm"]
    with pytest.raises(UsageError, match=r"llama\.cpp, ollama"):
        choose_dialect("http://gpu-1:9999/v1", "m", name="vlm")


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (AZURE, f"{AZURE}/openai/deployments/d"),
        (f"{AZURE}/", f"{AZURE}/openai/deployments/d"),
        (f"{AZURE}/openai", f"{AZURE}/openai/deployments/d"),
        (f"{AZURE}/openai/deployments/d", f"{AZURE}/openai/deployments/d"),
        (f"{AZURE}/openai/v1", f"{AZURE}/openai/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
    ],
)
def test_each_dialect_knows_where_calls_go(base_url: str, address: str) -> None:
    assert choose_dialect(base_url, "d").address(base_url, "d") == address


@pytest.mark.parametrize("name", DIALECTS)
def test_a_plain_model_is_sent_the_same_body_in_every_dialect_so_keys_stay_what_they_were(name: str) -> None:
    dialect = choose_dialect("https://host/v1", "gpt-4.1-mini", name=name)
    assert list(fit_body(body(), dialect).items()) == list(body().items())


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.4-mini"])
def test_a_reasoning_model_is_sent_what_it_accepts_and_its_key_is_of_that(model: str) -> None:
    dialect = choose_dialect("https://api.openai.com/v1", model)
    sent = fit_body(body(model), dialect)
    assert sent["max_completion_tokens"] == 100
    assert not {"max_tokens", "temperature", "frequency_penalty"} & set(sent)
    assert sent["seed"] == 3 and sent["response_format"] == body(model)["response_format"]
    assert request_key(sent, "e", 0) != request_key(body(model), "e", 0)


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4.1", "gpt-5-chat-latest", "olmo-2", "chat-o1"])
def test_other_models_are_not_taken_for_reasoning_ones(model: str) -> None:
    assert not choose_dialect("https://api.openai.com/v1", model).reasoning


def test_whether_a_model_reasons_can_be_said_where_its_name_does_not_tell() -> None:
    assert not choose_dialect("http://gpu-1:8000/v1", "o1").reasoning
    assert choose_dialect(AZURE, "our-deployment", reasoning=True).max_tokens_name == "max_completion_tokens"
    assert choose_dialect("https://api.openai.com/v1", "gpt-5", reasoning=False).left_out == ()


def test_an_azure_endpoint_has_its_own_key_variable_and_its_version() -> None:
    settings = GenerationSettings(base_url=AZURE, model="d")
    environment = {"AZURE_OPENAI_API_KEY": "azure-key", "OPENAI_API_KEY": "openai-key"}
    endpoint = resolve_endpoint(settings, local=False, environment=environment)
    assert (endpoint.api_key, endpoint.dialect.api_version) == ("azure-key", AZURE_API_VERSION)
    named = resolve_endpoint(
        settings.model_copy(update={"api_version": "2026-01-01"}), local=False, environment=environment
    )
    assert named.dialect.api_version == "2026-01-01"
    assert named.identity == endpoint.identity == f"{AZURE} d"
    told = resolve_endpoint(settings, local=False, environment={"OPENAI_API_VERSION": "2025-09-09"})
    assert told.dialect.api_version == "2025-09-09"


def test_the_dialect_and_whether_the_model_reasons_can_be_named() -> None:
    settings = GenerationSettings(base_url="http://gpu-1:9000/v1", model="m")
    dialect = resolve_endpoint(
        settings.model_copy(update={"dialect": "vllm", "reasoning": True}), local=False, environment={}
    ).dialect
    assert (dialect.name, dialect.max_tokens_name) == ("vllm", "max_completion_tokens")


def test_a_plain_server_never_sees_the_key_meant_for_azure() -> None:
    settings = GenerationSettings(base_url="http://gpu-1:8000/v1", model="m")
    endpoint = resolve_endpoint(settings, local=False, environment={"AZURE_OPENAI_API_KEY": "azure-key"})
    assert endpoint.api_key is None
    assert endpoint.dialect.name == "vllm" and endpoint.dialect.api_version is None


def test_the_embedded_model_speaks_llama_cpp() -> None:
    assert resolve_endpoint(GenerationSettings(), local=True, environment={}).dialect.name == "llama.cpp"


def test_what_a_server_offers_is_said_by_its_dialect() -> None:
    offered = {name: (d.rate_headers, d.batch, d.stored and d.metadata) for name, d in DIALECTS.items()}
    assert offered["openai"] == (True, True, True)
    assert offered["azure"] == (True, False, False)
    assert offered["vllm"] == offered["llama.cpp"] == offered["ollama"] == (False, False, False)
    assert DIALECTS["compatible"] is COMPATIBLE
