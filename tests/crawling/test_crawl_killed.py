"""The real command against a real site: killed at any moment, interrupted, and looked at from outside."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from loopback import Asked, Loopback, Reply

from sourcing.crawling.wellknown import WELL_KNOWN
from sourcing.store import Document, Workspace

pytestmark = pytest.mark.e2e

PAGES = 120
SITE_FILES = ("/robots.txt", *WELL_KNOWN)
IN_FLIGHT = 4 + 8  # the source's concurrency, and a group of answers on its way to the disk
SETTINGS = """
[crawl]
contact = "me@example.org"
allow_private_hosts = true
[sources.schemaorg]
rate_per_s = 200
concurrency = 4
"""


def page(asked: Asked) -> Reply:
    if asked.path in SITE_FILES:
        return Reply("", 404)
    artist = {"@type": "MusicGroup", "name": "The Loopbacks"}
    record = json.dumps({"@type": "MusicRecording", "name": f"Song {asked.path}", "byArtist": artist})
    return Reply(f'<html><head><script type="application/ld+json">{record}</script></head></html>')


def make_workspace(folder: Path, server: Loopback, settings: str = SETTINGS) -> Path:
    folder.mkdir()
    (folder / "crossmusim.toml").write_text(settings)
    (folder / "urls.txt").write_text("".join(f"{server.url}/{n}\tt{n}\n" for n in range(PAGES)))
    return folder


def command(folder: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "sourcing.cli", "--workspace", str(folder), "--json", *arguments]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    arguments = arguments or ("crawl", "run", "--urls", str(folder / "urls.txt"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command(folder, *arguments), stdout=pipe, stderr=pipe, env=environment)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, json.loads(out or b"{}"), err.decode()


def table(folder: Path) -> list[dict[str, Any]]:
    return Workspace(folder).read(Document).drop("retrieved_at", "consent_at").to_dicts()


def answered(server: Loopback) -> Counter[str]:
    return Counter(asked.path for asked in server.log if asked.answered and asked.path not in SITE_FILES)


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
        return page(asked)


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
            counts = answered(server)
            assert sorted(counts) == sorted(f"/{n}" for n in range(PAGES))
            # Only what was in flight at a kill is asked again: transferring, or read and not yet on the disk.
            assert sum(counts.values()) - PAGES <= IN_FLIGHT * len(kills), (kills, counts.most_common(20))
            assert table(folder) == table(undisturbed), kills
            before = Workspace(folder).table_path(Document).read_bytes()
            code, result, _ = finish(start(folder, "crawl", "replay"))
            assert (code, result["documents"]) == (0, PAGES)
            assert Workspace(folder).table_path(Document).read_bytes() == before


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
        assert states["fetched"] == sum(answered(server).values())
        assert states["leased"] == 0
        code, result, err = finish(start(folder))
        assert (code, result["fetched"]) == (0, PAGES), err
        assert max(answered(server).values()) == 1


def test_the_command_says_what_it_cannot_do(tmp_path: Path) -> None:
    with Loopback(page) as server:
        folder = make_workspace(tmp_path / "w", server, "[crawl]\nallow_private_hosts = true\n")
        code, result, _ = finish(start(folder))
        assert code == 2
        assert "contact" in result["error"]["cure"]
        assert server.log == []
        (folder / "crossmusim.toml").write_text(SETTINGS)
        (folder / "urls.txt").write_text("http://127.0.0.1:1/x\n")
        code, result, _ = finish(start(folder))
        assert code == 4
        assert "127.0.0.1:1" in result["error"]["thing"]
