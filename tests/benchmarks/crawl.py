"""Crawl with ledger and WARC against bare Scrapy doing the same pages into a JSONL feed, and the replay."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import measure, print_table, serving

PAGES = 2000
_PEER = Path(__file__).with_name("bare_scrapy.py")


def main() -> None:
    with serving(PAGES) as base, tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        settings = (
            '[crawl]\ncontact = "bench@example.org"\nallow_private_hosts = true\n'
            f'[sources.schemaorg]\nbase_url = "{base}"\nrate_per_s = 100000\nconcurrency = 16\n'
            "[sources.musicbrainz]\nenabled = false\n[sources.wikipedia]\nenabled = false\n"
        )
        (workspace / "crossmusim.toml").write_text(settings, encoding="utf-8")
        (workspace / "catalogue.csv").write_text("track_id,title,artist\nt1,Song 1,Artist 1\n", encoding="utf-8")
        urls = workspace / "urls.txt"
        urls.write_text("".join(f"{base}/song/{number}\n" for number in range(PAGES)), encoding="utf-8")
        ours = [sys.executable, "-m", "sourcing.cli", "--workspace", str(workspace), "--json"]
        measure([*ours, "catalogue", "import", str(workspace / "catalogue.csv")])
        peer = measure([sys.executable, str(_PEER), base, str(PAGES), str(workspace / "feed.jsonl")])
        crawl = measure([*ours, "crawl", "run", "--urls", str(urls)])
        replay = measure([*ours, "crawl", "replay"])
    rows = [
        ("bare Scrapy, JSONL feed", PAGES, peer),
        ("crawl run (ledger, WARC, documents)", PAGES, crawl),
        ("crawl replay (WARC to documents)", PAGES, replay),
    ]
    print_table(f"{PAGES} pages of 12 kB on loopback, start-up included", rows)
