"""Pipe between a worker process and the process that writes the journal for all workers.

Workers that wrote the journal themselves would wait for each other's commits, and each commit of one makes SQLite in
the other read its pages anew. A worker sends a message only when the one before is answered: so both ends write without
fear that the other does too, and whatever its loop brings meanwhile makes up the next message.
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
    """A worker's request to the journal, with the number of replies since the previous request.

    The answer is what the changes returned, and the error of them all or None.
    """

    changes: Sequence[Change]
    replies: int


class PipedCommit(Durable):
    """In a worker: its changes are made by the process at the other end of `pipe`."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._outgoing: list[tuple[Change, asyncio.Future[Any] | None]] = []
        self._unanswered: list[asyncio.Future[Any] | None] = []
        self._replies = 0
        self._flushing = False

    def count_reply(self) -> None:
        """Tell of one more reply with the next changes."""
        self._replies += 1

    def _begin(self) -> None:
        self._loop.add_reader(self._pipe.fileno(), self._answered)

    async def _end(self) -> None:
        self._loop.remove_reader(self._pipe.fileno())

    def _put(self, change: Change, future: asyncio.Future[Any] | None) -> None:
        self._outgoing.append((change, future))
        if not self._unanswered and not self._flushing and future is not None:
            self._flushing = True
            self._loop.call_soon(self._flush)  # all that this turn of the loop brings goes together

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
        """Raise for a journal process that is gone: what is in flight will be unknown to the next run."""
        with contextlib.suppress(OSError):
            self._loop.remove_reader(self._pipe.fileno())
        waiting = [*self._unanswered, *(future for _, future in self._outgoing)]
        self._unanswered, self._outgoing = [], []
        resolve(waiting, [None] * len(waiting), sqlite3.OperationalError("the process that writes it is gone"))


def send(pipe: Connection, message: object) -> None:
    pipe.send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


def receive(pipe: Connection) -> Any:
    """The next message; EOFError when the other end is gone, also in the midst of one."""
    try:
        return pickle.loads(pipe.recv_bytes())
    except OSError as error:
        raise EOFError(str(error)) from error
