"""Pipe between a worker process and the process that writes the journal for all workers.

Workers writing the journal directly would wait for each other's commits, and each commit makes SQLite in the other
workers read its pages anew. A worker sends a message only after the answer to the previous one, so both ends never
write at once, and changes made in the meantime form the next message.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sqlite3
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from sourcing.generation.journal.group_commit import Change, Durable, resolve

__all__ = ["PipedCommit", "WriteRequest", "receive", "send"]


class WriteRequest(NamedTuple):
    """Journal changes of a worker, and its number of replies since the previous request.

    The answer is a list with the result of each change, and the error common to all changes, or None.
    """

    changes: Sequence[Change]
    replies: int


class PipedCommit(Durable):
    """`Durable` of a worker: sends changes through `pipe` to the process that writes the journal."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._outgoing: list[tuple[Change, asyncio.Future[Any] | None]] = []
        self._unanswered: list[asyncio.Future[Any] | None] = []
        self._replies = 0
        self._flushing = False

    def count_reply(self) -> None:
        """Count a reply, reported with the next changes."""
        self._replies += 1

    def _begin(self) -> None:
        self._loop.add_reader(self._pipe.fileno(), self._answered)

    async def _end(self) -> None:
        self._loop.remove_reader(self._pipe.fileno())

    def _put(self, change: Change, future: asyncio.Future[Any] | None) -> None:
        self._outgoing.append((change, future))
        if not self._unanswered and not self._flushing and future is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)  # the changes of one turn of the loop go together

    def _flush(self) -> None:
        outgoing, self._outgoing, self._flushing = self._outgoing, [], False
        self._unanswered = [future for _, future in outgoing]
        message = WriteRequest([change for change, _ in outgoing], self._replies)
        self._replies = 0
        try:
            send(self._pipe, message)
        except OSError:
            self._lost()

    def _answered(self) -> None:
        try:
            results, error = receive(self._pipe)
        except EOFError:
            self._lost()
            return
        futures, self._unanswered = self._unanswered, []
        resolve(futures, results, error)
        if any(future is not None for _, future in self._outgoing):
            self._flush()

    def _lost(self) -> None:
        """Fail all awaited changes with sqlite3.OperationalError, as the journal process is gone."""
        with contextlib.suppress(OSError):
            self._loop.remove_reader(self._pipe.fileno())
        waiting = [*self._unanswered, *(future for _, future in self._outgoing)]
        self._unanswered, self._outgoing = [], []
        resolve(waiting, [None] * len(waiting), sqlite3.OperationalError("the process that writes it is gone"))


def send(pipe: Connection, message: object) -> None:
    pipe.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def receive(pipe: Connection) -> Any:
    """Receive one message; EOFError when the other end is gone, also in the middle of a message."""
    try:
        return pickle.loads(pipe.recv_bytes())
    except OSError as error:
        raise EOFError(str(error)) from error
