"""Turn: processes that write one file wait for each other in the kernel, instead of asking every few milliseconds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: whoever waits asks again and again, as SQLite does by itself
    fcntl = None  # type: ignore[assignment]

__all__ = ["Turn"]


class Turn:
    """`with turn.taken(): ...` in several processes: one at a time. Freed by any death.

    Manners, not a guard: what must not happen together is forbidden by the file's own lock.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644) if fcntl else None

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
