"""ChatClient: one Chat Completions call on the wire, its raw answer, and what each kind of failure means.

The `openai` client sends and never retries; `run.py` decides. Nothing is parsed here, so that a reply can be
journalled before anyone looks into it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from sourcing.generation.endpoint import Endpoint

__all__ = ["Answer", "CallFailed", "ChatClient"]

_CONNECT_TIMEOUT_S = 10.0
_KEPT_HEADERS = (
    "date",
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
)
_KEPT_PREFIX = "x-ratelimit-"
_RETRIED_STATUSES = (408, 409, 429)
_FATAL_STATUSES = (401, 402, 403, 404)
_NO_KEY = "none-needed"  # the client insists on one; servers without keys ignore it


@dataclass(frozen=True)
class Answer:
    """A reply as it arrived."""

    raw: bytes
    status: int
    headers: Mapping[str, str]


@dataclass
class CallFailed(Exception):
    """A call that brought no reply. `retry`: another try may help; `fatal`: no call of this run can succeed.

    `maybe_answered` is true where the server may have answered, and billed, what never reached us.
    """

    outcome: str  # connection_refused, connection_lost, timeout, http_<status>, quota_exhausted
    message: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    retry: bool = False
    fatal: bool = False
    maybe_answered: bool = False
    retry_after_s: float | None = None

    def __str__(self) -> str:
        return self.message


class ChatClient:
    """`async with ChatClient(endpoint, ...) as client: answer = await client.send(body)`."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, concurrency: int) -> None:
        assert endpoint.base_url is not None, "start the embedded model first"
        self._secret = endpoint.api_key or ""
        loopback = urlsplit(endpoint.base_url).hostname in ("127.0.0.1", "::1", "localhost")
        self._client = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or _NO_KEY,
            max_retries=0,
            timeout=httpx2.Timeout(timeout_s, connect=_CONNECT_TIMEOUT_S, pool=None),
            http_client=openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
                trust_env=not loopback,
            ),
        )

    async def __aenter__(self) -> ChatClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def send(self, body: Mapping[str, Any]) -> Answer:
        """Send one body and return the raw reply; CallFailed says what came instead."""
        try:
            response = await self._client.chat.completions.with_raw_response.create(**body)
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            raise _not_reached(error) from None
        answer = response.http_response
        return Answer(self._clean(answer.content), answer.status_code, _kept(answer.headers))

    def _refused(self, error: openai.APIStatusError) -> CallFailed:
        status, raw = error.response.status_code, self._clean(error.response.content)
        message, code = _error_message(raw)
        spent = code == "insufficient_quota"
        return CallFailed(
            outcome="quota_exhausted" if spent else f"http_{status}",
            message=f"HTTP {status}: {message}" if message else f"HTTP {status}",
            status=status,
            headers=_kept(error.response.headers),
            raw=raw,
            retry=not spent and (status in _RETRIED_STATUSES or status >= 500),
            fatal=spent or status in _FATAL_STATUSES,
            retry_after_s=_retry_after_s(error.response.headers),
        )

    def _clean(self, raw: bytes) -> bytes:
        """The body without our own key, should a server ever echo it."""
        secret = self._secret.encode()
        return raw.replace(secret, b"[key]") if len(secret) >= 8 else raw


def _not_reached(error: openai.APIConnectionError) -> CallFailed:
    """Tell apart what was never sent, what broke and what timed out.

    The transport reports a refused, a broken and an unresolved connection alike as a connect timeout (openai 3.54), so
    the exception that aiohttp raised below it decides.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return CallFailed("connection_refused", _connect_finding(causes), retry=True)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return CallFailed("timeout", "no reply in time; it may have been answered and billed", maybe_answered=True)
    return CallFailed("connection_lost", f"the connection broke before the reply was whole ({causes[-1]})", retry=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _connect_finding(causes: Sequence[BaseException]) -> str:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its host name is not known"
    return f"no connection ({causes[-1]})"


def _error_message(raw: bytes) -> tuple[str, str]:
    """Message and code of an error body, as far as it has them; cut to a line."""
    try:
        body = json.loads(raw)
    except ValueError:
        return " ".join(raw[:200].decode("utf-8", errors="replace").split()), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error)[:300], ""
    code = error.get("code") or error.get("type") or ""
    return " ".join(str(error.get("message", "")).split())[:300], str(code)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    named = {name.lower(): value for name, value in headers.items()}
    return {name: value for name, value in named.items() if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX)}


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds a server asks us to wait: `retry-after-ms`, or `Retry-After` as seconds or a date; nonsense is None."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) * unit_s
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        at = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
