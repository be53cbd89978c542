"""Crawl with ledger, WARC and documents against bare Scrapy doing the same parse into a JSONL feed, and its replay."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import measure, print_table, serving

PAGES = int(os.environ.get("PAGES", "4000"))
_HERE = Path(__file__).parent


def main() -> None:
    with serving(PAGES) as base, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        urls = folder / "urls.txt"
        urls.write_text("".join(f"{base}/song/{number}\n" for number in range(PAGES)), encoding="utf-8")
        ours = [sys.executable, "-m", "tests.benchmarks.same_parse"]
        peer = [sys.executable, str(_HERE / "bare_scrapy.py"), base, str(PAGES)]
        rows = []
        for turn in (1, 2):  # in turns, so that a noisy machine is noisy for all
            workspace = str(folder / f"workspace{turn}")
            bare = measure([*peer, str(folder / f"feed{turn}.jsonl")])
            crawl = measure([*ours, "crawl", str(urls), workspace])
            replay = {workers: measure([*ours, "replay", workspace, str(workers)]) for workers in (1, 2)}
            rows += [(f"bare Scrapy, JSONL feed ({turn})", PAGES, bare)]
            rows += [(f"ledger, WARC, documents table ({turn})", PAGES, crawl)]
            rows += [
                (f"its replay, {workers} workers ({turn})", PAGES, measured) for workers, measured in replay.items()
            ]
    print_table(f"{PAGES} pages of 12 kB on loopback, the same CSS fields, start-up included", rows)
    for turn, (_, pages, measured) in enumerate(rows[3::4], start=1):
        crawl = rows[4 * turn - 3][2]
        print(f"replay on two workers ({turn}): {pages / measured.wall_s / (PAGES / crawl.wall_s):.1f}x the crawl")
