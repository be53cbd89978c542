"""Run every benchmark and print its table: `make bench`, or `python -m tests.benchmarks crawl generate`.

Each is a ratio against a named peer in the same run, on loopback; absolute figures depend on the machine.
"""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("crawl", "replay", "records", "ledger", "match", "generate", "wire")


def main() -> None:
    for name in sys.argv[1:] or BENCHMARKS:
        if name not in BENCHMARKS:
            sys.exit(f"benchmark {name!r}: there is none; choose from {', '.join(BENCHMARKS)}")
        importlib.import_module(f"tests.benchmarks.{name}").main()


main()
