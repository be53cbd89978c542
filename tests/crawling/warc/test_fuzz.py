"""Nothing a server's headers or a list's lines hold raises: drawn by hypothesis, and from the corpus beside."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from crawl_runs import run_crawl
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import HtmlResponse, Response
from scrapy.settings import Settings as ScrapySettings

from sourcing.crawling.error_answers import error_in
from sourcing.crawling.ledger import Ledger, Task
from sourcing.crawling.policy.politeness import host_of, unusable_url
from sourcing.crawling.source import TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.spider.middleware import Redirects
from sourcing.crawling.spider.responses import error_of, exchange_of
from sourcing.crawling.spider.seeding import Seeding, list_feed
from sourcing.crawling.warc.writer import CaptureWriter
from sourcing.errors import UsageError
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Workspace
from sourcing.store.retry_after import LONGEST_S, retry_after_s

CORPUS = Path(__file__).parents[1] / "corpus"
NAMES = ["Retry-After", "Location", "Content-Type", "ETag", "Last-Modified", "Set-Cookie", "Date", "X-Robots-Tag"]
VALUES = st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass"))
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def corpus(name: str) -> list[str]:
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    return [line.encode().decode("unicode_escape") for line in lines if not line.startswith("# ")]


def corpus_answers() -> list[tuple[int, list[bytes]]]:
    answers = []
    for line in corpus("response_headers.txt"):
        status, _, headers = line.partition(" ")
        answers.append((int(status), [header.encode("latin-1") for header in headers.split(" | ")]))
    return answers


def middleware() -> Redirects:
    redirects = Redirects(ScrapySettings({"REDIRECT_ENABLED": True, "REDIRECT_MAX_TIMES": 5}))
    registry = SimpleNamespace(now=lambda: 0.0, sources=SOURCES)
    redirects.crawler = SimpleNamespace(host_registry=registry, spider=SimpleNamespace())  # type: ignore[assignment]
    return redirects


def responses(status: int, headers: list[tuple[str, bytes]]) -> Response:
    fields: dict[str, list[bytes]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    request = Request("http://a.test/a", meta={"source": "schemaorg"})
    return HtmlResponse("http://a.test/a", status=status, headers=fields, body=b"<p>x</p>", request=request)


@FEW
@given(
    st.sampled_from([200, 301, 302, 303, 307, 308, 404, 429, 500, 503]),
    st.lists(st.tuples(st.sampled_from(NAMES), VALUES)),
)
@example(302, [("Location", b"http://[")])
@example(302, [("Location", b"\xff\xfe")])
@example(302, [("Location", b"http://a.test:99999999/"), ("Retry-After", b"\xff")])
@example(302, [("Location", "http://\udcff/".encode("utf-8", "surrogatepass"))])
def test_no_header_raises(tmp_path: Path, status: int, headers: list[tuple[str, bytes]]) -> None:
    response = responses(status, headers)
    wait_s = retry_after_s(response.headers, now=0.0)
    assert wait_s is None or 0 < wait_s <= LONGEST_S
    error_of(response, SOURCES["lastfm"])
    with contextlib.suppress(IgnoreRequest):
        onward = middleware().process_response(response.request, response)  # type: ignore[arg-type]
        assert isinstance(onward, Request | Response)
        if isinstance(onward, Request) and not unusable_url(onward.url):
            assert host_of(onward.url) == "a.test"
    task = Task(0, 1, "0" * 32, "schemaorg", "http://a.test/a", "a.test", "page", None, 0)
    exchange = exchange_of(response, task, SOURCES["schemaorg"], 0.0)
    writer = CaptureWriter(tmp_path / "fuzz", "test")
    writer.write(exchange)
    writer.close()


@FEW
@given(st.text(max_size=40) | st.from_regex(r"https?://[^/]{0,20}(/.{0,9})?", fullmatch=True))
def test_every_text_is_a_task_or_a_row_that_says_why_not(tmp_path: Path, url: str) -> None:
    if not unusable_url(url):
        assert host_of(url) == host_of(url.partition("#")[0])
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        before = sum(ledger.census.totals().values())
        ledger.add([TaskSpec("schemaorg", url, "page", "t1")])
        assert sum(ledger.census.totals().values()) in (before, before + 1)  # as another text before it, or new
        assert all(outcome.finding.encode() for outcome in ledger.census.outcomes())


@FEW
@given(st.binary(max_size=4000))
@example(b'{"error": ' + b"[" * 3000)
@example(b'{"error": {"code": 1e400}}')
@example(b'{"headers": {"code": "\\ud800"}, "error": "\\udfff", "message": "\\ud83d"}')
def test_no_body_raises_where_errors_are_looked_for(body: bytes) -> None:
    for source in SOURCES.values():
        error = error_in(body, source)
        assert error is None or (error.finding.encode() and 0 <= error.wait_s <= LONGEST_S)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["code", "lag", "status", "x"]), inner, max_size=3)
    ),
    max_leaves=4,
)


@FEW
@given(st.dictionaries(st.sampled_from(["error", "errors", "code", "meta", "headers", "message", "retry_after"]), JSON))
def test_no_shape_of_an_error_raises(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    for source in SOURCES.values():
        error = error_in(body, source)
        assert error is None or (error.reason and error.finding.encode() and 0 <= error.wait_s <= LONGEST_S)


@settings(FEW, max_examples=20)
@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(corpus("url_lines.txt")).map(lambda t: t.encode("utf-8", "surrogatepass")),
        max_size=8,
    )
)
def test_no_line_of_a_list_stops_the_feeding(tmp_path: Path, lines: list[bytes]) -> None:
    path, ledger_path = tmp_path / "urls.txt", tmp_path / "fed.sqlite"
    path.write_bytes(b"http://good.test/\n" + b"\n".join(lines))
    ledger_path.unlink(missing_ok=True)
    with contextlib.closing(Ledger(ledger_path)) as ledger:
        seeding = Seeding(ledger, [list_feed(path)])
        while not seeding.done:
            seeding.feed()
        assert not seeding.failures
        assert ledger.lease(100, 0.0, 60.0)[0].url == "http://good.test/"


def test_every_line_of_the_corpus_is_a_task_or_a_row(tmp_path: Path) -> None:
    lines = corpus("url_lines.txt")
    path = tmp_path / "urls.txt"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    chunk = next(list_feed(path).chunks(0))
    assert len(chunk.specs) + len(chunk.refused) >= len(lines) - 2
    with contextlib.closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.add(chunk.specs)
        for spec, reason, finding in chunk.refused:
            ledger.refuse(spec, reason, finding)
        totals = ledger.census.totals()
    assert totals["failed"] >= 14 and totals["pending"] >= 5
    path.write_text("\n".join(["no", "url", "here"]))
    with pytest.raises(UsageError, match="line 1"):
        list_feed(path)


@contextlib.contextmanager
def strange_site(answers: list[tuple[int, list[bytes]]]) -> Iterator[str]:
    """Sends answer n for the first request of /n, as raw bytes, and a plain page for the next."""
    given: set[bytes] = set()

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            head = b""
            while b"\r\n\r\n" not in head and (more := client.recv(4096)):
                head += more
            path = head.split(b" ")[1] if head.count(b" ") > 1 else b"/"
            name = path[1:].split(b"?")[0]
            plain = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 8\r\nConnection: close\r\n\r\n<p>x</p>"
            )
            if not name.isdigit() or name in given or int(name) >= len(answers):
                missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                client.sendall(plain if name.isdigit() else missing)
                return
            given.add(name)
            status, headers = answers[int(name)]
            lengths = any(header.lower().startswith((b"content-length", b"transfer-enc")) for header in headers)
            fields = [*headers, b"Connection: close", *([] if lengths else [b"Content-Length: 8"])]
            client.sendall(b"HTTP/1.1 %d X\r\n" % status + b"\r\n".join(fields) + b"\r\n\r\n<p>x</p>")

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_crawl_of_the_corpus_ends_with_every_page_accounted_for(tmp_path: Path) -> None:
    answers = corpus_answers()
    source = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)
    crawl = CrawlSettings(contact="me@example.org", allow_private_hosts=True, timeout_s=2.0, max_attempts=2)
    with contextlib.ExitStack() as stack:  # each on a host of its own, so that no pause hides the next
        sites = [stack.enter_context(strange_site([answer])) for answer in answers]
        urls = [TaskSpec("schemaorg", f"{site}/0", "page") for site in sites]
        workspace = Workspace(tmp_path)
        result = run_crawl(
            workspace, Settings(crawl=crawl), {"schemaorg": source}, urls=urls, backoff_s=0.01, patience_s=3.0
        )
    assert result.fetched + result.failed + result.denied + result.pending == len(answers)
    assert result.fetched >= 20
    with contextlib.closing(Ledger(tmp_path / "crawl" / "ledger.sqlite")) as ledger:
        assert ledger.census.totals()["leased"] == 0
    rows = workspace.read_rejected().filter(stage="crawl")
    assert rows.height == result.failed + result.denied
    assert all(rows["reason"]) and all(rows["finding"])
