"""`sources check` and `sources list`: the decision for one URL, with its reasons, and what we may ask at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from loopback import Asked, Loopback, Reply

from sourcing.crawling.policy.check_url import UrlCheck, check_url
from sourcing.crawling.sources import SOURCES, Source
from sourcing.crawling.spider.seeding import list_feed
from sourcing.errors import UpstreamError, UsageError
from sourcing.settings import CrawlSettings


def _check(
    url: str, sources: dict[str, Source] | None = None, wait: Callable[[float], None] = lambda s: None, **crawl: Any
) -> UrlCheck:
    settings = {"contact": "me@example.org", "allow_private_hosts": True, **crawl}
    return check_url(url, sources or SOURCES, CrawlSettings(**settings), wait=wait)


def _site(robots: Reply, page: Reply, **files: Reply) -> Loopback:
    """Files by what they are called before the dot; what is not given is not there."""

    def handle(asked: Asked) -> Reply:
        name = asked.path.rpartition("/")[2].partition(".")[0]
        return robots if name == "robots" else files.get(name, Reply("", 404)) if "." in asked.path else page

    return Loopback(handle)


def _says(found: UrlCheck) -> dict[str, tuple[str, str]]:
    return {each.signal: (each.says, each.found) for each in found.signals}


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


NONE, PAGE, GROUP = Reply("", 404), Reply("<p>"), "User-agent: *\n"


@pytest.mark.parametrize(
    ("signal", "robots", "page", "files", "found"),
    [
        ("robots.txt Content-Usage", Reply(GROUP + "Content-Usage: /so train-ai={}"), PAGE, {}, "/so train-ai={}"),
        ("robots.txt Content-Signal", Reply(GROUP + "Content-Signal: ai-train={}o"), PAGE, {}, "ai-train={}o"),
        ("content-usage", NONE, Reply("<p>", headers={"Content-Usage": "train-ai={}"}), {}, "train-ai={}"),
        ("meta robots", NONE, Reply("<meta content={}oai name=ROBOTS>"), {}, "{}oai"),
        ("ai.txt", NONE, PAGE, {"ai": Reply(GROUP + "Disallow: *.txt\nAllow: /s{}\n")}, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("no", [True, False])
def test_each_signal_is_shown_and_decides_where_it_says_no(
    signal: str, robots: Reply, page: Reply, files: dict[str, Reply], found: str, no: bool
) -> None:
    letter = "n" if no else "o"

    def filled(reply: Reply) -> Reply:
        headers = {name: value.format(letter) for name, value in reply.headers.items()}
        return Reply(str(reply.body).format(letter), reply.status, headers)

    with _site(filled(robots), filled(page), **{name: filled(reply) for name, reply in files.items()}) as server:
        checked = _check(server.url + "/song")
    assert checked.decision == ("deny" if no else "allow")
    says, shown = _says(checked)[signal]
    assert says == ("no" if no else "nothing against it")
    assert shown.startswith(found.format(letter))
    assert checked.why == (f"{signal}: {shown}" if no else "no signal says no")


@pytest.mark.parametrize("reservation", [0, 1])
def test_the_tdmrep_file_is_asked_for_and_heeded(reservation: int) -> None:
    body = json.dumps([{"location": "/song*", "tdm-reservation": reservation}])
    with _site(NONE, Reply("<p>"), tdmrep=Reply(body)) as server:
        found = _check(server.url + "/song")
        assert [asked.path for asked in server.log] == ["/robots.txt", "/.well-known/tdmrep.json", "/ai.txt", "/song"]
        assert all("me@example.org" in asked.headers["User-Agent"] for asked in server.log)
    assert found.decision == ("deny" if reservation else "allow")
    assert _says(found)["tdmrep.json"][1] == f"/song* tdm-reservation {reservation} (entry 1)"
    assert _says(found)["ai.txt"] == ("nothing against it", "none (HTTP 404)")


def test_the_robots_rule_is_shown_with_its_line_and_what_was_not_asked_is_said() -> None:
    robots = Reply("User-agent: *\nCrawl-delay: 3\nDisallow: /so\nUser-agent: GPTBot\nDisallow: /")
    with _site(robots, Reply("<p>")) as server:
        found = _check(server.url + "/song")
        assert [asked.path for asked in server.log] == ["/robots.txt"]
    says = _says(found)
    assert says["robots.txt"] == ("no", "disallowed by line 3, Disallow: /so")
    assert says["crawl-delay"][1] == "3 s between requests"
    assert says["robots.txt named agents"][1].startswith("GPTBot may not ask")
    assert {name for name, (said, _) in says.items() if said == "not asked"} == {
        "tdmrep.json", "ai.txt", "x-robots-tag", "tdm-reservation", "content-usage", "meta",
    }  # fmt: skip


def test_requests_to_one_host_keep_the_delay_it_asks_for() -> None:
    waits: list[float] = []
    with _site(Reply("User-agent: *\nCrawl-delay: 3\nDisallow: /ai.txt"), Reply("<p>")) as server:
        found = _check(server.url + "/song", wait=waits.append)
    assert waits == [3.0, 3.0]
    assert _says(found)["ai.txt"] == ("not asked", "robots.txt disallows /ai.txt")


def _granting(url: str, **declared: Any) -> dict[str, Source]:
    own = {"base_url": url, "licences": {"*": "CC0-1.0", "tags": "CC-BY-NC-SA-3.0"}, "api_terms": None, **declared}
    return {"musicbrainz": replace(SOURCES["musicbrainz"], **own)}


def test_a_licence_grant_sets_a_no_to_mining_aside() -> None:
    with _site(NONE, Reply("{}", headers={"TDM-Reservation": "1"})) as server:
        found = _check(server.url + "/song", _granting(server.url))
    assert (found.decision, found.grant, found.why) == ("allow", "CC0-1.0", "every no is set aside by CC0-1.0")
    assert _says(found)["tdm-reservation"] == ("set aside", "1")
    assert found.licences["tags"] == "CC-BY-NC-SA-3.0"
    assert found.licences["title"] == found.licences["*"] == "CC0-1.0"


@pytest.mark.parametrize("terms", [None, "https://a.test/api"])
def test_a_disallow_is_set_aside_by_api_terms_and_by_no_licence(terms: str | None) -> None:
    with _site(Reply("User-agent: *\nDisallow: /song"), Reply("{}")) as server:
        found = _check(server.url + "/song", _granting(server.url, api_terms=terms))
    assert found.decision == ("allow" if terms else "deny")
    assert _says(found)["robots.txt"][0] == ("set aside" if terms else "no")


def test_the_site_a_redirect_leads_to_is_asked_for_its_own_signals() -> None:
    with _site(Reply("User-agent: *\nDisallow: /song"), Reply("<p>")) as second:
        with _site(NONE, Reply("", 302, {"Location": second.url + "/song"})) as first:
            found = _check(first.url + "/song")
        assert [asked.path for asked in second.log] == ["/robots.txt"]
    assert (found.decision, found.url) == ("deny", second.url + "/song")


def test_an_endless_redirect_ends() -> None:
    with _site(NONE, Reply("", 302, {"Location": "/song"})) as server:
        assert _check(server.url + "/song").why == "too_many_redirects"
        assert [asked.path for asked in server.log].count("/robots.txt") == 1


def test_the_licence_a_page_states_is_shown_for_its_fields() -> None:
    record = {
        "@type": "MusicRecording",
        "name": "Lantern Road",
        "license": "https://creativecommons.org/licenses/by/4.0/",
    }
    page = f'<script type="application/ld+json">{json.dumps(record)}</script>'
    with _site(NONE, Reply(page)) as server:
        found = _check(server.url + "/song")
    assert found.licences["title"] == "CC-BY-4.0"


def test_the_command_says_the_same_to_people_and_to_machines(tmp_path: Path) -> None:
    from sourcing.commands.invocation import Invocation
    from sourcing.commands.sources import check

    (tmp_path / "crossmusim.toml").write_text(
        '[crawl]\ncontact = "me@example.org"\nallow_private_hosts = true\n[sources.schemaorg]\nrate_per_s = 1000\n'
    )
    with _site(NONE, Reply('<meta name="robots" content="noai">')) as server:
        asked = [server.url + "/song"]
        plain = CliRunner().invoke(check, asked, obj=Invocation(tmp_path), catch_exceptions=False)
        result = CliRunner().invoke(check, asked, obj=Invocation(tmp_path, json=True), catch_exceptions=False)
    told = plain.stdout
    assert (plain.exit_code, result.exit_code) == (3, 3)
    found = json.loads(result.stdout)
    assert (found["decision"], found["why"], found["status"]) == ("deny", "meta robots: noai", 200)
    assert {"signal": "meta robots", "found": "noai", "says": "no"} in found["signals"]
    assert told.splitlines()[:2] == ["deny: meta robots: noai", "source schemaorg, which grants no licence"]
    assert "  no         meta robots: noai" in told.splitlines()
    assert "  unknown: title, artist, album, tags, lead, text, facts" in told.splitlines()


def test_the_command_exits_with_0_where_a_page_may_be_fetched(tmp_path: Path) -> None:
    from sourcing.commands.invocation import Invocation
    from sourcing.commands.sources import check

    (tmp_path / "crossmusim.toml").write_text(
        '[crawl]\ncontact = "me@example.org"\nallow_private_hosts = true\n[sources.schemaorg]\nrate_per_s = 1000\n'
    )
    with _site(NONE, Reply("<p>")) as server:
        result = CliRunner().invoke(check, [server.url + "/song"], obj=Invocation(tmp_path), catch_exceptions=False)
    assert (result.exit_code, result.stdout.startswith("allow")) == (0, True)


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
    chunk = next(list_feed(path).chunks(0))
    assert [(spec.url, spec.track_id) for spec in chunk.specs] == [
        ("http://a.test/1", "t1"),
        ("http://a.test/2", None),
    ]
    path.write_text("# not the list\nwww.a.test/2\n")
    with pytest.raises(UsageError, match="line 2"):
        list_feed(path)
