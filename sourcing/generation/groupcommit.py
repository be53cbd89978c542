"""GroupCommit: one thread that writes the journal, many changes to a commit, each awaited until it is durable.

A commit a row gives 330 rows a second on an ordinary disk, groups of 32 give 6,700.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

from sourcing.generation.journal import Journal

__all__ = ["GroupCommit"]

_LARGEST_GROUP = 64

_Change = tuple[Callable[[], object], "Future[None]"]


class GroupCommit:
    """`async with GroupCommit(journal) as durable: await durable(lambda: journal.sending(key, at))`.

    When the await returns, the change is on disk. While it is open, only its thread may use the journal.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changes: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)

    async def __aenter__(self) -> GroupCommit:
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changes.put(None)
        await asyncio.to_thread(self._thread.join)

    async def __call__(self, change: Callable[[], object]) -> None:
        """Make one change durable; raises what SQLite raised for its group."""
        done: Future[None] = Future()
        self._changes.put((change, done))
        await asyncio.shield(asyncio.wrap_future(done))

    def _write(self) -> None:
        ending = False
        while not ending:
            group = [self._changes.get()]
            while len(group) < _LARGEST_GROUP and group[-1] is not None:
                try:
                    group.append(self._changes.get_nowait())
                except queue.Empty:
                    break
            ending = group[-1] is None
            self._commit([entry for entry in group if entry is not None])

    def _commit(self, group: list[_Change]) -> None:
        if not group:
            return
        try:
            with self._journal.transaction():
                for change, _ in group:
                    change()
        except BaseException as error:
            # Not swallowed: every caller of this group raises it, and its call is not sent.
            for _, done in group:
                done.set_exception(error)
            return
        for _, done in group:
            done.set_result(None)
