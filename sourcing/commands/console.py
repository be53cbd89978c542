"""Tables that never break an id, and progress with rate and time left, on a terminal or in a log."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress
    from rich.table import Table

__all__ = ["Advance", "number_table", "open_progress", "print_lines", "table_text"]

_PLAIN_LINE_EVERY_S = 5.0
_DRAW_EVERY_S = 0.1
_WIDEST = 100
_FOLDED_WIDTH = 8
_MEGABYTE = 1_000_000


def print_lines(lines: Iterable[str | Table]) -> None:
    """Print strings without markup, and tables fitted to the console with ids unbroken."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    for line in lines:
        if isinstance(line, str):
            console.print(line, markup=False)
        else:
            _fit(line, console)
            console.print(line)


def table_text(table: Table) -> str:
    """A table as text, fitted to the width of stderr."""
    from rich.console import Console

    console = Console(soft_wrap=True, stderr=True, highlight=False)
    _fit(table, console)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def number_table(columns: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None = None) -> Table:
    """Make a table with a column of names and right-aligned columns of numbers, at most 100 characters wide."""
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


def _fit(table: Table, console: Console) -> None:
    """Fold columns of words so that the table fits the console, but never inside an id, a name or a number.

    What has no room even so makes the table wider than the console: a terminal breaks its lines, and an id that is
    copied is still whole.
    """
    if table.width is not None:
        return
    natural = [_widest(map(_cell_width, (column.header, column.footer, *column.cells))) for column in table.columns]
    least = [
        width if column.no_wrap else _widest(map(_word_width, (column.header, column.footer, *column.cells)))
        for column, width in zip(table.columns, natural, strict=True)
    ]
    around = console.measure(table, options=console.options.update_width(10_000)).maximum - sum(natural)
    widths = list(natural)
    while sum(widths) + around > console.width and any(map(int.__gt__, widths, least)):
        widest = max((width, place) for place, width in enumerate(widths) if width > least[place])[1]
        widths[widest] -= 1
    for column, width in zip(table.columns, widths, strict=True):
        column.width, column.overflow = width, "fold"
    table.width = sum(widths) + around


def _widest(widths: Iterable[int]) -> int:
    return max(widths, default=0)


def _plain(cell: RenderableType) -> str:
    from rich.text import Text

    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


def _cell_width(cell: RenderableType) -> int:
    from rich.cells import cell_len

    return _widest(cell_len(line) for line in _plain(cell).splitlines())


def _word_width(cell: RenderableType) -> int:
    """The width of a cell's longest id or number; paths, addresses and words beyond ASCII (titles) may be folded."""
    return _widest(
        len(word) if word.isascii() and "/" not in word else min(_FOLDED_WIDTH, 2 * len(word))
        for word in _plain(cell).split()
    )


class Advance:
    """A progress display, called with the number of units just done; `total` may be set once known."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        self.what, self.total, self.unit = what, total, unit
        self.done = 0
        self.note = ""
        self.started = time.monotonic()

    def __call__(self, n: int = 1, note: str = "") -> None:
        self.done += n
        self.note = note or self.note
        self.show()

    def one_of(self, total: int) -> None:
        """Count one unit done, of `total` units."""
        self.total = total
        self()

    def reach(self, done: int, total: int, note: str = "", *, unit: str = "") -> None:
        """Move to `done` of `total`."""
        self.total, self.unit = total, unit
        self(done - self.done, note)

    def show(self) -> None:
        """Bring the display up to date."""

    def amounts(self) -> str:
        """The display's text, with total and rate where known: `120 of 300, 12/s, 15 s left`."""
        elapsed_s = time.monotonic() - self.started
        parts = [f"{self._amount(self.done)} of {self._amount(self.total)}" if self.total else self._amount(self.done)]
        if self.done and elapsed_s > 0:
            rate = self.done / elapsed_s
            parts.append(f"{self._amount(rate)}/s" if rate >= 1 or self.unit else f"{60 * rate:.3g}/min")
            if self.total and self.total > self.done:
                parts.append(f"{_clock((self.total - self.done) / rate)} left")
        return ", ".join(parts)

    def _amount(self, number: float) -> str:
        if self.unit == "bytes":
            return f"{number / _MEGABYTE:.1f} MB"
        return f"{number:.3g}" if isinstance(number, float) and number < 1000 else f"{number:.0f}"


def _clock(seconds: float) -> str:
    minutes, rest_s = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest_s:02} s" if minutes else f"{rest_s} s"


@contextlib.contextmanager
def open_progress(what: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """Show progress on stderr until the block ends: a bar on a terminal, else a plain line every few seconds."""
    if not sys.stderr.isatty():
        yield _PlainAdvance(what, total, unit)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[amounts]}")
    with Progress(*columns, console=Console(stderr=True)) as progress:
        advance = _BarAdvance(what, total, unit, progress)
        yield advance
        advance.show(finished=True)


class _BarAdvance(Advance):
    """Progress as a bar."""

    def __init__(self, what: str, total: int | None, unit: str, progress: Progress) -> None:
        super().__init__(what, total, unit)
        self.progress = progress
        self.task = progress.add_task(what, total=total, amounts="")
        self.next_draw = self.started

    def show(self, *, finished: bool = False) -> None:
        now = time.monotonic()
        if now >= self.next_draw or finished:
            self.next_draw = now + _DRAW_EVERY_S
            amounts = f"{self.amounts()}  {self.note}".rstrip()
            self.progress.update(self.task, total=self.total, completed=self.done, amounts=amounts)


class _PlainAdvance(Advance):
    """Progress as lines, for logs and pipes."""

    def __init__(self, what: str, total: int | None, unit: str) -> None:
        super().__init__(what, total, unit)
        self.next_line = self.started + _PLAIN_LINE_EVERY_S

    def show(self) -> None:
        if time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + _PLAIN_LINE_EVERY_S
            print(f"{self.what}: {self.amounts()}  {self.note}".rstrip(), file=sys.stderr, flush=True)
