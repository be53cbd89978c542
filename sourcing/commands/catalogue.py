"""`crossmusim catalogue`: import the owner's tracks, and show what the workspace holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

_EXAMPLES = 10


def _pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        ours, equals, theirs = value.partition("=")
        if not (ours and equals and theirs):
            raise click.BadParameter(f"{value!r} is not OURS=THEIRS, e.g. track_id=id")
        pairs[ours] = theirs
    return pairs


@click.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--column", "columns", multiple=True, callback=_pairs, metavar="OURS=THEIRS", help="Read our column from theirs."
)
@click.pass_obj
def import_catalogue(invocation: Invocation, path: Path, columns: dict[str, str]) -> None:
    """Read tracks from PATH: CSV, JSONL or Parquet, or a folder of tagged audio files.

    Columns track_id, title and artist are required; album, year, isrc, mbid, duration_s, language, audio, group_id,
    tags, text and labels are read when there; all others are kept. Audio paths are relative to the file's folder.
    Importing again replaces the tracks.

    \b
    Example:
      crossmusim catalogue import tracks.csv --column track_id=id
    """
    from collections import Counter

    from sourcing.catalogue import VALUE_REASONS, catalogue_sha256, read_catalogue
    from sourcing.errors import CatalogueError
    from sourcing.store import Track
    from sourcing.store.workspace import write_json

    workspace = invocation.workspace
    with workspace.lock("catalogue"):
        with invocation.progress("rows read") as advance:
            catalogue = read_catalogue(path, columns=columns, advance=advance)
        rejected = catalogue.rejected
        reasons = dict(sorted(Counter(rejected["reason"].to_list()).items()))
        workspace.write_rejected("catalogue", rejected)
        if catalogue.tracks.is_empty():
            told = ", ".join(f"{reason} {count}" for reason, count in reasons.items())
            first = f"{rejected[0, 'key']}: {rejected[0, 'finding']}"
            raise CatalogueError(str(path), f"none of its {catalogue.rows} rows is a track ({told})", f"first {first}")
        workspace.write(Track, catalogue.tracks)
        source = {"path": path.resolve(), "audio_root": catalogue.audio_root.resolve()}
        record = {name: str(value) for name, value in source.items()}
        write_json(workspace.root / "catalogue.json", {**record, "sha256": catalogue_sha256(path)})
    taken = catalogue.tracks.height
    examples = rejected.select("key", "reason", "finding").head(_EXAMPLES).to_dicts()
    emptied = sum(count for reason, count in reasons.items() if reason in VALUE_REASONS)
    result = {
        "rows": catalogue.rows,
        "taken": taken,
        "rejected": catalogue.rows - taken,
        "values_emptied": emptied,
        "reasons": reasons,
        "examples": examples,
    }
    invocation.emit(result, _import_lines(result))


def _import_lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['taken']} of {result['rows']} rows taken, {result['rejected']} rejected"]
    if result["values_emptied"]:
        lines[0] += f", {result['values_emptied']} values emptied"
    lines += [f"  {example['key']}: {example['finding']}" for example in result["examples"]]
    if (more := sum(result["reasons"].values()) - len(result["examples"])) > 0:
        counts = ", ".join(f"{reason} {count}" for reason, count in result["reasons"].items())
        lines.append(f"  and {more} more ({counts})")
    return lines


@click.command()
@click.option("--limit", type=click.IntRange(min=0), default=5, show_default=True, help="Tracks to print.")
@click.pass_obj
def show(invocation: Invocation, limit: int) -> None:
    """Show what the workspace holds: rows per table, which columns are filled, the first tracks.

    \b
    Example:
      crossmusim catalogue show --limit 10
    """
    import polars as pl
    from rich.markup import escape
    from rich.table import Table

    from sourcing.store import Description, Document, Match, Track

    workspace = invocation.workspace
    tracks = workspace.read(Track)
    counts = {"tracks": tracks.height}
    for name, schema in (("documents", Document), ("matches", Match), ("descriptions", Description)):
        if workspace.has(schema):
            counts[name] = pl.scan_parquet(workspace.table_path(schema)).select(pl.len()).collect().item()
    by_stage = workspace.read_rejected().group_by("stage", "reason").len().sort("stage", "reason")
    rejected = {f"{stage}/{reason}": count for stage, reason, count in by_stage.iter_rows()}
    filled = {
        name: tracks.filter(pl.col(name).list.len() > 0).height if dtype == pl.List else tracks[name].count()
        for name, dtype in tracks.schema.items()
    }
    columns = ["track_id", "title", "artist", "album", "audio", "tags"]
    first = tracks.select(columns).head(limit).to_dicts()

    table = Table(*columns)
    for row in first:
        table.add_row(*(escape("; ".join(row[name]) if name == "tags" else row[name] or "") for name in columns))
    coverage = Table("column", "tracks with it")
    for name, count in filled.items():
        coverage.add_row(name, f"{count:,} ({count / max(tracks.height, 1):.0%})")
    lines = [
        f"{name}: {count:,}" for name, count in {**counts, **{f"rejected {k}": v for k, v in rejected.items()}}.items()
    ]
    result = {
        "source": workspace.catalogue_record(),
        "rows": counts,
        "rejected": rejected,
        "filled": filled,
        "tracks": first,
    }
    invocation.emit(result, [*lines, coverage, *([table] if first else [])])
