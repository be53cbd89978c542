"""Pauses: what a server asks of one process, all processes of the workspace hear, and the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from genworld import World
from loopback import Asked, Reply

from sourcing.generation.limits.pauses import HEARD_S, SharedPause
from sourcing.generation.planning.plan import Scope
from sourcing.store.shard import Shard

ANSWER = completion('{"aspects": [], "caption": "slow piano"}')
ONE_SHARD = """
import pickle, sys
from sourcing.generation.run.job import run_job
job = pickle.loads(sys.stdin.buffer.read())
print(run_job(job).replied)
"""


def pauses(folder: Path, now: list[float]) -> SharedPause:
    return SharedPause(folder, "http://a.test m", clock=lambda: now[0])


def test_a_pause_is_heard_by_others_for_as_long_as_it_lasts_and_never_gets_shorter(tmp_path: Path) -> None:
    now = [1000.0]
    one, other = pauses(tmp_path, now), pauses(tmp_path, now)
    assert other.left_s() == 0
    one.extend(30)
    one.extend(5)
    assert other.left_s() == pytest.approx(30)
    assert SharedPause(tmp_path, "http://b.test m", clock=lambda: now[0]).left_s() == 0
    now[0] = 1029.0
    assert other.left_s() == pytest.approx(1)
    now[0] = 1030.5
    assert other.left_s() == 0


def test_a_mistaken_pause_or_a_clock_set_back_does_not_hold_a_workspace_up(tmp_path: Path) -> None:
    now = [1e9]
    pause = pauses(tmp_path, now)
    pause.extend(7 * 86400)
    assert pause.left_s() == pytest.approx(HEARD_S)
    now[0] -= 3600
    assert pause.left_s() == 0


@pytest.mark.parametrize("retry_after", ["0", "-1", "Wed, 21 Oct 99999999999999999999 07:28:00 GMT", "nan", "", "1e9"])
def test_no_header_of_a_refusal_means_at_once(tmp_path: Path, retry_after: str) -> None:
    def refuse(_body: dict[str, Any], _request: Asked) -> Reply:
        return json_reply('{"error": {"message": "slow down"}}', 429, Retry_After=retry_after)

    with chat_server(refuse) as server:
        result = World(tmp_path, server.url).run(give_up_after_s=0.5, concurrency=1)
        assert result.stopped is not None and result.stopped.exit_code == 5
        assert len(server.log) < 10


def test_a_server_that_asks_for_a_thousandth_of_a_second_again_and_again_is_not_asked_a_thousand_times(
    tmp_path: Path,
) -> None:
    def refuse(_body: dict[str, Any], _request: Asked) -> Reply:
        return json_reply("{}", 429, Retry_After_Ms="1")

    with chat_server(refuse) as server:
        World(tmp_path, server.url).run(give_up_after_s=0.5, concurrency=1)
        assert len(server.log) < 12


def test_the_next_run_hears_of_the_pause_without_asking(tmp_path: Path) -> None:
    with chat_server(lambda _body, _request: json_reply("{}", 429, Retry_After="3600")) as server:
        world = World(tmp_path, server.url)
        world.run(concurrency=1)
        request_count = len(server.log)
        stopped = world.run(concurrency=1).stopped
        assert stopped is not None and "as it told another run" in str(stopped)
        assert len(server.log) == request_count


def test_a_pause_asked_of_one_process_is_heard_by_the_other(tmp_path: Path) -> None:
    begun: list[float] = []
    refused: list[float] = []  # by the clock of files
    lock, heard = threading.Lock(), threading.Event()

    def is_written_down() -> bool:
        return any(path.stat().st_mtime > refused[0] + 1 for path in world.folder.rglob("pause-*"))

    def answer(_body: dict[str, Any], asked: Asked) -> Reply:
        with lock:
            begun.append(asked.at_s)
            turn = len(begun)
            if turn == 20:
                refused.append(time.time())
        if turn == 20:
            return json_reply('{"error": {"message": "slow down"}}', 429, Retry_After="2")
        while turn > 20 and not heard.is_set() and not is_written_down():
            heard.wait(0.01)  # what comes until the refusal is heard stays on its way, however busy the machine is
        if turn > 20:
            heard.set()
        return json_reply(ANSWER)

    with chat_server(answer) as server:
        world = World(tmp_path, server.url, count=60)
        import pickle

        jobs = [world.job(Scope(shard=Shard.parse(part)), concurrency=2) for part in ("1/2", "2/2")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        command = [sys.executable, "-c", ONE_SHARD]
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) for _ in jobs
        ]
        for process, job in zip(processes, jobs, strict=True):
            assert process.stdin is not None
            process.stdin.write(pickle.dumps(job))
            process.stdin.close()
        for process in processes:
            process.wait(timeout=120)
        refused_at = begun[19]
        early = [at for at in begun[20:] if at < refused_at + 2]
        assert len(early) <= 3, "what was on its way when the refusal came, and nothing else"
        assert json.loads(ANSWER)
        with world.journal() as journal:
            assert journal.reader.counts()["recall@1.0.0"] == {"replied": 60}
