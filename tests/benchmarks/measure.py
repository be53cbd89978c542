"""A loopback server in a process of its own, a command timed with its CPU seconds, and a table."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Measured", "measure", "on_one_core", "print_table", "serving", "told", "told_together"]

_SERVER = Path(__file__).with_name("server.py")


@dataclass(frozen=True)
class Measured:
    """Wall and CPU seconds of one command and its children."""

    wall_s: float
    cpu_s: float
    stdout: str


@contextlib.contextmanager
def serving(pages: int) -> Iterator[str]:
    """The address of a loopback server with `pages` song pages and a zero-latency chat endpoint."""
    with subprocess.Popen([sys.executable, str(_SERVER), str(pages)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def measure(command: Sequence[str], **environment: str) -> Measured:
    """Run a command to its end; a failing one ends the benchmark with what it said."""
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    wall_s, after = time.perf_counter() - started, os.times()
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Measured(wall_s, cpu_s, done.stdout)


def told(command: Sequence[str], **environment: str) -> Measured:
    """What a command says of itself as JSON on its last line: seconds without its start-up."""
    said = json.loads(measure(command, **environment).stdout.strip().splitlines()[-1])
    return Measured(said["wall_s"], said["cpu_s"], "")


def told_together(commands: Sequence[Sequence[str]]) -> Measured:
    """The same of commands that run at once: the seconds of the slowest, and the CPU seconds of all."""
    with ThreadPoolExecutor(len(commands)) as pool:
        said = list(pool.map(told, commands))
    return Measured(max(each.wall_s for each in said), sum(each.cpu_s for each in said), "")


@contextlib.contextmanager
def on_one_core() -> Iterator[None]:
    """What is started inside shares one core (Linux)."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def print_table(title: str, rows: Sequence[tuple[str, int, Measured]], *, peer: int = 0) -> None:
    """`rows` are (what, units done, measured); ratios are against row `peer`."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", "per second", "CPU ms each", "rate against peer", "CPU against peer", title=title)
    _, units, base = rows[peer]
    for what, n, measured in rows:
        rate, base_rate = n / measured.wall_s, units / base.wall_s
        cpu_ms, base_cpu_ms = 1000 * measured.cpu_s / n, 1000 * base.cpu_s / units
        ratios = f"{rate / base_rate:.2f}x", f"{cpu_ms / base_cpu_ms:.2f}x"
        table.add_row(what, f"{rate:.0f}", f"{cpu_ms:.2f}", *ratios)
    Console().print(table)
