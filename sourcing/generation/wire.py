"""What goes over the wire, as pure values: canonical JSON, endpoint addresses, request bodies and keys, replies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "KEY_VERSION",
    "Completion",
    "body_bytes",
    "canonical_json",
    "normalise_base_url",
    "ordered_json",
    "read_completion",
    "request_body",
    "request_key",
    "sha256_hex",
]

#: Raised only when the meaning of a key changes; every call would then be made anew.
KEY_VERSION = 1

_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def ordered_json(value: Any) -> str:
    """JSON in the order written, for output schemas: a model answers their properties in that order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def body_bytes(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent: JSON in the order written, in UTF-8 as servers demand it."""
    try:
        return ordered_json(body).encode()
    except UnicodeEncodeError:  # half a surrogate pair, out of a broken page: only an escape can carry it
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def normalise_base_url(url: str) -> str:
    """Scheme, host, port and path of an endpoint, one spelling for all; user, password and query never remain."""
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme.lower())) else f":{parts.port}"
    return f"{parts.scheme.lower()}://{host}{port}{parts.path.rstrip('/')}"


def request_body(
    model: str,
    messages: Sequence[Mapping[str, str]],
    *,
    schema_name: str,
    schema: Mapping[str, Any],
    sampling: Mapping[str, Any],
    sample_idx: int,
) -> dict[str, Any]:
    """The Chat Completions body of one sample: k samples are k bodies whose seeds count up from the pack's."""
    body: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages], **sampling}
    body["seed"] = int(sampling.get("seed", 0)) + sample_idx
    body["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": schema_name, "strict": True, "schema": dict(schema)},
    }
    return body


def request_key(body: Mapping[str, Any], endpoint_identity: str, sample_idx: int) -> str:
    """sha256 of everything that can change the answer, and of nothing else."""
    material = {
        "key_version": KEY_VERSION,
        "endpoint": endpoint_identity,
        "sample_idx": sample_idx,
        "body": body,
        "schema_as_ordered": ordered_json(body["response_format"]),
    }
    return sha256_hex(canonical_json(material))


@dataclass(frozen=True)
class Completion:
    """What a reply body says; fields are empty where it is not a chat completion."""

    content: str | None = None
    finish_reason: str = ""
    model: str = ""
    usage: dict[str, Any] = field(default_factory=dict)


def read_completion(raw: bytes) -> Completion:
    """Read a journalled reply body. Never raises: what is not a chat completion reads as an empty one."""
    try:
        body = json.loads(raw)
    except ValueError:
        return Completion()
    if not isinstance(body, dict):
        return Completion()
    model, usage = body.get("model"), body.get("usage")
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    finish_reason = choice.get("finish_reason")
    return Completion(
        content=content if isinstance(content, str) else None,
        finish_reason=finish_reason if isinstance(finish_reason, str) else "",
        model=model if isinstance(model, str) else "",
        usage=usage if isinstance(usage, dict) else {},
    )
