"""What a site says for all its pages: Content-Usage rules, named agents, tdmrep.json and ai.txt, held against URLs."""

from __future__ import annotations

import json
import pickle
import re

import pytest
from cpu import within_cpu
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from sourcing.crawling.policy.politeness import PRODUCT
from sourcing.crawling.policy.robots_rules import best, matches, path_of, pattern_of, read_groups, rules_for
from sourcing.crawling.policy.signals import AGENT
from sourcing.crawling.policy.site_signals import SiteSignals, read_site_signals

ORIGIN = "https://a.test"


def _stupid(pattern: str, path: str) -> bool:
    end = "$" if pattern.endswith("$") else ""
    pieces = pattern.removesuffix("$").split("*")
    return re.match(".*".join(map(re.escape, pieces)) + end.replace("$", r"\Z"), path, re.DOTALL) is not None


@given(st.text("/a*$", max_size=7), st.text("/a$", max_size=7))
def test_patterns_match_as_a_regex_would(pattern: str, path: str) -> None:
    assert matches(pattern, path) is _stupid(pattern, path)


def test_a_pattern_made_to_run_long_does_not() -> None:
    with within_cpu(20.0):
        assert not matches("/" + "*a" * 500 + "b$", "/" + "a" * 5000)


@pytest.mark.parametrize(
    ("written", "compared"),
    [("/ü", "/%C3%BC"), ("/%c3%bc", "/%C3%BC"), ("/%7Euser", "/~user"), ("/a%2fb", "/a%2Fb"), ("/%zz", "/%zz")],
)
def test_paths_are_compared_in_one_form(written: str, compared: str) -> None:
    assert pattern_of(written) == compared
    assert path_of(ORIGIN + written + "?q=1") == compared + "?q=1"


ROBOTS = """
Content-Usage: search=n
User-agent: GPTBot
User-agent: CCBot/2.0
Disallow: /

User-agent: *
Allow: /songs/
Disallow: /songs/*/drafts$
Crawl-delay: 2
Disallow: /private  # ours
Content-Usage: train-ai=n
content-usage : /songs/open/ train-ai=y, search=y
Content-Usage: /songs/ train-ai=y
Content-Usage: /songs/ train-ai=n;why="no, train-ai=y"

User-agent: CrossMuSim
User-agent: other
Disallow: /songs/drafts
"""


@pytest.mark.parametrize("agent", ["crossmusim", "somebody", "gptbot"])
@pytest.mark.parametrize("path", ["/", "/songs/1", "/songs/1/drafts", "/songs/1/drafts/2", "/private", "/songs/drafts"])
def test_the_rule_shown_is_the_one_the_robots_parser_decides_by(agent: str, path: str) -> None:
    rules = [rule for rule in rules_for(read_groups(ROBOTS.encode()), agent) if rule.field in ("allow", "disallow")]
    found = best(rules, path)
    allowed = not found or any(rule.field == "allow" for rule in found)
    assert allowed is Protego.parse(ROBOTS).can_fetch(ORIGIN + path, agent)


def _denials(site: SiteSignals, path: str) -> list[str]:
    return [str(found) for found in site.findings(ORIGIN + path) if found.denies]


def test_the_longest_content_usage_rule_counts_and_of_equal_ones_the_no() -> None:
    site = read_site_signals(ROBOTS.encode(), None, None, agent="somebody")
    assert _denials(site, "/") == ["robots.txt Content-Usage: train-ai=n (line 12)"]
    assert _denials(site, "/songs/1") == ['robots.txt Content-Usage: /songs/ train-ai=n;why="no, train-ai=y" (line 15)']
    assert _denials(site, "/songs/open/1") == []
    assert any("train-ai=y, search=y" in str(found) for found in site.findings(f"{ORIGIN}/songs/open/1"))


def test_a_group_that_names_us_replaces_the_one_for_everyone() -> None:
    assert AGENT == PRODUCT
    assert read_site_signals(ROBOTS.encode(), None, None).usage == ()


def test_a_usage_rule_above_all_groups_is_meant_for_everyone() -> None:
    site = read_site_signals(b"Content-Usage: train-ai=n\nUser-agent: GPTBot\nDisallow: /\n", None, None)
    assert _denials(site, "/x") == ["robots.txt Content-Usage: train-ai=n (line 1)"]


@pytest.mark.parametrize(
    ("value", "denies"),
    [("search=yes,ai-train=no", True), ("ai-input=no", True), ("search=no, ai-train=yes", False)],
)
def test_content_signals_are_read_like_content_usage(value: str, denies: bool) -> None:
    site = read_site_signals(f"User-agent: *\nContent-Signal: {value}\nAllow: /\n".encode(), None, None)
    assert _denials(site, "/x") == ([f"robots.txt Content-Signal: {value} (line 2)"] if denies else [])


def test_ai_crawlers_blocked_by_name_are_noted_and_decide_nothing() -> None:
    site = read_site_signals(ROBOTS.encode(), None, None)
    assert [str(found) for found in site.findings(f"{ORIGIN}/songs/1")] == [
        "robots.txt named agents: GPTBot, CCBot may not ask for this page (noted)"
    ]
    partly = read_site_signals(
        b"User-agent: claudebot\nDisallow: /lyrics\nUser-agent: Googlebot\nDisallow: /", None, None
    )
    assert partly.findings(f"{ORIGIN}/songs/1") == []
    assert partly.findings(f"{ORIGIN}/lyrics/1")


