"""Work on every core: helper processes that take what they are handed, hear no interrupt, and end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

__all__ = ["begin_helper", "cores", "map_in_helpers"]

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 2  # items handed to a helper ahead of time


def cores() -> int:
    """Number of processor cores available to the process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def begin_helper() -> None:
    """The first thing a helper does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def map_in_helpers(function: Callable[[T], R], items: Iterable[T], helpers: int) -> Iterator[R]:
    """`function` of each item, in order, with a bounded number of items under way; function and items are pickled.

    With one helper or none it is done here. Where a helper dies (the system wanted its memory), the rest is done here.
    """
    if helpers <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of polars' threads
    pool = ProcessPoolExecutor(helpers, context, begin_helper)
    flying: deque[tuple[T, Future[R] | None]] = deque()
    try:
        for item in items:
            flying.append((item, _submit(pool, function, item)))
            if len(flying) > _AHEAD * helpers:
                yield _result(function, *flying.popleft())
        while flying:
            yield _result(function, *flying.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, function: Callable[[T], R], item: T) -> Future[R] | None:
    try:
        return pool.submit(function, item)
    except BrokenProcessPool:
        return None


def _result(function: Callable[[T], R], item: T, future: Future[R] | None) -> R:
    try:
        return function(item) if future is None else future.result()
    except BrokenProcessPool:
        return function(item)


def _end_with_parent() -> None:
    """A killed parent closes no queue: without this its helpers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
