"""Workers: processes that share one job, with one of them writing the journal."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import select
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from genworld import World
from loopback import Asked, Reply

from sourcing.errors import StoppedShort
from sourcing.generation.cost.budget import Ceilings
from sourcing.generation.journal.journal import Journal
from sourcing.generation.run.job import Job, run_job
from sourcing.generation.run.worker_pipe import receive, send
from sourcing.generation.run.workers import run_in_workers


def echo(body: dict[str, Any], asked: Asked) -> Reply:
    caption = body["messages"][-1]["content"]
    return json_reply(completion(json.dumps({"aspects": [], "caption": caption})))


def test_workers_share_a_job_and_its_ceiling(tmp_path: Path) -> None:
    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=60)
        told: list[int] = []
        result = run_in_workers(
            world.job(ceilings=Ceilings(max_calls=40), concurrency=8), 2, on_reply=lambda: told.append(1)
        )
        assert isinstance(result.stopped, StoppedShort)
        assert (result.replied, len(server.log), len(told)) == (40, 40, 40)
        rest = run_in_workers(world.job(concurrency=8), 2)
        assert (rest.planned, rest.cached, rest.replied, rest.stopped) == (60, 40, 20, None)
    assert max(Counter(asked.body for asked in server.log).values()) == 1


def test_what_workers_left_is_made_by_one_process_and_the_other_way_round(tmp_path: Path) -> None:
    def upto(calls: int) -> Job:
        return world.job(ceilings=Ceilings(max_calls=calls))

    with chat_server(echo) as server:
        world = World(tmp_path, server.url, count=20)
        results = [
            run_job(upto(4)), run_in_workers(upto(8), 2), run_job(upto(12)), run_in_workers(upto(16), 3),
            run_job(upto(20)),
        ]  # fmt: skip
        counts = [(result.planned, result.replied) for result in results]
        assert counts == [(20, 4)] * 5, [str(result.stopped) for result in results]
        assert results[-1].stopped is None
    assert max(Counter(asked.body for asked in server.log).values()) == 1


def test_a_worker_that_dies_takes_nothing_with_it_but_what_it_had_in_flight(tmp_path: Path) -> None:
    killed = threading.Event()

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if len(server.log) >= 30 and not killed.is_set():
            killed.set()
            pid = multiprocessing.active_children()[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=120)
        result = run_in_workers(world.job(concurrency=8), 2)
        assert isinstance(result.stopped, StoppedShort)
        assert result.stopped.found == "1 of 2 worker processes died (exit code -9)"
        with world.journal() as journal:
            answered = journal.reader.counts()["recall@1.0.0"]["replied"]
        asked_before = [asked.body for asked in server.log]
        assert len(asked_before) - 4 <= answered <= len(asked_before)
        rest = run_in_workers(world.job(concurrency=8), 2)
        assert (rest.planned, rest.cached, rest.stopped) == (120, answered, None)
        assert rest.held <= 4, "what one worker of four places had in flight"
        assert rest.replied == 120 - answered - rest.held
    assert max(Counter(asked.body for asked in server.log).values()) == 1


def test_what_a_dying_worker_had_only_half_said_is_not_heard() -> None:
    ours, theirs = multiprocessing.Pipe()
    send(theirs, "whole")
    os.write(theirs.fileno(), (1000).to_bytes(4, "big") + b"half")
    theirs.close()
    assert receive(ours) == "whole"
    with pytest.raises(EOFError):
        receive(ours)


def test_a_journal_that_cannot_be_written_stops_all_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle, settled = Journal.settle, []

    def fill_the_disk(journal: Journal, *args: Any, **kwargs: Any) -> None:
        settled.append(args)
        if len(settled) > 10:
            raise sqlite3.OperationalError("database or disk is full")
        settle(journal, *args, **kwargs)

    # A worker names the function to be called; the process that writes, this one, calls what it has by that name.
    monkeypatch.setattr(Journal, "settle", fill_the_disk)
    with chat_server(echo) as server:
        result = run_in_workers(World(tmp_path, server.url, count=60).job(concurrency=4), 2)
    assert isinstance(result.stopped, StoppedShort)
    assert result.stopped.thing == "generation journal"
    assert "disk is full" in result.stopped.found


_RUN = """
import pickle, sys
from pathlib import Path
from sourcing.generation.run.worker_pipe import receive, send
from sourcing.generation.run.workers import run_in_workers
if __name__ == "__main__":
    run_in_workers(pickle.loads(Path(sys.argv[1]).read_bytes()), 2)
"""


@pytest.mark.e2e
def test_workers_end_with_the_process_that_writes_for_them(tmp_path: Path) -> None:
    in_flight, dead = threading.Barrier(5), threading.Event()

    def answer(body: dict[str, Any], asked: Asked) -> Reply:
        if not dead.is_set():
            in_flight.wait(60)
            dead.wait(60)
        return echo(body, asked)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=40)
        (tmp_path / "job").write_bytes(pickle.dumps(world.job(concurrency=4)))
        (tmp_path / "run.py").write_text(_RUN)
        with subprocess.Popen([sys.executable, str(tmp_path / "run.py"), str(tmp_path / "job")]) as process:
            in_flight.wait(60)
            owners = {path.stem.removeprefix("run-") for path in world.folder.glob("run-*.lock")}
            process.kill()
        dead.set()
        workers = {int(owner.partition("-")[0]) for owner in owners} - {process.pid}
        assert len(workers) == 2
        for pid in workers:  # else a worker goes on without anybody to write down what it is told
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(pid)
                with contextlib.closing(os.fdopen(pidfd)):
                    assert select.select([pidfd], [], [], 300)[0]
        rest = run_in_workers(world.job(concurrency=4), 2)
        assert (rest.planned, rest.cached + rest.replied + rest.held, rest.stopped) == (40, 40, None)
        assert 4 <= rest.held <= 8
    assert max(Counter(asked.body for asked in server.log).values()) == 1
