"""Verdicts: people's decisions about pairs in an append-only log, and the latest verdict per pair."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from sourcing.errors import InputError

__all__ = ["REVIEWED", "VERDICTS_FILE", "Verdict", "VerdictLog", "last_words"]

VERDICTS_FILE = Path("matches") / "verdicts.jsonl"
REVIEWED = "reviewed: "  # how the first reason of a decided match begins
_KINDS = ("accept", "reject", "undo")


@dataclass(frozen=True)
class Verdict:
    """One decision about one pair; `undo` takes back the pair's previous decision."""

    track_id: str
    doc_id: str
    verdict: str
    reviewer: str
    at: str  # UTC, ISO 8601
    score: float
    reasons: tuple[str, ...] = ()  # what the reviewer was shown

    @property
    def pair(self) -> tuple[str, str]:
        return self.track_id, self.doc_id


class VerdictLog:
    """The log file: one JSON object a line, on disk before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, verdict: Verdict) -> None:
        line = json.dumps(asdict(verdict), ensure_ascii=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as stream:
            if stream.tell() and not _ends_whole(stream):
                stream.write(b"\n")  # a torn line stays a line of its own
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def read(self) -> tuple[list[Verdict], str]:
        """All verdicts in order of entry, and a warning about torn lines, or "".

        InputError for a line that is JSON but no verdict: the log is the truth and is not guessed at.
        """
        if not self.path.exists():
            return [], ""
        lines = self.path.read_bytes().splitlines()
        verdicts: list[Verdict] = []
        torn_lines: list[int] = []
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
            except ValueError:
                torn_lines.append(number)  # only a write that was cut off leaves half a line
                continue
            verdicts.append(self._verdict(row, number))
        if not torn_lines:
            return verdicts, ""
        line_list = ", ".join(str(number) for number in torn_lines)
        return (
            verdicts,
            f"{self.path}: line {line_list} was cut off while it was written; the verdict there was not kept",
        )

    def _verdict(self, row: object, number: int) -> Verdict:
        with contextlib.suppress(TypeError, KeyError, ValueError):  # of another shape
            if isinstance(row, dict) and row["verdict"] in _KINDS:
                return Verdict(**{**row, "reasons": tuple(row.get("reasons", ())), "score": float(row["score"])})
        cure = f"each line has {', '.join(Verdict.__annotations__)}; mend it"
        raise InputError(f"{self.path} line {number}", "no verdict", cure)


def last_words(verdicts: Iterable[Verdict]) -> Mapping[tuple[str, str], Verdict]:
    """The latest verdict by (track_id, doc_id); an undone verdict gives way to the previous verdict."""
    verdicts_of: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        history = verdicts_of.setdefault(verdict.pair, [])
        if verdict.verdict != "undo":
            history.append(verdict)
        elif history:
            history.pop()
    return {pair: history[-1] for pair, history in sorted(verdicts_of.items()) if history}


def _ends_whole(stream: BinaryIO) -> bool:
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"
