"""A crawl against a real site on loopback: what it asks, what it keeps, and what it refuses."""

from __future__ import annotations

import gzip
import itertools
import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from crawl_runs import run_crawl
from loopback import Asked, Loopback, Reply

from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.ledger import Ledger
from sourcing.crawling.policy.site_signals import WELL_KNOWN
from sourcing.crawling.source import Key, Lead, Page, PageError, TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.spider.run import CrawlResult
from sourcing.crawling.spider.seeding import list_feed
from sourcing.errors import StoppedShort, UpstreamError, UsageError
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Document, Workspace
from sourcing.store.shard import Shard

CRAWL: dict[str, Any] = {"contact": "me@example.org", "allow_private_hosts": True}
SITE_FILES = ("/robots.txt", *WELL_KNOWN)
FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)


def song(path: str, head: str = "", links: tuple[str, ...] = ()) -> str:
    record = {"@type": "MusicRecording", "name": f"Song {path}", "byArtist": {"@type": "MusicGroup", "name": "X"}}
    anchors = "".join(f'<a href="{link}">next</a>' for link in links)
    return f'<html><head>{head}<script type="application/ld+json">{json.dumps(record)}</script></head>{anchors}</html>'


def site(**pages: Reply | Callable[[Asked], Reply]) -> Loopback:
    """A site with a song on every path, but for `pages`; `robots` is its robots.txt."""

    def handle(asked: Asked) -> Reply:
        names = {"/robots.txt": "robots", "/ai.txt": "ai", "/.well-known/tdmrep.json": "tdmrep"}
        name = names.get(asked.path, asked.path.strip("/").partition("?")[0])
        page = pages.get(name, Reply("", 404) if asked.path in names else Reply(song(asked.path)))
        return page(asked) if callable(page) else page

    return Loopback(handle)


def crawl(folder: Path, server: Loopback, *paths: str, source: Any = FAST, **options: Any) -> CrawlResult:
    settings = Settings(crawl=CrawlSettings(**{**CRAWL, **options.pop("crawl", {})}))
    specs = [TaskSpec("schemaorg", path if "://" in path else f"{server.url}/{path}", "page") for path in paths]
    options = {"backoff_s": 0.01, "patience_s": 5.0, "urls": specs, **options}
    return run_crawl(Workspace(folder), settings, {"schemaorg": source}, None, **options)


def asked(server: Loopback) -> list[str]:
    """Paths of pages, without the files in which a site speaks for itself."""
    return [request.path for request in server.log if request.path not in SITE_FILES]


def rejected(folder: Path) -> dict[str, str]:
    """Last part of the key → reason."""
    rows = Workspace(folder).read_rejected().iter_rows(named=True)
    return {row["key"].rpartition("/")[2]: row["reason"] for row in rows}


def test_pages_become_documents_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    with site() as server:
        paths = [f"p{n}" for n in range(12)]
        result = crawl(tmp_path, server, *paths)
        again = crawl(tmp_path, server, *paths)
        assert sorted(asked(server)) == sorted(f"/{path}" for path in paths)
        assert server.log[0].path == "/robots.txt"
        assert "(+me@example.org)" in server.log[0].headers["User-Agent"]
    assert (result.fetched, result.documents, result.pending, result.asked) == (12, 12, 0, 12)
    assert (again.fetched, again.documents, again.asked) == (12, 12, 0)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("sourcing.crawling.warc.writer.CaptureWriter.flush", OSError(28, "No space left on device")),
        ("sourcing.crawling.ledger.Ledger.mark_warc", sqlite3.OperationalError("database or disk is full")),
    ],
)
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    def full(*_arguments: object) -> None:
        raise error

    with site() as server:
        with monkeypatch.context() as patch:
            patch.setattr(place, full)
            with pytest.raises(StoppedShort, match="the disk refused a write"):
                crawl(tmp_path, server, "a", "b", "c")
        result = crawl(tmp_path, server, "a", "b", "c")
    assert (result.fetched, result.documents, result.pending) == (3, 3, 0)


def test_replay_gives_the_same_bytes(tmp_path: Path) -> None:
    with site() as server:
        crawl(tmp_path, server, "a", "b", "c")
    workspace = Workspace(tmp_path)
    table = workspace.table_path(Document)
    before = table.read_bytes()
    table.unlink()
    assert rebuild_documents(workspace, {"schemaorg": FAST})[0] == 3
    assert table.read_bytes() == before


