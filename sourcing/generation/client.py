"""ChatClient: one Chat Completions call on the wire, its raw answer, and what each kind of failure means.

The `openai` client says where a call goes and under which headers, and lends its connections; the bytes of each call
then go over them as they are. Its own layers would cost four times the CPU of everything else we do with a call
(`python -m tests.benchmarks wire`). Nothing is sent twice here; `run.py` decides. Nothing is parsed here, so that a
reply can be journalled before anyone looks into it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import aiohttp
import openai
from yarl import URL

from sourcing.generation.connection import CONNECT_TIMEOUT_S, connect
from sourcing.generation.endpoint import Endpoint
from sourcing.generation.ratelimits import read_limits
from sourcing.generation.wire import body_bytes

__all__ = ["Answer", "CallFailed", "ChatClient"]

_KEPT_HEADERS = (
    "date",
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
)
_KEPT_PREFIX = "x-ratelimit-"
_RETRIED_STATUSES = (408, 409, 429)
_FATAL_STATUSES = (401, 402, 403, 404)
#: A gateway gave up waiting; the model behind it may go on, finish and bill.
_GATEWAY_TIMEOUTS = (504, 524)


@dataclass(frozen=True)
class Answer:
    """A reply as it arrived."""

    raw: bytes
    status: int
    headers: Mapping[str, str]


@dataclass
class CallFailed(Exception):
    """A call that brought no reply. `retry`: another try may help; `fatal`: no call of this run can succeed.

    `maybe_answered` is true where the server may have answered, and billed, what never reached us whole: from the
    moment the request is on its way until a status tells otherwise. Such a call is not retried by itself, for that
    would pay twice without a word; only where a gateway timed out (504, 524) both flags are set.
    """

    #: connection_refused (never sent), connection_lost (no byte of a reply), reply_cut (it began and broke off),
    #: timeout, wrong_content_type (a page instead of a reply), http_<status>, quota_exhausted
    outcome: str
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
    """`async with ChatClient(endpoint, ...) as client: answer = await client.send_bytes(body)`."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, concurrency: int) -> None:
        assert endpoint.base_url is not None, "start the embedded model first"
        self._endpoint, self._timeout_s, self._concurrency = endpoint, timeout_s, concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S)
        self._secret = (endpoint.api_key or "").encode()

    async def __aenter__(self) -> ChatClient:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.openai.close()

    @property
    def openai(self) -> openai.AsyncOpenAI:
        """The client beneath, for what is not a chat call; it uses the same connections and never retries."""
        return self._connection.openai

    async def move(self, endpoint: Endpoint) -> None:
        """Go on at another address, as of an embedded server that was started anew; calls in flight are given up."""
        await self._connection.openai.close()
        self._endpoint, self._secret = endpoint, (endpoint.api_key or "").encode()
        await self._connect()

    async def send(self, body: Mapping[str, Any]) -> Answer:
        """Send one body in the order written; see `send_bytes`."""
        return await self.send_bytes(body_bytes(body))

    async def send_bytes(self, body: bytes) -> Answer:
        """Send exactly these bytes, once, and return the raw reply; CallFailed says what came instead."""
        return await self._ask("POST", self._connection.chat_url, body)

    async def get(self, path: str) -> Answer:
        """What the server says of itself, free of charge: `models` below the base URL, `/props` below the host."""
        return await self._ask("GET", self._connection.base_url.join(URL(path)), None)

    async def _connect(self) -> None:
        self._connection = await connect(self._endpoint, timeout_s=self._timeout_s, concurrency=self._concurrency)

    async def _ask(self, method: str, url: URL, body: bytes | None) -> Answer:
        status: int | None = None
        try:
            async with self._connection.session.request(
                method,
                url,
                data=body,
                headers=self._connection.headers,
                timeout=self._timeout,
                allow_redirects=False,  # a key goes nowhere but where it was meant for
                proxy=self._connection.proxy,
            ) as response:
                status = response.status
                raw = self._clean(await response.read())
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            raise self._broken_off(error, status) from None
        headers = self._kept(response.headers)
        if status >= 300:
            raise self._refused(status, headers, raw, response.headers.get("location"))
        if "json" not in headers.get("content-type", "json") and not raw.lstrip().startswith((b"{", b"[")):
            kind = headers["content-type"].partition(";")[0]
            message = f"HTTP {status} with {kind} where JSON was expected: {_line(raw)}"
            raise CallFailed("wrong_content_type", message, status, headers, raw, retry=True)
        return Answer(raw, status, headers)

    def _refused(self, status: int, headers: dict[str, str], raw: bytes, location: str | None) -> CallFailed:
        message, code = _error_message(raw)
        if status < 400:
            target = (location or "nowhere").partition("?")[0]
            message = f"it sends calls on to {self._clean(target.encode()).decode()}; name that address instead"
        spent = code == "insufficient_quota"
        return CallFailed(
            outcome="quota_exhausted" if spent else f"http_{status}",
            message=f"HTTP {status}: {message}" if message else f"HTTP {status}",
            status=status,
            headers=headers,
            raw=raw,
            retry=not spent and (status in _RETRIED_STATUSES or status >= 500),
            fatal=spent or status in _FATAL_STATUSES or status < 400,
            maybe_answered=status in _GATEWAY_TIMEOUTS,
            retry_after_s=read_limits(headers, now=time.time()).retry_after_s,
        )

    def _broken_off(self, error: Exception, status: int | None) -> CallFailed:
        """Tell apart what was never sent, what broke and what timed out; `status` once the reply had begun.

        A server answers a call that does not stream when the model has finished: a reply that began was billed.
        """
        found = self._clean(str(error).encode(errors="replace")).decode()
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return CallFailed("connection_refused", _connect_finding(error, found), retry=True)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return CallFailed("connection_refused", f"the proxy answered HTTP {error.status}", retry=True)
        if isinstance(error, aiohttp.InvalidURL):
            return CallFailed("connection_refused", f"no address to send to ({found})", fatal=True)
        if isinstance(error, TimeoutError):
            begun = "no reply" if status is None else "the reply began but was not whole"
            message = f"{begun} in {self._timeout_s:g} s; it may have been answered and billed"
            return CallFailed("timeout", message, status, maybe_answered=True)
        if status is None:
            message = f"the connection broke before a reply came ({found}); it may have been answered and billed"
            return CallFailed("connection_lost", message, maybe_answered=True)
        message = f"the connection broke before the reply was whole ({found}); it will have been billed"
        return CallFailed("reply_cut", message, status, maybe_answered=True)

    def _clean(self, raw: bytes) -> bytes:
        """The bytes without our own key, should a server ever echo it."""
        return raw.replace(self._secret, b"[key]") if len(self._secret) >= 8 else raw

    def _kept(self, headers: Mapping[str, str]) -> dict[str, str]:
        kept = {}
        for name, value in headers.items():
            name = name.lower()
            if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX):
                kept[name] = self._clean(value.encode(errors="surrogateescape")).decode(errors="replace")
        return kept


def _connect_finding(error: Exception, found: str) -> str:
    causes = list(_causes(error))
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return f"no secure connection ({found})"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its host name is not known"
    return f"no connection ({found})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__


def _error_message(raw: bytes) -> tuple[str, str]:
    """Message and code of an error body, as far as it has them; cut to a line."""
    try:
        body = json.loads(raw)
    except ValueError:
        return _line(raw), ""
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return str(error)[:300], ""
    code = error.get("code") or error.get("type") or ""
    return " ".join(str(error.get("message", "")).split())[:300], str(code)


def _line(raw: bytes) -> str:
    return " ".join(raw[:200].decode("utf-8", errors="replace").split())
