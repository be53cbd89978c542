"""Workers: one job done by several processes, each with its part of the tracks, on one journal, quota and budget."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sourcing.errors import StoppedShort
from sourcing.generation.job import Job, run_job
from sourcing.generation.run import RunResult
from sourcing.store.interrupts import interrupts
from sourcing.store.shard import Shard

__all__ = ["run_in_workers"]

_WHOLE = Shard(1, 1)
_TOLD_AT_ONCE = 16  # replies; each message is a system call


def run_in_workers(job: Job, workers: int, *, on_reply: Callable[[], object] = lambda: None) -> RunResult:
    """The same as `run_job`, by `workers` processes; the calls in flight are divided among them.

    An interrupt is passed on. A worker that dies is said so: its calls in flight are unknown, and the same command
    takes up the rest.
    """
    if workers == 1:
        return run_job(job, on_reply=on_reply)
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of polars' threads
    processes: list[BaseProcess] = []
    readers: list[Connection] = []
    for part in _parts(job, workers):
        reader, writer = context.Pipe(duplex=False)
        process: BaseProcess = context.Process(target=_work, args=(part, writer), daemon=True)
        with _deaf_to_terminal():
            process.start()
        writer.close()  # so that a dead worker is an end of file
        processes.append(process)
        readers.append(reader)
    result = RunResult()
    with interrupts(lambda: _pass_on(processes)):
        for message in _messages(readers):
            if isinstance(message, RunResult):
                result += message
            else:
                for _ in range(message):
                    on_reply()
        for process in processes:
            process.join()
    dead = [process.exitcode for process in processes if process.exitcode]
    if dead and result.stopped is None:
        found = f"{len(dead)} of {workers} worker processes died (exit code {dead[0]})"
        result.stopped = StoppedShort("generate run", found, "run the same command again, perhaps with fewer workers")
    return result


def _parts(job: Job, workers: int) -> Iterator[Job]:
    whole = job.scope.shard or _WHOLE
    share = max(1, job.options.concurrency // workers)
    for number in range(1, workers + 1):
        scope = replace(job.scope, shard=whole.part(number, workers))
        yield replace(job, scope=scope, options=replace(job.options, concurrency=share))


@contextlib.contextmanager
def _deaf_to_terminal() -> Iterator[None]:
    """A process started here never hears SIGINT: a terminal sends it to all of them, and we pass it on ourselves.

    Heard twice, it would break off the calls in flight. Ignoring it would not do, as a run sets handlers of its own.
    """
    resource_tracker.ensure_running()  # comes with the first process else, and lets SIGINT in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _messages(readers: list[Connection]) -> Iterator[RunResult | int]:
    """What the workers tell, until all of them are gone: how many replies came, and at last a result."""
    waiting = list(readers)
    while waiting:
        for reader in wait(waiting):
            assert isinstance(reader, Connection)
            try:
                yield reader.recv()
            except EOFError:
                waiting.remove(reader)


def _pass_on(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.pid is not None and process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)


def _work(job: Job, writer: Connection) -> None:
    """In a worker process."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    replies = 0

    def count() -> None:
        nonlocal replies
        replies += 1
        if replies == _TOLD_AT_ONCE:
            writer.send(replies)
            replies = 0

    result = run_job(job, on_reply=count)
    writer.send(replies)
    writer.send(result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)  # as an interrupt: what is in flight is still journalled
