"""`crawl coverage`: share of each source's documents that have each field, by week, and alarms for drops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import polars as pl
    from rich.table import Table

    from sourcing.commands.invocation import Invocation

__all__ = ["coverage"]

_SHORT = {"duration_s": "length"}


@click.command
@click.option(
    "--weeks", type=click.IntRange(min=1), default=4, show_default=True, help="Newest weeks to show one by one."
)
@click.pass_obj
def coverage(invocation: Invocation, weeks: int) -> None:
    """Show which share of each source's documents has which field, week by week, and where it dropped.

    Weeks are those in which pages were retrieved. An alarm tells of a source whose newest documents lack a field
    that its earlier ones had, or whose pages can no longer be read: its site has probably changed. Looks at the
    documents table as it is; while a crawl runs, `crawl replay` brings it up to date.

    \b
    Example:
      crossmusim crawl coverage --weeks 8
    """
    from sourcing.crawling.monitoring.alarms import documents_of, pages_of
    from sourcing.crawling.monitoring.coverage import coverage as counted
    from sourcing.crawling.monitoring.coverage import drifts

    documents, pages = documents_of(invocation.workspace), pages_of(invocation.workspace)
    table, alarms = counted(documents, pages, weeks=weeks), drifts(documents, pages)
    rows = [
        {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}
        for row in table.with_columns(week=table["week"].cast(str)).iter_rows(named=True)
    ]
    lines: list[Any] = [_table(table), *(f"ALARM {alarm}" for alarm in alarms)]
    invocation.emit(
        {"coverage": rows, "alarms": [alarm.as_dict() for alarm in alarms]},
        lines if alarms else [*lines, "No source has dropped below its own past."],
    )


def _table(coverage: pl.DataFrame) -> Table:
    from sourcing.commands.console import number_table
    from sourcing.crawling.monitoring.coverage import FIELDS

    columns = ["source", "week", "docs", *(_SHORT.get(name, name) for name in FIELDS), "pages", "read"]
    return number_table(
        columns,
        (
            [
                row["source"],
                f"{row['week']:%y-%m-%d}" if row["week"] else "earlier",
                str(row["documents"]),
                *(_percent(row[name]) for name in FIELDS),
                str(row["pages"]),
                _percent(row["read"]),
            ]
            for row in coverage.iter_rows(named=True)
        ),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{int(100 * share)}%"
