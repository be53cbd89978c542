"""A limit on CPU time: what takes more than linear time is broken off and fails, however busy the machine is."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import pytest


@contextlib.contextmanager
def within_cpu(limit_s: float) -> Iterator[None]:
    """Fail what takes this process more CPU time; `limit_s` lies far above what linear work takes, and below the rest.

    Python's patterns look for signals as they search, so a search that would take hours ends here as well.
    """

    def give_up(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"still at work after {limit_s:g} s of CPU time")  # no `except Exception` takes it for its own

    before = signal.signal(signal.SIGVTALRM, give_up)
    outer_s, _ = signal.setitimer(signal.ITIMER_VIRTUAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, outer_s)
        signal.signal(signal.SIGVTALRM, before)
