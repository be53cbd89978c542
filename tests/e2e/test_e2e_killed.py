"""kill -9 on the demo's own site and model: the same command again ends where an undisturbed run would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sourcing.demo.run import lay_out
from sourcing.demo.site import DemoSite
from sourcing.demo.web import build_web
from sourcing.demo.world import build_world, catalogue_csv
from sourcing.generation.journal.journal import JOURNAL_FILE
from sourcing.store import Description, Document, Match, Rejected, Workspace

pytestmark = pytest.mark.e2e

TRACKS = 60
IN_FLIGHT = 3 * (8 + 8)  # three sources, each with eight transferring and as many on their way to the disk


@dataclass
class World:
    """A served world and fresh workspaces that point at it."""

    folder: Path
    log: Path
    make: Callable[[str], Path]

    def asked(self) -> Counter[str]:
        """Path → how often it was answered in full."""
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return Counter(line["path"] for line in lines if line["answered"] and line["path"] != "/robots.txt")


@contextmanager
def served(folder: Path) -> Iterator[World]:
    world = build_world(0, TRACKS)
    web = build_web(world)
    with DemoSite(web, folder / "requests.jsonl") as site:

        def make(name: str) -> Path:
            workspace = folder / name
            lay_out(workspace, web, site.url)
            (workspace / "catalogue.csv").write_text(catalogue_csv(world), encoding="utf-8")
            crossmusim(workspace, "catalogue", "import", str(workspace / "catalogue.csv"))
            return workspace

        yield World(folder, folder / "requests.jsonl", make)


def start(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sourcing.cli", "--workspace", str(workspace), "--json", *arguments]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def crossmusim(workspace: Path, *arguments: str) -> dict[str, Any]:
    stdout, stderr = (process := start(workspace, *arguments)).communicate(timeout=300)
    assert process.returncode == 0, stderr[-3000:]
    return json.loads(stdout)


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """kill -9 as soon as `ready`; it must be so before the process ends by itself."""
    while not ready():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.005)
            pytest.fail(f"it ended before it could be killed: {process.communicate()}")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def rows(workspace: Path, schema: type, *volatile: str) -> list[dict[str, Any]]:
    return Workspace(workspace).read(schema).drop(*volatile).to_dicts()


def test_a_crawl_of_the_demo_site_survives_kills(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        undisturbed, killed = world.make("undisturbed"), world.make("killed")
        crawl = ("crawl", "run", "--urls", str(undisturbed / "review-urls.txt"))
        whole = crossmusim(undisturbed, *crawl)
        once = world.asked()
        world.log.write_text("", encoding="utf-8")
        for share in (0.2, 0.6):
            kill_when(start(killed, *crawl), lambda share=share: world.asked().total() > share * once.total())
        resumed = crossmusim(killed, *crawl)
        asked = world.asked()
        for workspace in (undisturbed, killed):
            crossmusim(workspace, "match", "run")

    assert resumed["pending"] == 0
    assert resumed["fetched"] == whole["fetched"]
    assert set(asked) == set(once)
    assert asked.total() - once.total() <= 2 * IN_FLIGHT
    times = ("retrieved_at", "consent_at")
    assert rows(killed, Document, *times) == rows(undisturbed, Document, *times)
    assert rows(killed, Match) == rows(undisturbed, Match)
    rejected = [Workspace(workspace).read_rejected().to_dicts() for workspace in (undisturbed, killed)]
    assert rejected[0] == rejected[1]
    assert set(Rejected.column_names()) == set(rejected[0][0])


@pytest.mark.proof  # killed while a server of its own answers; the calls' own kills: test_run_commands, test_local
def test_mining_with_the_embedded_model_survives_kills(tmp_path: Path) -> None:
    with served(tmp_path) as world:
        undisturbed = world.make("undisturbed")
        crossmusim(undisturbed, "crawl", "run", "--urls", str(undisturbed / "review-urls.txt"))
    crossmusim(undisturbed, "match", "run")
    killed = tmp_path / "killed"
    subprocess.run(["cp", "-r", str(undisturbed), str(killed)], check=True)
    mine = ("generate", "run", "mine", "--endpoint", "local", "--limit", "5")
    crossmusim(undisturbed, *mine)

    def replies() -> int:
        journal = killed / "generation" / JOURNAL_FILE
        if not journal.exists():
            return 0
        # Not through Journal: it would take part in the making of a journal that is just being made.
        with contextlib.closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as reader:
            try:
                return int(reader.execute("SELECT count(*) FROM calls WHERE state = 'replied'").fetchone()[0])
            except sqlite3.OperationalError:  # its tables are not there yet
                return 0

    for wanted in (1, 3):
        kill_when(start(killed, *mine), lambda wanted=wanted: replies() >= wanted)
    kept = replies()
    resumed = crossmusim(killed, *mine)
    assert resumed["cached"] == kept
    assert resumed["replied"] == 5 - kept
    assert rows(killed, Description, "created_at") == rows(undisturbed, Description, "created_at")
