"""GroupCommit: one thread that writes the journal, many changes to a commit, each awaited until it is durable.

A commit a row gives 330 rows a second on an ordinary disk, groups of 32 give 6,700.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from sourcing.generation.journal import Journal

__all__ = ["GroupCommit"]

T = TypeVar("T")

_LARGEST_GROUP = 128

_Change = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]


class GroupCommit:
    """`async with GroupCommit(journal) as durable: await durable(lambda: journal.sending(key, at))`.

    When the await returns, with what the change returned, it is on disk. While this is open, only its thread may use
    the journal. The loop is woken once a group, not once a change: waking it is a system call.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changes: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="journal", daemon=True)
        self._broken: BaseException | None = None  # of a change that nobody awaited

    async def __aenter__(self) -> GroupCommit:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changes.put(None)
        await asyncio.to_thread(self._thread.join)
        if self._broken is not None and error is None:
            raise self._broken

    async def __call__(self, change: Callable[[], T]) -> T:
        """Make one change durable; raises what SQLite raised for its group."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._changes.put((change, done))
        return await asyncio.shield(done)

    def later(self, change: Callable[[], object]) -> None:
        """Make a change durable with the next group, or at the end; what it raises is raised by whoever comes next."""
        self._changes.put((change, None))

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
        results: list[Any] = []
        error: BaseException | None = self._broken
        try:
            if error is None:
                with self._journal.transaction():
                    results = [change() for change, _ in group]
        except BaseException as raised:
            # Not swallowed: every caller of this group raises it, and its call is not sent.
            error = raised
        waiting = [done for _, done in group if done is not None]
        if error is not None and not waiting:
            self._broken = error
        else:
            answers = [(done, result) for (_, done), result in zip(group, results, strict=False) if done is not None]
            self._loop.call_soon_threadsafe(_resolve, waiting, answers, error)


def _resolve(
    waiting: list[asyncio.Future[Any]], answers: list[tuple[asyncio.Future[Any], Any]], error: BaseException | None
) -> None:
    if error is not None:
        for done in waiting:
            if not done.done():
                done.set_exception(error)
        return
    for done, result in answers:
        if not done.done():
            done.set_result(result)
