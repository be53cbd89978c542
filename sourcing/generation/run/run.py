"""Run: send the calls of a plan that have no reply yet, journal every answer, stop cleanly, resume exactly."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sourcing.errors import CrossmusimError
from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.prices import FREE, Price
from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.journal.group_commit import Durable, GroupCommit
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.reader import RunState
from sourcing.generation.limits.quota import Quota
from sourcing.generation.packs.pack import Pack
from sourcing.generation.planning.plan import Step
from sourcing.generation.run.call_feed import CallFeed
from sourcing.generation.run.engine import Engine

__all__ = ["RunOptions", "RunResult", "frozen_heap", "run_calls"]


@dataclass(frozen=True)
class RunOptions:
    """How hard an endpoint may be asked, and what a run may use. `account` is what the ceilings are counted over."""

    concurrency: int
    timeout_s: float
    max_attempts: int
    resend_unknown: bool = False  # calls that were in flight at a crash, and may have been paid
    account: str = ""
    ceilings: Ceilings = NO_CEILINGS
    price: Price = FREE
    store_completions: bool = False  # let the endpoint keep them, to be looked up after a crash
    backoff_s: float = 1.0  # first pause before a retry; doubles, with jitter
    give_up_after_s: float = 120.0  # of refusals without one answer


@dataclass
class RunResult:
    """What became of the calls. `stopped` is the error to raise once the replies at hand are described."""

    planned: int = 0
    cached: int = 0
    replied: int = 0
    failed: int = 0
    unknown: int = 0  # lost sight of in this run
    held: int = 0  # unknown from a former run, not resent
    elsewhere: int = 0  # in batches, or in flight from another process
    followed: int = 0  # larger tries and repairs answered in this run
    stopped: CrossmusimError | None = None
    row_errors: list[str] = field(default_factory=list)  # exceptions that looking at replies raised

    def counts(self) -> dict[str, int]:
        names = ("planned", "cached", "replied", "failed", "unknown", "held", "elsewhere", "followed")
        return {name: getattr(self, name) for name in names}

    def __add__(self, other: RunResult) -> RunResult:
        both = {name: number + getattr(other, name) for name, number in self.counts().items()}
        errors = self.row_errors + other.row_errors
        return RunResult(**both, stopped=self.stopped or other.stopped, row_errors=errors)


def run_calls(
    run: RunState,
    steps: Callable[[int], Iterator[Step]],
    journal: Journal,
    pack: Pack,
    endpoint: Endpoint,
    options: RunOptions,
    *,
    committing: Durable | None = None,
    quota: Quota | None = None,
    on_reply: Callable[[], object] = lambda: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> RunResult:
    """Make the calls of `run` that have no reply; `steps(n)` are those of its plan behind the first n targets.

    `committing` is who writes the journal while calls are made, a thread of this process where it is not given.

    Returns normally also when it had to stop: `result.stopped` is then UpstreamError (nobody serves us), StoppedShort
    (interrupt, ceiling, a server that keeps refusing) or PromptError (a prompt does not render), and the same command
    takes it up again.
    """
    resend = options.resend_unknown or endpoint.resend_is_free
    feed = CallFeed(run, steps, resend=resend, clock=clock)
    result = RunResult()
    if not run.planned or journal.has_open(run.run_id, resend=resend):
        with _serving(endpoint) as (live, server):
            # Replies of the embedded model are the same bytes every time only while calls are made one by one.
            options = replace(options, concurrency=1) if endpoint.is_local else options
            engine = Engine(
                live,
                committing or GroupCommit(journal),
                pack,
                options,
                result,
                quota=quota,
                clock=clock,
                on_reply=on_reply,
                server=server,
            )
            with frozen_heap():
                asyncio.run(engine.send_all(run.run_id, feed))
                result.stopped = result.stopped or feed.error
    after = journal.run_counts(run.run_id)
    result.planned, result.cached = sum(after.values()), after["replied"] - result.replied
    result.held, result.elsewhere = after["unknown"] - result.unknown, after["sending"]
    return result


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """The garbage collector looks only at what is made inside, not at every module and table there is.

    Calls make garbage enough to have it look every second, which took a sixth of a run's CPU.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@contextlib.contextmanager
def _serving(endpoint: Endpoint) -> Iterator[tuple[Endpoint, LocalEndpoint | None]]:
    if not endpoint.is_local:
        yield endpoint, None
        return
    with LocalEndpoint() as server:
        yield replace(endpoint, base_url=server.base_url, api_key=server.api_key), server
