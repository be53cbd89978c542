"""Bodies that did not arrive whole are asked for again, however they are packed."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from crawl_runs import run_crawl
from crawls import pages_asked, song
from loopback import Asked, Loopback, Reply

from sourcing.crawling.source import TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.spider.run import CrawlResult
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Workspace

FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)
SONG = song(Asked("GET", "/", {})).body
assert isinstance(SONG, str)
WHOLE = gzip.compress(SONG.encode() * 3, mtime=0)  # the same bytes in every process: they name the tests


def site(body: bytes) -> Loopback:
    """A page /a whose packed body is this; a song on every other path."""
    return Loopback(
        lambda asked: Reply(body, headers={"Content-Encoding": "gzip"}) if asked.path == "/a" else song(asked)
    )


def crawl(folder: Path, server: Loopback, *paths: str) -> CrawlResult:
    settings = Settings(crawl=CrawlSettings(contact="me@example.org", allow_private_hosts=True))
    specs = [TaskSpec("schemaorg", server.url + path, "page") for path in paths]
    return run_crawl(Workspace(folder), settings, {"schemaorg": FAST}, None, urls=specs, backoff_s=0.01)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (WHOLE[:-1], "cut_short"),
        (WHOLE[:-8], "cut_short"),
        (WHOLE[: len(WHOLE) // 2], "cut_short"),
        (WHOLE[:12], "cut_short"),
        (WHOLE[:-8] + bytes(4) + WHOLE[-4:-1] + b"\1", "cut_short"),
        (SONG.encode(), "body_undecodable"),
    ],
)
def test_a_packed_body_that_was_cut_is_no_page(tmp_path: Path, body: bytes, reason: str) -> None:
    with site(body) as server:
        result = crawl(tmp_path, server, "/a", "/ok")
        assert pages_asked(server).count("/a") == (3 if reason == "cut_short" else 1)
    assert Workspace(tmp_path).read_rejected().filter(stage="crawl")["reason"].to_list() == [reason]
    assert (result.fetched, result.failed) == (1, 1)


@pytest.mark.parametrize("body", [WHOLE, WHOLE + WHOLE, WHOLE + bytes(9), WHOLE + b"and more"])
def test_a_packed_body_with_something_behind_it_is_whole(tmp_path: Path, body: bytes) -> None:
    with site(body) as server:
        assert crawl(tmp_path, server, "/a").fetched == 1
