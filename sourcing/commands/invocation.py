"""Invocation: what every command is handed - workspace, settings, and how to speak.

Results go to stdout (with `--json` exactly one JSON object), everything else to stderr.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from sourcing.settings import Settings
    from sourcing.store import Workspace

__all__ = ["Invocation", "number_table"]

_PLAIN_PROGRESS_EVERY_S = 5.0
_WIDEST = 100


@dataclass
class Invocation:
    """One call of the command line."""

    workspace_dir: Path
    json: bool = False
    flags: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def workspace(self) -> Workspace:
        from sourcing.store import Workspace

        return Workspace(self.workspace_dir)

    @cached_property
    def settings(self) -> Settings:
        from sourcing.settings import load_settings

        return load_settings(self.workspace_dir, **self.flags)

    def override(self, section: str, **values: Any) -> None:
        """Let flags win over file and environment: call before `settings` is first read; None means not given."""
        given = {name: value for name, value in values.items() if value is not None}
        if given:
            self.flags.setdefault(section, {}).update(given)
            self.__dict__.pop("settings", None)

    def emit(self, result: dict[str, Any], lines: Sequence[Any] = ()) -> None:
        """Print the command's result: the dict under --json, else `lines` (strings or rich tables)."""
        if self.json:
            print(json.dumps(result, ensure_ascii=False, default=str))
            return
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False)
        for line in lines:
            console.print(line, markup=False) if isinstance(line, str) else console.print(line)

    def note(self, message: str) -> None:
        """Say something on stderr."""
        print(message, file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Callable[..., None]]:
        """Yield `advance(n=1, note="")`: a bar on a terminal, else a plain line every few seconds."""
        if sys.stderr.isatty():
            with _bar(what, total) as advance:
                yield advance
        else:
            yield _PlainProgress(what, total)


@contextlib.contextmanager
def _bar(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, note="")

        def advance(n: int = 1, note: str = "") -> None:
            progress.advance(task, n)
            if note:
                progress.update(task, note=note)

        yield advance


class _PlainProgress:
    """Progress as lines, for logs and pipes."""

    def __init__(self, what: str, total: int | None) -> None:
        self.what, self.total, self.done = what, total, 0
        self.next_line = time.monotonic() + _PLAIN_PROGRESS_EVERY_S

    def __call__(self, n: int = 1, note: str = "") -> None:
        self.done += n
        if time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + _PLAIN_PROGRESS_EVERY_S
            of = f" of {self.total}" if self.total else ""
            print(f"{self.what}: {self.done}{of} {note}".rstrip(), file=sys.stderr, flush=True)


def number_table(columns: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None = None) -> Table:
    """A table whose first column names and whose others are numbers; as wide as it must be, up to 100 columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_footer=total is not None)
    for place, (name, foot) in enumerate(zip(columns, total or [""] * len(columns), strict=True)):
        table.add_column(name, foot, justify="right" if place else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    table.width = Console(width=_WIDEST).measure(table).maximum
    return table
