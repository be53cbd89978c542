"""ChatClient: sends one Chat Completions call, and gives its raw reply or the failure that it was.

The `openai` client says where a call goes and under which headers, and lends its connections; the bytes of each call
then go over them as they are. Its own layers would cost four times the CPU of everything else we do with a call
(`python -m tests.benchmarks wire`). Nothing is sent twice here; `run.py` decides. Nothing is parsed here, so that a
reply can be journalled before anyone looks into it; `failures.py` says what it then proves to be.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import aiohttp
import openai
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from sourcing.generation.endpoint.connection import CONNECT_TIMEOUT_S, connect
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.replies.bounded_json import whole_text
from sourcing.generation.replies.failures import CallFailed, MaybeAnswered, NoAddress, NotSent, RawReply, refusal
from sourcing.generation.replies.parsed_reply import MAX_REPLY_BYTES
from sourcing.generation.replies.redaction import without_keys
from sourcing.generation.replies.server_error import FILTER_STATUSES, ServerError, read_error_body
from sourcing.generation.wire import body_bytes
from sourcing.redactor import know, redact

__all__ = ["ChatClient"]

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


class ChatClient:
    """Sends calls: `async with ChatClient(endpoint, ...) as client: answer = await client.send_bytes(body)`."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, concurrency: int) -> None:
        assert endpoint.base_url is not None, "start the embedded model first"
        self._endpoint, self._timeout_s, self._concurrency = endpoint, timeout_s, concurrency
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S)
        know(endpoint.api_key)  # should the server ever echo it

    async def __aenter__(self) -> ChatClient:
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.openai.close()

    @property
    def openai(self) -> openai.AsyncOpenAI:
        """The `openai` client beneath, for files, batches and lists; it uses the same connections and never retries."""
        return self._connection.openai

    async def move(self, endpoint: Endpoint) -> None:
        """Continue at another address, as of a restarted embedded server; calls in flight are given up."""
        await self._connection.openai.close()
        self._endpoint = endpoint
        know(endpoint.api_key)
        await self._connect()

    async def send(self, body: Mapping[str, Any]) -> RawReply:
        """Send one body in the order written; see `send_bytes`."""
        return await self.send_bytes(body_bytes(body))

    async def send_bytes(self, body: bytes) -> RawReply:
        """Send exactly these bytes, once, and return the raw reply; CallFailed says what came instead."""
        return await self._ask("POST", self._connection.chat_url, body)

    async def get(self, path: str) -> RawReply:
        """Ask the server a free question by GET: `models` below the base URL, `/props` below the host."""
        return await self._ask("GET", self._connection.base_url.join(URL(path)), None)

    async def _connect(self) -> None:
        self._connection = await connect(self._endpoint, timeout_s=self._timeout_s, concurrency=self._concurrency)

    async def _ask(self, method: str, url: URL, body: bytes | None) -> RawReply:
        status: int | None = None
        reply_bytes = bytearray()
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
                while len(reply_bytes) <= MAX_REPLY_BYTES and (piece := await response.content.readany()):
                    reply_bytes += piece
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:  # a TimeoutError is an OSError
            raise self._broken_off(error, status, without_keys(bytes(reply_bytes))) from None
        raw = without_keys(bytes(reply_bytes))
        headers = _headers_to_keep(response.headers)
        if status >= 300:
            server_error = read_error_body(raw)
            if not (
                server_error.is_filter and status in FILTER_STATUSES
            ):  # what a filter says is the answer to the call
                raise self._refused(status, headers, raw, server_error, response.headers.get("location"))
        return RawReply(raw, status, headers)

    def _refused(
        self, status: int, headers: dict[str, str], raw: bytes, error: ServerError, location: str | None
    ) -> CallFailed:
        message = error.message
        if status < 400:
            target = redact(whole_text((location or "nowhere").partition("?")[0]))
            message = f"it sends calls on to {target}"
        return refusal(status, error.code, headers, message=message, raw=raw)

    def _broken_off(self, error: Exception, status: int | None, reply_bytes: bytes) -> CallFailed:
        """Tell failures before sending, broken connections and timeouts apart; `status` once the reply had begun.

        A server answers a call that does not stream when the model has finished: a reply that began was billed.
        """
        reason = redact(str(error))
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return NotSent("connection_refused", _connect_finding(error, reason))
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return NotSent("connection_refused", f"the proxy answered HTTP {error.status}")
        if isinstance(error, aiohttp.InvalidURL):
            return NoAddress("connection_refused", f"no address to send to ({reason})")
        if isinstance(error, TimeoutError):
            progress = "no reply" if status is None else "the reply began but was not whole"
            message = f"{progress} in {self._timeout_s:g} s; it may have been answered and billed"
            return MaybeAnswered("timeout", message, status=status, raw=reply_bytes or None)
        if status is None:
            message = f"the connection broke before a reply came ({reason}); it may have been answered and billed"
            return MaybeAnswered("connection_lost", message)
        message = f"the connection broke before the reply was whole ({reason}); it will have been billed"
        return MaybeAnswered("reply_cut", message, status=status, raw=reply_bytes or None)


def _headers_to_keep(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that the journal keeps; one that comes twice is joined by a comma, as RFC 9110 §5.3 has it."""
    headers_to_keep: dict[str, str] = {}
    for name, value in headers.items():
        name = name.lower()
        if name in _KEPT_HEADERS or name.startswith(_KEPT_PREFIX):
            headers_to_keep[name] = f"{headers_to_keep[name]}, {value}" if name in headers_to_keep else value
    if redact(together := " ".join(headers_to_keep.values())) != together:
        headers_to_keep = {name: redact(value) for name, value in headers_to_keep.items()}
    return {name: whole_text(value) for name, value in headers_to_keep.items()}


def _connect_finding(error: Exception, reason: str) -> str:
    causes = list(_causes(error))
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
        return f"no secure connection ({reason})"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "its host name is not known"
    return f"no connection ({reason})"


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or at.__context__
