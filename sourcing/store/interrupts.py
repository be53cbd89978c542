"""Interrupts: the first SIGINT or SIGTERM asks for an end, the second makes one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts"]


@contextmanager
def interrupts(on_first: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """The signals received while the block runs, as a list that fills; `on_first` may ask whoever works to end.

    The second one raises KeyboardInterrupt at once. A signal that is ignored stays so: a job in the background hears no
    Ctrl-C. Outside the main thread, which alone hears signals, the list stays empty.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def heard(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt
        on_first()

    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, heard) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
