"""The record of a run: one JSON object per line in metrics.jsonl, cut back when a run takes up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sourcing.store.workspace import atomic_path

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog:
    """Rows {step, loss, lr, scale, seconds, …}; opening at a step drops the rows after it, and a torn last one."""

    def __init__(self, path: Path, *, at_step: int = 0) -> None:
        self.path = path
        rows = [row for row in read_metrics(path) if row["step"] <= at_step]
        with atomic_path(path) as temporary:
            temporary.write_text("".join(map(_line, rows)), encoding="utf-8")

    def append(self, row: dict[str, Any]) -> None:
        # One write per row: a crash cuts the last line short, and no other.
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(_line(row))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a run in order; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]  # text after the last newline is a torn row


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True) + "\n"
