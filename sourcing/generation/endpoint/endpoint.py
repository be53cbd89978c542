"""Endpoint: the address, identity, key and dialect of a model server, and how flags and settings name one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from sourcing.errors import UsageError
from sourcing.generation.endpoint.dialect import COMPATIBLE, LLAMA_CPP, Dialect, choose_dialect
from sourcing.generation.endpoint.local import LOCAL_MODEL, LOCAL_MODEL_FILE
from sourcing.generation.wire import normalise_base_url
from sourcing.redactor import read_key
from sourcing.settings import GenerationSettings

__all__ = ["OPENAI_BASE_URL", "Endpoint", "resolve_endpoint"]

OPENAI_BASE_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Endpoint:
    """A model server. The key is held in memory only and never shown."""

    name: str  # for messages
    identity: str  # part of every request key: the same server and model give the same keys
    model: str
    base_url: str | None  # None: the embedded model, whose address is known once it is started
    api_key: str | None = field(default=None, repr=False)
    resend_is_free: bool = False  # nobody bills, and a call in flight died with us
    dialect: Dialect = COMPATIBLE

    @property
    def is_local(self) -> bool:
        return self.base_url is None


def resolve_endpoint(settings: GenerationSettings, *, local: bool, environment: Mapping[str, str]) -> Endpoint:
    """The endpoint that flags, settings and OPENAI_* variables name; UsageError when they name none.

    What the settings leave open of dialect, api_version and reasoning is told by the address and the model's name.
    """
    if local:
        return Endpoint(
            name="the embedded model",
            identity=f"local:{LOCAL_MODEL_FILE}",
            model=LOCAL_MODEL,
            base_url=None,
            resend_is_free=True,
            dialect=LLAMA_CPP,
        )
    api_key = read_key(environment, "OPENAI_API_KEY")
    base_url = settings.base_url or environment.get("OPENAI_BASE_URL") or (OPENAI_BASE_URL if api_key else None)
    if base_url is None:
        raise UsageError(
            "generation endpoint",
            "none is named",
            "add --endpoint local for the embedded model, or --base-url URL --model NAME for a server"
            " (also OPENAI_BASE_URL, OPENAI_API_KEY, or [generation] base_url in crossmusim.toml)",
        )
    parts = urlsplit(base_url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "generation base_url",
            f"{_without_user(base_url)!r} is not an http(s) address",
            "write it like https://host/v1",
        )
    if parts.username or parts.password or parts.query:
        raise UsageError(
            "generation base_url",
            "it carries a user, a password or a query",
            "leave them out; the key goes into OPENAI_API_KEY, Azure's api-version into [generation] api_version",
        )
    if not settings.model:
        raise UsageError(
            "generation model",
            f"{normalise_base_url(base_url)} was named without one",
            "add --model NAME or [generation] model in crossmusim.toml",
        )
    address = normalise_base_url(base_url)
    dialect = choose_dialect(
        base_url,
        settings.model,
        name=settings.dialect,
        api_version=settings.api_version or environment.get("OPENAI_API_VERSION"),
        reasoning=settings.reasoning,
    )
    if dialect.name.startswith("azure"):
        api_key = read_key(environment, "AZURE_OPENAI_API_KEY") or api_key
    return Endpoint(
        name=address,
        identity=f"{address} {settings.model}",
        model=settings.model,
        base_url=base_url,
        api_key=api_key,
        dialect=dialect,
    )


def _without_user(url: str) -> str:
    return url.rpartition("@")[2]
