"""Model calls with rendering, journal and grounding against a bare `openai` loop that stores nothing."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import measure, print_table, serving

CALLS = 2000
IN_FLIGHT = 64
_PEER = Path(__file__).with_name("bare_openai.py")


def main() -> None:
    with serving(1) as base, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        album = "A long album title " * 80  # so that a request is about 4 kB
        catalogue = workspace / "catalogue.csv"
        rows = [f"t{number},Song {number},Artist {number % 50},{album}" for number in range(CALLS)]
        catalogue.write_text("track_id,title,artist,album\n" + "\n".join(rows), encoding="utf-8")
        ours = [sys.executable, "-m", "sourcing.cli", "--workspace", str(workspace), "--json"]
        measure([*ours, "catalogue", "import", str(catalogue)])
        peer = measure([sys.executable, str(_PEER), base, str(CALLS), str(IN_FLIGHT)])
        endpoint = ["--base-url", f"{base}/v1", "--model", "bench", "--concurrency", str(IN_FLIGHT)]
        run = measure([*ours, "generate", "run", "recall", *endpoint], OPENAI_API_KEY="x")
        again = measure([*ours, "generate", "run", "recall", *endpoint], OPENAI_API_KEY="x")
    table = [
        ("bare openai, raw responses, nothing stored", CALLS, peer),
        ("generate run (render, journal, describe)", CALLS, run),
        ("generate run again (all answered already)", CALLS, again),
    ]
    print_table(f"{CALLS} calls, {IN_FLIGHT} in flight, zero-latency loopback, start-up included", table)
