"""Request bodies and keys, canonical JSON and endpoint addresses, as pure functions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

__all__ = [
    "KEY_VERSION",
    "body_bytes",
    "canonical_json",
    "normalise_base_url",
    "ordered_json",
    "request_body",
    "request_key",
    "sha256_hex",
    "unstreamed",
]

#: Raised only when the meaning of a key changes; every call would then be made anew.
KEY_VERSION = 1

_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_json(value: Any) -> str:
    """Compact JSON with sorted keys: equal values give equal text; ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def ordered_json(value: Any) -> str:
    """Compact JSON in insertion order, for output schemas: a model answers the properties in schema order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def body_bytes(body: Mapping[str, Any]) -> bytes:
    """Serialise a request body for sending: compact JSON in insertion order, UTF-8, escaped for lone surrogates."""
    try:
        return ordered_json(body).encode()
    except UnicodeEncodeError:  # half a surrogate pair, out of a broken page: only an escape can carry it
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode()


def unstreamed(body: bytes) -> bytes:
    """Body plus `"stream":false`, for servers that stream by default.

    Added on sending and no part of the request key: the field changes the transport and not the answer, so replies
    journalled under the plain body remain valid.
    """
    return body[:-1] + b',"stream":false}'


def sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()


def normalise_base_url(url: str) -> str:
    """Normalise an endpoint's URL: scheme, host, non-default port and path; user, password and query are dropped."""
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
    """Chat Completions body of one sample, with the pack's seed plus `sample_idx` and a strict JSON schema."""
    body: dict[str, Any] = {"model": model, "messages": [dict(message) for message in messages], **sampling}
    body["seed"] = int(sampling.get("seed", 0)) + sample_idx
    body["response_format"] = {
        "type": "json_schema",
        "json_schema": {"name": schema_name, "strict": True, "schema": dict(schema)},
    }
    return body


def request_key(body: Mapping[str, Any], endpoint_identity: str, sample_idx: int) -> str:
    """SHA-256 of exactly the parts of a request that can change the answer: body, endpoint, sample and schema order."""
    material = {
        "key_version": KEY_VERSION,
        "endpoint": endpoint_identity,
        "sample_idx": sample_idx,
        "body": body,
        "schema_as_ordered": ordered_json(body["response_format"]),
    }
    return sha256_hex(canonical_json(material))
