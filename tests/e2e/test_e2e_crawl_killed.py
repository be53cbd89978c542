"""kill -9 at random moments of one crawl: no page is lost, and none is asked twice that was not in flight."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from crawls import documents, finish, lay_out, pages_answered, pages_asked, song, start, table_bytes
from loopback import Asked, Loopback, Reply

from sourcing.crawling.warc.reader import read_sealed, warc_files
from sourcing.store import Document, Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]  # up to sixty starts: minutes where others are at work

CONCURRENCY = 8
GROUP = 16  # answers on their way to the disk: those being written, and those that came meanwhile
SOURCE = f"rate_per_s = 2000\nconcurrency = {CONCURRENCY}"

Process = subprocess.Popen[bytes]


class Site:
    """Serves songs, and says when it was asked for so many."""

    def __init__(self) -> None:
        self.left, self.reached, self.lock = 0, threading.Event(), threading.Lock()

    def expect(self, pages: int) -> None:
        self.left = pages
        self.reached.clear()

    def __call__(self, asked: Asked) -> Reply:
        reply = song(asked)
        with self.lock:
            self.left -= reply.status == 200
            if self.left == 0:
                self.reached.set()
        return reply


class Crawl:
    """One workspace whose runs are killed; after each death it looks what was asked and what lies on the disk."""

    def __init__(self, folder: Path, site: Loopback) -> None:
        self.folder, self.site = folder, site
        self.kills = 0
        self.durable: set[str] = set()
        self.lost: Counter[str] = Counter()  # page → deaths at which it was asked for and not yet on the disk
        self.lost_at_deaths: list[int] = []
        self._read: set[Path] = set()

    def killed_when(self, ready: Callable[[Process], None]) -> bool:
        """Start a run and kill it once `ready` returns; False when it had come to its end."""
        begun = len(self.site.log)
        process = start(self.folder)
        ready(process)
        process.kill()
        out, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), (out, err)
        self.site.settle()
        self._read_new_files()
        asked = pages_asked(self.site, since=begun)
        lost = set(asked) - self.durable
        last = asked[-(len(lost) + CONCURRENCY) :]
        assert len(lost.difference(last)) <= CONCURRENCY, (lost, last)  # a slow answer may be overtaken by any number
        self.lost.update(lost)
        self.lost_at_deaths.append(len(lost))
        self.kills += process.returncode != 0
        return process.returncode != 0

    def _read_new_files(self) -> None:
        """No run appends to a file of another, so each is read once."""
        for path in warc_files(self.folder / "crawl"):
            if path not in self._read:
                self._read.add(path)
                kept = [sealed.capture.url.removeprefix(self.site.url) for sealed in read_sealed(path)]
                assert len(kept) == len(set(kept))
                assert self.durable.isdisjoint(kept)
                self.durable.update(kept)

    def writes_tables(self, process: Process) -> bool:
        with suppress(OSError, ValueError):
            return json.loads((self.folder / "locks" / "documents.json").read_text())["pid"] == process.pid
        return False

    def table(self) -> bytes | None:
        return table_bytes(self.folder) if Workspace(self.folder).has(Document) else None


def has_ended(process: Process, within_s: float) -> bool:
    with suppress(subprocess.TimeoutExpired):
        process.wait(within_s)
    return process.returncode is not None


@dataclass(frozen=True)
class Plan:
    """How many kills: at moments of the start, while it asks, and the rest while it writes the tables."""

    pages: int
    starting: int
    asking: int
    amid_tables: int
    kills: int


SMALL = Plan(pages=600, starting=3, asking=3, amid_tables=1, kills=8)
LARGE = Plan(pages=4000, starting=14, asking=26, amid_tables=5, kills=50)


@pytest.mark.parametrize("plan", [SMALL, pytest.param(LARGE, marks=pytest.mark.proof)], ids=["8 kills", "50 kills"])
def test_kills_lose_no_page_and_ask_none_again_but_those_in_flight(tmp_path: Path, plan: Plan) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"random seed {seed}")
    rng = random.Random(seed)
    handler = Site()
    with Loopback(handler) as site:
        urls = [f"{site.url}/{n}" for n in range(plan.pages)]
        undisturbed = lay_out(tmp_path / "undisturbed", urls, source=SOURCE)
        begun = time.monotonic()
        code, whole, err = finish(start(undisturbed))
        ended = time.monotonic()
        assert code == 0, err
        assert (whole["fetched"], whole["documents"]) == (plan.pages, plan.pages)
        assert pages_answered(site) == dict.fromkeys((f"/{n}" for n in range(plan.pages)), 1)
        start_s, tables_s = site.log[0].at_s - begun, ended - site.log[-1].at_s
        site.log.clear()

        crawl = Crawl(lay_out(tmp_path / "killed", urls, source=SOURCE), site)
        cuts = [0, *sorted(rng.sample(range(1, plan.pages), plan.asking))]
        moments = [0] * (plan.starting - 2) + [high - low for low, high in pairwise(cuts)]
        rng.shuffle(moments)
        for pages in [0, 0, *moments]:  # the first of all finds no ledger
            handler.expect(pages)
            pause_s = rng.uniform(0, 0.05 if pages else start_s)

            def asked_enough(process: Process, pages: int = pages, pause_s: float = pause_s) -> None:
                while pages and not handler.reached.wait(0.02) and process.poll() is None:
                    continue
                has_ended(process, pause_s)

            crawl.killed_when(asked_enough)

        def amid_the_tables(process: Process) -> None:
            while not crawl.writes_tables(process) and not has_ended(process, 0.002):
                continue
            has_ended(process, pause_s)

        amid_tables, table = 0, None
        while crawl.kills < plan.kills:
            pause_s = rng.uniform(0, tables_s)
            if crawl.killed_when(amid_the_tables):
                amid_tables += 1
            else:
                tables_s /= 2  # what earlier runs read of the pages is kept: this takes less and less
            assert table is None or crawl.table() == table  # whole or not there, and nothing is left to change
            table = crawl.table()
        assert amid_tables >= plan.amid_tables

        code, result, err = finish(start(crawl.folder))
        assert code == 0, err
        assert (result["fetched"], result["pending"], result["documents"]) == (plan.pages, 0, plan.pages)
        asked = Counter(pages_asked(site))
        assert set(asked) == set(pages_answered(site)) == crawl.durable == {f"/{n}" for n in range(plan.pages)}
        assert asked == {page: 1 + crawl.lost[page] for page in asked}
        assert median(crawl.lost_at_deaths) <= CONCURRENCY + GROUP, crawl.lost_at_deaths
        print(f"{crawl.lost.total()} pages in flight at {crawl.kills} kills, {amid_tables} of them amid the tables")

        assert documents(crawl.folder) == documents(undisturbed)
        table = table_bytes(crawl.folder)
        code, result, err = finish(start(crawl.folder, "crawl", "replay", "--fresh"))
        assert (code, result["documents"]) == (0, plan.pages), err
        assert table_bytes(crawl.folder) == table
        left = [*crawl.folder.glob("tables/.*"), *crawl.folder.glob("crawl/*/.*"), *crawl.folder.glob("crawl/run-*")]
        assert left == []  # nothing of the dead is left lying about
