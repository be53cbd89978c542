"""Consent and politeness as pure decisions: signals, robots.txt, Retry-After, addresses, the User-Agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sourcing.crawling.policy.consent import decide, granted_by
from sourcing.crawling.policy.politeness import (
    forbidden_address,
    read_robots,
    retry_delay_s,
    unusable_url,
    user_agent,
)
from sourcing.crawling.policy.site_signals import read_site_signals
from sourcing.crawling.sources import SOURCES
from sourcing.errors import UsageError
from sourcing.settings import CrawlSettings


@pytest.mark.parametrize(
    ("headers", "html", "decision"),
    [
        ({}, "", "allow"),
        ({"x-robots-tag": "noindex, nofollow"}, "", "allow"),
        ({"x-robots-tag": "noindex, NoAI"}, "", "deny"),
        ({"x-robots-tag": "otherbot: noai"}, "", "allow"),
        ({"x-robots-tag": "otherbot: noai, crossmusim: noindex, noai"}, "", "deny"),
        ({"x-robots-tag": "unavailable_after: 25 Jun 2030 15:00:00 PST, noai"}, "", "deny"),
        ({"tdm-reservation": "1"}, "", "deny"),
        ({"tdm-reservation": "0"}, "", "allow"),
        ({"content-usage": "train-ai=n, search=y"}, "", "deny"),
        ({"content-usage": "train-ai=y"}, "", "allow"),
        ({"content-usage": "something-new=n"}, "", "allow"),
        ({"content-usage": "search=n"}, "", "allow"),
        ({"content-usage": 'note="x, train-ai=n", other=(a train-ai=n)'}, "", "allow"),
        ({"content-usage": 'note="x, y", Train-AI=N;because="z"'}, "", "deny"),
        ({"content-usage": "train-ai=n, train-ai=y"}, "", "allow"),
        ({"content-usage": "train-ai=n, =broken"}, "", "deny"),
        ({}, '<meta name="robots" content="index, noai">', "deny"),
        ({}, "<META CONTENT=noai NAME=ROBOTS />", "deny"),
        ({}, '<meta name="tdm-reservation" content="1">', "deny"),
        ({}, '<meta http-equiv="X-Robots-Tag" content="noai">', "deny"),
        ({}, '<meta name="robots" content="index"><p><meta\nname=Robots\ncontent="NOAI"/>', "deny"),
        ({}, '<meta name="crossmusim" content="noai">', "deny"),
        ({}, '<meta name="robots" content="noimageai">', "allow"),
        ({}, '<!-- <meta name="robots" content="noai"> -->', "allow"),
        ({}, '<script>s = "<!--"</script><meta name="robots" content="noai"><!-- end -->', "deny"),
        ({}, '<!-- a --><meta name="robots" content="noai">', "deny"),
        ({}, 'İİİ<meta name="robots" content="noai">', "deny"),
        ({}, '<meta name="description" content="noai">', "allow"),
    ],
)
def test_each_signal_decides_as_its_specification_says(headers: dict[str, str], html: str, decision: str) -> None:
    verdict = decide(headers, html)
    assert verdict.decision == decision
    assert bool(verdict.denied_by) == (decision == "deny")


def test_every_signal_read_is_evidence_and_the_denying_one_comes_last() -> None:
    headers = {"tdm-reservation": "1", "tdm-policy": "https://a.test/policy", "content-usage": "search=y"}
    verdict = decide(headers, "", "robots.txt: allowed")
    assert verdict.evidence == (
        "robots.txt: allowed",
        "content-usage: search=y",
        "tdm-policy: https://a.test/policy",
        "tdm-reservation: 1",
    )


SITE = read_site_signals(b"User-agent: GPTBot\nDisallow: /", b'[{"location": "/", "tdm-reservation": 1}]', None)


def test_what_the_site_says_of_the_url_counts_like_what_the_page_says() -> None:
    verdict = decide({"x-robots-tag": "noai"}, "", "robots.txt: allowed", site=SITE, url="https://a.test/x")
    tdmrep = "tdmrep.json: / tdm-reservation 1 (entry 1)"
    assert (verdict.decision, verdict.denied_by) == ("deny", tdmrep)
    assert verdict.evidence == (
        "robots.txt: allowed",
        "robots.txt named agents: GPTBot may not ask for this page (noted)",
        "x-robots-tag: noai",
        tdmrep,
    )


def test_a_licence_grant_sets_every_no_aside_and_says_so() -> None:
    headers, page = {"tdm-reservation": "1"}, '<meta name="robots" content="noai">'
    verdict = decide(headers, page, "robots.txt: allowed", site=SITE, url="https://a.test/x", grant="CC0-1.0")
    assert (verdict.decision, verdict.denied_by) == ("allow", "")
    assert verdict.set_aside == verdict.evidence[-3:]
    assert verdict.evidence[-1] == "meta robots: noai, set aside by CC0-1.0"


@pytest.mark.parametrize(
    ("licences", "ship_class", "url", "grant"),
    [
        ({"*": "CC0-1.0", "tags": "CC-BY-NC-SA-3.0"}, "A", "https://api.a.test/1", "CC0-1.0"),
        ({"*": "CC-BY-SA-4.0"}, "A", "https://elsewhere.test/1", None),
        ({"*": "CC0-1.0", "text": "unknown"}, "B", "https://api.a.test/1", None),
        ({"*": "CC-BY-ND-4.0"}, "A", "https://api.a.test/1", None),
        ({"*": "unknown"}, "A", "https://api.a.test/1", None),
        ({"*": "LicenseRef-a-terms"}, "B", "https://api.a.test/1", None),
        ({"tags": "CC0-1.0"}, "A", "https://api.a.test/1", None),
        ({"*": "CC-BY-4.0"}, "import", "https://api.a.test/1", None),
    ],
)
def test_only_a_source_all_under_open_licences_grants_and_only_on_its_own_host(
    licences: dict[str, str], ship_class: str, url: str, grant: str | None
) -> None:
    source = replace(SOURCES["schemaorg"], base_url="https://api.a.test", licences=licences, ship_class=ship_class)
    assert granted_by(source, url) == grant


def test_a_page_full_of_metas_is_looked_into_only_so_far() -> None:
    assert len(decide({}, '<meta name="robots" content="index">' * 5000).evidence) == 100


@pytest.mark.parametrize(("status", "allowed"), [(200, False), (404, True), (403, True), (429, False), (503, False)])
def test_robots_by_status(status: int, allowed: bool) -> None:
    verdict = read_robots(status, b"User-agent: *\nDisallow: /", 0.0)
    assert verdict.allowed("http://a.test/x") is allowed


def test_robots_group_for_us_wins_and_the_slower_of_its_delays() -> None:
    body = b"User-agent: *\nDisallow: /\n\nUser-agent: crossmusim\nCrawl-delay: 2\nRequest-rate: 1/5\nDisallow: /no\n"
    verdict = read_robots(200, body, 0.0)
    assert verdict.allowed("http://a.test/yes")
    assert not verdict.allowed("http://a.test/no/1")
    assert verdict.delay_s == 5.0


@pytest.mark.parametrize("body", [b"\xff\xfe\x00rubbish", b"Crawl-delay: -3", b"User-agent: *\nCrawl-delay: soon"])
def test_a_broken_robots_file_neither_denies_nor_delays(body: bytes) -> None:
    verdict = read_robots(200, body, 0.0)
    assert verdict.allowed("http://a.test/")
    assert verdict.delay_s == 0.0


def test_waits_double_up_to_an_hour() -> None:
    assert [retry_delay_s(n, 2.0) for n in (1, 2, 3, 50)] == [2.0, 4.0, 8.0, 3600.0]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "100.64.0.1", "::1", "fe80::1%eth0", "fd00::1",
     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1"],
)  # fmt: skip
def test_addresses_off_the_public_internet_are_refused(address: str) -> None:
    assert forbidden_address(["93.184.215.14", address])


def test_public_addresses_and_names_pass() -> None:
    assert not forbidden_address(["localhost.example.org", "mylocalhost"])
    assert forbidden_address(["localhost"]) and forbidden_address(["Intern.LOCALHOST."])
    assert not forbidden_address(["93.184.215.14", "2606:4700::1111", "example.org"])


@pytest.mark.parametrize(
    "url", ["ftp://a.test/", "file:///etc/passwd", "http:///x", "http://[bad/", "x", "http://a:0/"]
)
def test_only_http_urls_with_a_host_are_usable(url: str) -> None:
    assert unusable_url(url)


def test_the_user_agent_names_a_contact_and_there_is_no_crawl_without_one() -> None:
    assert user_agent(CrawlSettings(contact="me@example.org")).endswith(" (+me@example.org)")
    with pytest.raises(UsageError, match=r"crawl\.contact"):
        user_agent(CrawlSettings())
