"""A no is heard however it is said: by headers, pages, site files, refusals; and it takes back what was read before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from crawl_runs import run_crawl
from crawls import SITE_FILES, song
from hypothesis import given
from hypothesis import strategies as st
from loopback import Asked, Loopback, Reply

from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.policy.consent import decide, markup_of
from sourcing.crawling.policy.politeness import read_robots
from sourcing.crawling.policy.site_signals import NotKnown, file_of, read_site_signals
from sourcing.crawling.sources import SOURCES, TaskSpec
from sourcing.crawling.spider.run import CrawlResult
from sourcing.settings import CrawlSettings, Settings
from sourcing.store import Document, Workspace

FAST = replace(SOURCES["schemaorg"], rate_per_s=10_000.0, concurrency=4)
NOAI = '<meta name="robots" content="noai">'


@pytest.mark.parametrize(
    ("header", "value", "decision"),
    [
        ("x-robots-tag", "otherbot: noindex\nnoai", "deny"),  # two header lines
        ("x-robots-tag", "otherbot: noai\nnoindex", "allow"),
        ("x-robots-tag", "noindex\ncrossmusim: noai", "deny"),
        ("x-robots-tag", "CrossMuSim/0.1: noai", "deny"),
        ("x-robots-tag", "crossmusim-bot : NoAI", "deny"),
        ("x-robots-tag", "noindex; noai", "deny"),
        ("x-robots-tag", "nofollow noai", "deny"),
        ("x-robots-tag", "*: noai", "deny"),
        ("x-robots-tag", "unavailable_after: Friday, 25-Jun-35 15:00:00 PST, noai", "deny"),
        ("x-robots-tag", "unavailable_after: Sat, 25 Jun 2033 15:00:00 GMT, otherbot: noai", "allow"),
        ("x-robots-tag", "otherbot: unavailable_after: 25 Jun 2010 15:00:00 PST, noai", "allow"),
        ("x-robots-tag", "unavailable_after: 25 Jun 2010 15:00:00 PST", "deny"),
        ("x-robots-tag", "unavailable_after: 2010-06-25T15:00:00+00:00", "deny"),
        ("x-robots-tag", "unavailable_after: Friday, 25-Jun-10 15:00:00 PST", "deny"),
        ("x-robots-tag", "unavailable_after: 2999-06-25", "allow"),
        ("x-robots-tag", "unavailable_after: when it rains", "allow"),
        ("x-robots-tag", "unavailable_after: 25 Jun 2010", "deny"),
        ("x-robots-tag", "noindex, unavailable_after: June 25, 2010, nofollow", "deny"),
        ("x-robots-tag", "unavailable_after: Jun 25, 2999, nofollow", "allow"),
        ("x-robots-tag", "unavailable_after: 2010/06/25", "deny"),
        ("x-robots-tag", 'unavailable_after: "2010-06-25"', "deny"),
        ("x-robots-tag", '"noai, noimageai"', "deny"),
        ("x-robots-tag", "unavailable_after: noindex, noai", "deny"),
        ("x-robots-tag", "unavailable_after: 99 Foo 99999999999 15:00:00 PST, max-snippet: 5, noai", "deny"),
        ("x-robots-tag", "max-image-preview: large, noimageai, none", "allow"),
        ("tdm-reservation", "0\n1", "deny"),
        ("tdm-reservation", "1\n0", "deny"),
        ("tdm-reservation", ' "1" ', "deny"),
        ("tdm-reservation", "0, 1", "deny"),
        ("tdm-reservation", "1; policy=x", "deny"),
        ("tdm-reservation", "0\n0", "allow"),
        ("tdm-reservation", "10", "allow"),
        ("content-usage", "search=y\ntrain-ai=n", "deny"),
        ("content-usage", 'train-ai = "n"', "deny"),
        ("content-signal", "search=yes, ai-train=no", "deny"),
    ],
)
def test_a_no_in_headers_is_heard_in_every_spelling(header: str, value: str, decision: str) -> None:
    assert decide({header: value}).decision == decision


@pytest.mark.parametrize(
    ("page", "decision"),
    [
        ("<meta name='ROBOTS'\n\tcontent = noai,noindex >", "deny"),
        ('<meta name="robots"content="noai"/>', "deny"),
        ("<meta name=robots content=noai/>", "deny"),
        ('<meta name="&#114;obots" content="no&#97;i">', "deny"),
        ('<meta name="robots" content="NO&#x41;I">', "deny"),
        ('<meta content="a > b, noai" name="robots">', "deny"),
        ('<meta content="it\'s > all" name="x"><meta name="robots" content="noai">', "deny"),
        ("<meta name=\u201drobots\u201d content=\u201dnoai\u201d>", "deny"),
        ('<meta property="robots" content="noai">', "deny"),
        ('<meta name="crossmusim-bot" content="noai">', "deny"),
        ('<meta name="otherbot" content="noai">', "allow"),
        ('<meta http-equiv="TDM-Reservation" content=" 1 ">', "deny"),
        ('<meta name="robots" content="index" content="noai">', "allow"),  # the first of two counts, as in browsers
        ('<meta name="robots" content="unavailable_after: 2010-06-25">', "deny"),
        (f"<noscript>{NOAI}</noscript>", "deny"),
        ('<h:html xmlns:h="http://www.w3.org/1999/xhtml"><h:head><h:meta name="robots" content="noai"/>', "deny"),
        ('<!-- <h:meta name="robots" content="noai"/> -->', "allow"),
        ('<og:metadata name="robots" content="noai"/>', "allow"),
        (f"<template>{NOAI}</template>", "deny"),
        (f"<!-- a --><!-- {NOAI} --><p>", "allow"),
        (f"<!-- {NOAI} --!><p>", "allow"),
        (f"<!-->{NOAI}<!-- -->", "deny"),
        (f"<!-- never closed {NOAI}", "deny"),
        (f"<!-- x --!>{NOAI}<!-- y -->", "deny"),
        (f"<style>/* <!-- */</style>{NOAI}<p>-->", "deny"),
        ("x" * 3_000_000 + NOAI, "deny"),
        ('<meta name="robots" content="index">' * 9_000 + NOAI, "deny"),
        ("<meta a" + " a" * 3_000 + NOAI, "deny"),
        ('<meta name="robots" content="index">' * 500 + NOAI, "deny"),
        (f'<metadata name="robots" content="noai">{"<p>" * 9}', "allow"),
    ],
)
def test_a_no_in_a_page_is_heard_wherever_and_however_it_stands(page: str, decision: str) -> None:
    assert decide({}, page).decision == decision


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(
    "content_type", ["Text/HTML; Charset=x", "text/html", "", "application/xhtml+xml", "application/xml", "text/plain"]
)
def test_markup_is_markup_in_any_encoding_and_of_any_type(encoding: str, content_type: str) -> None:
    page = f"<!DOCTYPE html><html><head><title>Liéd 歌</title>{NOAI}"
    assert decide({}, markup_of(content_type, page.encode(encoding))).decision == "deny"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps({"text": f"<html><head>{NOAI}"}).encode()),
        ("text/plain", f"To keep models away, write {NOAI} into the page's head.".encode()),
        ("audio/ogg", b"OggS" + NOAI.encode()),
    ],
)
def test_a_page_about_the_tag_is_no_page_with_it(content_type: str, body: bytes) -> None:
    assert decide({}, markup_of(content_type, body)).decision == "allow"


@given(st.text(alphabet="<>!-/ \"'=&#;metanoirbscripl\n\0\ud83dé", max_size=200), st.binary(max_size=200))
def test_reading_signals_never_raises(text: str, body: bytes) -> None:
    decide({"x-robots-tag": text, "tdm-reservation": text, "content-usage": text}, text)
    decide({}, markup_of("", body))
    site = read_site_signals(body, body, body)
    "".join(map(str, site.findings("https://a.test/x"))).encode()
    read_robots(200, body, 0.0).allowed("https://a.test/x")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud83d") | st.just(10**400),
        lambda values: (
            st.lists(values, max_size=4)
            | st.dictionaries(st.sampled_from(["location", "tdm-reservation", "tdm-policy", "x"]), values, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_a_tdmrep_file_of_any_shape_can_be_read_and_written_down(entries: object) -> None:
    site = read_site_signals(None, json.dumps(entries).encode(), None)
    for finding in site.findings("https://a.test/x"):
        str(finding).encode()


@pytest.mark.parametrize(
    ("body", "denies"),
    [
        (b'[{"location": "/", "tdm-reservation": 1,}]', True),
        ('[{"location": "/", "tdm-reservation": 1,}]'.encode("utf-16"), True),
        ('[{"location": "/", "tdm-reservation": 1}]'.encode("utf-16"), True),
        (b'\xef\xbb\xbf[{"location": "/", "tdm-reservation": " 1 "}]', True),
        (b'[{"tdm-reservation": 1}, 7]', True),
        (b'[{"location": "/", "tdm-reservation": true}]', True),
        (b'[{"location": "/", "tdm-reservation": 1.0}]', True),
        (b'[{"Location": "/", "TDM-Reservation": 1}]', True),
        (b'{"version": 1, "rules": [{"location": "/x", "tdm-reservation": 1}]}', True),
        (b'{"rules": [{"location": "/y", "tdm-reservation": 1}]}', False),
        (b'[{"tdm-reservation": 0}]', False),
        (b'[{"location": "\\ud83d", "tdm-reservation": 1, "tdm-policy": "\\ud83d"}]', False),
        (b'[{"location": "/", "tdm-reservation": 10}]', False),
        (b"[" * 3_000_000, False),
        (b'\xef\xbb\xbf <html>"tdm-reservation": 1', False),
    ],
)
def test_a_tdmrep_file_is_heard_through_its_slips(body: bytes, denies: bool) -> None:
    findings = read_site_signals(None, body, None).findings("https://a.test/x")
    assert any(each.denies for each in findings) is denies
    "".join(map(str, findings)).encode()


@pytest.mark.parametrize(("status", "known"), [(404, True), (401, True), (200, True), (429, False), (503, False)])
def test_a_file_that_the_site_fails_to_hand_out_is_a_no(status: int, known: bool) -> None:
    site = read_site_signals(None, file_of(status, b""), None)
    assert any(each.denies for each in site.findings("https://a.test/x")) is not known
    assert isinstance(file_of(status, b""), NotKnown) is not known


@pytest.mark.parametrize(
    ("robots", "allowed"),
    [
        (b"User-agent: crossmusim/0.1\nDisallow: /", False),
        (b"user-agent:CrossMuSim/9 (+x)\r\nDisallow: /", False),
        (b"User-agent: crossmusim-bot\nDisallow: /", False),
        (b"User-agent: CrossMuSim Bot\nDisallow: /", False),
        (b"User-agent: crossmusim\nAllow: /\n\nUser-agent: crossmusim-images\nDisallow: /", True),
        (b"User-agent: mycrossmusim\nDisallow: /", True),
        (b"User-agent: a\nUser-agent: crossmusim/1\nDisallow: /x\n\nUser-agent: crossmusim/2\nAllow: /x/y", False),
        (b"User-agent: *\rDisallow: /\r", False),
        (b"\xef\xbb\xbfUser-agent: *\nDisallow: /", False),
        ("User-agent: *\nDisallow: /".encode("utf-16"), False),
        ("User-agent: *\nDisallow: /".encode("utf-16-be"), False),
        (b"# long\n" * 150_000 + b"User-agent: *\nDisallow: /", False),
        (b"User-agent: *\n" + b"Allow: /aaaa\n" * 200_000 + b"Disallow: /", True),
        (b"User-agent: *\nDisallow: /*x$\nDisallow: /a*b*c", False),
    ],
)
def test_a_robots_file_is_read_in_any_shape_and_names_us_in_any_spelling(robots: bytes, allowed: bool) -> None:
    assert read_robots(200, robots, 0.0).allowed("https://a.test/x") is allowed


def test_a_usage_rule_of_our_own_group_counts_with_a_version_in_its_name() -> None:
    robots = b"User-agent: *\nAllow: /\n\nUser-agent: CrossMuSim/0.1\nContent-Usage: train-ai=n\nAllow: /"
    assert [each.denies for each in read_site_signals(robots, None, None).findings("https://a.test/x")] == [True]


# --- against a site ---


class Site:
    """Songs everywhere, but for what `pages` says of a path."""

    def __init__(self, **pages: Reply | Callable[[Asked], Reply]) -> None:
        self.pages = pages

    def __call__(self, asked: Asked) -> Reply:
        names = dict(zip(SITE_FILES, ("robots", "tdmrep", "ai"), strict=True))
        page = self.pages.get(names.get(asked.path, asked.path.strip("/")), song(asked))
        return page(asked) if callable(page) else page


def crawl(folder: Path, server: Loopback, *pages: str, **options: object) -> CrawlResult:
    crawl_settings = CrawlSettings(contact="me@example.org", allow_private_hosts=True, timeout_s=5.0)
    specs = [TaskSpec("schemaorg", f"{server.url}/{page}", "page") for page in pages]
    arguments = {"urls": specs, "backoff_s": 0.01, "patience_s": 1.0, **options}
    return run_crawl(Workspace(folder), Settings(crawl=crawl_settings), {"schemaorg": FAST}, None, **arguments)  # type: ignore[arg-type]


def held(folder: Path) -> set[str]:
    return {url.rpartition("/")[2] for url in Workspace(folder).read(Document)["url"]}


@pytest.mark.parametrize("name", ["tdmrep", "ai"])
@pytest.mark.parametrize("status", [429, 503])
def test_a_site_whose_files_are_not_known_is_not_read_until_they_are(tmp_path: Path, name: str, status: int) -> None:
    site = Site(**{name: Reply("", status)})
    with Loopback(site) as server:
        result = crawl(tmp_path, server, "a")
        assert (result.fetched, result.denied) == (0, 1)
        (row,) = Workspace(tmp_path).read_rejected().filter(pl.col("stage") == "crawl").iter_rows(named=True)
        assert f"not known (HTTP {status})" in row["finding"]
        assert not [asked for asked in server.log if asked.path == "/a"]
        site.pages = {}
        assert crawl(tmp_path, server, "a").documents == 1
        assert [asked.path for asked in server.log].count("/a") == 1


def test_a_file_that_passes_away_for_a_moment_takes_no_document_back(tmp_path: Path) -> None:
    site = Site()
    with Loopback(site) as server:
        assert crawl(tmp_path, server, "a").documents == 1
        site.pages = {"tdmrep": Reply("", 500)}
        assert crawl(tmp_path, server, again_after_s=0.0).documents == 1
        site.pages = {"tdmrep": Reply('[{"location": "/", "tdm-reservation": 1}]')}
        assert crawl(tmp_path, server).documents == 0


MOVED = Reply("", 301, {"Location": "/new"})
TAKEN_BACK: dict[str, dict[str, Reply]] = {
    "moved": {"a": MOVED, "new": Reply(NOAI)},
    "moved_by_a_no": {"a": Reply("", 301, {"Location": "/new", "X-Robots-Tag": "noai"})},
    "gone": {"a": Reply("", 410)},
    "for_legal_reasons": {"a": Reply("", 451)},
    "refused": {"a": Reply("", 403, {"TDM-Reservation": "1"})},
    "not_found_and_no": {"a": Reply(NOAI, 404)},
}


@pytest.mark.parametrize("how", list(TAKEN_BACK))
def test_a_page_that_is_taken_back_takes_its_old_document_along(tmp_path: Path, how: str) -> None:
    site = Site()
    with Loopback(site) as server:
        assert crawl(tmp_path, server, "a", "b").documents == 2
        site.pages = {**TAKEN_BACK[how]}
        result = crawl(tmp_path, server, again_after_s=0.0)
        assert (result.documents, result.denied) == (1, 1)
        assert held(tmp_path) == {"b"}
        gone = Workspace(tmp_path).read_rejected().filter(pl.col("reason") == "consent_denied")
        assert f"{server.url}/a" in gone["key"].to_list()
        site.pages = {"a": Reply("", 404)}
        assert crawl(tmp_path, server, retry=["denied"]).documents == 1, "a 404 after a no gives nothing back"
    assert rebuild_documents(Workspace(tmp_path), {"schemaorg": FAST})[0] == 1


def test_a_page_that_moved_on_twice_leaves_none_of_its_old_documents(tmp_path: Path) -> None:
    site = Site()
    with Loopback(site) as server:
        crawl(tmp_path, server, "a")
        site.pages = {"a": MOVED}
        crawl(tmp_path, server, again_after_s=0.0)
        assert held(tmp_path) == {"a", "new"}
        site.pages = {"a": MOVED, "new": Reply("", 410)}
        assert crawl(tmp_path, server, again_after_s=0.0).documents == 0
        site.pages = {}
        assert crawl(tmp_path, server, retry=["denied"]).documents == 1, "a later yes is a yes"


def test_a_page_that_is_merely_not_found_keeps_its_document(tmp_path: Path) -> None:
    site = Site()
    with Loopback(site) as server:
        crawl(tmp_path, server, "a")
        site.pages = {"a": Reply("", 404)}
        assert crawl(tmp_path, server, again_after_s=0.0).documents == 1
