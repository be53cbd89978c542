"""`sources check` and `sources list`: the decision for one URL, with its reasons, and what we may ask at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from loopback import Asked, Loopback, Reply

from sourcing.crawling.check import Checked, check_url
from sourcing.crawling.run import read_url_list
from sourcing.crawling.sources import SOURCES
from sourcing.errors import UpstreamError, UsageError
from sourcing.settings import CrawlSettings


def _check(url: str, **crawl: Any) -> Checked:
    settings = {"contact": "me@example.org", "allow_private_hosts": True, **crawl}
    return check_url(url, SOURCES, CrawlSettings(**settings))


def _site(robots: Reply, page: Reply) -> Loopback:
    def handle(asked: Asked) -> Reply:
        return robots if asked.path == "/robots.txt" else page

    return Loopback(handle)


@pytest.mark.parametrize(
    ("robots", "page", "decision", "why"),
    [
        (Reply("", 404), Reply("<p>"), "allow", "no signal says no"),
        (Reply("", 404), Reply("", 410), "allow", "no signal says no; HTTP 410"),
        (Reply("User-agent: *\nDisallow: /"), Reply("<p>"), "deny", "robots.txt: disallowed"),
        (Reply("", 500), Reply("<p>"), "deny", "robots.txt unavailable: HTTP 500"),
        (Reply("", 404), Reply("", headers={"TDM-Reservation": "1"}), "deny", "tdm-reservation: 1"),
        (Reply("", 404), Reply('<meta name="robots" content="noai">'), "deny", "meta robots: noai"),
        (Reply("", 404), Reply("", 302, {"Location": "ftp://x/"}), "deny", "redirect to ftp://x/: url_unusable"),
    ],
)
def test_the_decision_comes_with_the_signal_that_made_it(robots: Reply, page: Reply, decision: str, why: str) -> None:
    with _site(robots, page) as server:
        found = _check(server.url + "/song")
    assert (found.source, found.decision) == ("schemaorg", decision)
    assert found.why.startswith(why)


def test_private_hosts_are_not_asked() -> None:
    with _site(Reply("", 404), Reply("<p>")) as server:
        found = _check(server.url.replace("127.0.0.1", "localhost"), allow_private_hosts=False)
        assert server.log == []
    assert (found.decision, found.why.partition(":")[0]) == ("deny", "private_host")


def test_a_host_that_does_not_answer_is_named() -> None:
    with pytest.raises(UpstreamError, match=r"http://127\.0\.0\.1:1"):
        _check("http://127.0.0.1:1/x")


def test_the_list_names_licence_terms_and_key_of_every_source(tmp_path: Path) -> None:
    from sourcing.commands.invocation import Invocation
    from sourcing.commands.sources import list_sources

    result = CliRunner().invoke(list_sources, obj=Invocation(tmp_path, json=True), catch_exceptions=False)
    rows = json.loads(result.stdout)["sources"]
    assert [row["name"] for row in rows] == list(SOURCES)
    assert all(row["licences"] and row["terms_reviewed"] and row["rate_per_s"] > 0 for row in rows)
    plain = CliRunner().invoke(list_sources, obj=Invocation(tmp_path), catch_exceptions=False)
    assert "terms reviewed" in plain.stdout


def test_a_url_list_gives_pages_and_their_tracks(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("# ours\nhttp://a.test/1\tt1\n\nhttp://a.test/2\n")
    assert [(spec.url, spec.track_id) for spec in read_url_list(path)] == [
        ("http://a.test/1", "t1"),
        ("http://a.test/2", None),
    ]
    path.write_text("http://a.test/1\nwww.a.test/2\n")
    with pytest.raises(UsageError, match="line 2"):
        read_url_list(path)
