"""A small world whose calls are handed over as batches to a loopback server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batchserver import Body, Ending, answered
from genworld import AT, SECRET, World

from sourcing.generation.batch.desk import BatchDesk, Collected
from sourcing.generation.batch.submit import BatchOptions, Submitted
from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.prices import named_price
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.run.reply_checker import ReplyChecker
from sourcing.store import Workspace

PRICE = named_price("1,2")
assert PRICE is not None
OPTIONS = BatchOptions(backoff_s=0.001, max_attempts=3, timeout_s=10.0)


class Batches(World):
    """A world whose runs may also be handed over as batches; it notes how long it was told to sleep."""

    def __init__(self, root: Path, url: str, count: int = 4, **pack: Any) -> None:
        super().__init__(root, url, count, **pack)
        self.slept_s: list[float] = []

    @classmethod
    def found(cls, root: Path, url: str) -> Batches:
        """The world that another process made."""
        world = cls.__new__(cls)
        world.workspace = Workspace(root)
        world.folder, world.pack_folder = world.workspace.generation_dir, root / "prompts" / "recall"
        base = f"{url}/v1"
        world.endpoint = Endpoint(name=base, identity=f"{base} m", model="m", base_url=base, api_key=SECRET)
        world.slept_s = []
        return world

    @contextlib.contextmanager
    def desk(self, **options: Any) -> Iterator[BatchDesk]:
        with (
            self.journal() as journal,
            BatchDesk(
                journal,
                replace(OPTIONS, **options),
                endpoint_of=lambda identity, model: self.endpoint,
                checker_of=lambda run_id: ReplyChecker(load_pack(self.pack_folder), self.endpoint),
                lock=lambda: self.workspace.lock("batch"),
                sleep=self.slept_s.append,
            ) as desk,
        ):
            yield desk

    def submit(self, ceilings: Ceilings = NO_CEILINGS, **options: Any) -> Submitted:
        with self.desk(**options) as desk:
            job = self.job(ceilings=ceilings, price=PRICE)
            return desk.submit(job.enter(desk.journal, AT), job.steps, job.options)

    def drive(self, ceilings: Ceilings = NO_CEILINGS, **options: Any) -> tuple[Submitted, Collected]:
        with self.desk(**options) as desk:
            job = self.job(ceilings=ceilings, price=PRICE)
            return desk.drive(job.enter(desk.journal, AT), job.steps, job.options)

    def collect(self, *, wait: bool = True, **options: Any) -> Collected:
        with self.desk(**options) as desk:
            return desk.collect(wait=wait)

    def counts(self) -> dict[str, int]:
        with self.journal() as journal:
            return journal.reader.counts().get("recall@1.0.0", {})

    def totals(self) -> Any:
        with self.journal() as journal:
            return journal.budget.totals(self.account)

    def shard_states(self) -> list[str]:
        with self.desk() as desk:
            return [shard.state for shard in desk.shards.all()]


def outputs(lines: Sequence[Body], **usage: int) -> list[Body]:
    return [answered(line, **usage) for line in lines]


def all_good(lines: list[Body]) -> Ending:
    return Ending(outputs(lines)[::-1])  # order is not kept
