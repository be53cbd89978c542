"""Processes that share a workspace: who is alive, which part is whose, and what an interrupt does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sourcing.errors import UsageError
from sourcing.store.interrupts import interrupts
from sourcing.store.presence import Presence
from sourcing.store.shard import Shard

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
