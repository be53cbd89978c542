"""kill -9 at random moments of a run, ten calls apart: what was answered is what the journal holds."""

from __future__ import annotations

import json
import multiprocessing
import random
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from chatserver import chat_server, completion, json_reply
from genworld import SECRET, World
from loopback import Asked, Reply

from sourcing.generation.run.job import Job, run_job
from sourcing.generation.wire import unstreamed

pytestmark = pytest.mark.e2e

CALLS_BETWEEN_KILLS = 10
IN_FLIGHT = 4


class KillAt:
    """Answers every call, and lets `reached` be set once a run has asked for its n-th."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reached = threading.Event()
        self.left = -1

    def arm(self, n: int) -> None:
        with self.lock:
            self.left = n
            self.reached.clear()

    def __call__(self, body: dict[str, Any], asked: Asked) -> Reply:
        with self.lock:
            self.left -= 1
            if self.left == 0:
                self.reached.set()
        return json_reply(completion(json.dumps({"aspects": [], "caption": body["messages"][-1]["content"]})))


def work(job: Job) -> None:
    run_job(job)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.proof)])
def test_killed_again_and_again_no_reply_is_lost_and_none_paid_twice(tmp_path: Path, kills: int) -> None:
    n_calls = kills * CALLS_BETWEEN_KILLS
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng = random.Random(seed)
    context = multiprocessing.get_context("forkserver")  # a run begins in milliseconds, with nothing of this process
    context.set_forkserver_preload(["sourcing.generation.run.job", "genworld"])
    site = KillAt()
    with chat_server(site) as server:
        world = World(tmp_path, server.url, count=n_calls)
        job = world.job(concurrency=IN_FLIGHT)
        # Most moments lie within the calls; some at the very beginning, before the first is sent.
        for kill in range(kills):
            calls = rng.randrange(CALLS_BETWEEN_KILLS)
            site.arm(calls)
            process = context.Process(target=work, args=(job,))
            process.start()
            while calls and process.is_alive() and not site.reached.wait(0.02):
                pass
            process.join(rng.uniform(0, 0.01 if calls else 0.3))
            process.kill()
            process.join()
            assert process.exitcode in (-signal.SIGKILL, 0), (seed, kill)
        held = run_job(job)
        answered = Counter(asked.body for asked in server.log if asked.answered)
        asked = Counter(asked.body for asked in server.log)
        with world.journal() as journal:
            payloads = {call.request_key: unstreamed(call.body) for call in world.calls}
            states = journal.reader.states(payloads)
            lost = {row.request_key for row in journal.reader.calls_in(("unknown",))}
            for key, state in states.items():
                if state == "replied":
                    said = json.loads(json.loads(journal.reader.raw_reply(key))["choices"][0]["message"]["content"])
                    assert said["caption"] == json.loads(payloads[key])["messages"][-1]["content"]
        replied = {key for key, state in states.items() if state == "replied"}
        assert replied | lost == set(payloads), (seed, Counter(states.values()))
        assert (held.held, len(lost)) == (len(lost), len(lost))
        assert max(asked.values()) == 1, f"seed {seed}: nothing is sent again while it is unknown"
        assert {payloads[key] for key in replied} <= set(answered)
        assert {key for key in payloads if payloads[key] in answered} <= replied | lost
        assert 0 < len(lost) <= kills * IN_FLIGHT

        resent = run_job(world.job(concurrency=IN_FLIGHT, resend_unknown=True))
        twice = {body for body, n in Counter(asked.body for asked in server.log).items() if n > 1}
        assert (resent.replied, resent.held, resent.cached) == (len(lost), 0, n_calls - len(lost))
        assert twice <= {payloads[key] for key in lost}
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
