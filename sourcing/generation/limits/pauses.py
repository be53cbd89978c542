"""SharedPause: a pause that a server asks of one process, kept by all of this workspace and by the next run."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from sourcing.store.turn import Turn

__all__ = ["HEARD_S", "SharedPause"]

#: Of a longer pause so much is heard by others: a mistaken header must not hold a workspace up for a week.
HEARD_S = 600.0
_WRITTEN_EVERY_S = 0.01  # each of a hundred replies may say the same


class SharedPause:
    """The time until which an endpoint and model are left alone: when their file says it was last changed.

    Looking costs a microsecond, so it is looked at before each call. Losing the file costs one refusal.
    """

    def __init__(self, folder: Path, name: str, *, clock: Callable[[], float]) -> None:
        """`clock` gives seconds since 1970."""
        self._path = folder / f"pause-{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        self._name = os.fspath(self._path)
        self._clock = clock

    def left_s(self) -> float:
        """Seconds that are left of the pause; 0.0 for none, or where the file's time is not one that `extend` wrote."""
        try:
            until = os.stat(self._name).st_mtime  # noqa: PTH116, a third of the price of Path.stat
        except OSError:
            return 0.0
        left_s = until - self._clock()
        return left_s if 0 < left_s <= HEARD_S else 0.0

    def extend(self, seconds: float) -> None:
        """Leave the server alone for so long from now, unless a longer pause stands."""
        seconds = min(seconds, HEARD_S)
        if self.left_s() > seconds - _WRITTEN_EVERY_S:
            return
        until = self._clock() + seconds
        with contextlib.suppress(OSError):  # a disk that is full: then each process hears its own refusals only
            self._path.parent.mkdir(parents=True, exist_ok=True)
            turn = Turn(self._path)
            with contextlib.closing(turn), turn.taken():
                if self.left_s() < until - self._clock():
                    os.utime(self._path, (until, until))
