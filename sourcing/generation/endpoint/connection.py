"""Connection: the `openai` client of an endpoint, and the way by which it sends a chat call, worked out once.

Address, headers, key, proxy, certificates and connection pool remain the client's own doing; only the bytes of each
call no longer pass its layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai
from yarl import URL

from sourcing.errors import UsageError
from sourcing.generation.endpoint.endpoint import Endpoint

__all__ = ["CONNECT_TIMEOUT_S", "Connection", "connect", "openai_client"]

CONNECT_TIMEOUT_S = 10.0
#: Shorter than servers keep idle connections (uvicorn 5 s): a call must not meet one that is just being closed.
_KEEPALIVE_S = 3.0
_CHAT_PATH = "chat/completions"
_SET_BY_TRANSPORT = ("host", "connection", "content-length", "accept-encoding")
_NO_KEY = "none-needed"  # the client insists on one; servers without keys ignore it


@dataclass(frozen=True)
class Connection:
    """The client, session, address and headers of chat calls; closing `openai` closes the session beneath it."""

    openai: openai.AsyncOpenAI
    session: aiohttp.ClientSession
    chat_url: URL
    base_url: URL  # with a slash at its end, to join paths to
    headers: Mapping[str, str]
    proxy: URL | None


async def connect(endpoint: Endpoint, *, timeout_s: float, concurrency: int) -> Connection:
    """Let the client compose one call, unsent, and take over its address, headers, session and proxy."""
    client, http = openai_client(endpoint, timeout_s=timeout_s, concurrency=concurrency)
    request = await _compose(client, http)
    # The transport this address is reached by, behind the proxy that the environment names for it: httpx2 tells neither
    # by a public name (2.16), so this reads a private one; every call of `test_client.py` goes by it, also by a proxy.
    transport: Any = http._transport_for_url(request.url)
    proxy = _proxy_url(transport.proxy)
    if transport.client is None:
        transport.client = transport.get_client()
    chat_url = URL(str(request.url), encoded=True)
    base_path = chat_url.raw_path.removesuffix(_CHAT_PATH)
    return Connection(
        openai=client,
        session=transport.client,
        chat_url=chat_url,
        base_url=chat_url.with_path(base_path, encoded=True),
        headers={name: value for name, value in request.headers.items() if name not in _SET_BY_TRANSPORT},
        proxy=proxy,
    )


def openai_client(
    endpoint: Endpoint, *, timeout_s: float, concurrency: int
) -> tuple[openai.AsyncOpenAI, httpx2.AsyncClient]:
    """Client of this endpoint's dialect, without retries, and the HTTP client beneath."""
    assert endpoint.base_url is not None, "start the embedded model first"
    loopback = urlsplit(endpoint.base_url).hostname in ("127.0.0.1", "::1", "localhost")
    http = openai.DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=_KEEPALIVE_S
        ),
        trust_env=not loopback,
    )
    dialect = endpoint.dialect
    common: dict[str, Any] = {
        "base_url": dialect.address(endpoint.base_url, endpoint.model),
        "api_key": endpoint.api_key or _NO_KEY,
        "max_retries": 0,
        "timeout": httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=None),
        "http_client": http,
    }
    if dialect.key_header == "api-key":
        return openai.AsyncAzureOpenAI(api_version=dialect.api_version, **common), http
    return openai.AsyncOpenAI(**common), http


class _Composed(Exception):
    """Carries a request out of the client just before sending."""

    def __init__(self, request: httpx2.Request) -> None:
        super().__init__("composed, not sent")
        self.request = request


async def _compose(client: openai.AsyncOpenAI, http: httpx2.AsyncClient) -> httpx2.Request:
    async def catch(request: httpx2.Request) -> None:
        raise _Composed(request)

    http.event_hooks = {"request": [catch]}
    try:
        await client.post(f"/{_CHAT_PATH}", content=b"{}", cast_to=httpx2.Response)
    except _Composed as signal:
        return signal.request
    finally:
        http.event_hooks = {}
    raise AssertionError("the openai client sent a request without asking its hooks")


def _proxy_url(proxy: httpx2.Proxy | None) -> URL | None:
    """The proxy in aiohttp's form, with user and password in the address."""
    if proxy is None:
        return None
    url = URL(str(proxy.url))
    if url.scheme not in ("http", "https"):
        raise UsageError(f"proxy {url}", "it is not an http(s) one", "name an http proxy, or use NO_PROXY")
    user, password = proxy.auth or (None, None)
    return url.with_user(user).with_password(password) if user else url
