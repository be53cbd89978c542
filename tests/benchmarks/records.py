"""A million small WARC records read back: memory against a hundredth of them, and records a second.

`RECORDS=100000 python -m tests.benchmarks records` takes a tenth of the time and disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

RECORDS = int(os.environ.get("RECORDS", "1000000"))
_RECORDS_EACH = 3  # response, request, metadata
_READ = (
    "import json, resource, sys, time\n"
    "from pathlib import Path\n"
    "from sourcing.crawling.warc.reader import read_captured\n"
    "started = time.process_time(); n = sum(1 for _ in read_captured(Path(sys.argv[1])))\n"
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    "print(json.dumps([n, time.process_time() - started, peak / 1024]))"
)


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("records", "on disk", "peak memory", "records per CPU second", "memory against peer")
    with tempfile.TemporaryDirectory() as name:
        few_mb = 0.0
        for records in (RECORDS // 100, RECORDS):
            folder = Path(name) / str(records)
            _write(folder, records // _RECORDS_EACH)
            done = subprocess.run(
                [sys.executable, "-c", _READ, str(folder)], capture_output=True, text=True, check=True
            )
            exchanges, cpu_s, peak_mb = json.loads(done.stdout)
            few_mb = few_mb or peak_mb
            size_mb = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
            table.add_row(
                f"{exchanges * _RECORDS_EACH:,}", f"{size_mb:.0f} MB", f"{peak_mb:.0f} MB",
                f"{exchanges * _RECORDS_EACH / cpu_s:,.0f}", f"{peak_mb / few_mb:.2f}x",
            )  # fmt: skip
    Console().print(table)


def _write(folder: Path, exchanges: int) -> None:
    from sourcing.crawling.sources import Capture
    from sourcing.crawling.warc.writer import CaptureWriter, Exchange

    writer, start = CaptureWriter(folder, "benchmark"), datetime(2026, 11, 1, tzinfo=UTC)
    for n in range(exchanges):
        url, at = f"https://music.example/{n}", start + timedelta(seconds=n)
        capture = Capture("schemaorg", "page", f"{n:064x}", url, 200, {}, b'{"name": "Song"}', at, f"t{n}")
        writer.write(Exchange(capture, [("Content-Type", "application/json")], [("User-Agent", "crossmusim")]))
    writer.close()