class _Leading(Page):
    """Reads nothing and leads to the next page, until the fifth."""

    kind = "page"

    def follow(self) -> list[TaskSpec]:
        if b"broken" in self.capture.body:
            raise ValueError("a page object with a bug")
        number = int(self.capture.url.rpartition("p")[2])
        return [TaskSpec("schemaorg", f"{self.source.base_url}/p{number + 1}", "page")] if number < 5 else []


def test_pages_lead_to_pages_in_the_same_run(tmp_path: Path) -> None:
    with site() as server:
        source = replace(FAST, pages=(_Leading,), base_url=server.url)
        result = crawl(tmp_path, server, "p1", source=source)
        assert asked(server) == [f"/p{n}" for n in range(1, 6)]
    assert (result.fetched, result.pending) == (5, 0)
    ledger = Ledger(Workspace(tmp_path).crawl_dir / "ledger.sqlite")
    parents = ledger._db.execute("SELECT count(*) FROM tasks WHERE parent IS NOT NULL").fetchone()[0]
    assert parents == 4


def test_a_broken_page_object_does_not_stop_the_crawl(tmp_path: Path) -> None:
    with site(p1=Reply("broken")) as server:
        source = replace(FAST, pages=(_Leading,), base_url=server.url)
        result = crawl(tmp_path, server, "p1", "p5", source=source)
    assert result.fetched == 2


def test_a_page_of_50_mb_is_refused_while_the_others_succeed(tmp_path: Path) -> None:
    huge = Reply(b"x" * 50_000_000)
    bomb = Reply(gzip.compress(b"x" * 50_000_000), headers={"Content-Encoding": "gzip"})
    squeezed = Reply(gzip.compress(song("z").encode()), headers={"Content-Encoding": "gzip"})
    with site(huge=huge, bomb=bomb, z=squeezed) as server:
        result = crawl(tmp_path, server, "huge", "a", "bomb", "z")
    assert (result.fetched, result.failed, result.documents) == (2, 2, 2)
    assert rejected(tmp_path) == {"huge": "body_too_large", "bomb": "body_too_large"}


def test_hostile_answers_end_as_rejected_rows(tmp_path: Path) -> None:
    def loop(asked: Asked) -> Reply:
        return Reply("", 302, {"Location": asked.path + "1"})

    pages = {"loop": loop, **{f"loop{'1' * n}": loop for n in range(1, 9)}}
    broken = Reply(b"\x1f\x8bnot gzip", headers={"Content-Encoding": "gzip"})
    strange = Reply(b"??", headers={"Content-Encoding": "x-own"})
    with site(gone=Reply("", 404), strange=strange, broken=broken, **pages) as server:
        result = crawl(tmp_path, server, "loop", "gone", "strange", "broken", "ok")
    assert result.fetched == 1
    reasons = rejected(tmp_path)
    assert reasons["gone"] == "http_404"
    assert reasons["loop"] == "too_many_redirects"
    assert reasons["strange"] == "content_encoding"
    assert reasons["broken"] in ("body_undecodable", "download_error")


def test_a_server_error_is_tried_again_then_given_up(tmp_path: Path) -> None:
    seen: list[str] = []

    def flaky(asked: Asked) -> Reply:
        seen.append(asked.path)
        return Reply("", 500) if len(seen) < 2 else Reply(song("flaky"))

    with site(flaky=flaky, broken=Reply("", 500)) as server:
        result = crawl(tmp_path, server, "flaky", "broken")
        assert asked(server).count("/flaky") == 2
        assert asked(server).count("/broken") == 3
    assert (result.fetched, result.failed) == (1, 1)
    assert rejected(tmp_path) == {"broken": "http_500"}


def test_retry_after_is_honoured_by_the_whole_host(tmp_path: Path) -> None:
    turns: list[str] = []

    def busy(asked: Asked) -> Reply:
        turns.append(asked.path)
        return Reply("", 429, {"Retry-After": "1"}) if len(turns) == 1 else Reply(song("busy"))

    with site(busy=busy) as server:
        source = replace(FAST, concurrency=1)
        result = crawl(tmp_path, server, "busy", "a", "b", "c", source=source)
        pages = [request for request in server.log if request.path not in SITE_FILES]
        refused_at = next(request.at_s for request in pages if request.path == "/busy")
        later = [request.at_s - refused_at for request in pages if request.at_s > refused_at]
        assert min(later) >= 1
    assert result.fetched == 4


def test_a_lagging_mediawiki_is_asked_again_though_it_answers_200(tmp_path: Path) -> None:
    turns: list[str] = []

    def lagging(asked: Asked) -> Reply:
        turns.append(asked.path)
        headers = {"Retry-After": "0", "MediaWiki-API-Error": "maxlag"}
        return Reply('{"error": {"code": "maxlag"}}', 200, headers) if len(turns) == 1 else Reply(song("lagging"))

    with site(lagging=lagging) as server:
        result = crawl(tmp_path, server, "lagging")
    assert len(turns) == 2
    assert result.fetched == 1


