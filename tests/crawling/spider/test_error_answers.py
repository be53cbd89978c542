"""Answers that are errors: asked again, left alone or given up, never a document, and each with a reason."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl_runs import run_crawl
from loopback import Asked, Loopback, Reply

from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents
from sourcing.crawling.error_answers import error_in
from sourcing.crawling.ledger import Ledger
from sourcing.crawling.policy.site_signals import WELL_KNOWN
from sourcing.crawling.source import ErrorRules, Source, TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.spider.run import CrawlResult
from sourcing.crawling.warc.reader import read_captured
from sourcing.errors import UpstreamError
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Document, Workspace

LASTFM = replace(SOURCES["lastfm"], rate_per_s=10_000.0, concurrency=2)
TRACK = json.dumps({"track": {"name": "Low Tide", "artist": {"name": "Kite"}}})

#: source, body, meaning, reason
ERRORS: list[tuple[str, Any, str, str]] = [
    ("lastfm", {"error": 8, "message": "Operation failed"}, "later", "service_failed"),
    ("lastfm", {"message": "Service Offline", "error": "11"}, "later", "service_failed"),
    ("lastfm", {"error": 16, "message": "Temporarily unavailable", "links": []}, "later", "service_failed"),
    ("lastfm", {"error": 29, "message": "Rate Limit Exceeded"}, "later", "rate_exceeded"),
    ("lastfm", {"error": 10, "message": "Invalid API key"}, "no", "key_refused"),
    ("lastfm", {"error": 26, "message": "Suspended API key"}, "no", "key_refused"),
    ("lastfm", {"error": 6, "message": "Track not found"}, "gone", "not_found"),
    ("lastfm", {"error": 3, "message": "Invalid method"}, "gone", "api_error"),
    ("wikipedia", {"error": {"code": "ratelimited", "info": "x"}}, "later", "ratelimited"),
    ("wikipedia", {"error": {"code": "maxlag", "info": "Waiting", "lag": 7.5}}, "later", "maxlag"),
    ("wikidata", {"error": {"code": "readonly", "info": "locked"}}, "later", "readonly"),
    ("wikidata", {"error": {"code": "internal_api_error_DBQueryError"}}, "later", "internal_api_error"),
    ("wikipedia", {"errors": [{"code": "maxlag", "text": "x"}]}, "later", "maxlag"),
    ("wikipedia", {"error": {"code": "cirrussearch-too-busy-error"}}, "later", "service_failed"),
    ("wikipedia", {"error": {"code": "blocked", "info": "x"}}, "no", "blocked"),
    ("wikipedia", {"error": {"code": "missingtitle"}}, "gone", "not_found"),
    ("jamendo", {"headers": {"status": "failed", "code": 6}, "results": []}, "later", "rate_exceeded"),
    ("jamendo", {"headers": {"status": "failed", "code": 1}}, "later", "service_failed"),
    ("jamendo", {"headers": {"status": "failed", "code": 5}}, "no", "key_refused"),
    ("jamendo", {"headers": {"status": "failed", "code": "11"}}, "no", "key_refused"),
    ("jamendo", {"headers": {"status": "failed", "code": 3}}, "gone", "api_error"),
    ("discogs", {"message": "You are making requests too quickly."}, "later", "rate_exceeded"),
    ("discogs", {"message": "Query time exceeded. Please try a simpler query."}, "later", "service_failed"),
    ("discogs", {"message": "You must authenticate to access this resource."}, "no", "key_refused"),
    ("discogs", {"message": "Release not found."}, "gone", "not_found"),
    ("musicbrainz", {"error": "Your requests are exceeding the allowable rate limit."}, "later", "rate_exceeded"),
    ("musicbrainz", {"error": "The server is currently busy. Please try again later."}, "later", "service_failed"),
    ("musicbrainz", {"error": "Not Found", "help": "x"}, "gone", "not_found"),
    ("listenbrainz", {"code": 429, "error": "You have exceeded your rate limit"}, "later", "rate_exceeded"),
    ("listenbrainz", {"code": 503, "error": "x"}, "later", "service_failed"),
    ("genius", {"meta": {"status": 429, "message": "x"}}, "later", "rate_exceeded"),
    ("genius", {"meta": {"status": 500}}, "later", "service_failed"),
    ("genius", {"error": "invalid_token", "error_description": "x"}, "no", "key_refused"),
    ("genius", {"meta": {"status": 404, "message": "Not found"}}, "gone", "not_found"),
    ("reddit", {"error": 429, "message": "Too Many Requests"}, "later", "rate_exceeded"),
    ("reddit", {"error": 401, "message": "Unauthorized"}, "no", "key_refused"),
    ("internetarchive", {"error": "Too many requests, slow down"}, "later", "rate_exceeded"),
    ("internetarchive", {"error": "the search engine timed out"}, "later", "service_failed"),
    ("internetarchive", {"error": "couldn't locate item"}, "gone", "not_found"),
]


@pytest.mark.parametrize(("source", "body", "meaning", "reason"), ERRORS)
def test_every_api_says_later_no_or_gone(source: str, body: Any, meaning: str, reason: str) -> None:
    error = error_in(json.dumps(body).encode(), SOURCES[source])
    assert error is not None
    assert (error.meaning, error.reason) == (meaning, reason)


@pytest.mark.parametrize(
    ("source", "body"),
    [
        ("lastfm", {"track": {"name": "error"}}),
        ("wikipedia", {"query": {"pages": [{"title": '"error"', "extract": '{"error": 29}'}]}}),
        ("jamendo", {"headers": {"status": "success", "code": 0}, "results": [{"code": 6}]}),
        ("discogs", {"id": 1, "title": "x", "notes": '"message": "too many"'}),
        ("genius", {"meta": {"status": 200}, "response": {"song": {"message": "429", "error": 1}}}),
        ("musicbrainz", {"id": "x", "title": "error"}),
        ("listenbrainz", {"x": {"error": "y"}}),
        ("schemaorg", {"error": 29}),
    ],
)
def test_an_answer_is_no_error(source: str, body: Any) -> None:
    assert error_in(json.dumps(body).encode(), SOURCES[source]) is None


def test_every_keyed_or_open_api_declares_its_errors() -> None:
    read_json = {"discogs", "genius", "internetarchive", "jamendo", "lastfm", "listenbrainz", "musicbrainz", "reddit"}
    declared = {name for name, source in SOURCES.items() if source.errors is not None}
    assert declared == read_json | {"wikidata", "wikipedia"}
    for name in declared:
        rules = SOURCES[name].errors
        assert rules is not None
        assert {meaning for _, meaning, _ in rules.rules} <= {"later", "no", "gone"}


def api(*answers: Reply | str, then: str = TRACK) -> Loopback:
    """Gives these answers in turn and then `then`, to whatever is asked but robots.txt."""
    turns = list(answers)

    def handle(asked: Asked) -> Reply:
        if asked.path in ("/robots.txt", *WELL_KNOWN):
            return Reply("", 404)
        answer = turns.pop(0) if turns else then
        return answer if isinstance(answer, Reply) else Reply(answer, headers={"Content-Type": "application/json"})

    return Loopback(handle)


def crawl(folder: Path, server: Loopback, *names: str, source: Source = LASTFM, **options: Any) -> CrawlResult:
    settings = Settings(crawl=CrawlSettings(contact="me@example.org", allow_private_hosts=True))
    sources = {source.name: replace(source, base_url=server.url)}
    urls = [TaskSpec(source.name, f"{server.url}/2.0/?track={name}", source.pages[0].kind) for name in names]
    options = {"backoff_s": 0.01, "patience_s": 3.0, "urls": urls, **options}
    return run_crawl(Workspace(folder), settings, sources, None, **options)


def times(server: Loopback) -> list[float]:
    return [asked.at_s for asked in server.log if asked.path.startswith("/2.0/")]


def rejected(folder: Path) -> list[tuple[str, str, str]]:
    rows = Workspace(folder).read_rejected().sort("stage", "key").iter_rows(named=True)
    return [(row["stage"], row["reason"], row["finding"]) for row in rows]


def error(code: int, status: int = 200, **headers: str) -> Reply:
    return Reply(json.dumps({"error": code, "message": "words of theirs"}), status, headers)


@pytest.mark.parametrize("code", [8, 11, 16, 29])
def test_a_passing_error_is_asked_again_and_the_replay_knows_the_answer_alone(tmp_path: Path, code: int) -> None:
    with api(error(code)) as server:
        result = crawl(tmp_path, server, "a")
        assert len(times(server)) == 2
    assert (result.fetched, result.documents, result.rejected, result.pending) == (1, 1, 0, 0)
    workspace = Workspace(tmp_path)
    bodies = [capture.body for capture in read_captured(workspace.crawl_dir)]
    assert len(bodies) == 2 and b"words of theirs" in bodies[0]  # what was answered is kept
    table = workspace.table_path(Document).read_bytes()
    assert rebuild_documents(workspace, {"lastfm": LASTFM}, ReplayOptions(fresh=True)) == (1, 0)
    assert workspace.table_path(Document).read_bytes() == table


@pytest.mark.parametrize(
    "answer",
    [
        error(29, 200, **{"Retry-After": "1"}),
        error(8, 400, **{"Retry-After": "0"}),
        error(11, 500),
        Reply('{"error": {"code": "maxlag", "lag": 1}}', headers={"MediaWiki-API-Error": "maxlag", "Retry-After": "1"}),
    ],
)
def test_the_whole_host_rests_for_as_long_as_the_error_asks(tmp_path: Path, answer: Reply) -> None:
    with api(answer) as server:
        result = crawl(tmp_path, server, "a", "b", "c", source=replace(LASTFM, concurrency=1), backoff_s=0.4)
        first, *others = times(server)
    assert min(others) - first >= (0.95 if answer.headers.get("Retry-After") == "1" else 0.38)
    assert result.fetched == 3


def test_a_lag_that_is_told_in_the_body_is_waited_for(tmp_path: Path) -> None:
    lagging = json.dumps({"error": {"code": "maxlag", "info": "x", "lag": 0.7}})
    with api(lagging, then='{"query": {"search": []}}') as server:
        source = replace(SOURCES["wikidata"], rate_per_s=1000.0)
        assert crawl(tmp_path, server, "a", source=source).fetched == 1
        first, second = times(server)
    assert second - first >= 0.65


def test_an_error_that_does_not_pass_is_a_row_with_its_reason_and_retry_reaches_it(tmp_path: Path) -> None:
    with api(*[error(8)] * 3) as server:
        result = crawl(tmp_path, server, "a")
        assert (result.fetched, result.failed, result.documents) == (0, 1, 0)
        assert rejected(tmp_path) == [("crawl", "service_failed", "error 8: words of theirs")]
        assert crawl(tmp_path, server, retry=["rate_exceeded"]).fetched == 0
        result = crawl(tmp_path, server, retry=["service_failed"])
    assert (result.fetched, result.failed, result.documents, result.rejected) == (1, 0, 1, 0)


def test_an_error_put_off_to_the_next_run_is_told_and_reached_by_retry(tmp_path: Path) -> None:
    with api(error(29, 200, **{"Retry-After": "3600"}), then=TRACK) as server:
        result = crawl(tmp_path, server, "a")
        assert (result.pending, result.failed, len(times(server))) == (1, 0, 1)
        with closing(Ledger(tmp_path / "crawl" / "ledger.sqlite")) as ledger:
            assert ledger.census.reasons() == {"lastfm": {"pending": {"rate_exceeded": 1}}}
            ((_, until, n),) = ledger.census.paused_tasks(time.time())
            assert (n, until > time.time() + 3000) == (1, True)
            ledger._db.execute("UPDATE hosts SET paused_until = 0")
        assert crawl(tmp_path, server, retry=["rate_exceeded"]).fetched == 1


@pytest.mark.parametrize("answer", [error(10), error(26, 403)])
def test_a_key_that_is_refused_ends_the_source_for_this_run_and_costs_no_attempt(tmp_path: Path, answer: Reply) -> None:
    with api(*[answer] * 50) as server:
        for _ in range(2):
            with pytest.raises(UpstreamError, match="lastfm refuses to be asked \\(key_refused: error "):
                crawl(tmp_path, server, *"abcdefgh", retry=["key_refused"])
        assert len(times(server)) <= 2 * LASTFM.concurrency
    with api() as mended:
        with closing(Ledger(tmp_path / "crawl" / "ledger.sqlite")) as ledger:
            assert ledger.census.totals()["pending"] == 8
            ledger._db.execute("UPDATE tasks SET url = replace(url, ?, ?)", (server.url, mended.url))
            host = mended.url.removeprefix("http://")
            ledger._db.execute("UPDATE queues SET host = ?", (host,))
        result = crawl(tmp_path, mended, retry=["key_refused"])
    assert (result.fetched, result.pending) == (8, 0)


def test_a_record_that_is_gone_is_final_and_no_page_that_was_fetched(tmp_path: Path) -> None:
    with api(error(6)) as server:
        result = crawl(tmp_path, server, "a")
        assert (result.fetched, result.failed, len(times(server))) == (0, 1, 1)
        assert rejected(tmp_path) == [("crawl", "not_found", "error 6: words of theirs")]
        assert crawl(tmp_path, server).asked == 0
        assert crawl(tmp_path, server, retry=["not_found"]).fetched == 1


def test_an_error_later_does_not_take_the_earlier_document_away(tmp_path: Path) -> None:
    with api(TRACK, error(6)) as server:
        assert crawl(tmp_path, server, "a").documents == 1
        assert crawl(tmp_path, server, again_after_s=0.0).documents == 1


def test_what_a_killed_process_left_of_an_error_is_no_page_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with api(error(8)) as server:
        with monkeypatch.context() as patch, pytest.raises(Exception, match="No space left"):
            patch.setattr("sourcing.crawling.ledger.Ledger.mark_warc", dies)
            crawl(tmp_path, server, "a")
        result = crawl(tmp_path, server)
    assert (result.fetched, result.documents, result.rejected) == (1, 1, 0)


def test_no_key_stands_in_what_is_told_of_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LASTFM_API_KEY", "SECRETKEY0123")
    told = json.dumps({"error": 10, "message": "Invalid API key SECRETKEY0123"})
    for status in (200, 403):
        with api(*[Reply(told, status)] * 9) as server, pytest.raises(UpstreamError) as raised:
            crawl(tmp_path / str(status), server, "a")
        assert "SECRETKEY0123" not in str(raised.value)
        for path in (tmp_path / str(status) / "crawl").iterdir():
            assert b"SECRETKEY0123" not in path.read_bytes()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"error"',
        b'{"error": ' + b"[" * 60_000,
        b'{"error": ' + b"9" * 60_000 + b"}",
        b'{"error": 1e999}',
        b'{"error": "\\ud83d"}',
        b'{"error": null}',
        b'{"error": {"a": {"b": 1}}}',
        b'\xff\xfe{"error": 29}',
        b'[{"error": 29}]',
        b'{"error": [[[29]]], "retry_after": 1e400, "message": 5}',
        b'{"error": ' + b'"x"' + b" " * 70_000 + b"}",
    ],
)
def test_no_body_is_too_strange(body: bytes) -> None:
    rules = ErrorRules(codes=("error", "a.b.c"), rules=(("29", "later", "x"),), message="message")
    found = error_in(body, replace(LASTFM, errors=rules))
    assert found is None or found.finding.encode()
