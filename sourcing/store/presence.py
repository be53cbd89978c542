"""Presence: which processes that share a workspace are alive, told by lock files that any death frees."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["Presence"]


class Presence:
    """One process among those at work in `folder`; `owner` names it in what it writes there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.owner = f"{os.getpid()}-{secrets.token_hex(3)}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Announce this process to the others until the block ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self._lock(self.owner)
        lock.acquire()
        try:
            yield
        finally:
            lock.release()
            self.forget(self.owner)

    def is_dead(self, owner: str) -> bool:
        """Whether the process of that name is gone: its lock is free. One that never entered is gone too."""
        if owner == self.owner:
            return False
        try:
            with self._lock(owner):
                return True
        except Timeout:
            return False

    def forget(self, owner: str) -> None:
        """Remove the lock file of a process that is gone."""
        Path(self._lock(owner).lock_file).unlink(missing_ok=True)

    def _lock(self, owner: str) -> FileLock:
        return FileLock(self.folder / f"run-{owner}.lock", timeout=0)
