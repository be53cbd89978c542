"""RunOptions, RunTools and RunResult: limits, collaborators and call counts of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sourcing.errors import CrossmusimError
from sourcing.generation.cost.budget import NO_CEILINGS, Ceilings
from sourcing.generation.cost.prices import FREE, Price
from sourcing.generation.journal.group_commit import Durable
from sourcing.generation.limits.quota import Quota

__all__ = ["RunOptions", "RunResult", "RunTools"]


@dataclass(frozen=True)
class RunOptions:
    """Limits of a run: concurrency, timeouts, attempts, ceilings and price; `account` is the budget's scope."""

    concurrency: int
    timeout_s: float
    max_attempts: int
    resend_unknown: bool = False  # send calls that were in flight at a crash again, perhaps paying twice
    account: str = ""
    ceilings: Ceilings = NO_CEILINGS
    price: Price = FREE
    store_completions: bool = False  # at the endpoint, for `reconcile_unknown` after a crash
    backoff_s: float = 1.0  # first pause before a retry; doubles, with jitter
    give_up_after_s: float = 120.0  # of refusals without one answer


@dataclass(frozen=True)
class RunTools:
    """Collaborators of a run: journal writer, shared quota, callback per reply, and clock."""

    committing: Durable | None = None  # None: a thread of this process
    quota: Quota | None = None
    on_reply: Callable[[], object] = lambda: None
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass
class RunResult:
    """Counts of one run's calls by outcome; `stopped` is the error to raise once the replies are described."""

    planned: int = 0
    cached: int = 0
    replied: int = 0
    failed: int = 0
    unknown: int = 0  # lost sight of in this run
    held: int = 0  # unknown from a former run, not resent
    elsewhere: int = 0  # in batches, or in flight from another process
    followed: int = 0  # larger tries and repairs answered in this run
    stopped: CrossmusimError | None = None
    row_errors: list[str] = field(default_factory=list)  # exceptions raised by replies and checks of replies

    def counts(self) -> dict[str, int]:
        names = ("planned", "cached", "replied", "failed", "unknown", "held", "elsewhere", "followed")
        return {name: getattr(self, name) for name in names}

    def __add__(self, other: RunResult) -> RunResult:
        both = {name: number + getattr(other, name) for name, number in self.counts().items()}
        errors = self.row_errors + other.row_errors
        return RunResult(**both, stopped=self.stopped or other.stopped, row_errors=errors)
