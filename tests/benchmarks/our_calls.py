"""The generation benchmark's own side: a whole job with so many workers, and then the descriptions made of it.

Calls are timed from the first reply on, so that workers that begin as processes of their own are measured like one that
runs here; their CPU seconds are told whole, start-up included (about 1.5 s each).
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from pathlib import Path

from sourcing.generation.descriptions.rebuild import rebuild_descriptions
from sourcing.generation.journal.journal import Journal
from sourcing.generation.run.workers import run_in_workers
from sourcing.store import Workspace

if __name__ == "__main__":
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    started_s, before = time.perf_counter(), os.times()
    if sys.argv[2] == "describe":
        workspace = Workspace(job.workspace)
        with Journal.read(workspace.generation_dir) as journal:
            rebuild_descriptions(workspace, journal, [job.pack_folder.parent])
    else:
        begun_s: list[float] = []
        result = run_in_workers(job, int(sys.argv[2]), on_reply=lambda: begun_s or begun_s.append(time.perf_counter()))
        assert result.stopped is None, result.stopped
        started_s = begun_s[0]
    wall_s, after = time.perf_counter() - started_s, os.times()
    print(json.dumps({"wall_s": wall_s, "cpu_s": sum(after[:4]) - sum(before[:4])}))
