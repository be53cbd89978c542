"""Turn: processes that write one file wait for each other in the kernel, instead of asking every few milliseconds."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":  # there whoever waits asks again and again, as SQLite does by itself
    import fcntl

__all__ = ["Turn"]


class Turn:
    """`with turn.taken(): ...` in several processes: one at a time. Freed by any death.

    Manners, not a guard: what must not happen together is forbidden by the file's own lock.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        self._lock(to_take=True)
        try:
            yield
        finally:
            self._lock(to_take=False)

    def close(self) -> None:
        os.close(self._file)

    def _lock(self, *, to_take: bool) -> None:
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_EX if to_take else fcntl.LOCK_UN)
