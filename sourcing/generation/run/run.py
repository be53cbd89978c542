"""Run: send the calls of a plan without a reply, journal all replies, stop cleanly, resume exactly."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace

from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.endpoint.local import LocalEndpoint
from sourcing.generation.journal.group_commit import GroupCommit
from sourcing.generation.journal.journal import Journal
from sourcing.generation.journal.plan_writer import has_open
from sourcing.generation.journal.reader import RunState
from sourcing.generation.packs.pack import Pack
from sourcing.generation.planning.plan import Step
from sourcing.generation.run.call_feed import CallFeed
from sourcing.generation.run.engine import Engine
from sourcing.generation.run.options import RunOptions, RunResult, RunTools

__all__ = ["frozen_heap", "run_calls"]


def run_calls(
    run: RunState,
    steps: Callable[[int], Iterator[Step]],
    journal: Journal,
    pack: Pack,
    endpoint: Endpoint,
    options: RunOptions,
    tools: RunTools,
) -> RunResult:
    """Make the calls of `run` without a reply; `steps(n)` yields the plan's steps after the first n targets.

    Returns normally also when the run stopped early: `result.stopped` is then UpstreamError (no server answers),
    StoppedShort (interrupt, ceiling, a server that keeps refusing) or PromptError (a prompt does not render), and the
    same command resumes the run.
    """
    resend = options.resend_unknown or endpoint.resend_is_free
    feed = CallFeed(run, steps, resend=resend, clock=tools.clock)
    result = RunResult()
    if not run.planned or has_open(journal, run.run_id, resend=resend):
        with _serving(endpoint) as (live, server):
            # Replies of the embedded model are the same bytes every time only while calls are made one by one.
            options = replace(options, concurrency=1) if endpoint.is_local else options
            engine = Engine(live, pack, options, result, tools, tools.committing or GroupCommit(journal), server)
            with frozen_heap():
                asyncio.run(engine.send_all(run.run_id, feed))
                result.stopped = result.stopped or feed.error
    after = journal.reader.run_counts(run.run_id)
    result.planned, result.cached = sum(after.values()), after["replied"] - result.replied
    result.held, result.elsewhere = after["unknown"] - result.unknown, after["sending"]
    return result


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Freeze all present objects, so that the garbage collector visits only objects made inside the block.

    Without it, collections once a second took a sixth of a run's CPU.
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
