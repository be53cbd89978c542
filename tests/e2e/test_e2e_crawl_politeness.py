"""Sites that ask for patience, told by their own logs: Crawl-delay, Retry-After and a robots file that is not there."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from contextlib import ExitStack
from email.utils import formatdate
from itertools import pairwise
from pathlib import Path

import pytest
from crawls import SITE_FILES, finish, lay_out, pages_answered, pages_asked, song, start
from loopback import Asked, Loopback, Reply

from sourcing.store import Workspace

pytestmark = pytest.mark.e2e

PAUSE_S = 3.0
CRAWL_DELAY_S = 2.0
CONCURRENCY = 4
HEARD_S = 2.5  # by then a refusal has been heard


def slow(asked: Asked) -> Reply:
    if asked.path == "/robots.txt":
        return Reply(f"User-agent: *\nCrawl-delay: {CRAWL_DELAY_S:g}\n", headers={"Content-Type": "text/plain"})
    return song(asked)


class Throttled:
    """Says "too much" at the first request for two of its pages: for three seconds, and until a date as far off.

    What comes beside a refusal is answered late, so that no answer lets another request go out before it is heard.
    """

    REFUSED = {"/3": 429, "/9": 503}

    def __init__(self) -> None:
        self.refusals: dict[str, float] = {}  # page → when it was refused
        self.lock, self.never = threading.Lock(), threading.Event()

    def __call__(self, asked: Asked) -> Reply:
        with self.lock:
            now = time.monotonic()
            refused = asked.path in self.REFUSED and asked.path not in self.refusals
            beside = any(now - at < HEARD_S for at in self.refusals.values())
            if refused:
                self.refusals[asked.path] = now
        if not refused:
            if beside:
                self.never.wait(HEARD_S)
            return song(asked)
        seconds, date = f"{PAUSE_S:g}", formatdate(math.ceil(time.time() + PAUSE_S), usegmt=True)
        status = self.REFUSED[asked.path]
        return Reply("too much", status, {"Retry-After": seconds if status == 429 else date})


def without_robots(asked: Asked) -> Reply:
    return Reply("in maintenance", 503) if asked.path == "/robots.txt" else song(asked)


def closed(asked: Asked) -> Reply:
    return song(asked) if asked.path in SITE_FILES else Reply("come back later", 429, {"Retry-After": "3600"})


def test_sites_that_ask_for_patience_get_it(tmp_path: Path) -> None:
    throttled = Throttled()
    with ExitStack() as stack:
        sites = {
            name: stack.enter_context(Loopback(handler))
            for name, handler in (("slow", slow), ("busy", throttled), ("down", without_robots), ("closed", closed))
        }
        pages = {"slow": 3, "busy": 24, "down": 5, "closed": 5}
        urls = [f"{site.url}/{n}" for name, site in sites.items() for n in range(pages[name])]
        folder = lay_out(tmp_path / "w", urls, source=f"rate_per_s = 2000\nconcurrency = {CONCURRENCY}")
        code, result, err = finish(start(folder))
        assert code == 0, err
        asked = {name: len(site.log) for name, site in sites.items()}

        # Crawl-delay: every request, those for the site's own files too, lies so far from the one before.
        slow_log = sites["slow"].log
        assert [entry.path for entry in slow_log[:3]] == list(SITE_FILES)
        assert Counter(pages_asked(sites["slow"])) == {"/0": 1, "/1": 1, "/2": 1}
        gaps = [after.at_s - before.at_s for before, after in pairwise(slow_log)]
        assert min(gaps) >= CRAWL_DELAY_S, gaps

        # Retry-After: in the pause no more comes than was on its way, and what was refused comes once more after it.
        assert set(throttled.refusals) == set(Throttled.REFUSED)
        assert pages_answered(sites["busy"]) == {f"/{n}": 1 + (f"/{n}" in throttled.REFUSED) for n in range(24)}
        for page, refused_at in throttled.refusals.items():
            pause = [e.path for e in sites["busy"].log if refused_at < e.at_s < refused_at + PAUSE_S]
            assert len(pause) < CONCURRENCY, pause
            assert page not in pause
            assert any(entry.at_s >= refused_at + PAUSE_S for entry in sites["busy"].log)

        # A robots file that cannot be had denies everything; an hour's pause is not sat out.
        assert [entry.path for entry in sites["down"].log] == ["/robots.txt"]
        assert 1 <= len(pages_asked(sites["closed"])) <= CONCURRENCY
        assert max(Counter(pages_asked(sites["closed"])).values()) == 1
        assert (result["fetched"], result["denied"], result["pending"], result["failed"]) == (27, 5, 5, 0)
        assert "the next task may be asked in" in "".join(result["notes"])
        lost = {(row["key"], row["reason"], row["finding"]) for row in Workspace(folder).read_rejected().to_dicts()}
        unavailable = "robots.txt unavailable: HTTP 503"
        assert lost == {(f"{sites['down'].url}/{n}", "robots.txt_unavailable", unavailable) for n in range(5)}

        code, status, err = finish(start(folder, "crawl", "status"))
        assert code == 0, err
        told = status["sources"]["schemaorg"]
        assert {state: told[state] for state in ("pending", "leased", "fetched", "failed", "denied")} == {
            "pending": 5, "leased": 0, "fetched": 27, "failed": 0, "denied": 5
        }  # fmt: skip
        assert told["reasons"]["denied"] == {"robots.txt_unavailable": 5}
        waiting = told["reasons"]["pending"]
        assert waiting.keys() <= {"http_429", "host_paused"}
        assert waiting["http_429"] == len(pages_asked(sites["closed"]))
        assert told["throttled"] == 2 + waiting["http_429"]
        assert [paused["host"] for paused in status["paused_hosts"]] == [sites["closed"].url.removeprefix("http://")]

        # The next run knows what it was told.
        code, result, err = finish(start(folder))
        assert (code, result["asked"], result["pending"], result["denied"]) == (0, 0, 5, 5), err
        assert {name: len(site.log) for name, site in sites.items()} == asked
