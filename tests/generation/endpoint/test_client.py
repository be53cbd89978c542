"""One call on the wire, against loopback servers that behave, misbehave, break off and never answer."""

from __future__ import annotations

import asyncio
import datetime
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from chatserver import chat_server, completion, json_reply
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from genworld import SECRET
from loopback import Asked, Loopback, Reply

from sourcing.errors import UsageError
from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.connection import openai_client
from sourcing.generation.endpoint.dialect import DIALECTS
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.replies.failures import CallFailed, RawReply, failure_of
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.wire import body_bytes, ordered_json

BODY = {"model": "m", "messages": [{"role": "user", "content": "schön 慢板"}], "max_tokens": 5}
GOOD = completion("{}").encode()


def endpoint(url: str, **changes: object) -> Endpoint:
    return replace(
        Endpoint(name=url, identity=f"{url} m", model="m", base_url=f"{url}/v1", api_key=SECRET),
        **changes,  # type: ignore[arg-type]
    )


def ask(to: Endpoint, body: bytes = body_bytes(BODY), *, timeout_s: float = 20.0) -> RawReply:
    async def call() -> RawReply:
        async with ChatClient(to, timeout_s=timeout_s, concurrency=2) as client:
            return await client.send_bytes(body)

    return asyncio.run(call())


def refused(to: Endpoint, *, timeout_s: float = 20.0) -> CallFailed:
    with pytest.raises(CallFailed) as error_info:
        ask(to, timeout_s=timeout_s)
    assert SECRET not in repr(error_info.value)
    return error_info.value


