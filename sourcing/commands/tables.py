"""Tables of numbers that keep their digits where the output is narrow or no terminal at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["number_table"]

_WIDEST = 100


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
