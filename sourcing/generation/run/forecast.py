"""Forecast of a job before the run: numbers of calls by state, and tokens, cost and time of the calls to send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sourcing.generation.calls import PlannedCall
from sourcing.generation.cost.estimate import EMBEDDED, HOSTED, Estimate, Load, estimate
from sourcing.generation.journal.journal import Journal
from sourcing.generation.planning.plan import count_calls, plan_steps
from sourcing.generation.run.job import Job

__all__ = ["Weighed", "how_many", "weigh"]

_LISTED = 3


@dataclass
class Weighed:
    """Counts and estimate of a plan; `states` counts distinct calls by state in the journal, new calls as planned."""

    states: Counter[str]
    resend: bool
    estimate: Estimate
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        unknown = self.states["unknown"] + self.states["sending"]
        held_calls = 0 if self.resend else unknown
        return {
            "planned": self.states.total(),
            "cached": self.states["replied"],
            "held": held_calls,
            "to_send": self.states["planned"] + self.states["failed"] + unknown - held_calls,
            "rejected": len(self.rejected),
            **asdict(self.estimate),
        }

    def complaints(self) -> Iterator[str]:
        for row in self.rejected[:_LISTED]:
            yield f"cannot be asked: {row['key']}: {row['finding']}"
        if len(self.rejected) > _LISTED:
            yield f"... and {len(self.rejected) - _LISTED} more"


def how_many(job: Job) -> int:
    """Upper bound on the job's calls, computed without rendering."""
    return count_calls(job.pack, job.tables(), job.scope)


def weigh(job: Job, journal: Journal, *, on_call: Callable[[], object] = lambda: None) -> Weighed:
    """Render all calls of the job, count their states in the journal and estimate the calls to send.

    One step's calls are in memory at a time, and 32 bytes of key per call.
    """
    pack, options = job.pack, job.options
    resend = options.resend_unknown or job.endpoint.resend_is_free
    load, states, rejected_rows = Load(options.price), Counter[str](), []
    request_keys: set[bytes] = set()
    for step in plan_steps(pack, job.endpoint, job.tables(), job.scope):
        if step.rejected is not None:
            rejected_rows.append(step.rejected)
        for call in step.calls:
            on_call()
            if (name := bytes.fromhex(call.request_key)) in request_keys:
                continue
            request_keys.add(name)
            state = _state(journal, call)
            states[state] += 1
            if state in ("planned", "failed") or (resend and state != "replied"):
                load.add(call.body)
    estimate_text = estimate(
        load,
        samples=journal.reader.samples(pack.id, job.endpoint.model),
        speed=EMBEDDED if job.endpoint.is_local else HOSTED,
        in_flight=1 if job.endpoint.is_local else options.concurrency,
        requests_per_minute=job.requests_per_minute,
        tokens_per_minute=job.tokens_per_minute,
    )
    return Weighed(states, resend, estimate_text, rejected_rows)


def _state(journal: Journal, call: PlannedCall) -> str:
    return journal.reader.states([call.request_key]).get(call.request_key, "planned")
