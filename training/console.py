"""Text output of the training commands: lines and tables made from the records that --json prints."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from training.evaluation.report import table_rows

__all__ = ["evaluate_lines", "hits_table", "rejected_lines", "train_lines"]


def train_lines(record: dict[str, Any]) -> list[Any]:
    validation = record["validation"]
    lines = [
        f"model {record['model']}: {record['tracks']} tracks of {record['dataset']}, {record['steps']} steps "
        f"({record['epochs']:.0f} epochs) in {record['seconds']:.0f} s on {record['device']}",
        f"last training loss {record['train_loss']:.3f} ({record['direction']}); exported: {record['exported']}",
    ]
    if validation:
        figures = f"loss {validation['loss']:.3f}, MRR {validation['mrr']:.3f}, R@10 {validation['r_at_10']:.3f}"
        lines.append(f"validation: {figures}")
    return [*lines, *rejected_lines(record["rejected"])]


def evaluate_lines(result: dict[str, Any]) -> list[Any]:
    title = f"{result['dataset']}, {result['split']}: {result['tracks']} tracks, {result['queries']} texts"
    table = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for column in ("", "metric", "value", "95 % interval", "chance", "clear"):
        numbers = column in ("value", "95 % interval", "chance")
        table.add_column(column, justify="right" if numbers else "left", no_wrap=True)
    for row in table_rows(result["metrics"]):
        table.add_row(*row)
    lines: list[Any] = [table]
    if result["skipped"]:
        lines.append(f"not measured, for nothing could be told: {', '.join(result['skipped'])}")
    lines += rejected_lines(result["rejected"])
    clear = "MRR and median rank of text→audio lie beyond chance's interval"
    not_clear = "MRR or median rank of text→audio does not lie clear of chance's interval"
    return [*lines, f"verdict: {result['verdict']} ({clear if result['verdict'] == 'good' else not_clear})"]


def hits_table(rows: list[dict[str, Any]], query: str) -> Any:
    table = Table(title=f"nearest to {query}", title_justify="left", box=box.SIMPLE)
    for column in ("", "track_id", "title", "artist", "score"):
        whole = column in ("track_id", "score")  # an id that is cut short is of no use
        table.add_column(column, justify="right" if column in ("", "score") else "left", no_wrap=whole)
    for place, row in enumerate(rows, start=1):
        table.add_row(str(place), row["track_id"], row["title"], row["artist"], f"{row['score']:.3f}")
    return table


def rejected_lines(rejected: list[dict[str, Any]]) -> list[str]:
    if not rejected:
        return []
    counts: dict[str, int] = {}
    for row in rejected:
        counts[row["reason"]] = counts.get(row["reason"], 0) + 1
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return [
        f"{len(rejected)} tracks left out: {reasons}",
        *(f"  {row['key']}: {row['finding']}" for row in rejected[:5]),
    ]
