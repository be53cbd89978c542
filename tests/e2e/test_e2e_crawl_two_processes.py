"""Two crawl processes on one workspace: one catalogue on several hosts, done together, no page asked for twice."""

from __future__ import annotations

import json
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from crawls import documents, finish, lay_out, pages_answered, pages_asked, song, start, table_bytes
from loopback import Asked, Loopback, Reply

from sourcing.crawling.warc.reader import read_sealed, warc_files

pytestmark = pytest.mark.e2e

HOSTS, TRACKS = 6, 80  # every track has a MusicBrainz record on the first host and a page on each of the others
CONCURRENCY = 4
GROUP = 8  # answers on their way to the disk
PACE = f"rate_per_s = 12\nconcurrency = {CONCURRENCY}"


def record(asked: Asked) -> Reply:
    """MusicBrainz, as far as it is asked here."""
    if not asked.path.startswith("/ws/2/recording/"):
        return Reply("", 404)
    mbid = asked.path.removeprefix("/ws/2/recording/").partition("?")[0]
    body = {"id": mbid, "title": f"Song {mbid[:8]}", "artist-credit": [{"name": "The Loopbacks"}]}
    return Reply(json.dumps(body), headers={"Content-Type": "application/json"})


class Catalogue:
    """A catalogue, the hosts its records and pages lie on, and workspaces for both."""

    def __init__(self, sites: list[Loopback], folder: Path) -> None:
        self.sites, self.folder = sites, folder
        self.pages = HOSTS * TRACKS

    def make(self, name: str) -> Path:
        records, *others = self.sites
        source = f'{PACE}\n[sources.musicbrainz]\nbase_url = "{records.url}"\n{PACE}'
        workspace = lay_out(self.folder / name, (f"{s.url}/{n}" for n in range(TRACKS) for s in others), source=source)
        rows = [f"t{n},Song {n},The Loopbacks,{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f" for n in range(TRACKS)]
        (workspace / "catalogue.csv").write_text("\n".join(["track_id,title,artist,mbid", *rows]) + "\n")
        code, _, err = finish(start(workspace, "catalogue", "import", str(workspace / "catalogue.csv")))
        assert code == 0, err
        return workspace

    def crawl(self, workspace: Path) -> subprocess.Popen[bytes]:
        chosen = ("--source", "musicbrainz", "--source", "schemaorg")
        return start(workspace, "crawl", "run", "--urls", str(workspace / "urls.txt"), *chosen)

    def asked(self) -> Counter[str]:
        """Host and path → how often it was asked for."""
        return Counter(f"{site.url}{path}" for site in self.sites for path in pages_asked(site))

    def answered(self) -> Counter[str]:
        return Counter({f"{site.url}{path}": n for site in self.sites for path, n in pages_answered(site).items()})


@contextmanager
def catalogue(folder: Path) -> Iterator[Catalogue]:
    with ExitStack() as stack:
        handlers = [record, *[song] * (HOSTS - 1)]
        yield Catalogue([stack.enter_context(Loopback(handler)) for handler in handlers], folder)


def brought(workspace: Path) -> dict[int, list[str]]:
    """Process id → the addresses it brought whole, by the WARC files, each of which one process wrote."""
    found: dict[int, list[str]] = {}
    for path in warc_files(workspace / "crawl"):
        urls = [sealed.capture.url for sealed in read_sealed(path)]
        found.setdefault(int(path.name.split("-")[2]), []).extend(urls)
    return found


def test_two_processes_finish_one_catalogue_together(tmp_path: Path) -> None:
    with catalogue(tmp_path) as world:
        alone = world.make("alone")
        code, whole, err = finish(world.crawl(alone))
        assert (code, whole["fetched"], whole["documents"]) == (0, world.pages, world.pages), err
        once = world.asked()
        assert set(once.values()) == {1}
        for site in world.sites:
            site.log.clear()

        shared = world.make("shared")
        both = [world.crawl(shared), world.crawl(shared)]
        asked = 0
        for process in both:
            code, result, err = finish(process)
            assert code == 0, err
            assert (result["fetched"], result["pending"], result["documents"]) == (world.pages, 0, world.pages)
            asked += result["asked"]
        assert asked == world.pages
        assert world.asked() == world.answered() == once
        shares = brought(shared)
        assert set(shares) == {process.pid for process in both}
        assert sorted(shares[both[0].pid] + shares[both[1].pid]) == sorted(once)
        assert min(map(len, shares.values())) >= 10, shares.keys()
        assert documents(shared) == documents(alone)
        table = table_bytes(shared)
        code, _, err = finish(start(shared, "crawl", "replay", "--fresh"))
        assert (code, table_bytes(shared)) == (0, table), err


def test_what_a_killed_process_leaves_is_done_by_the_other(tmp_path: Path) -> None:
    with catalogue(tmp_path) as world:
        shared = world.make("shared")
        both = [world.crawl(shared), world.crawl(shared)]
        victim, survivor = random.sample(both, 2)
        while len(shares := brought(shared)) < 2 or min(map(len, shares.values())) < 10:
            with suppress(subprocess.TimeoutExpired):
                victim.wait(0.02)
                pytest.fail(f"it ended before it could be killed: {finish(victim)}, {shares}")
        victim.kill()
        victim.communicate()
        assert victim.returncode == -signal.SIGKILL
        left = brought(shared)
        assert sum(map(len, left.values())) < world.pages

        code, result, err = finish(survivor)
        assert code == 0, err
        assert (result["fetched"], result["pending"], result["documents"]) == (world.pages, 0, world.pages)
        for site in world.sites:
            site.settle()
        shares = brought(shared)
        assert shares[victim.pid] == left[victim.pid]  # not a record more, and none of them brought again
        assert set(shares[victim.pid]).isdisjoint(shares[survivor.pid])
        assert sorted(shares[victim.pid] + shares[survivor.pid]) == sorted(world.asked())
        assert len(world.answered()) == world.pages
        twice = [page for page, n in world.asked().items() if n > 1]
        assert max(world.asked().values()) <= 2
        assert set(twice) <= set(shares[survivor.pid])
        assert len(twice) <= HOSTS * CONCURRENCY + GROUP
