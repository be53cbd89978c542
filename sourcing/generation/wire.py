"""Request bodies, canonical JSON and request keys, as pure values: canonical JSON, endpoint addresses, request bodies
and keys.
"""

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


def unstreamed(body: bytes) -> bytes:
    """The body with the wish to be answered in one piece, which some servers have to be told.

    It is added as a call is sent and is no part of its key: it changes how the answer travels and not what it says, and
    every reply that was journalled under the plain body stays the answer to it.
    """
    return body[:-1] + b',"stream":false}'


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
    """sha256 of every part of a request that can change the answer, and no other part."""
    material = {
        "key_version": KEY_VERSION,
        "endpoint": endpoint_identity,
        "sample_idx": sample_idx,
        "body": body,
        "schema_as_ordered": ordered_json(body["response_format"]),
    }
    return sha256_hex(canonical_json(material))
