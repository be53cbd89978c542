"""Job: everything one run of a pack on one endpoint needs, as plain values that another process can be handed."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sourcing.generation.endpoint import Endpoint
from sourcing.generation.journal import Journal
from sourcing.generation.pack import Pack, load_pack
from sourcing.generation.plan import Scope, Step, Tables, plan_steps
from sourcing.generation.quota import QUOTA_FILE, Quota
from sourcing.generation.run import RunOptions, RunResult, run_calls
from sourcing.store.presence import Presence
from sourcing.store.schemas import Document, Match, Track
from sourcing.store.workspace import Workspace

__all__ = ["Job", "read_tables", "run_job"]


@dataclass(frozen=True)
class Job:
    """One pack on one endpoint over one part of the catalogue. `samples` None: as many as the pack says."""

    workspace: Path
    pack_folder: Path
    endpoint: Endpoint
    scope: Scope
    options: RunOptions
    samples: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    @functools.cached_property
    def pack(self) -> Pack:
        pack = load_pack(self.pack_folder)
        return pack if self.samples is None else replace(pack, samples=self.samples)

    @property
    def plan(self) -> str:
        """Names the plan: equal for equal inputs, whatever part of it this job does. Costs no planning."""
        workspace, scope = Workspace(self.workspace), self.scope
        tables = [Track, *((Document, Match) if "document" in self.pack.inputs else ())]
        said = {
            "pack": [self.pack.name, self.pack.prompt_hash, self.pack.samples],
            "endpoint": [self.endpoint.identity, self.endpoint.model],
            "tracks": None if scope.track_ids is None else sorted(scope.track_ids),
            "scope": [list(scope.languages), scope.limit],
            "tables": [_file_digest(workspace.table_path(table)) for table in tables],
        }
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def run_job(
    job: Job,
    *,
    on_reply: Callable[[], object] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RunResult:
    """Make the job's calls in this process; other processes may be at work on the same workspace, and the same job."""
    workspace, pack, endpoint = Workspace(job.workspace), job.pack, job.endpoint
    folder = workspace.generation_dir
    presence = Presence(folder)

    def steps(start: int) -> Iterator[Step]:
        return plan_steps(pack, endpoint, read_tables(workspace, pack), job.scope, start=start)

    quota = Quota(
        folder / QUOTA_FILE, f"{endpoint.identity} {endpoint.model}",
        requests_per_minute=job.requests_per_minute, tokens_per_minute=job.tokens_per_minute,
    )  # fmt: skip
    with presence.entered(), Journal.open(folder, presence.owner) as journal, quota:
        journal.bury(presence.is_dead, clock())
        run = journal.enter_run(
            pack=(pack.id, pack.version, pack.prompt_hash),
            endpoint=endpoint.identity,
            model=endpoint.model,
            plan=job.plan,
            shard="" if job.scope.shard is None else str(job.scope.shard),
            at=clock(),
        )
        return run_calls(run, steps, journal, pack, endpoint, job.options, quota=quota, on_reply=on_reply, clock=clock)


def read_tables(workspace: Workspace, pack: Pack) -> Tables:
    """The tables a plan of this pack reads; InputError names the command that makes one that is missing."""
    if "document" not in pack.inputs:
        return Tables(workspace.read(Track))
    return Tables(workspace.read(Track), workspace.read(Document), workspace.read(Match))


def _file_digest(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
