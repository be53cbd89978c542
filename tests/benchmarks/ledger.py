"""A crawl that starts on a ledger with millions of pending tasks: seconds to its first request, and its memory.

`python -m tests.benchmarks ledger` fills ten million tasks first, which takes about 2 GB of disk;
`TASKS=1000000 python -m tests.benchmarks ledger` takes a tenth of both.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.sources import TaskSpec
from sourcing.store import Workspace

TASKS = int(os.environ.get("TASKS", "10000000"))
_SETTINGS = """
[crawl]
contact = "bench@example.org"
allow_private_hosts = true
[sources.schemaorg]
rate_per_s = 1000
"""


def main() -> None:
    from rich.console import Console
    from rich.table import Table

    first: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/song"):
                first.append(time.perf_counter())
            self.send_response(200 if self.path.startswith("/song") else 404)
            self.end_headers()
            self.wfile.write(b"<html><h1>Song</h1></html>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    table = Table("tasks pending", "filled in", "ledger on disk", "first request after", "peak memory", "peer: empty")
    with tempfile.TemporaryDirectory() as name:
        rows = {}
        for tasks in (1, TASKS):
            folder = Path(name) / str(tasks)
            folder.mkdir()
            (folder / "crossmusim.toml").write_text(_SETTINGS, encoding="utf-8")
            filled = _fill(folder, base, tasks)
            first.clear()
            command = [sys.executable, "-m", "sourcing.cli", "--workspace", str(folder)]
            started = time.perf_counter()
            subprocess.run([*command, "crawl", "run", "--limit", "200"], check=False, capture_output=True)
            size = (Workspace(folder).crawl_dir / LEDGER_FILE).stat().st_size
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            rows[tasks] = (filled, size, first[0] - started, peak)
        for tasks, (filled, size, after, peak) in rows.items():
            ratio = f"{after / rows[1][2]:.2f}x" if tasks > 1 else "-"
            table.add_row(
                f"{tasks:,}", f"{filled:.0f} s", f"{size / 1e6:.0f} MB", f"{after:.2f} s", f"{peak:.0f} MB", ratio
            )
    server.shutdown()
    Console().print(table)


def _fill(folder: Path, base: str, tasks: int) -> float:
    """The first thousand as a crawl adds them, the rest as the rows that would come of them."""
    started = time.perf_counter()
    path = Workspace(folder).crawl_dir / LEDGER_FILE
    ledger = Ledger(path)
    few = min(tasks, 1000)
    ledger.add(TaskSpec("schemaorg", f"{base}/song/{number}", "page", f"t{number}") for number in range(few))
    ledger.close()
    with contextlib.closing(sqlite3.connect(path)) as rows, rows:
        rows.execute(
            "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)"
            " INSERT INTO tasks (key, queue, url, kind, track_id)"
            " SELECT printf('%016x', i), q.id, ? || '/song/' || i, 'page', 't' || i FROM n, queues q WHERE i < ?",
            (few, tasks, base, tasks),
        )
    return time.perf_counter() - started
