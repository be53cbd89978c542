"""Model calls with rendering, journal, checking and descriptions against bare loops that store nothing.

The peers `litellm` and `bespokelabs-curator` are measured too where `PEERS_PYTHON` names a Python that has them, and
the restart with `REPLIES` journalled replies (a million takes minutes to fill) where that is set.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from sourcing.generation.endpoint import Endpoint
from sourcing.generation.job import Job
from sourcing.generation.journal import Journal
from sourcing.generation.plan import Scope
from sourcing.generation.run import RunOptions
from sourcing.store import Track, Workspace
from tests.benchmarks.measure import Measured, print_table, scaling, serving, told

CALLS = int(os.environ.get("CALLS", "4000"))
IN_FLIGHT = 64
REPLIES = int(os.environ.get("REPLIES", "0"))
PEERS_PYTHON = os.environ.get("PEERS_PYTHON", "")
_HERE = Path(__file__).parent


def main() -> None:
    with serving(1) as base:
        table = [("bare openai, raw responses", CALLS, _bare(sys.executable, "bare_openai", base))]
        if PEERS_PYTHON:
            table += [(name, CALLS, _bare(PEERS_PYTHON, f"bare_{name}", base)) for name in ("litellm", "curator")]
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                job = _job(Path(folder), f"{base}/v1", workers * CALLS, in_flight=workers * IN_FLIGHT)
                command = [sys.executable, "-m", "tests.benchmarks.our_calls", str(job)]
                run = told([*command, str(workers)])
                table.append((f"generate run, {workers} worker{'s' if workers > 1 else ''}", workers * CALLS, run))
                if workers == 1:
                    table.append(("descriptions of its replies", CALLS, told([*command, "describe"])))
    title = f"{CALLS} calls a process, {IN_FLIGHT} in flight in each, zero-latency loopback, start-up left out"
    print_table(title, table)
    ours = [row for row in table if row[0].startswith("generate run")]
    print_table("the same: workers, who share two cores with the server, against one", ours)
    print(f"two processes that only compute do {scaling():.2f} times the work of one here")
    if REPLIES:
        _restart(REPLIES)


def _bare(python: str, script: str, base: str) -> Measured:
    return told([python, str(_HERE / f"{script}.py"), base, str(CALLS), str(IN_FLIGHT)])


def _job(
    workspace: Path, base_url: str, tracks: int, *, in_flight: int = IN_FLIGHT, album: str = "A long album title " * 80
) -> Path:
    """A workspace whose job, pickled, asks for so many tracks; the album makes a request about 4 kB."""
    _write_tracks(workspace, tracks, album)
    endpoint = Endpoint("bench", f"{base_url} bench", "bench", base_url)
    pack = Path("prompts/recall").resolve()
    job = Job(workspace, pack, endpoint, Scope(), RunOptions(in_flight, 60.0, 1))
    (workspace / "job").write_bytes(pickle.dumps(job))
    return workspace / "job"


def _write_tracks(workspace: Path, tracks: int, album: str) -> None:
    n = pl.int_range(tracks, eager=True).cast(pl.String)
    artist = (pl.int_range(tracks, eager=True) % 50).cast(pl.String)
    empty = Track.create_empty()
    rows = pl.DataFrame({"track_id": "t" + n, "title": "Song " + n, "artist": "Artist " + artist}).with_columns(
        album=pl.lit(album),
        tags=pl.lit([], dtype=empty.schema["tags"]),
        labels=pl.lit([], dtype=empty.schema["labels"]),
    )
    Workspace(workspace).write(Track, pl.concat([empty, rows], how="diagonal"))


def _restart(replies: int) -> None:
    """A run whose plan is whole and whose calls are all answered: until it says so, without describing anything."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        job = pickle.loads(_job(workspace, "http://127.0.0.1:9/v1", replies, album="An album").read_bytes())
        filled = time.perf_counter()
        with Journal.open(workspace / "generation") as journal:
            _fill(journal, job)
        print(f"{replies:,} calls planned and answered in {time.perf_counter() - filled:.0f} s", flush=True)
        print("restart, imports included:", _say(_RESTART, workspace / "job"))
        print("planning:", _say(_PLANNING, workspace / "job"))


_RESTART = """
import pickle, sys, time
started_s = time.perf_counter()
job = pickle.load(open(sys.argv[1], "rb"))
from sourcing.generation.job import run_job
print(run_job(job).counts(), f"{time.perf_counter() - started_s:.2f} s")
"""
# The peak is read where exec has set it back to nothing (Linux): getrusage tells the parent's.
_PLANNING = """
import pickle, re, sys
from pathlib import Path
job = pickle.load(open(sys.argv[1], "rb"))
def peak_mb():
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
steps = job.steps(0)
next(steps)
print("peak", peak_mb(), "MB at the first call,", sum(len(step.calls) for step in steps), "later", peak_mb(), "MB")
"""


def _say(code: str, job: Path) -> str:
    """What a process of its own prints, or its error."""
    done = subprocess.run([sys.executable, "-c", code, str(job)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr[-500:]


def _fill(journal: Journal, job: Job) -> None:
    reply = json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": "{}"}}]}).encode()
    now = datetime.now(UTC)
    run, steps, position = job.enter(journal, now), job.steps(0), 0
    while chunk := list(itertools.islice(steps, 500)):
        position = chunk[-1].position
        with journal.transaction():
            calls = [call for step in chunk for call in step.calls]
            for call in journal.register(run.run_id, calls, position=position, done=False, at=now):
                journal.sending(call.call_id, now)
                journal.settle(call.call_id, "replied", outcome="replied", at=now, status=200, raw=reply)
                journal.charge(call.call_id, input_tokens=900, output_tokens=400, cost_nusd=0)
    with journal.transaction():
        journal.register(run.run_id, [], position=position, done=True, at=now)
