"""The real command against a real site: killed at any moment, interrupted, and looked at from outside."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from crawls import SITE_FILES, documents, finish, lay_out, pages_answered, song, start, table_bytes
from loopback import Asked, Loopback, Reply

pytestmark = pytest.mark.e2e

PAGES = 120
IN_FLIGHT = 4 + 8  # the source's concurrency, and a group of answers on its way to the disk


def make_workspace(folder: Path, server: Loopback) -> Path:
    return lay_out(folder, [f"{server.url}/{n}" for n in range(PAGES)], source="rate_per_s = 200\nconcurrency = 4")


class KillAt:
    """Kills a process once the site has been asked for its n-th page."""

    def __init__(self, n: int) -> None:
        self.n, self.seen, self.lock = n, 0, threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.signal = signal.SIGKILL

    def __call__(self, asked: Asked) -> Reply:
        with self.lock:
            self.seen += asked.path not in SITE_FILES
            if self.seen == self.n and self.process is not None:
                self.process.send_signal(self.signal)
                self.process = None
        return song(asked)


def test_a_crawl_killed_at_any_moment_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    rng = random.Random()
    kill = KillAt(-1)
    with Loopback(kill) as server:
        undisturbed = make_workspace(tmp_path / "undisturbed", server)
        code, result, err = finish(start(undisturbed))
        assert code == 0, err
        assert (result["fetched"], result["documents"]) == (PAGES, PAGES)
        for run in range(2):
            server.log.clear()
            kill.seen = 0
            folder = make_workspace(tmp_path / f"killed{run}", server)
            kills = sorted(rng.sample(range(2, PAGES), 2))
            for n in kills:
                process = start(folder)
                kill.n, kill.process = n, process
                process.communicate(timeout=120)
                assert process.returncode == -signal.SIGKILL, kills
            code, result, err = finish(start(folder))
            assert code == 0, err
            assert (result["fetched"], result["pending"], result["documents"]) == (PAGES, 0, PAGES), kills
            counts = pages_answered(server)
            assert sorted(counts) == sorted(f"/{n}" for n in range(PAGES))
            # Only what was in flight at a kill is asked again: transferring, or read and not yet on the disk.
            assert sum(counts.values()) - PAGES <= IN_FLIGHT * len(kills), (kills, counts.most_common(20))
            assert documents(folder) == documents(undisturbed), kills
            before = table_bytes(folder)
            code, result, _ = finish(start(folder, "crawl", "replay"))
            assert (code, result["documents"]) == (0, PAGES)
            assert table_bytes(folder) == before


def test_an_interrupt_keeps_what_is_in_flight_and_exits_5(tmp_path: Path) -> None:
    kill = KillAt(30)
    kill.signal = signal.SIGTERM
    with Loopback(kill) as server:
        folder = make_workspace(tmp_path / "w", server)
        kill.process = process = start(folder)
        code, result, err = finish(process)
        assert code == 5, err
        assert "interrupted with" in result["error"]["message"]
        code, status, _ = finish(start(folder, "crawl", "status"))
        states = status["sources"]["schemaorg"]
        assert states["fetched"] == sum(pages_answered(server).values())
        assert states["leased"] == 0
        code, result, err = finish(start(folder))
        assert (code, result["fetched"]) == (0, PAGES), err
        assert max(pages_answered(server).values()) == 1


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    with Loopback(song) as server:
        folder = make_workspace(tmp_path / "w", server)
        settings = (folder / "crossmusim.toml").read_text()
        (folder / "crossmusim.toml").write_text("[crawl]\nallow_private_hosts = true\n")
        code, result, _ = finish(start(folder))
        assert code == 2
        assert "contact" in result["error"]["cure"]
        assert server.log == []
        (folder / "crossmusim.toml").write_text(settings)
        (folder / "urls.txt").write_text("http://127.0.0.1:1/x\n")
        code, result, _ = finish(start(folder))
        assert code == 4
        assert "127.0.0.1:1" in result["error"]["thing"]
