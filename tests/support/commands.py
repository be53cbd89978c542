"""Commands run in this process, as a shell would see them end."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from sourcing.cli import main


def run_command(capsys: pytest.CaptureFixture[str], typed: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    before = signal.getsignal(signal.SIGTERM)
    code = 0
    try:
        main(list(typed))
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    said = capsys.readouterr()
    return code, said.out, said.err


def run_json(capsys: pytest.CaptureFixture[str], typed: Sequence[str]) -> tuple[int, Any]:
    """Exit code and the one JSON object on stdout; `--json` is among what is typed."""
    code, out, _ = run_command(capsys, typed)
    return code, json.loads(out)
