"""Hosts that are gone, one that wants days between requests, redirects between hosts: told by the sites' own logs."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from crawls import finish, lay_out, pages_asked, song, start
from loopback import Asked, Loopback, Reply

from sourcing.crawling.ledger import Ledger
from sourcing.crawling.policy.site_signals import WELL_KNOWN

pytestmark = pytest.mark.e2e

GONE, PAGES, DELAY_S = 50, 12, 0.7
SETTINGS = "patience_s = 4\nmax_attempts = 2"


@contextmanager
def nobody(n: int) -> Iterator[list[str]]:
    """Addresses of hosts where nobody listens."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(closing(socket.socket())) for _ in range(n)]
        for number, reserved in enumerate(sockets):
            reserved.bind((f"127.0.0.{number % 9 + 2}", 0))  # bound, not listening: refused
        yield [f"http://{host}:{port}" for host, port in (reserved.getsockname() for reserved in sockets)]


def pages_of(site: Loopback) -> Counter[str]:
    return Counter(pages_asked(site))


def gaps(site: Loopback) -> list[float]:
    """Seconds between requests, once the delay that the site asks for could be known."""
    paths = [asked.path for asked in site.log]
    times = sorted(asked.at_s for asked in site.log[paths.index(WELL_KNOWN[0]) :])
    return [after - before for before, after in pairwise(times)]


def test_what_is_well_is_done_and_the_rest_is_told_and_taken_up_later(tmp_path: Path) -> None:
    asleep = True

    def slow(asked: Asked) -> Reply:
        if asked.path == "/robots.txt" and asleep:
            return Reply("User-agent: *\nCrawl-delay: 100000\n", headers={"Content-Type": "text/plain"})
        return song(asked)

    with nobody(GONE) as dead, Loopback(slow) as sleeper, Loopback(song) as well:

        def leads_away(asked: Asked) -> Reply:
            known = asked.path.startswith("/gone/")
            return Reply("", 302, {"Location": f"{dead[int(asked.path[6:])]}/x"}) if known else song(asked)

        with Loopback(leads_away) as index:
            urls = [f"{index.url}/gone/{n}" for n in range(GONE)]
            urls += [f"{sleeper.url}/{n}" for n in range(3)] + [f"{well.url}/{n}" for n in range(PAGES)]
            folder = lay_out(tmp_path / "w", urls, crawl=SETTINGS, source="rate_per_s = 500\nconcurrency = 4")
            code, result, err = finish(start(folder), 60)
            assert code == 0, err
            assert (result["fetched"], result["pending"], result["failed"]) == (PAGES, GONE + 3, 0)
            assert pages_of(index) == Counter({f"/gone/{n}": 1 for n in range(GONE)})
            assert pages_of(well) == Counter({f"/{n}": 1 for n in range(PAGES)})
            assert [asked.path for asked in sleeper.log] == ["/robots.txt"]
            notes = " ".join(result["notes"])
            assert f"{sleeper.url.removeprefix('http://')} is to be left alone until" in notes
            assert "crawl.patience_s = 4 allows: 3 tasks are left to the next run" in notes
            assert notes.count("cannot be reached") == GONE
            code, status, err = finish(start(folder, "crawl", "status"), 60)
            assert (code, status["sources"]["schemaorg"]["pending"]) == (0, GONE + 3), err
            assert [paused["host"] for paused in status["paused_hosts"]] == [sleeper.url.removeprefix("http://")]

            # Later: the days are over, and the sleeper has woken up.
            asleep = False
            with closing(Ledger(folder / "crawl" / "ledger.sqlite")) as ledger:
                ledger._db.execute("UPDATE hosts SET paused_until = 0")
                ledger._db.execute("UPDATE tasks SET next_at = 0 WHERE state = 5")
                ledger._db.execute("DELETE FROM site_files")
            code, result, err = finish(start(folder), 60)
            assert code == 0, err
            assert (result["fetched"], result["pending"]) == (PAGES + 3, GONE)
            assert pages_of(index) == Counter({f"/gone/{n}": 1 for n in range(GONE)})
            assert pages_of(sleeper) == Counter({f"/{n}": 1 for n in range(3)})


def test_two_processes_and_redirects_between_their_hosts_break_no_delay_and_ask_once(tmp_path: Path) -> None:
    sites: list[Loopback] = []

    def handle(asked: Asked) -> Reply:
        here = next(i for i, site in enumerate(sites) if site.url.endswith(asked.headers["Host"]))
        onward = sites[(here + 1) % len(sites)].url
        if asked.path == "/rules.txt" or (asked.path == "/robots.txt" and here > 1):
            return Reply(f"User-agent: *\nCrawl-delay: {DELAY_S:g}\n", headers={"Content-Type": "text/plain"})
        if asked.path == "/robots.txt":
            return Reply("", 302, {"Location": f"{onward}/rules.txt"})
        _, kind, n = f"{asked.path}//".split("/")[:3]
        return Reply("", 301, {"Location": f"{onward}/from/{here}-{n}"}) if kind == "to" else song(asked)

    with ExitStack() as stack:
        sites += [stack.enter_context(Loopback(handle)) for _ in range(4)]
        urls = [f"{site.url}/{kind}/{n}" for n in range(4) for kind in ("to", "own") for site in sites]
        folder = lay_out(tmp_path / "w", urls, crawl="lease_s = 1", source="rate_per_s = 500\nconcurrency = 2")
        both = [start(folder), start(folder)]
        results = [finish(process, 120) for process in both]
        for code, result, err in results:
            assert code == 0, err
            assert (result["fetched"], result["pending"], result["failed"]) == (len(urls), 0, 0)
        assert sum(result["asked"] for _, result, _ in results) == len(urls)
        for here, site in enumerate(sites):
            before = (here - 1) % len(sites)
            expected = {f"/{kind}/{n}" for kind in ("to", "own") for n in range(4)}
            asked = pages_of(site)
            del asked["/rules.txt"]
            assert asked == Counter(expected | {f"/from/{before}-{n}" for n in range(4)})
            assert min(gaps(site)) >= DELAY_S, gaps(site)
