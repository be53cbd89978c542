"""Model calls with rendering, journal, checking and descriptions against bare loops that store nothing.

The peers `litellm` and `bespokelabs-curator` are measured too where `PEERS_PYTHON` names a Python that has them, and
the restart with `REPLIES` journalled replies (a million takes minutes to fill) where that is set.
"""

from __future__ import annotations

import itertools
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from sourcing.generation.calls import CallEnd
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.plan_writer import register
from sourcing.generation.planning.plan import Scope
from sourcing.generation.run.job import Job
from sourcing.generation.run.options import RunOptions
from sourcing.store import Track, Workspace
from tests.benchmarks.measure import Measured, on_one_core, print_table, serving, told, told_together

CALLS = int(os.environ.get("CALLS", "4000"))
IN_FLIGHT = 64
REPLIES = int(os.environ.get("REPLIES", "0"))
PEERS_PYTHON = os.environ.get("PEERS_PYTHON", "")
_HERE = Path(__file__).parent
_MORE_RULES = "\n".join(f"Rule {n}: say of the sound what a listener hears, not what a seller says." for n in range(33))


def main() -> None:
    with serving(1) as base, tempfile.TemporaryDirectory() as folder:
        table = [("bare openai, raw responses", CALLS, _bare(sys.executable, "bare_openai", base))]
        if PEERS_PYTHON:
            table += [(name, CALLS, _bare(PEERS_PYTHON, f"bare_{name}", base)) for name in ("litellm", "curator")]
        one, *apart = (_job(Path(folder, str(n)), f"{base}/v1", CALLS) for n in range(3))
        alone = told(_ours(one))
        table.append(("generate run", CALLS, alone))
        table.append(("descriptions of its replies", CALLS, told(_ours(one, "describe"))))
        title = f"{CALLS} calls a process, {IN_FLIGHT} in flight in each, zero-latency loopback, start-up left out"
        print_table(title, table)
        two = _job(Path(folder, "two"), f"{base}/v1", 2 * CALLS, in_flight=2 * IN_FLIGHT)
        table = [
            _sharing_one_core(),
            ("1 worker, server on the other core", CALLS, alone),
            ("2 workers, server on the same cores", 2 * CALLS, told(_ours(two, "2"))),
            (
                "2 runs that share nothing, server on the same cores",
                2 * CALLS,
                told_together([_ours(job) for job in apart]),
            ),
        ]
    print_table("the same on two cores: two workers against one, core for core", table)
    if REPLIES:
        _restart(REPLIES)


def _sharing_one_core() -> tuple[str, int, Measured]:
    """One worker and its server on one core: what two workers and theirs have two of."""
    with on_one_core(), serving(1) as base, tempfile.TemporaryDirectory() as folder:
        return "1 worker, server on the same core", CALLS, told(_ours(_job(Path(folder), f"{base}/v1", CALLS)))


def _ours(job: Path, what: str = "1") -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.our_calls", str(job), what]


def _bare(python: str, script: str, base: str) -> Measured:
    return told([python, str(_HERE / f"{script}.py"), base, str(CALLS), str(IN_FLIGHT)])


def _job(workspace: Path, base_url: str, tracks: int, *, in_flight: int = IN_FLIGHT, padded: bool = True) -> Path:
    """A workspace whose job, pickled, asks for so many tracks; `padded` makes a request about 4 kB, else it is 1.5."""
    _write_tracks(workspace, tracks)
    endpoint = Endpoint("bench", f"{base_url} bench", "bench", base_url)
    pack = Path(shutil.copytree("prompts/recall", workspace / "prompts" / "recall"))
    if padded:
        template = (pack / "prompt.j2").read_text()
        (pack / "prompt.j2").write_text(template.replace("--- user ---", f"{_MORE_RULES}\n--- user ---"))
    job = Job(workspace, pack, endpoint, Scope(), RunOptions(in_flight, 60.0, 1))
    (workspace / "job").write_bytes(pickle.dumps(job))
    return workspace / "job"


def _write_tracks(workspace: Path, tracks: int) -> None:
    n = pl.int_range(tracks, eager=True).cast(pl.String)
    artist = (pl.int_range(tracks, eager=True) % 50).cast(pl.String)
    empty = Track.create_empty()
    rows = pl.DataFrame({"track_id": "t" + n, "title": "Song " + n, "artist": "Artist " + artist}).with_columns(
        album=pl.lit("An album"),
        tags=pl.lit([], dtype=empty.schema["tags"]),
        labels=pl.lit([], dtype=empty.schema["labels"]),
    )
    Workspace(workspace).write(Track, pl.concat([empty, rows], how="diagonal"))


def _restart(replies: int) -> None:
    """A run whose plan is whole and whose calls are all answered: until it says so, and knows what is described."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        job = pickle.loads(_job(workspace, "http://127.0.0.1:9/v1", replies, padded=False).read_bytes())
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
from sourcing.generation.descriptions.freshness import inputs_digest, summary_of_fresh_tables
from sourcing.generation.run.job import run_job
from sourcing.generation.journal.journal import Journal
from sourcing.store import Workspace
counts = run_job(job).counts()
workspace = Workspace(job.workspace)
with Journal.read(workspace.generation_dir) as journal:
    summary_of_fresh_tables(workspace, inputs_digest(workspace, journal, [job.pack_folder.parent], 0.0))
print(counts, f"{time.perf_counter() - started_s:.2f} s")
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
            for call in register(journal, run.run_id, calls, position=position, done=False, at=now):
                journal.sending(call.call_id, now)
                journal.settle(call.call_id, CallEnd("replied", "replied", 200, raw=reply), at=now)
                journal.charge(call.call_id, input_tokens=900, output_tokens=400, cost_nusd=0)
    with journal.transaction():
        register(journal, run.run_id, [], position=position, done=True, at=now)