def test_a_retry_after_too_far_away_ends_the_run_and_says_so(tmp_path: Path) -> None:
    with site(busy=Reply("", 503, {"Retry-After": "3600"})) as server:
        result = crawl(tmp_path, server, "busy")
        assert asked(server) == ["/busy"]
    assert result.pending == 1
    assert "run again" in result.notes[0]


def test_a_crawl_delay_holds_requests_apart(tmp_path: Path) -> None:
    with site(robots=Reply("User-agent: *\nCrawl-delay: 0.3")) as server:
        crawl(tmp_path, server, "a", "b", "c")
        times = [request.at_s for request in server.log]
        assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 0.3  # as the site sees it


def test_robots_txt_is_obeyed_and_a_5xx_one_denies_everything(tmp_path: Path) -> None:
    with site(robots=Reply("User-agent: *\nDisallow: /no")) as server:
        result = crawl(tmp_path / "rules", server, "no", "yes")
        assert asked(server) == ["/yes"]
    assert (result.fetched, result.denied) == (1, 1)
    assert rejected(tmp_path / "rules") == {"no": "robots.txt"}
    with site(robots=Reply("", 503)) as server:
        result = crawl(tmp_path / "down", server, "a", "b")
        assert asked(server) == []
    assert result.denied == 2
    assert set(rejected(tmp_path / "down").values()) == {"robots.txt_unavailable"}


def test_terms_for_programs_set_a_disallow_aside_but_not_a_delay(tmp_path: Path) -> None:
    with site(robots=Reply("User-agent: *\nDisallow: /")) as server:
        source = replace(FAST, base_url=server.url, api_terms="https://site.test/api-terms")
        assert crawl(tmp_path, server, "a", source=source).fetched == 1
    (evidence,) = Workspace(tmp_path).read(Document)["consent_evidence"].to_list()
    assert evidence == ["robots.txt: disallowed, set aside by https://site.test/api-terms"]


def test_a_page_that_says_no_is_kept_as_evidence_and_not_read(tmp_path: Path) -> None:
    with site(
        header=Reply(song("h"), headers={"TDM-Reservation": "1"}),
        meta=Reply(song("m", '<meta name="robots" content="noai">')),
    ) as server:
        result = crawl(tmp_path, server, "header", "meta", "fine")
    assert (result.fetched, result.denied, result.documents) == (1, 2, 1)
    reasons = pl.concat([Workspace(tmp_path).read_rejected()]).filter(pl.col("stage") == "crawl")
    assert sorted(reasons["finding"]) == ["meta robots: noai", "tdm-reservation: 1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1"])
def test_private_hosts_are_refused_in_every_spelling(tmp_path: Path, host: str) -> None:
    with site() as server:
        port = server.url.rpartition(":")[2]
        result = crawl(tmp_path, server, f"http://{host}:{port}/a", crawl={"allow_private_hosts": False})
        assert server.log == []
    assert (result.fetched, result.failed) == (0, 1)
    assert rejected(tmp_path) == {"a": "private_host"}


def test_private_hosts_are_asked_once_the_setting_allows_it(tmp_path: Path) -> None:
    with site() as server:
        crawl(tmp_path, server, "a", crawl={"allow_private_hosts": False})
        assert crawl(tmp_path, server, "a").fetched == 1


def test_secrets_never_reach_ledger_or_warc(tmp_path: Path) -> None:
    reply = Reply(song("a"), headers={"Set-Cookie": "sid=TOPSECRET"})
    with site(a=reply) as server:
        source = replace(FAST, headers={"Authorization": "Bearer TOPSECRET"})
        crawl(tmp_path, server, "a?api_key=TOPSECRET&q=1", source=source)
        assert server.log[-1].headers["Authorization"] == "Bearer TOPSECRET"
        assert server.log[-1].path == "/a?q=1"
    for path in sorted((tmp_path / "crawl").iterdir()):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert b"TOPSECRET" not in data, path


