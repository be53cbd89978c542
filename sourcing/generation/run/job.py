"""Job: pack, endpoint, scope and options of one run as picklable values, and `run_job`, which runs it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import dataframely as dy
import polars as pl

from sourcing.generation.descriptions.rebuild import make_unjudged
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.group_commit import Durable
from sourcing.generation.journal.journal import Journal, RunState, enter_journal
from sourcing.generation.journal.plan_writer import enter_run
from sourcing.generation.limits.quota import QUOTA_FILE, Quota
from sourcing.generation.packs.judges import is_judge
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.pack_files import load_pack, pack_roots
from sourcing.generation.planning.decoys import asks_knowledge, make_decoys
from sourcing.generation.planning.plan import Scope, Step, Tables, plan_steps
from sourcing.generation.run.options import RunOptions, RunResult, RunTools
from sourcing.generation.run.run import run_calls
from sourcing.store.schemas import Description, Document, Match, Track
from sourcing.store.versions import file_sha256
from sourcing.store.workspace import Workspace

__all__ = ["NO_RATES", "Job", "Rates", "read_tables", "run_job", "run_tools"]


@dataclass(frozen=True)
class Job:
    """One pack on one endpoint over one part of the catalogue; `samples` None keeps the pack's number.

    `prompt_roots`, for a judge's pack: folders with the packs of the judged descriptions; empty: see `read_tables`.
    """

    workspace: Path
    pack_folder: Path
    endpoint: Endpoint
    scope: Scope
    options: RunOptions
    samples: int | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    prompt_roots: tuple[Path, ...] = ()

    @functools.cached_property
    def pack(self) -> Pack:
        pack = load_pack(self.pack_folder)
        return pack if self.samples is None else replace(pack, samples=self.samples)

    @property
    def plan(self) -> str:
        """SHA-256 of the plan's inputs (pack, endpoint, scope without its shard, tables), computed without planning."""
        workspace, scope = Workspace(self.workspace), self.scope
        tables = [Track, *((Document, Match) if "document" in self.pack.inputs else ())]
        description_rows = self.tables().descriptions if is_judge(self.pack) else None
        plan_facts = {
            "pack": [self.pack.name, self.pack.prompt_hash, self.pack.samples],
            "endpoint": [self.endpoint.identity, self.endpoint.model],
            "tracks": None if scope.track_ids is None else sorted(scope.track_ids),
            "scope": [list(scope.languages), scope.limit, scope.decoy_share, scope.decoys_only],
            "tables": [_file_digest(workspace.table_path(table)) for table in tables],
            **({} if description_rows is None else {"descriptions": _rows_digest(description_rows)}),
        }
        return hashlib.sha256(json.dumps(plan_facts).encode()).hexdigest()

    def tables(self) -> Tables:
        """Read the present tables of the job's plan; with decoys among the tracks for packs that ask for knowledge."""
        tables = read_tables(Workspace(self.workspace), self.pack, prompt_roots=self.prompt_roots)
        if not asks_knowledge(self.pack):
            return tables
        decoys = make_decoys(tables.tracks, self.scope.decoy_share)
        return replace(tables, tracks=Track.validate(pl.concat([tables.tracks, decoys])))

    def steps(self, start: int) -> Iterator[Step]:
        """Steps of the job's plan after the first `start` targets."""
        return plan_steps(self.pack, self.endpoint, self.tables(), self.scope, start=start)

    def check_prompts(self) -> None:
        """Raise PromptError for the first call of the plan with messages that do not render; plain packs always render.

        Rendering is lazy: without this check a late call could fail while earlier calls are in flight.
        """
        if not self.pack.is_plain:
            deque(self.steps(0), maxlen=0)

    def enter(self, journal: Journal, at: datetime) -> RunState:
        """Begin or resume the job's run in `journal`, see `enter_run`."""
        return enter_run(
            journal,
            pack=(self.pack.id, self.pack.version, self.pack.prompt_hash),
            endpoint=self.endpoint.identity,
            model=self.endpoint.model,
            plan=self.plan,
            shard="" if self.scope.shard is None else str(self.scope.shard),
            at=at,
        )


def run_job(
    job: Job,
    *,
    committing: Durable | None = None,
    on_reply: Callable[[], object] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RunResult:
    """Make the job's calls in the calling process; several processes may share a workspace and a job.

    `committing` writes the journal while calls are made (None: this process). With `committing` the caller has checked
    the prompts.
    """
    if committing is None:
        job.check_prompts()
    folder, rates = Workspace(job.workspace).generation_dir, Rates(job.requests_per_minute, job.tokens_per_minute)
    with run_tools(folder, job.endpoint, rates, RunTools(committing, None, on_reply, clock)) as (journal, tools):
        run = job.enter(journal, clock())
        return run_calls(run, job.steps, journal, job.pack, job.endpoint, job.options, tools)


class Rates(NamedTuple):
    """What an endpoint allows in a minute; None where nothing is known."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


NO_RATES = Rates()


@contextlib.contextmanager
def run_tools(folder: Path, endpoint: Endpoint, rates: Rates, tools: RunTools) -> Iterator[tuple[Journal, RunTools]]:
    """Open a folder's journal for a run at an endpoint: calls of dead processes buried, its quota among the tools."""
    quota = Quota(folder / QUOTA_FILE, f"{endpoint.identity} {endpoint.model}", **rates._asdict())
    with enter_journal(folder) as (journal, presence), quota:
        journal.bury(presence.is_dead, tools.clock())
        yield journal, replace(tools, quota=quota)


def read_tables(workspace: Workspace, pack: Pack, *, prompt_roots: Sequence[Path] = ()) -> Tables:
    """Read the tables for a plan of `pack`; InputError for a missing table names the command that makes the table.

    A judge's descriptions are made from the journal's replies, before earlier verdicts: else each run would ask anew
    about the remaining aspects.
    """
    tracks = workspace.read(Track)
    if is_judge(pack):
        roots = prompt_roots or [pack.folder.parent, *pack_roots(None, workspace.root)]
        with Journal.read(workspace.generation_dir) as journal:
            unjudged = make_unjudged(workspace, journal, roots)
        return Tables(tracks, unjudged.documents, descriptions=unjudged.descriptions)
    if "document" not in pack.inputs:
        return Tables(tracks)
    return Tables(tracks, workspace.read(Document), workspace.read(Match))


def _file_digest(path: Path) -> str:
    if not path.exists():
        return ""
    return file_sha256(path)


def _rows_digest(descriptions: dy.DataFrame[Description]) -> str:
    """SHA-256 of the content and author model of judged description rows, in order."""
    columns = descriptions.select("description_id", "track_id", "language", "aspect_list", "caption", "model")
    digest = hashlib.sha256()
    for row in columns.iter_rows():
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()
