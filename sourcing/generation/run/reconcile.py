"""Reconcile: unknown calls looked up among the completions stored at the endpoint, so that no call is paid twice.

With `[generation] store_completions`, calls carry their request key as metadata. A completion made before a crash is
found by the key and fetched free of charge.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random_exponential
from yarl import URL

from sourcing.errors import CrossmusimError, UpstreamError, UsageError
from sourcing.generation.calls import CallEnd
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import Journal
from sourcing.generation.replies.bounded_json import load_json, whole_text
from sourcing.generation.replies.failures import CallFailed, RawReply, failure_of
from sourcing.generation.replies.parsed_reply import ParsedReply

__all__ = ["METADATA_KEY", "keep_at_endpoint", "reconcile_unknown"]

#: Name of the metadata field with the request key; its value is the key's first 64 characters.
METADATA_KEY = "crossmusim_key"

_NOT_OFFERED = (400, 404, 405, 501)


def keep_at_endpoint(body: bytes, request_key: str) -> bytes:
    """Body plus `"store":true` and the request key of the plain body as metadata."""
    note = json.dumps({METADATA_KEY: request_key}, separators=(",", ":")).encode()
    return body[:-1] + b',"store":true,"metadata":' + note + b"}"


@dataclass(frozen=True)
class Patience:
    """Timeout of one look-up, number of attempts, and backoff between attempts."""

    timeout_s: float = 60.0
    max_attempts: int = 4
    backoff_s: float = 1.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


def reconcile_unknown(
    journal: Journal,
    endpoint: Endpoint,
    run_id: int | None = None,
    *,
    account: str | None = None,
    patience: Patience = Patience(),
    on_progress: Callable[[int], object] = lambda _of: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[str, int]:
    """Look up all unknown calls of endpoint and model (of `run_id`, if given); returns counts `found` and `missing`.

    A found completion is journalled as received, with the outcome `reconciled`; the next run checks and charges it. A
    missing call stays unknown, as it may be listed later. UsageError where the endpoint stores no completions,
    UpstreamError when a look-up fails. `account` is the budget's scope, None for each run's prompt hash. `on_progress`
    is called after each call with the total.
    """
    waiting = journal.reader.unknown_calls(endpoint.identity, endpoint.model, run_id)
    if not waiting:
        return {"found": 0, "missing": 0}
    if endpoint.base_url is None:
        raise _not_offered(endpoint, "the embedded model keeps no completions")

    async def look_all() -> dict[str, int]:
        counts = {"found": 0, "missing": 0}
        async with ChatClient(endpoint, timeout_s=patience.timeout_s, concurrency=1) as client:
            for call_id, key, prompt_hash in waiting:
                answer = await _stored(client, endpoint, key, ask)
                if answer is not None:
                    with journal.transaction():
                        end = CallEnd("replied", "reconciled", answer.status, answer.headers, answer.raw)
                        journal.settle(call_id, end, at=clock(), scope=account or prompt_hash)
                counts["missing" if answer is None else "found"] += 1
                on_progress(len(waiting))
        return counts

    async def ask(client: ChatClient, path: str) -> RawReply:
        retrying = AsyncRetrying(
            # Asking what is stored costs nothing and changes nothing: it may be asked again whatever happened.
            retry=retry_if_exception(lambda e: isinstance(e, CallFailed) and (e.retry or e.maybe_answered)),
            stop=stop_after_attempt(patience.max_attempts),
            wait=wait_random_exponential(multiplier=patience.backoff_s, max=60),
            sleep=patience.sleep,
            reraise=True,
        )
        answer: RawReply = await retrying(client.get, path)
        return answer

    return asyncio.run(look_all())


async def _stored(
    client: ChatClient, endpoint: Endpoint, key: str, ask: Callable[[ChatClient, str], Awaitable[RawReply]]
) -> RawReply | None:
    """First completion listed under the call's key and still stored; None without one, or when it holds no answer."""
    path = URL.build(path="chat/completions", query={f"metadata[{METADATA_KEY}]": key[:64]})
    try:
        listing = await ask(client, str(path))
    except CallFailed as failure:
        raise _refused(endpoint, failure) from None
    for entry in _entries(endpoint, listing.raw):
        # Not every server heeds the filter.
        metadata, name = entry.get("metadata"), entry.get("id")
        if not isinstance(metadata, dict) or metadata.get(METADATA_KEY) != key[:64] or not isinstance(name, str):
            continue
        try:
            answer = await ask(client, str(URL.build(path=f"chat/completions/{whole_text(name)}")))
        except CallFailed as failure:
            if failure.status != 404:  # removed in the meantime
                raise _refused(endpoint, failure) from None
        else:
            return answer if failure_of(ParsedReply.read(answer.raw), answer) is None else None
    return None


def _entries(endpoint: Endpoint, raw: bytes) -> list[dict[str, Any]]:
    try:
        value = load_json(raw.decode(errors="replace"))
    except ValueError:
        value = None
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list):
        raise _not_offered(endpoint, "its list of stored completions is none")
    return [entry for entry in data if isinstance(entry, dict)]


def _refused(endpoint: Endpoint, failure: CallFailed) -> CrossmusimError:
    if failure.status in _NOT_OFFERED:
        return _not_offered(endpoint, f"it does not list stored completions ({failure})")
    if failure.status in (401, 403):
        cure = "set OPENAI_API_KEY to a key that may read stored completions"
    else:
        cure = "run the same command again, or use --on-unknown hold"
    return UpstreamError(endpoint.name, f"stored completions cannot be looked up ({failure})", cure)


def _not_offered(endpoint: Endpoint, finding: str) -> UsageError:
    cure = "use --on-unknown hold to leave those calls, or --on-unknown resend to pay again"
    return UsageError(endpoint.name, finding, cure)