@contextmanager
def raw_server(act: Callable[[socket.socket], object], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Reads each whole request, then does with the connection what `act` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

        def handle(connection: socket.socket) -> None:
            try:
                with tls.wrap_socket(connection, server_side=True) if tls else connection as channel:
                    head, _, body = read_until(channel, b"\r\n\r\n").partition(b"\r\n\r\n")
                    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                    while len(body) < length:
                        body += channel.recv(65536)
                    act(channel)
            except OSError:
                pass  # the client hung up first, as it should

        threading.Thread(target=serve, daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def read_until(channel: socket.socket, end: bytes) -> bytes:
    received_bytes = b""
    while end not in received_bytes:
        chunk = channel.recv(65536)
        if not chunk:
            raise ConnectionError
        received_bytes += chunk
    return received_bytes


def head(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length


def reset(channel: socket.socket) -> None:
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    channel.close()


def test_the_bytes_handed_in_are_the_bytes_sent_and_the_reply_comes_back_untouched() -> None:
    odd = b'{ "model":"m",\n "messages" : [] }'
    with chat_server(lambda _body, _request: json_reply(GOOD.decode(), X_RateLimit_Limit_Requests="60")) as server:
        answer = ask(endpoint(server.url), odd)
        assert [request.body for request in server.log] == [odd]
    assert (answer.raw, answer.status) == (GOOD, 200)
    assert answer.headers["x-ratelimit-limit-requests"] == "60"
    assert "server" not in answer.headers


def test_a_mapping_is_sent_in_the_order_written() -> None:
    async def call(url: str) -> None:
        async with ChatClient(endpoint(url), timeout_s=20, concurrency=1) as client:
            await client.send(BODY)

    with chat_server(lambda _body, _request: json_reply(GOOD.decode())) as server:
        asyncio.run(call(server.url))
        assert server.log[0].body == ordered_json(BODY).encode()


def test_half_a_surrogate_pair_still_makes_a_body_that_servers_can_read() -> None:
    broken = {"model": "m", "messages": [{"role": "user", "content": "cut \ud83d here"}]}
    assert json.loads(body_bytes(broken).decode()) == broken


@pytest.mark.parametrize("name", ["openai", "azure", "compatible"])
def test_what_goes_out_is_what_the_openai_client_itself_would_send(name: str) -> None:
    dialect = DIALECTS[name]

    async def compare(url: str) -> None:
        to = endpoint(url, dialect=dialect)
        client, _ = openai_client(to, timeout_s=20, concurrency=1)
        async with client, ChatClient(to, timeout_s=20, concurrency=1) as ours:
            await client.chat.completions.create(**BODY)  # type: ignore[call-overload]
            await ours.send(BODY)

    with chat_server(lambda _body, _request: json_reply(GOOD.decode())) as server:
        asyncio.run(compare(server.url))
        theirs, ours = server.log
    transport = {"host", "accept-encoding", "content-length", "connection"}
    sent = [
        {key.lower(): value for key, value in request.headers.items() if key.lower() not in transport}
        for request in (theirs, ours)
    ]
    assert sent[0] == sent[1]
    assert SECRET in sent[1]["api-key" if name == "azure" else "authorization"]
    assert ("authorization" in sent[1]) == (name != "azure")
    assert theirs.path == ours.path
    assert json.loads(theirs.body) == json.loads(ours.body)


def test_connections_are_kept_and_shared_with_the_openai_client() -> None:
    peers = set()

    async def call(url: str) -> None:
        async with ChatClient(endpoint(url), timeout_s=20, concurrency=1) as client:
            for _ in range(3):
                await client.send(BODY)
            await client.openai.models.list()

    def answer(request: Asked) -> Reply:
        peers.add(threading.get_ident())  # one thread to a connection
        return json_reply('{"object": "list", "data": []}' if request.method == "GET" else GOOD.decode())

    with Loopback(answer) as server:
        asyncio.run(call(server.url))
        assert len(server.log) == 4
    assert len(peers) == 1


def test_a_call_never_sent_may_be_sent_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = refused(endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert (failure.outcome, str(failure)) == ("connection_refused", "connection refused")
    assert failure.retry and not failure.maybe_answered
    failure = refused(endpoint("http://model-server.invalid"))
    assert (failure.outcome, str(failure)) == ("connection_refused", "its host name is not known")


@pytest.mark.parametrize(
    ("act", "outcome", "status", "words"),
    [
        (reset, "connection_lost", None, "before a reply came"),
        (lambda channel: channel.close(), "connection_lost", None, "before a reply came"),
        (lambda channel: channel.sendall(b"220 mail ready\r\n\r\n"), "connection_lost", None, "before a reply came"),
        (lambda channel: (channel.sendall(head(500) + GOOD[:99]), reset(channel)), "reply_cut", 200, "was whole"),
        (lambda channel: channel.sendall(head(5000) + GOOD), "reply_cut", 200, "will have been billed"),
    ],
    ids=["reset", "closed", "not-http", "reset-mid-body", "content-length-short"],
)
def test_what_breaks_after_it_was_sent_may_be_billed_and_is_not_sent_again(
    act: Callable[[socket.socket], object], outcome: str, status: int | None, words: str
) -> None:
    with raw_server(act) as url:
        failure = refused(endpoint(url))
    assert (failure.outcome, failure.status) == (outcome, status)
    assert failure.maybe_answered and not failure.retry and not failure.fatal
    assert words in str(failure)


def test_a_server_that_never_answers_and_one_that_drips_both_run_out_of_time() -> None:
    over = threading.Event()

    def drip(channel: socket.socket) -> None:
        channel.sendall(head(100_000))
        while not over.wait(0.02):
            channel.sendall(b" ")

    with raw_server(lambda _channel: over.wait(20)) as url:
        silent = refused(endpoint(url), timeout_s=0.2)
    with raw_server(drip) as url:
        slow = refused(endpoint(url), timeout_s=0.2)
    over.set()
    assert (silent.outcome, silent.status, slow.outcome, slow.status) == ("timeout", None, "timeout", 200)
    assert silent.maybe_answered and slow.maybe_answered and not silent.retry and not slow.retry
    assert str(silent).startswith("no reply in 0.2 s")
    assert str(slow).startswith("the reply began but was not whole in 0.2 s")


def test_a_page_where_a_reply_should_be_is_named_and_kept() -> None:
    page = "<html><title>Sign in</title></html>"
    with chat_server(lambda _body, _request: Reply(page)) as server:
        answer = ask(endpoint(server.url))
    failure = failure_of(ParsedReply.read(answer.raw), answer)
    assert answer.raw == page.encode() and failure is not None
    assert (failure.outcome, failure.status) == ("reply_unreadable", 200)
    assert "Sign in" in str(failure)
    assert failure.maybe_answered and not failure.retry, "it may have been billed, and is not asked again"


def test_json_under_a_wrong_name_is_a_reply_all_the_same() -> None:
    with chat_server(lambda _body, _request: Reply(GOOD)) as server:
        assert ask(endpoint(server.url)).raw == GOOD


@pytest.mark.parametrize(
    ("status", "body", "outcome", "retry", "fatal", "maybe"),
    [
        (400, '{"error": {"message": "too long"}}', "http_400", False, False, False),
        (401, '{"error": {"message": "bad key"}}', "http_401", False, True, False),
        (402, "{}", "http_402", False, True, False),
        (404, '{"detail": "Not Found"}', "http_404", False, True, False),
        (408, "{}", "http_408", True, False, False),
        (409, "{}", "http_409", True, False, False),
        (429, '{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', "http_429", True, False, False),
        (429, '{"error": {"message": "spent", "code": "insufficient_quota"}}', "quota_exhausted", False, True, False),
        (500, "<html>oops</html>", "http_500", True, False, False),
        (503, "", "http_503", True, False, False),
        (504, "gateway", "http_504", True, False, True),
        (524, "gateway", "http_524", True, False, True),
    ],
)
def test_each_refusal_says_whether_another_try_may_help(
    status: int, body: str, outcome: str, retry: bool, fatal: bool, maybe: bool
) -> None:
    with chat_server(lambda _body, _request: json_reply(body, status, Retry_After="7")) as server:
        failure = refused(endpoint(server.url))
        assert len(server.log) == 1  # the client itself never tries again
    assert (failure.outcome, failure.status, failure.raw) == (outcome, status, body.encode())
    assert (failure.retry, failure.fatal, failure.maybe_answered) == (retry, fatal, maybe)
    assert failure.retry_after_s == 7.0


def test_the_pause_that_azure_asks_for_in_its_own_header_is_kept_and_read() -> None:
    request = {"X_Ms_Retry_After_Ms": "2500"}
    with chat_server(lambda _body, _request: json_reply("{}", 429, **request)) as server:
        failure = refused(endpoint(server.url))
    assert failure.retry_after_s == 2.5
    assert failure.headers["x-ms-retry-after-ms"] == "2500"


def test_a_redirect_is_not_followed_for_the_key_would_go_along() -> None:
    with chat_server(lambda _body, _request: json_reply(GOOD.decode())) as other:
        elsewhere = f"{other.url}/v1/chat/completions?token={SECRET}"
        with chat_server(lambda _body, _request: json_reply("", 307, Location=elsewhere)) as server:
            failure = refused(endpoint(server.url))
        assert other.log == []
    assert (failure.outcome, failure.fatal) == ("http_307", True)
    assert f"{other.url}/v1/chat/completions" in str(failure)


def test_a_key_that_a_server_echoes_is_kept_nowhere() -> None:
    def echo(_body: object, request: Asked) -> Reply:
        said = request.headers["authorization"]
        return json_reply(json.dumps({"error": {"message": f"bad {said}"}}), 400, X_Request_Id=said)

    with chat_server(echo) as server:
        failure = refused(endpoint(server.url))
        assert server.log[0].headers["authorization"] == f"Bearer {SECRET}"
    assert failure.headers["x-request-id"] == "Bearer [key]"
    assert failure.raw is not None and SECRET.encode() not in failure.raw
    assert str(failure) == "HTTP 400: bad Bearer [key]"


def test_the_proxy_of_the_environment_is_used_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with chat_server(lambda _body, _request: json_reply(GOOD.decode())) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("http://", "http://user:pass@"))
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(endpoint("http://model.example")).raw == GOOD
        (request,) = proxy.log
    assert request.path == "http://model.example/v1/chat/completions"
    assert request.headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"


def test_a_proxy_of_a_kind_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "socks5://user:pass@127.0.0.1:9")
    with pytest.raises(UsageError, match=r"socks5://127\.0\.0\.1:9") as error_info:
        ask(endpoint("http://model.example"))
    assert "pass" not in str(error_info.value)


def test_a_loopback_server_is_reached_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with chat_server(lambda _body, _request: json_reply(GOOD.decode())) as server:
        assert ask(endpoint(server.url)).raw == GOOD


def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    heard: list[socket.socket] = []
    with raw_server(heard.append, context) as url:
        failure = refused(endpoint(url))
    assert heard == []
    assert failure.outcome == "connection_refused" and not failure.maybe_answered
    assert str(failure).startswith("no secure connection")


def test_a_client_goes_on_at_the_address_a_restarted_server_has() -> None:
    async def call(first: str, second: str) -> None:
        async with ChatClient(endpoint(first), timeout_s=20, concurrency=1) as client:
            await client.send(BODY)
            await client.move(endpoint(second, api_key="sk-another-9876543210"))
            await client.send(BODY)

    reply = json_reply(GOOD.decode())
    with chat_server(lambda _body, _request: reply) as first, chat_server(lambda _body, _request: reply) as second:
        asyncio.run(call(first.url, second.url))
        assert [len(server.log) for server in (first, second)] == [1, 1]
        assert second.log[0].headers["authorization"] == "Bearer sk-another-9876543210"


def test_a_server_is_asked_about_itself_below_its_base_and_below_its_host() -> None:
    async def call(to: Endpoint) -> None:
        async with ChatClient(to, timeout_s=20, concurrency=1) as client:
            await client.get("models")
            await client.get("/props")

    with Loopback(lambda _request: json_reply("{}")) as server:
        asyncio.run(call(endpoint(server.url)))
        asyncio.run(call(endpoint(server.url, base_url=server.url, dialect=DIALECTS["azure"])))
        paths = [request.path for request in server.log]
    assert paths[:2] == ["/v1/models", "/props"]
    assert paths[2].startswith("/openai/deployments/m/models")
