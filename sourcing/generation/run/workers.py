"""Workers: one job run by several processes, one shard of the tracks each, on one journal, quota and budget."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import selectors
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from sourcing.errors import StoppedShort
from sourcing.generation.journal.group_commit import make_changes
from sourcing.generation.journal.journal import Journal, enter_journal
from sourcing.generation.run.job import Job, run_job
from sourcing.generation.run.options import RunResult
from sourcing.generation.run.run import frozen_heap
from sourcing.generation.run.worker_pipe import PipedCommit, WriteRequest, receive, send
from sourcing.redactor import guarded_output
from sourcing.store.interrupts import interrupts
from sourcing.store.shard import Shard
from sourcing.store.workspace import Workspace

__all__ = ["run_in_workers"]

_WHOLE = Shard(1, 1)
#: Niceness of the workers: all wait for the process that writes the journal, which goes first where cores are few.
_AFTER_THE_WRITER = 10


def run_in_workers(job: Job, workers: int, *, on_reply: Callable[[], object] = lambda: None) -> RunResult:
    """Run a job like `run_job` in `workers` processes, with the concurrency divided among the workers.

    This process writes the journal for all workers: when it dies, the workers end. An interrupt is passed on. When a
    worker dies, `stopped` is StoppedShort; its calls in flight are unknown, and the same command resumes the rest.
    """
    if workers == 1:
        return run_job(job, on_reply=on_reply)
    job.check_prompts()
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of polars' threads
    processes: list[BaseProcess] = []
    pipes = selectors.DefaultSelector()
    with enter_journal(Workspace(job.workspace).generation_dir) as (journal, _), pipes:
        for part in _parts(job, workers):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=_work, args=(part, theirs), daemon=True)
            with _deaf_to_terminal():
                process.start()
            theirs.close()  # so that a dead worker is an end of file
            processes.append(process)
            pipes.register(ours, selectors.EVENT_READ)
        with interrupts(lambda: _pass_on(processes)), frozen_heap():
            result = _write_for(pipes, journal, on_reply)
            for process in processes:
                process.join()
    dead = [process.exitcode for process in processes if process.exitcode]
    if dead and result.stopped is None:
        finding = f"{len(dead)} of {workers} worker processes died (exit code {dead[0]})"
        result.stopped = StoppedShort("generate run", finding, "run the same command again, perhaps with fewer workers")
    return result


def _parts(job: Job, workers: int) -> Iterator[Job]:
    whole = job.scope.shard or _WHOLE
    share = max(1, job.options.concurrency // workers)
    for number in range(1, workers + 1):
        scope = replace(job.scope, shard=whole.part(number, workers))
        yield replace(job, scope=scope, options=replace(job.options, concurrency=share))


@contextlib.contextmanager
def _deaf_to_terminal() -> Iterator[None]:
    """Block SIGINT in processes started inside the block: the terminal signals all, and `_pass_on` sends SIGTERM.

    A second signal would break off calls in flight. Blocked and not ignored, as a run installs its own handlers.
    """
    resource_tracker.ensure_running()  # comes with the first process else, and lets SIGINT in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write_for(pipes: selectors.BaseSelector, journal: Journal, on_reply: Callable[[], object]) -> RunResult:
    """Write the journal for the workers until all pipes are closed; returns the sum of the workers' results."""
    result = RunResult()
    while pipes.get_map():
        messages: list[tuple[Connection, WriteRequest]] = []
        for key, _ in pipes.select():
            pipe = key.fileobj
            assert isinstance(pipe, Connection)
            try:
                message = receive(pipe)
            except EOFError:
                pipes.unregister(pipe)
                pipe.close()
                continue
            if isinstance(message, RunResult):
                result += message
            else:
                messages.append((pipe, message))
        if not messages:
            continue
        answers, error = make_changes(journal, [change for _, asking in messages for change in asking.changes])
        for pipe, asking in messages:
            n = len(asking.changes)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a dead worker: the next select finds it
                send(pipe, (answers[:n], error))
            del answers[:n]
            for _ in range(asking.replies):
                on_reply()
    return result


def _pass_on(processes: list[BaseProcess]) -> None:
    for process in processes:
        if process.pid is not None and process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)


def _work(job: Job, pipe: Connection) -> None:
    """Main function of a worker process: run its part of the job and send the RunResult through `pipe`."""
    os.nice(_AFTER_THE_WRITER)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    committing = PipedCommit(pipe)
    with guarded_output():
        result = run_job(job, committing=committing, on_reply=committing.count_reply)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody is left to be told
        send(pipe, result)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)  # as an interrupt; what is in flight is unknown to the next run