TDMREP = [
    {"location": "/open/*", "tdm-reservation": 0},
    {"location": "/*.html$", "tdm-reservation": 1, "tdm-policy": "https://a.test/policy.json"},
    {"location": "https://a.test/closed", "tdm-reservation": "1"},
]


@pytest.mark.parametrize(
    ("path", "denial"),
    [
        ("/open/a.html", None),  # the first entry that matches counts
        ("/a.html", "tdmrep.json: /*.html$ tdm-reservation 1, policy https://a.test/policy.json (entry 2)"),
        ("/a.html?x=1", None),
        ("/closed/1", "tdmrep.json: /closed tdm-reservation 1 (entry 3)"),
        ("/else", None),
    ],
)
def test_the_first_tdmrep_entry_that_matches_decides(path: str, denial: str | None) -> None:
    site = read_site_signals(None, json.dumps(TDMREP).encode(), None)
    assert _denials(site, path) == ([denial] if denial else [])


@pytest.mark.parametrize(
    ("body", "note"),
    [
        (b"<!doctype html><p>Not found", "tdmrep.json: not JSON (an HTML page)"),
        (b"{", "tdmrep.json: not JSON (Expecting property name"),
        (b"\xff\xfe", "tdmrep.json: not JSON ("),
        (b"[" * 100_000, "tdmrep.json: not JSON ("),
        (b"3", "tdmrep.json: no list of entries, but int"),
        (b'[{"tdm-reservation": 0}, 7]', "tdmrep.json: entry 1 has no location; 2 of 2 entries not read"),
        (b'[{"location": "/", "tdm-reservation": "yes"}]', "tdmrep.json: entry 1 has tdm-reservation 'yes'"),
        (b'[{"location": "http://[x/", "tdm-reservation": 1}]', "tdmrep.json: entry 1 has a location that is no URL"),
    ],
)
def test_a_broken_tdmrep_file_is_noted_and_decides_nothing(body: bytes, note: str) -> None:
    found = read_site_signals(None, body, None).findings(f"{ORIGIN}/x")
    assert [each.denies for each in found] == [False]
    assert str(found[0]).startswith(note)


def test_a_sound_entry_counts_beside_a_broken_one() -> None:
    site = read_site_signals(None, b'[{"location": 1}, {"location": "/", "tdm-reservation": 1}]', None)
    assert _denials(site, "/x") == ["tdmrep.json: / tdm-reservation 1 (entry 2)"]


@pytest.mark.parametrize(
    ("rules", "path", "denies"),
    [
        ("Disallow: /", "/song", True),
        ("Disallow: *", "/song", True),
        ("Disallow:", "/song", False),
        ("Disallow: *.txt\nDisallow: *.jpg", "/song", True),  # a page's text is text, whatever its URL ends with
        ("Disallow: *.jpg\nDisallow: *.mp3", "/song", False),
        ("Disallow: *.jpg\nAllow: *.txt\nAllow: *.html\nDisallow: /", "/song", False),
        ("Allow: /\nDisallow: *.html", "/song", True),
        ("Disallow: *.txt\nAllow: *.html", "/song.html", False),  # its own ending speaks first
        ("Disallow: *.txt\nAllow: *.html", "/song.htm", True),
        ("Disallow: *.txt\nAllow: /songs/", "/songs/1", False),
        ("Disallow: *.txt", "/a.txt.jpg", True),
        ("Disallow: text", "/song", True),
        ("Disallow: images", "/song", False),
        ("Disallow: /private", "/song", False),
        ("Disallow: *.php", "/song", False),  # code, which we do not take
    ],
)
def test_ai_txt_is_read_for_what_we_take_which_is_text(rules: str, path: str, denies: bool) -> None:
    site = read_site_signals(None, None, f"# who may train\nUser-Agent: *\n{rules}\n".encode())
    assert bool(_denials(site, path)) is denies


def test_ai_txt_groups_for_others_are_not_ours() -> None:
    assert read_site_signals(None, None, b"User-Agent: GPTBot\nDisallow: /\n").findings(ORIGIN) == []
    ours = read_site_signals(None, None, b"User-Agent: *\nDisallow: /\n\nUser-Agent: crossmusim\nAllow: /\n")
    assert _denials(ours, "/x") == []


@pytest.mark.parametrize("body", [b"Disallow: /\n", b"\xef\xbb\xbfDisallow: *\r\n"])
def test_an_ai_txt_that_names_nobody_speaks_to_everyone(body: bytes) -> None:
    assert [each.denies for each in read_site_signals(None, None, body).findings(ORIGIN)] == [True]


@pytest.mark.parametrize("body", [b"<html>hello", b"We like music.\n"])
def test_an_ai_txt_without_rules_is_noted(body: bytes) -> None:
    found = read_site_signals(None, None, body).findings(ORIGIN)
    assert [(each.signal, each.denies) for each in found] == [("ai.txt", False)]


def test_what_a_site_says_survives_pickle() -> None:
    site = read_site_signals(ROBOTS.encode(), json.dumps([*TDMREP, 1]).encode(), b"User-agent: *\nDisallow: *.txt")
    assert pickle.loads(pickle.dumps(site)) == site
    assert site.findings(f"{ORIGIN}/a.html")
