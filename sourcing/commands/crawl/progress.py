"""Progress of crawl commands: tasks of the ledger, and bytes of WARC files read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["crawl_progress", "replay_progress"]

_LOOK_EVERY_S = 2.0
_LOOK_SHARE = 0.01  # of the crawl's time may go into counting what is left


@contextlib.contextmanager
def crawl_progress(
    invocation: Invocation, ledger: Path, sources: Collection[str], limit: int | None
) -> Iterator[Callable[[str], None]]:
    """Yield the listener of outcomes; the total is the tasks that the ledger knows of: pages lead to further pages."""
    from sourcing.crawling.ledger.view import looked_at

    with invocation.progress("crawl", limit) as advance:
        next_look = 0.0

        def on_outcome(outcome: str) -> None:
            nonlocal next_look
            started = time.monotonic()
            if started >= next_look:
                with looked_at(ledger) as view:
                    states = view.census.totals(sources) if view else {}
                known = advance.done + 1 + states.get("pending", 0) + states.get("leased", 0)
                advance.total = min(known, limit) if limit else known
                ended = time.monotonic()
                next_look = ended + max(_LOOK_EVERY_S, (ended - started) / _LOOK_SHARE)
            advance(1, note="" if outcome == "fetched" else outcome)

        yield on_outcome


@contextlib.contextmanager
def replay_progress(invocation: Invocation) -> Iterator[Callable[[int, int, int], None]]:
    """Yield the listener of pages and bytes that are read while the documents table is rebuilt."""
    with invocation.progress("replay", unit="bytes") as advance:
        pages = 0

        def on_read(more_pages: int, done_bytes: int, total_bytes: int) -> None:
            nonlocal pages
            pages += more_pages
            advance.reach(done_bytes, total_bytes, f"{pages} pages", unit="bytes")

        yield on_read
