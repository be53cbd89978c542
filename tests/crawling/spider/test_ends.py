"""A crawl ends and asks once: redirects between hosts, patience, leases, bad seeds and a locked ledger."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl_runs import run_crawl
from loopback import Asked, Loopback, Reply

from sourcing.crawling.ledger import Ledger
from sourcing.crawling.policy.politeness import host_of, origin_of, unusable_url
from sourcing.crawling.policy.site_signals import WELL_KNOWN
from sourcing.crawling.source import Page, TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.spider.run import CrawlResult
from sourcing.errors import InputError, StoppedShort, UsageError
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Document, Workspace

SITE_FILES = ("/robots.txt", *WELL_KNOWN)
FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)
GONE = "127.0.0.1:9"  # nothing listens there
SONG = (
    '<script type="application/ld+json">{"@type": "MusicRecording", "name": "Low Tide",'
    ' "byArtist": {"@type": "MusicGroup", "name": "Kite"}}</script>'
)


def site(pages: dict[str, Reply | Callable[[Asked], Reply]] | None = None) -> Loopback:
    """A song on every path but those of `pages`; no site files but those."""

    def handle(asked: Asked) -> Reply:
        page = (pages or {}).get(asked.path, Reply("", 404) if asked.path in SITE_FILES else Reply(SONG))
        return page(asked) if callable(page) else page

    return Loopback(handle)


def to(address: str, status: int = 302, **headers: str) -> Reply:
    return Reply("", status, {"Location": address, **headers})


def crawl(
    folder: Path, *urls: str, source: Any = FAST, crawl: dict[str, Any] | None = None, **options: Any
) -> CrawlResult:
    given = {"contact": "me@example.org", "allow_private_hosts": True, **(crawl or {})}
    specs = [TaskSpec("schemaorg", url, "page") for url in urls]
    options = {"backoff_s": 0.01, "patience_s": 3.0, "urls": specs, **options}
    return run_crawl(Workspace(folder), Settings(crawl=CrawlSettings(**given)), {"schemaorg": source}, None, **options)


def pages(server: Loopback) -> Counter[str]:
    return Counter(asked.path for asked in server.log if asked.path not in SITE_FILES)


def lost(folder: Path) -> dict[str, tuple[str, str]]:
    rows = Workspace(folder).read_rejected().filter(stage="crawl").iter_rows(named=True)
    return {row["key"]: (row["reason"], row["finding"]) for row in rows}


@contextmanager
def opened(folder: Path) -> Iterator[Ledger]:
    with closing(Ledger(Workspace(folder).crawl_dir / "ledger.sqlite")) as ledger:
        yield ledger


# --- redirects ---


def test_a_redirect_to_a_host_that_is_gone_is_asked_once_and_left_to_the_next_run(tmp_path: Path) -> None:
    moved = {f"/{n}": to(f"http://{GONE}/{n}") for n in range(20)}
    with site(moved) as server:
        urls = [f"{server.url}/{n}" for n in range(21)]
        first = crawl(tmp_path, *urls)
        second = crawl(tmp_path, f"{server.url}/more")
        assert pages(server) == Counter(["/more", *(f"/{n}" for n in range(21))])
    for n, result in enumerate((first, second), start=1):
        assert (result.fetched, result.pending, result.failed) == (n, 20, 0)
        assert f"{GONE} cannot be reached" in " ".join(result.notes)


def test_a_host_that_comes_back_gets_what_redirects_left_for_it(tmp_path: Path) -> None:
    with socket.socket() as reserved:  # bound, not listening: whoever asks is refused
        reserved.bind(("127.0.0.1", 0))
        target = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with site({"/a": to(f"{target}/b")}) as server:
            assert crawl(tmp_path, f"{server.url}/a", f"{server.url}/x").pending == 1
            with site() as elsewhere, opened(tmp_path) as ledger:  # the same host, as far as the ledger goes
                ledger._db.execute("UPDATE tasks SET onward = ? WHERE onward IS NOT NULL", (f"{elsewhere.url}/b",))
                ledger._db.execute(
                    "UPDATE queues SET host = ? WHERE host = ?", (host_of(elsewhere.url), host_of(target))
                )
                result = crawl(tmp_path)
                assert (pages(elsewhere), pages(server)["/a"]) == ({"/b": 1}, 1)
    assert (result.fetched, result.pending) == (2, 0)


def test_an_attempt_after_a_redirect_asks_the_host_it_led_to_and_counts_for_the_task(tmp_path: Path) -> None:
    with site({"/b": Reply("", 500)}) as target, site({"/a": to(f"{target.url}/b")}) as server:
        result = crawl(tmp_path, f"{server.url}/a", f"{server.url}/ok")
        assert (pages(server)["/a"], pages(target)) == (1, {"/b": 3})
        assert lost(tmp_path)[f"{server.url}/a"][0] == "http_500"
        again = crawl(tmp_path, retry=["http_500"])  # from the start
        assert (pages(server)["/a"], pages(target)) == (2, {"/b": 6})
    assert (result.failed, again.failed) == (1, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirected_page_is_a_document_of_the_address_it_was_found_at(tmp_path: Path, status: int) -> None:
    with site() as target, site({"/a": to(f"{target.url}/b#part", status)}) as server:
        assert crawl(tmp_path, f"{server.url}/a").fetched == 1
        assert Workspace(tmp_path).read(Document)["url"].to_list() == [f"{target.url}/b"]
        assert crawl(tmp_path, again_after_s=0.0).fetched == 1
        assert (pages(server), pages(target)) == ({"/a": 2}, {"/b": 2})


def test_chains_and_loops_between_hosts_end(tmp_path: Path) -> None:
    with ExitStack() as stack:
        servers: list[Loopback] = []
        for _ in range(2):
            servers.append(stack.enter_context(site({f"/{n}": lambda asked: hop(asked) for n in range(20)})))

        def hop(asked: Asked) -> Reply:
            here = int(asked.headers["Host"].rpartition(":")[2])
            other = next(server.url for server in servers if not server.url.endswith(f":{here}"))
            return to(f"{other}/{int(asked.path[1:]) + 1}")

        result = crawl(tmp_path / "chain", f"{servers[0].url}/0", f"{servers[0].url}/ok")
        assert sum(sum(pages(server).values()) for server in servers) == 1 + 6  # five redirects are followed
        assert lost(tmp_path / "chain")[f"{servers[0].url}/0"][0] == "too_many_redirects"
        assert (result.fetched, result.failed, result.pending) == (1, 1, 0)


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("data:text/html,hello", "http_302"),
        ("file:///etc/passwd", "http_302"),
        ("javascript:alert(1)", "http_302"),
        ("http://[bad/", "http_302"),
        ("http://a.test:99999/", "http_302"),
        ("http://", "http_302"),
        ("//", "http_302"),
        ("http://a.test:port/", "http_302"),
        ("gopher://a.test", "http_302"),
        ("", "http_302"),
    ],
)
def test_a_location_that_leads_nowhere_is_a_failed_task(tmp_path: Path, location: str, reason: str) -> None:
    with site({"/a": to(location)}) as server:
        result = crawl(tmp_path, f"{server.url}/a", f"{server.url}/ok")
        assert pages(server)["/a"] <= 6
    found, finding = lost(tmp_path)[f"{server.url}/a"]
    assert found in {reason, "url_unusable", "too_many_redirects"} and finding
    assert (result.fetched, result.failed, result.pending) == (1, 1, 0)


def test_a_choice_without_a_location_is_a_failed_task(tmp_path: Path) -> None:
    with site({"/a": Reply("choose", 300), "/b": Reply("", 302)}) as server:
        result = crawl(tmp_path, f"{server.url}/a", f"{server.url}/b", f"{server.url}/ok")
    assert {reason for reason, _ in lost(tmp_path).values()} == {"http_300", "http_302"}
    assert (result.fetched, result.failed) == (1, 2)


def test_a_redirect_to_a_private_address_is_not_followed(tmp_path: Path) -> None:
    secret = site()
    with secret, site({"/a": to(secret.url + "/secret")}) as server, opened(tmp_path) as ledger:
        ledger.add([TaskSpec("schemaorg", "http://93.184.215.14/a", "page")])
        (task,) = ledger.lease(1, 0.0, 60.0)
        ledger.moved(task.key, "schemaorg", f"{secret.url}/secret")
        ledger.run.rest()
        result = crawl(tmp_path, crawl={"allow_private_hosts": False})
        assert (secret.log, server.log) == ([], [])
    assert result.failed == 1
    assert lost(tmp_path)["http://93.184.215.14/a"][0] == "private_host"


def test_a_redirect_to_a_host_that_forbids_it_is_denied_and_to_a_paused_one_waits(tmp_path: Path) -> None:
    no = {"/robots.txt": Reply("User-agent: *\nDisallow: /")}
    with site(no) as forbidden, site() as paused:
        with site({"/a": to(f"{forbidden.url}/x"), "/b": to(f"{paused.url}/x")}) as server:
            with opened(tmp_path) as ledger:
                ledger.run.pause(host_of(paused.url), time.time() + 3600)
            result = crawl(tmp_path, f"{server.url}/a", f"{server.url}/b", f"{server.url}/ok")
        assert (pages(forbidden), paused.log) == ({}, [])
    assert (result.fetched, result.denied, result.pending) == (1, 1, 1)
    assert lost(tmp_path)[f"{server.url}/a"] == ("robots.txt", "robots.txt: disallowed")
    assert f"{host_of(paused.url)} is to be left alone until" in " ".join(result.notes)


def test_a_redirect_that_says_when_is_followed_then(tmp_path: Path) -> None:
    with site({"/a": to("/b", 302, **{"Retry-After": "1"})}) as server:
        assert crawl(tmp_path, f"{server.url}/a").fetched == 1
        moved, landed = (entry.at_s for entry in server.log if entry.path in ("/a", "/b"))
    assert landed - moved >= 0.95


def test_two_spellings_of_a_host_are_one_host(tmp_path: Path) -> None:
    with site() as server:
        port = server.url.rpartition(":")[2]
        spellings = [f"http://127.0.0.1:{port}/1", f"http://127.1:{port}/2", f"http://0x7f.1:{port}/3"]
        crawl(tmp_path, *spellings)
        assert [asked.path for asked in server.log].count("/robots.txt") == 1
    with opened(tmp_path) as ledger:
        assert ledger._db.execute("SELECT host FROM queues").fetchall() == [(f"127.0.0.1:{port}",)]


@pytest.mark.parametrize(
    ("url", "host", "origin"),
    [
        ("HTTP://EXAMPLE.org:80/a", "example.org", "http://example.org"),
        ("https://example.org.:443", "example.org", "https://example.org"),
        ("http://user:word@Example.ORG/", "example.org", "http://example.org"),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://XN--BCHER-KVA.example", "xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://[0:0::1]:8080/", "[::1]:8080", "http://[::1]:8080"),
        ("http://[::ffff:10.0.0.1]/", "10.0.0.1", "http://10.0.0.1"),
        ("http://0x0a.1/", "10.0.0.1", "http://10.0.0.1"),
        ("http://example.org:443/", "example.org:443", "http://example.org:443"),
        ("https://example.org:80/", "example.org:80", "https://example.org:80"),
    ],
)
def test_a_host_has_one_name(url: str, host: str, origin: str) -> None:
    assert (host_of(url), origin_of(url)) == (host, origin)


# --- patience ---


def test_a_host_with_a_crawl_delay_beyond_the_patience_is_left_to_the_next_run_and_told(tmp_path: Path) -> None:
    with site({"/robots.txt": Reply("User-agent: *\nCrawl-delay: 100000")}) as slow, site() as well:
        result = crawl(tmp_path, *[f"{slow.url}/{n}" for n in range(5)], *[f"{well.url}/{n}" for n in range(5)])
        again = crawl(tmp_path)
        assert [entry.path for entry in slow.log] == ["/robots.txt"]
        assert sum(pages(well).values()) == 5
    assert (result.fetched, result.pending, result.failed, again.asked) == (5, 5, 0, 0)
    for told in (result.notes, again.notes):
        assert f"{host_of(slow.url)} is to be left alone until" in " ".join(told)
        assert "crawl.patience_s = 3 allows: 5 tasks are left to the next run" in " ".join(told)


@pytest.mark.parametrize("delay", ["1e300", "99999999999999999999", "100000.5", "1e5"])
def test_no_crawl_delay_is_too_long_to_be_told(tmp_path: Path, delay: str) -> None:
    with site({"/robots.txt": Reply(f"User-agent: *\nCrawl-delay: {delay}")}) as slow, site() as well:
        result = crawl(tmp_path, f"{slow.url}/a", f"{well.url}/a")
        assert pages(slow) == {}
    assert (result.fetched, result.pending) == (1, 1)
    assert "is to be left alone until" in " ".join(result.notes)


def test_a_slow_host_is_asked_one_thing_in_every_run_that_has_its_turn(tmp_path: Path) -> None:
    with site({"/robots.txt": Reply("User-agent: *\nCrawl-delay: 50")}) as slow:
        clock = time.time()
        for turn in range(5):
            crawl(tmp_path, f"{slow.url}/a", f"{slow.url}/b", now=lambda turn=turn: clock + turn * 53)
        assert [entry.path for entry in slow.log] == [*SITE_FILES, "/a", "/b"]


def test_a_task_that_waits_longer_than_its_lease_is_asked_once(tmp_path: Path) -> None:
    with site({"/robots.txt": Reply("User-agent: *\nCrawl-delay: 0.4")}) as server:
        source = replace(FAST, concurrency=1)
        result = crawl(tmp_path, *[f"{server.url}/{n}" for n in range(5)], source=source, crawl={"lease_s": 0.2})
        assert set(pages(server).values()) == {1}
    assert (result.fetched, result.pending) == (5, 0)


def test_a_lease_is_kept_while_its_owner_lives_and_not_longer(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.add(TaskSpec("site", f"http://a.test/{n}", "page") for n in range(3))
    with two.run.entered(0.0):
        with one.run.entered(0.0):
            assert len(one.lease(1, 0.0, 10.0)) == 1
            assert two.release_expired(100.0) == 0
            assert two.lease(5, 100.0, 10.0) == []  # nor is its host taken, however long its claim was not renewed
        assert len(two.lease(5, 101.0, 10.0)) == 3
        two.renew(105.0, 10.0)
        assert two.release_expired(112.0) == 0
        two._db.execute("UPDATE tasks SET owner = '1-killed' WHERE state = 1")  # the lock of that name is free
        assert one.release_expired(112.0) == 0
        assert one.release_expired(116.0) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_a_robots_file_that_says_when_pauses_its_host_in_every_process(tmp_path: Path, status: int) -> None:
    with site({"/robots.txt": Reply("", status, {"Retry-After": "7200"})}) as busy, site() as well:
        result = crawl(tmp_path, *[f"{busy.url}/{n}" for n in range(9)], f"{well.url}/1")
        assert [entry.path for entry in busy.log] == ["/robots.txt"]
        with opened(tmp_path) as other:
            ((host, until, n),) = other.census.paused_tasks(time.time())
            assert other.lease(5, time.time() + 60, 60.0) == []
    assert (host, n) == (host_of(busy.url), 9)
    assert 7000 < until - time.time() <= 7200
    assert (result.fetched, result.pending, result.denied) == (1, 9, 0)


def test_a_robots_file_that_always_says_later_is_asked_a_few_times_and_then_a_no(tmp_path: Path) -> None:
    with site({"/robots.txt": Reply("", 503, {"Retry-After": "0.05"})}) as busy, site() as well:
        result = crawl(tmp_path, f"{busy.url}/1", f"{busy.url}/2", f"{well.url}/1")
        assert [entry.path for entry in busy.log] == ["/robots.txt"] * 3
    assert (result.fetched, result.denied, result.pending) == (1, 2, 0)


@pytest.mark.parametrize(
    "header",
    ["0", "-5", "99999999999999999999", "Thu, 01 Jan 99999999999999999999 00:00:00 GMT", "soon", "1e999", "\xff"],
)
def test_no_retry_after_means_now_or_ends_the_run(tmp_path: Path, header: str) -> None:
    turns: list[float] = []

    def busy(asked: Asked) -> Reply:
        turns.append(asked.at_s)
        return Reply("", 429, {"Retry-After": header}) if len(turns) == 1 else Reply(SONG)

    with site({"/a": busy}) as server:
        result = crawl(tmp_path, f"{server.url}/a", f"{server.url}/b", backoff_s=0.3)
    assert result.fetched == (1 if header.startswith("9999") else 2)
    assert len(turns) == 1 or turns[1] - turns[0] >= 0.28


def test_a_robots_file_that_moved_to_another_host_holds_that_host_and_gives_it_back(tmp_path: Path) -> None:
    rules = {"/robots.txt": Reply("User-agent: *\nDisallow: /no")}
    with site(rules) as other, site({"/robots.txt": to(f"{other.url}/robots.txt")}) as server:
        result = crawl(tmp_path, f"{server.url}/no", f"{server.url}/yes")
        assert pages(server) == {"/yes": 1}
    assert (result.fetched, result.denied) == (1, 1)
    with opened(tmp_path) as ledger:
        assert ledger._db.execute("SELECT count(*) FROM hosts WHERE owner IS NOT NULL").fetchone() == (0,)


def test_a_host_of_another_process_is_waited_for_and_wished_for(tmp_path: Path) -> None:
    one, two = Ledger(tmp_path / "ledger.sqlite"), Ledger(tmp_path / "ledger.sqlite")
    one.run.claim("a.test", 0.0)
    assert two.run.take("a.test", 1.0) == 2.0
    assert one.run.wished(1.0) == {"a.test"}
    one.run.give_up("a.test")
    one.run.pause("a.test", 9.0)
    one.run.pause("a.test", 5.0, 0.7)
    one.run.pause("a.test", 6.0)
    assert (two.run.take("a.test", 2.0), two.run.delay_s("a.test"), two.run.delay_s("b.test")) == (9.0, 0.7, 0.0)
    assert two.run.take("a.test", 9.0) == 0.0
    assert one.run.take("a.test", 9.0) == 10.0


# --- seeds ---

BAD_LINES = [
    b"ftp://a.test/x",
    b"www.a.test/no-scheme",
    b"http://a.test/with space",
    b"http://",
    b"http:///path",
    b"http://a.test:99999/",
    b"http://a.test:0/",
    b"http://a.test:-1/",
    b"http://[::1/",
    b"http://a.test/\xff\xfe",
    b"http://a.test/\x00",
    b"http://" + b"a" * 100_000 + b".test/",
    b"http://a.test/" + b"y" * 250_000,
    b"javascript:alert(1)",
    b"http://user:secretword@[bad/?token=abcdef",
    "http://a.test/\u202e".encode(),
    b"http://...",
    b"http://a.test/1\tt\x001",
]


def test_a_bad_line_of_a_list_is_a_row_that_names_file_and_line_and_the_others_go_on(tmp_path: Path) -> None:
    with site() as server:
        urls = tmp_path / "urls.txt"
        good = [f"{server.url}/{n}".encode() for n in range(1100)]
        lines = [*BAD_LINES, *good[:1050], *[line + b"?" for line in BAD_LINES[:4]], *good[1050:]]
        urls.write_bytes(b"\n".join(lines) + b"\n")
        result = crawl(tmp_path / "w", lists=[urls], patience_s=120.0)  # a busy machine's answers may be slow
        assert len(pages(server)) == 1100
    assert (result.fetched, result.pending, result.failed) == (1100, 0, len(BAD_LINES) + 4)
    rows = lost(tmp_path / "w")
    findings = [finding for reason, finding in rows.values() if reason == "url_unusable"]
    assert sorted(int(f.partition(" line ")[2].partition(":")[0]) for f in findings) == [
        *range(1, len(BAD_LINES) + 1), *range(1051 + len(BAD_LINES), 1055 + len(BAD_LINES))
    ]  # fmt: skip
    assert all(str(urls) in finding for finding in findings)
    assert max(map(len, rows)) < 500
    assert "secretword" not in str(rows) and "abcdef" not in str(rows)


def test_a_file_without_one_url_is_refused_by_name(tmp_path: Path) -> None:
    urls = tmp_path / "songs.csv"
    urls.write_text("title,artist\nLow Tide,Kite\n")
    with pytest.raises(UsageError, match=r"songs\.csv line 1"):
        crawl(tmp_path / "w", lists=[urls])


def test_a_list_that_cannot_be_read_to_its_end_ends_in_an_error_with_the_rest_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sourcing.crawling.spider import seeding

    def torn(path: Path) -> Iterator[tuple[int, str]]:
        for number in range(1, 1500):
            if number == 1200:
                raise OSError(5, "Input/output error", str(path))
            yield number, f"{server.url}/{number}\n"

    urls = tmp_path / "urls.txt"
    urls.write_text("http://a.test/")
    monkeypatch.setattr(seeding, "_lines", torn)
    with site() as server, pytest.raises(InputError, match="Input/output error"):
        crawl(tmp_path / "w", f"{server.url}/other", lists=[urls], patience_s=120.0)
    assert Workspace(tmp_path / "w").read(Document).height == 1001


def test_whatever_stops_the_feeding_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sourcing.crawling.spider.seeding import Seeding

    def broken(self: Seeding) -> None:
        raise RuntimeError("a bug in feeding")

    monkeypatch.setattr(Seeding, "feed", broken)
    with site() as server, pytest.raises(RuntimeError, match="a bug in feeding"):
        crawl(tmp_path, f"{server.url}/a")


def test_a_ledger_that_stays_locked_stops_the_run_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(
        "sourcing.crawling.ledger.schema.sqlite3.connect", lambda path, **k: connect(path, **{**k, "timeout": 0.2})
    )
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with closing(connect(tmp_path / "crawl" / "ledger.sqlite", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            held.set()
            release.wait(30)

    def first(asked: Asked) -> Reply:
        holder.start()
        assert held.wait(30)
        return Reply(SONG)

    holder = threading.Thread(target=hold)
    with site({"/a": first}) as server:
        with pytest.raises(StoppedShort, match="another process has kept it locked"):
            crawl(tmp_path, f"{server.url}/a", f"{server.url}/b")
        release.set()
        holder.join()
        result = crawl(tmp_path)
        assert pages(server)["/a"] == 1
    assert (result.fetched, result.pending) == (2, 0)


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "crawl").mkdir()
    (tmp_path / "crawl" / "ledger.sqlite").write_bytes(b"no database" * 999)
    with pytest.raises(InputError, match="not a sound ledger"):
        crawl(tmp_path, "http://a.test/")


def test_a_ledger_from_before_redirects_were_noted_is_taken_up(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.add([TaskSpec("site", "http://a.test/1", "page")])
        for column in ("onward", "hops", "home"):
            ledger._db.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
        ledger._db.execute("ALTER TABLE hosts DROP COLUMN delay_s")
        ledger._db.execute("DROP TABLE site_files")
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        (task,) = ledger.lease(1, 0.0, 60.0)
        ledger.moved(task.key, "site", "http://b.test/2#part")
        ledger.run.rest()
        (task,) = ledger.lease(1, 0.0, 60.0)
        assert (task.host, task.address, task.url, task.hops) == ("b.test", "http://b.test/2", "http://a.test/1", 1)
        ledger.failed(task.key, "http_500", 5.0)
        ledger.run.rest()
        (task,) = ledger.lease(1, 5.0, 60.0)
        assert (task.address, task.attempts) == ("http://b.test/2", 1)
        ledger.failed(task.key, "http_500")
        ledger.run.rest()
        assert ledger.retry(["http_500"], ["site"]) == 1
        (task,) = ledger.lease(1, 9.0, 60.0)
        assert (task.host, task.address, task.hops, task.attempts) == ("a.test", "http://a.test/1", 0, 0)
        assert ledger.census.totals() == {"pending": 0, "leased": 1, "fetched": 0, "failed": 0, "denied": 0}


class _Astray(Page):
    """Leads to addresses that are none."""

    kind = "page"

    def follow(self) -> list[TaskSpec]:
        odd = ["http://[bad", "http://a.test:99999999/", "http://\ud83d.test/", "x" * 5, "http://a.test/\ud800"]
        return [TaskSpec("schemaorg", url, "page") for url in odd]


def test_a_page_that_leads_to_no_address_stops_neither_this_run_nor_the_next(tmp_path: Path) -> None:
    with site() as server:
        source = replace(FAST, pages=(_Astray,))
        result = crawl(tmp_path, f"{server.url}/a", source=source)
        assert crawl(tmp_path, source=source).asked == 0
    assert (result.fetched, result.pending) == (1, 0)
    assert {reason for reason, _ in lost(tmp_path).values()} == {"url_unusable"}


def test_one_track_that_cannot_be_asked_about_costs_the_others_nothing(tmp_path: Path) -> None:
    import polars as pl

    def tasks(track: Any, source: Any) -> list[TaskSpec]:
        if track["track_id"] == "t1":
            raise KeyError("title")
        return [TaskSpec("schemaorg", f"{server.url}/{track['track_id']}", "page", track["track_id"])]

    pl.DataFrame({"track_id": ["t0", "t1", "t2"]}).write_parquet(tmp_path / "tracks.parquet")
    with site() as server:
        settings = Settings(crawl=CrawlSettings(contact="me@example.org", allow_private_hosts=True))
        source = replace(FAST, tasks=tasks)
        result = run_crawl(Workspace(tmp_path / "w"), settings, {"schemaorg": source}, tmp_path / "tracks.parquet")
    assert (result.fetched, result.failed) == (2, 1)
    assert lost(tmp_path / "w") == {"track t1": ("seed_unreadable", "KeyError: 'title'")}


@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/ b",
        "http://a.test/\x00",
        "http://a.test:99999/",
        "http://" + "a" * 20_000,
        "http://" + "a." * 150 + "test/",
    ],
)
def test_such_urls_are_not_asked(url: str) -> None:
    assert unusable_url(url)
