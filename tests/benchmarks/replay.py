"""Replay: CPU of reading a page by extractor, pages a second by number of workers, and writing a page's records."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.benchmarks.measure import measure, print_table
from tests.benchmarks.server import page

PAGES = 2000
_SAMPLE = 200
_START = datetime(2026, 11, 1, tzinfo=UTC)
_CODE = (
    "import sys; from pathlib import Path\n"
    "from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents\n"
    "from sourcing.crawling.sources import SOURCES; from sourcing.store import Workspace\n"
    "if __name__ == '__main__':\n"
    "    rebuild_documents(Workspace(Path(sys.argv[1])), SOURCES, ReplayOptions(int(sys.argv[2]), 'fresh' in sys.argv))"
)


def main(crawl_pages_per_s: float | None = None) -> None:
    """Prints the tables; with the rate of a crawl of the same pages, also how many times that a replay is."""
    _print_extractors()
    with tempfile.TemporaryDirectory() as folder:
        write_ms = _write(Path(folder), PAGES)
        rows = []
        for what, arguments in (
            ("1 worker", ("1", "fresh")),
            ("2 workers", ("2", "fresh")),
            ("readings kept", ("1",)),
        ):
            measured = measure([sys.executable, "-c", _CODE, folder, *arguments])
            rows.append((what, PAGES, measured))
    print_table(f"documents from the WARC of {PAGES} pages of 12 kB, start-up included", rows)
    if crawl_pages_per_s:
        for what, _, measured in rows:
            print(f"{what}: {PAGES / measured.wall_s / crawl_pages_per_s:.1f}x the crawl")
    print(f"writing a page's three records: {write_ms:.2f} ms CPU")


def _print_extractors() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("extractor", "CPU ms a page", title=f"reading one page, mean of {_SAMPLE}")
    for what, source, kind, body in (
        ("API record", "musicbrainz", "recording", _api_record),
        ("JSON-LD alone", "schemaorg", "page", _json_ld_alone),
        ("prose alone", "schemaorg", "page", _prose_alone),
        ("JSON-LD and prose", "schemaorg", "page", page),
    ):
        table.add_row(what, f"{_extract_ms(source, kind, body):.2f}")
    Console().print(table)


def _extract_ms(source: str, kind: str, body: Callable[[int], str]) -> float:
    from sourcing.crawling.documents.page_readings import read_captures
    from sourcing.crawling.sources import SOURCES, Capture

    captures = [
        Capture(source, kind, f"{n:064x}", f"https://music.example/{n}", 200, {}, body(n).encode(), _START)
        for n in range(_SAMPLE + 10)
    ]
    list(read_captures(captures[:10], SOURCES))  # imports and compiled patterns
    before = time.process_time()
    frames = list(read_captures(captures[10:], SOURCES))
    spent_s = time.process_time() - before
    assert all((frame["outcome"] == "sound").all() for frame in frames)
    return 1000 * spent_s / _SAMPLE


def _write(folder: Path, pages: int) -> float:
    """A workspace with these pages in its WARC files; returns CPU milliseconds a page, synced in groups of 16."""
    from sourcing.crawling.sources import Capture
    from sourcing.crawling.warc.writer import CaptureWriter, Exchange

    writer = CaptureWriter(folder / "crawl", "benchmark")
    spent_s = 0.0
    for n in range(pages):
        capture = Capture(
            source="schemaorg",
            kind="page",
            task_key=f"{n:064x}",
            url=f"https://music.example/song/{n}",
            status=200,
            headers={},
            body=page(n).encode(),
            retrieved_at=_START + timedelta(seconds=n),
            track_id=f"t{n}",
            consent_evidence=("robots.txt: allowed",),
        )
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Server", "nginx"), ("ETag", f'"{n:x}"')]
        exchange = Exchange(capture, headers, [("User-Agent", "crossmusim"), ("Accept", "text/html")])
        before = time.process_time()
        writer.write(exchange)
        if n % 16 == 15:
            writer.flush()
        spent_s += time.process_time() - before
    writer.close()
    return 1000 * spent_s / pages


def _api_record(number: int) -> str:
    artist = {"id": f"{number % 50:08x}-0000-4000-8000-000000000000", "name": f"Artist {number % 50}"}
    releases = [{"id": str(n), "title": f"Album {n}", "date": "1994-03-08"} for n in range(8)]
    record = {
        "id": f"{number:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
        "title": f"Song {number}",
        "length": 192_000,
        "isrcs": ["QZAAA2600001"],
        "artist-credit": [{"name": artist["name"], "joinphrase": "", "artist": artist}],
        "tags": [{"name": f"tag {n}", "count": n} for n in range(12)],
        "genres": [{"name": f"genre {n}", "count": n} for n in range(4)],
        "releases": releases,
    }
    return json.dumps(record)


def _json_ld_alone(number: int) -> str:
    """The page as an application in the browser would have it: data, a script as long as the prose, no words."""
    head, _, _ = page(number).partition("<body>")
    script = "".join(f"q.push({{id:{n},u:'/song/{n}',c:'/cover/{n}.jpg'}});" for n in range(240))
    return f"{head}<body><div id='app'></div><script>{script}</script></body></html>"


def _prose_alone(number: int) -> str:
    _, _, body = page(number).partition("</script>")
    return f"<!doctype html><html><head>{body}"
