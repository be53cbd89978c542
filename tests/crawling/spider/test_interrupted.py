"""The real command against a real site: interrupted, and refusing what it cannot do."""

from __future__ import annotations

import signal
import subprocess
import threading
from pathlib import Path

import pytest
from crawls import SITE_FILES, finish, lay_out, pages_answered, song, start
from loopback import Asked, Loopback, Reply

pytestmark = pytest.mark.e2e

PAGES = 120


def make_workspace(folder: Path, server: Loopback) -> Path:
    return lay_out(folder, [f"{server.url}/{n}" for n in range(PAGES)], source="rate_per_s = 200\nconcurrency = 4")


class InterruptAt:
    """Interrupts a process once the site has been asked for its n-th page."""

    def __init__(self, n: int) -> None:
        self.n, self.seen, self.lock = n, 0, threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def __call__(self, asked: Asked) -> Reply:
        with self.lock:
            self.seen += asked.path not in SITE_FILES
            if self.seen == self.n and self.process is not None:
                self.process.send_signal(signal.SIGTERM)
                self.process = None
        return song(asked)


def test_an_interrupt_keeps_what_is_in_flight_and_exits_5(tmp_path: Path) -> None:
    interrupt = InterruptAt(30)
    with Loopback(interrupt) as server:
        folder = make_workspace(tmp_path / "w", server)
        interrupt.process = process = start(folder)
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
