"""Helper processes: order, a bounded number under way, and a helper that dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from sourcing.store.processes import map_in_helpers


def slowest_first(number: int) -> tuple[int, int]:
    time.sleep(0.02 if number % 5 == 0 else 0)
    return number, os.getpid()


def die_elsewhere(parent: int, number: int) -> int:
    if os.getpid() != parent and number == 3:
        os._exit(1)
    return number


@pytest.mark.parametrize("helpers", [0, 1, 2])
def test_results_come_in_order_and_items_are_not_taken_far_ahead(helpers: int) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    for place, (number, pid) in enumerate(map_in_helpers(slowest_first, items(), helpers)):
        assert number == place
        assert (pid == os.getpid()) == (helpers < 2)
        assert len(taken) <= place + 1 + 2 * helpers
    assert taken == list(range(40))


def test_what_a_dying_helper_held_is_done_here() -> None:
    assert list(map_in_helpers(partial(die_elsewhere, os.getpid()), range(20), 2)) == list(range(20))


def test_an_error_of_the_work_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        list(map_in_helpers(int, ["1", "one"], 2))


_HELPER = "print(__import__('os').getpid(), flush=True) or __import__('time').sleep(60)"
_PARENT = f"""
from sourcing.store.processes import map_in_helpers
list(map_in_helpers(eval, [{_HELPER!r}] * 2, 2))
"""


def test_helpers_end_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        helpers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
        assert parent.stdout.read() == "", "the pipe is shut once the last of them is gone"
    assert len(set(helpers)) == 2
