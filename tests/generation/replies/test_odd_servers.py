"""Servers whose headers, lengths and encodings are nonsense: every call ends as an answer or a failure with a name."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from chatserver import completion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.replies.failures import CallFailed, RawReply, failure_of
from sourcing.generation.replies.parsed_reply import MAX_REPLY_BYTES, ParsedReply

GOOD = completion('{"aspects": []}').encode()


@contextmanager
def wire_server(replies: list[bytes]) -> Iterator[str]:
    """Writes one of these to each request, byte for byte, and closes; the last one for all that follow."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += connection.recv(65536)
                    connection.sendall(replies.pop(0) if len(replies) > 1 else replies[0])
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()


def outcome(url: str) -> str:
    """What became of one call; every text of it encodes."""

    async def call() -> RawReply:
        to = Endpoint(name=url, identity=f"{url} m", model="m", base_url=f"{url}/v1", api_key="sk-0123456789")
        async with ChatClient(to, timeout_s=5, concurrency=1) as client:
            return await client.send_bytes(b"{}")

    try:
        answer = asyncio.run(call())
    except CallFailed as caught:
        failure: CallFailed | None = caught
        headers = caught.headers
    else:
        failure = failure_of(ParsedReply.read(answer.raw), answer)
        headers = answer.headers
    json.dumps([str(failure), dict(headers)], ensure_ascii=False).encode()
    return "answered" if failure is None else failure.outcome


def http(body: bytes = GOOD, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, *headers]
    if not any(b"ength" in line or b"hunked" in line for line in headers):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.mark.parametrize(
    ("raw", "became"),
    [
        (http(GOOD, b"Content-Type: \xff\xfe"), "answered"),
        (http(GOOD, b"X-Request-Id: \xed\xa0\xbd"), "answered"),
        (http(GOOD, b"X-RateLimit-Limit-Tokens: " + b"9" * 5000), "answered"),
        (http(GOOD, b"Retry-After: 99999999999999999999"), "answered"),
        (http(GOOD, b"Date: Tue, 99 Foo 99999 99:99:99 +9999999"), "answered"),
        (http(GOOD, b"Set-Cookie: \xff=\x80; ="), "answered"),
        (http(GOOD, b"Content-Type: text/html", b"Content-Type: application/json"), "answered"),
        (http(gzip.compress(GOOD, mtime=0), b"Content-Encoding: gzip"), "answered"),
        (http(b"no gzip at all", b"Content-Encoding: gzip"), "reply_cut"),
        (http(gzip.compress(GOOD, mtime=0)[:40], b"Content-Encoding: gzip"), "reply_unreadable"),
        (http(gzip.compress(b" " * (MAX_REPLY_BYTES * 5), mtime=0), b"Content-Encoding: gzip"), "reply_unreadable"),
        (http(b" " * (MAX_REPLY_BYTES * 5)), "reply_unreadable"),
        (http(GOOD, b"Content-Length: 99999"), "reply_cut"),
        (http(GOOD, b"Content-Length: -1"), "connection_lost"),
        (http(GOOD, b"Transfer-Encoding: chunked"), "connection_lost"),
        (http(b"", status=b"204 No Content"), "reply_unreadable"),
        (http(GOOD, b"Content-Range: bytes 0-1/9", status=b"206 Partial Content"), "answered"),
        (http(GOOD[:20], status=b"206 Partial Content"), "reply_unreadable"),
        (http(b"", b"Location: http://\xff\xfe/\xed\xa0\xbd", status=b"302 Found"), "http_302"),
        (http(b"", status=b"304 Not Modified"), "http_304"),
        (http(b'{"error":{"message":"\\ud83d","code":"\\udfff"}}', status=b"400 Bad"), "http_400"),
        (http(b'{"error":{"message":"no","code":"content_filter"}}', status=b"400 Bad"), "answered"),
        (http(b'{"error":{"message":"no","type":"moderation_blocked"}}', status=b"403 No"), "answered"),
        (http(b'{"error":{"message":"no","code":"content_filter"}}', status=b"429 Slow"), "http_429"),
        (http(b'{"error":{"message":"no","code":"content_filter"}}', status=b"500 Oops"), "http_500"),
        (http(b"the safety system was here", status=b"400 Bad"), "http_400"),
        (http(b'{"error":' + b"[" * 5000, status=b"500 Oops"), "http_500"),
        (http(b'{"error":{"message":' + b"9" * 5000 + b"}}", status=b"503 Oops"), "http_503"),
        (http(b"[" * 100_000, status=b"429 Slow"), "http_429"),
        (b"HTTP/1.1 200 OK\r\nbroken\r\n\r\n", "connection_lost"),
        (b"\x16\x03\x01\x02\x00", "connection_lost"),
        (b"", "connection_lost"),
    ],
)
def test_a_server_that_speaks_nonsense_ends_in_an_outcome(raw: bytes, became: str) -> None:
    with wire_server([raw]) as url:
        assert outcome(url) == became


HEADERS = st.sampled_from(
    [b"Content-Type", b"Date", b"Retry-After", b"retry-after-ms", b"x-ratelimit-remaining-requests", b"Location",
     b"x-ratelimit-reset-tokens", b"X-Request-Id", b"Content-Encoding", b"Content-Length", b"Set-Cookie"]
)  # fmt: skip
VALUES = st.binary(max_size=30).map(lambda value: value.translate(None, b"\r\n\0")) | st.sampled_from(
    [
        b"9" * 40,
        b"-1",
        b"1e999",
        b"NaN",
        b"gzip",
        b"7s",
        b"\xed\xa0\xbd",
    ]
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(HEADERS, VALUES), max_size=4), st.sampled_from([b"200 OK", b"429 Slow", b"307 Go", b"500 X"]))
def test_no_headers_stop_a_call(headers: list[tuple[bytes, bytes]], status: bytes) -> None:
    with wire_server([http(GOOD, *(name + b": " + value for name, value in headers), status=status)]) as url:
        assert outcome(url)
