"""Dialect: the parameters that each kind of model server takes, and all that it offers beside an answer.

All of them speak Chat Completions. They differ in the address, in how a key is carried, in the names of parameters, and
in what can be built on: limits told in headers, batches, stored completions. The request key is taken from the body
after `fit_body`, so it is always the hash of what is sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from sourcing.errors import UsageError

__all__ = ["AZURE_API_VERSION", "COMPATIBLE", "DIALECTS", "LLAMA_CPP", "Dialect", "choose_dialect", "fit_body"]

#: The dated version asked of Azure's older form when none is named: the last one generally available.
AZURE_API_VERSION = "2024-10-21"

#: Parameters a reasoning model answers with HTTP 400 (OpenAI's o series and gpt-5, seen 2025-08).
_NOT_FOR_REASONING = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_REASONING_MODEL = re.compile(r"(o\d|gpt-[5-9])(?!.*-chat)")
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")


@dataclass(frozen=True)
class Dialect:
    """One way of speaking Chat Completions. The flags say what a server of this kind offers."""

    name: str
    title: str  # for messages
    key_header: Literal["Authorization", "api-key"] = "Authorization"
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    left_out: tuple[str, ...] = ()  # parameters it refuses, so they are not sent
    api_version: str | None = None  # asked for in the query
    reasoning: bool = False  # thinks in tokens that are billed as output
    seed: bool = True  # equal calls with an equal seed give, as a rule, equal replies
    json_schema: bool = True
    usage: bool = True
    lists_models: bool = True
    rate_headers: bool = False  # x-ratelimit-*
    batch: bool = False  # the Batch API
    stored: bool = False  # completions kept by the server ...
    metadata: bool = False  # ... and found again by what was noted on them

    @property
    def key_variable(self) -> str:
        """The environment variable of the key; OPENAI_API_KEY is read too."""
        return "AZURE_OPENAI_API_KEY" if self.name.startswith("azure") else "OPENAI_API_KEY"

    def address(self, base_url: str, model: str) -> str:
        """The base URL that `/chat/completions` follows."""
        base = base_url.rstrip("/")
        if self.key_header == "api-key" and "/openai/deployments/" not in base:
            return f"{base.removesuffix('/openai')}/openai/deployments/{model}"
        return base


COMPATIBLE = Dialect("compatible", "an OpenAI-compatible server")
LLAMA_CPP = Dialect("llama.cpp", "llama.cpp")
_OPENAI = Dialect("openai", "OpenAI", rate_headers=True, batch=True, stored=True, metadata=True)

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        _OPENAI,
        # Deployments are not listed: /models names what could be deployed.
        Dialect(
            "azure",
            "Azure OpenAI (deployments)",
            key_header="api-key",
            api_version=AZURE_API_VERSION,
            lists_models=False,
            rate_headers=True,
        ),
        replace(_OPENAI, name="azure-v1", title="Azure OpenAI (v1)", lists_models=False, stored=False, metadata=False),
        Dialect("vllm", "vLLM"),
        LLAMA_CPP,
        Dialect("ollama", "Ollama"),
        COMPATIBLE,
    )
}
_PORTS = {8000: "vllm", 8080: "llama.cpp", 11434: "ollama"}


def choose_dialect(
    base_url: str,
    model: str,
    *,
    name: str | None = None,
    api_version: str | None = None,
    reasoning: bool | None = None,
) -> Dialect:
    """The dialect named, or the one that host and port tell; `doctor` says whether the server agrees.

    `reasoning` None: told by the model's name, at OpenAI and Azure only (an Azure deployment may be called anything).
    """
    if name is not None and name not in DIALECTS:
        raise UsageError("generation dialect", f"{name!r} is not known", f"choose from {', '.join(DIALECTS)}")
    dialect = DIALECTS[name or _told_by_address(base_url)]
    if dialect.api_version is not None and api_version:
        dialect = replace(dialect, api_version=api_version)
    if reasoning is None:
        reasoning = dialect.rate_headers and _REASONING_MODEL.match(model) is not None
    if reasoning:
        dialect = replace(dialect, reasoning=True, max_tokens_name="max_completion_tokens", left_out=_NOT_FOR_REASONING)
    return dialect


def fit_body(body: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The body in this dialect, keys in the order written: renamed where it says so, without what it refuses."""
    return {
        dialect.max_tokens_name if name == "max_tokens" else name: value
        for name, value in body.items()
        if name not in dialect.left_out
    }


def _told_by_address(base_url: str) -> str:
    parts = urlsplit(base_url)
    host = (parts.hostname or "").lower()
    if host == "api.openai.com":
        return "openai"
    if host.endswith(_AZURE_HOSTS):
        return "azure-v1" if parts.path.rstrip("/").endswith("/openai/v1") else "azure"
    return _PORTS.get(parts.port or 0, COMPATIBLE.name)
