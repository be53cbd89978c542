"""Processes that share a workspace: who is alive, which part is whose, and what an interrupt does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.errors import UsageError
from sourcing.generation.journal.journal import Journal
from sourcing.store.interrupts import interrupts
from sourcing.store.presence import Presence
from sourcing.store.shard import Shard
from sourcing.store.turn import Turn

_ENTER = (
    "import sys; from pathlib import Path; from sourcing.store.presence import Presence\n"
    "presence = Presence(Path(sys.argv[1]))\n"
    "with presence.entered():\n"
    "    print(presence.owner, flush=True); sys.stdin.read()"
)


def test_a_process_is_alive_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _ENTER, str(tmp_path)]
    here = Presence(tmp_path)
    for number in (signal.SIGKILL, None):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            owner = other.stdout.readline().strip()
            assert not here.is_dead(owner)
            if number is not None:
                other.send_signal(number)
            other.communicate()
        assert here.is_dead(owner)
        here.forget(owner)
    with here.entered():
        assert not here.is_dead(here.owner)
        assert Presence(tmp_path).is_dead("nobody-ever")


def test_parts_of_a_part_are_parts_of_the_whole() -> None:
    keys = [f"t-{n}" for n in range(500)]
    whole = [{key for key in keys if Shard(index, 3).holds(key)} for index in (1, 2, 3)]
    assert sum(map(len, whole)) == len(keys) == len(set().union(*whole))
    parts = [{key for key in keys if Shard(2, 3).part(index, 4).holds(key)} for index in (1, 2, 3, 4)]
    assert set().union(*parts) == whole[1]
    assert sum(map(len, parts)) == len(whole[1])
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(UsageError, match="not a part of a whole"):
            Shard.parse(wrong)


def test_the_first_interrupt_asks_the_second_insists_and_an_ignored_signal_stays_ignored() -> None:
    before = signal.getsignal(signal.SIGINT)
    asked: list[bool] = []
    with pytest.raises(KeyboardInterrupt), interrupts(lambda: asked.append(True)) as received:
        os.kill(os.getpid(), signal.SIGTERM)
        assert (received, asked) == ([signal.SIGTERM], [True])
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) == before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts() as received:
            os.kill(os.getpid(), signal.SIGINT)
        assert received == []
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("opened", [lambda folder: Ledger(folder / LEDGER_FILE), Journal.open])
def test_processes_that_begin_together_make_one_file(tmp_path: Path, opened: Callable[[Path], object]) -> None:
    """SQLite answers "database is locked" at once, whatever the time it may wait, while another sets the file up."""
    for attempt in range(40):
        together = threading.Barrier(6)

        def make(folder: Path = tmp_path / str(attempt), together: threading.Barrier = together) -> object:
            together.wait()
            return opened(folder)

        with ThreadPoolExecutor(6) as pool:
            for made in [pool.submit(make) for _ in range(6)]:
                made.result()


def test_a_turn_is_one_process_at_a_time_and_free_after_any_death(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from sourcing.store.turn import Turn\n"
        "with Turn(Path(sys.argv[1])).taken():\n"
        "    print('mine', flush=True); sys.stdin.read()"
    )
    path, got = tmp_path / "turn", threading.Event()

    def wait() -> None:
        with contextlib.closing(Turn(path)) as turn, turn.taken():
            got.set()

    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "mine\n"
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not got.wait(0.3)
        other.kill()
        assert got.wait(10)
        waiting.join()
