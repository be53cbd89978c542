"""The real crawl command in a process of its own against loopback sites: started, killed, and its site's log read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from loopback import Asked, Loopback, Reply

from sourcing.crawling.policy.site_signals import WELL_KNOWN
from sourcing.store import Document, Workspace

SITE_FILES = ("/robots.txt", *WELL_KNOWN)


def song(asked: Asked) -> Reply:
    """A page about one song, named by its address; there are no site files."""
    if asked.path in SITE_FILES:
        return Reply("", 404)
    artist = {"@type": "MusicGroup", "name": "The Loopbacks"}
    record = json.dumps({"@type": "MusicRecording", "name": f"Song {asked.path}", "byArtist": artist})
    return Reply(f'<html><head><script type="application/ld+json">{record}</script></head></html>')


def lay_out(folder: Path, urls: Iterable[str], *, crawl: str = "", source: str = "") -> Path:
    """A workspace that may ask loopback sites, with a list of pages; `crawl` and `source` are more settings."""
    folder.mkdir()
    (folder / "crossmusim.toml").write_text(
        f'[crawl]\ncontact = "me@example.org"\nallow_private_hosts = true\n{crawl}\n[sources.schemaorg]\n{source}\n'
    )
    (folder / "urls.txt").write_text("".join(f"{url}\tt{n}\n" for n, url in enumerate(urls)))
    return folder


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """`crossmusim --json ARGUMENTS` on the workspace, with `variables` in its environment.

    A run over its list of pages where no arguments are given.
    """
    arguments = arguments or ("crawl", "run", "--urls", str(folder / "urls.txt"))
    command = [sys.executable, "-m", "sourcing.cli", "--workspace", str(folder), "--json", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONFAULTHANDLER": "1", **variables}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


def finish(process: subprocess.Popen[bytes], timeout_s: float = 300) -> tuple[int, dict[str, Any], str]:
    """Its exit code, its result and what it said on the way; one that does not end tells where it is."""
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        raise AssertionError(f"still running after {timeout_s:g} s:\n{process.communicate()[1].decode()}") from None
    return process.returncode, json.loads(out or b"{}"), err.decode()


def documents(folder: Path) -> list[dict[str, Any]]:
    """The documents table without the times of asking, which no two crawls share."""
    return Workspace(folder).read(Document).drop("retrieved_at", "consent_at").to_dicts()


def table_bytes(folder: Path) -> bytes:
    return Workspace(folder).table_path(Document).read_bytes()


def pages_asked(site: Loopback, *, since: int = 0) -> list[str]:
    """Paths of the pages asked for, in order, from the log's entry `since`; also those whose answer was cut off."""
    return [asked.path for asked in site.log[since:] if asked.path not in SITE_FILES]


def pages_answered(site: Loopback) -> Counter[str]:
    """Path → how often the page was sent whole."""
    return Counter(asked.path for asked in site.log if asked.answered and asked.path not in SITE_FILES)