def test_a_host_that_is_not_there_is_named_and_the_rest_is_done(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:1/x"
    with site() as server:
        result = crawl(tmp_path / "some", server, "a", nowhere)
        assert (result.fetched, result.pending) == (1, 1)
        assert "127.0.0.1:1 cannot be reached" in " ".join(result.notes)
        with pytest.raises(UpstreamError, match=r"127\.0\.0\.1:1 cannot be reached"):
            crawl(tmp_path / "none", server, nowhere)


def test_a_limit_stops_short_and_the_next_run_goes_on(tmp_path: Path) -> None:
    with site() as server:
        with pytest.raises(StoppedShort, match="--limit 2 reached with 3 tasks pending"):
            crawl(tmp_path, server, "a", "b", "c", "d", "e", limit=2)
        assert len(asked(server)) == 2
        assert Workspace(tmp_path).read(Document).height == 2
        assert crawl(tmp_path, server).fetched == 5


def test_a_daily_cap_holds_over_runs(tmp_path: Path) -> None:
    with site() as server:
        source = replace(FAST, daily_cap=2)
        for _ in range(2):
            result = crawl(tmp_path, server, "a", "b", "c", source=source)
            assert (result.fetched, result.pending) == (2, 1)
            assert "daily cap of 2" in " ".join(result.notes)


def test_there_is_no_crawl_without_a_contact(tmp_path: Path) -> None:
    with site() as server, pytest.raises(UsageError, match="contact"):
        crawl(tmp_path, server, "a", crawl={"contact": None})


def test_consoles_are_off_and_certificates_are_checked() -> None:
    from sourcing.crawling.spider.scrapy_settings import Options, scrapy_settings

    settings = scrapy_settings(Options("x"), {})
    assert settings["TELNETCONSOLE_ENABLED"] is settings["REMOTE_CONTROL_ENABLED"] is False
    assert settings["DOWNLOAD_VERIFY_CERTIFICATES"] is True
    assert all(order is None for order in settings["EXTENSIONS"].values())


def test_what_a_site_says_for_all_its_pages_is_heard(tmp_path: Path) -> None:
    reserved = json.dumps([{"location": "/private/*", "tdm-reservation": 1}])
    with site(tdmrep=Reply(reserved, headers={"Content-Type": "application/json"})) as server:
        result = crawl(tmp_path, server, "private/a", "b")
        files = [request.path for request in server.log if request.path in SITE_FILES]
    assert files == list(SITE_FILES)
    assert (result.fetched, result.denied, result.documents) == (1, 1, 1)
    denied = Workspace(tmp_path).read_rejected().filter(pl.col("stage") == "crawl")
    assert "tdmrep.json" in denied["finding"].item()


def test_an_unchanged_page_is_asked_for_by_its_validators_and_kept_once(tmp_path: Path) -> None:
    def versioned(asked: Asked) -> Reply:
        tag = {"ETag": '"v1"'}
        return Reply("", 304, tag) if asked.headers.get("If-None-Match") == '"v1"' else Reply(song("a"), headers=tag)

    clock = iter(itertools.count(1_000_000.0, 0.01))
    with site(a=versioned) as server:
        crawl(tmp_path, server, "a", "b", now=lambda: next(clock))
        before = Workspace(tmp_path).read(Document)
        result = crawl(tmp_path, server, again_after_s=0.0, now=lambda: next(clock) + 100.0)
        assert sorted(asked(server)) == ["/a", "/a", "/b", "/b"]
    assert (result.fetched, result.asked) == (2, 2)
    after = Workspace(tmp_path).read(Document)
    assert after.drop("consent_at", strict=False).equals(before.drop("consent_at", strict=False))
    ledger = Ledger(Workspace(tmp_path).crawl_dir / "ledger.sqlite")
    assert ledger.tallies.totals()["schemaorg"]["unchanged"] == 2


def test_a_later_opt_out_takes_the_document_away(tmp_path: Path) -> None:
    rules = {"text": ""}
    with site(robots=lambda _asked: Reply(rules["text"])) as server:
        assert crawl(tmp_path, server, "a", "b").documents == 2
        rules["text"] = "User-agent: *\nDisallow: /a"
        result = crawl(tmp_path, server, again_after_s=0.0)
    assert (result.documents, result.denied) == (1, 1)
    gone = Workspace(tmp_path).read_rejected().filter(pl.col("stage") == "extract")
    assert gone["reason"].to_list() == ["consent_denied"]
    assert gone["key"].item() == f"{server.url}/a"
    assert rebuild_documents(Workspace(tmp_path), {"schemaorg": FAST})[0] == 1


def test_a_key_is_sent_and_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSMUSIM_TEST_KEY", "TOPSECRET")
    with site(a=lambda asked: Reply(song("a") + f"<p>you asked {asked.path} &amp; we answer</p>")) as server:
        source = replace(FAST, base_url=server.url, key=Key("CROSSMUSIM_TEST_KEY", parameter="client"))
        assert crawl(tmp_path, server, "a?q=1", source=source).fetched == 1
        assert asked(server) == ["/a?q=1&client=TOPSECRET"]
    for path in sorted((tmp_path / "crawl").glob("*")):
        if path.is_file():
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            assert b"TOPSECRET" not in data, path


def test_a_storage_cap_is_never_passed(tmp_path: Path) -> None:
    size = len(song("/a"))
    with site() as server:
        source = replace(FAST, storage_cap_mb=3.5 * size / 1e6)
        result = crawl(tmp_path, server, *"abcdefgh", source=source)
    assert 1 <= result.fetched <= 3
    ledger = Ledger(Workspace(tmp_path).crawl_dir / "ledger.sqlite")
    assert ledger.tallies.stored_bytes("schemaorg") <= 3.5 * size
    assert "storage cap" in " ".join(result.notes) or result.fetched == 3
    assert result.fetched + result.failed + result.pending == 8


def test_a_url_list_is_fed_once_and_its_bad_lines_are_rows(tmp_path: Path) -> None:
    with site() as server:
        urls = tmp_path / "urls.txt"
        lines = [f"{server.url}/{n}\tt{n}" for n in range(1200)]
        lines[1100] = "ftp://x.test/a"
        urls.write_text("# a comment\n" + "\n".join(lines), encoding="utf-8")
        with pytest.raises(StoppedShort):
            crawl(tmp_path / "w", server, lists=[urls], limit=3)
        feed = list_feed(urls)
        ledger = Ledger(Workspace(tmp_path / "w").crawl_dir / "ledger.sqlite")
        assert ledger.cursor(feed.name) > 0
        result = crawl(tmp_path / "w", server, lists=[urls])
    assert (result.fetched, result.failed, result.pending) == (1199, 1, 0)
    assert len(asked(server)) == 1199
    bad = Workspace(tmp_path / "w").read_rejected()
    assert bad["reason"].to_list() == ["url_unusable"]
    assert "line 1102: scheme 'ftp'" in bad["finding"].item()


def test_shards_part_the_seeds_and_lose_none(tmp_path: Path) -> None:
    specs = [TaskSpec("schemaorg", f"http://a.test/{n}", "page", f"t{n // 2}") for n in range(200)]
    parts = [[spec for spec in specs if Shard(index, 3).holds(spec.track_id or spec.url)] for index in (1, 2, 3)]
    assert sorted(spec.url for part in parts for spec in part) == sorted(spec.url for spec in specs)
    assert all(len(part) > 40 for part in parts)
    tracks = [{spec.track_id for spec in part} for part in parts]
    assert not tracks[0] & tracks[1]
    assert not tracks[1] & tracks[2]
    for wrong in ("0/3", "4/3", "x", "1/"):
        with pytest.raises(UsageError, match="i/n"):
            Shard.parse(wrong)


def test_an_api_that_says_too_much_with_status_200_is_given_its_rest(tmp_path: Path) -> None:
    turns: list[str] = []

    def busy(asked: Asked) -> Reply:
        turns.append(asked.path)
        return Reply('{"error":29,"message":"Rate limit exceeded"}') if len(turns) == 1 else Reply(song("busy"))

    with site(busy=busy) as server:
        result = crawl(tmp_path, server, "busy", source=replace(FAST, errors=SOURCES["lastfm"].errors))
    assert (len(turns), result.fetched) == (2, 1)
    ledger = Ledger(Workspace(tmp_path).crawl_dir / "ledger.sqlite")
    assert ledger.tallies.totals()["schemaorg"]["throttled"] == 1


class _Misled(Page):
    """Leads to a record that its source cannot make an address of, then to another page."""

    kind = "page"

    def follow(self) -> list[TaskSpec | Lead]:
        if self.capture.url.endswith("p2"):
            return []
        return [Lead("schemaorg", "record", "???"), TaskSpec("schemaorg", f"{self.source.base_url}/p2", "page")]


def _no_address(ref: str, _source: Any) -> str:
    raise PageError("reference_unreadable", ref)


def test_a_reference_that_cannot_be_read_costs_the_others_nothing(tmp_path: Path) -> None:
    with site() as server:
        source = replace(FAST, pages=(_Misled,), base_url=server.url, asks={"record": _no_address})
        assert crawl(tmp_path, server, "p1", source=source).fetched == 2
    ledger = Ledger(Workspace(tmp_path).crawl_dir / "ledger.sqlite")
    (why,) = ledger._db.execute("SELECT finding FROM tasks WHERE reason = 'lead_unreadable'").fetchone()
    assert "schemaorg ???" in why
