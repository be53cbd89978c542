"""`crossmusim catalogue`: import the owner's tracks, and show what the workspace holds."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.catalogue import Catalogue
    from sourcing.commands.invocation import Invocation

_EXAMPLES = 10
_CELL_CHARACTERS = 60
_SHOWN = ("track_id", "title", "artist", "album", "year", "duration_s", "isrc", "language", "audio", "tags")


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
    "--map",
    "--column",
    "columns",
    multiple=True,
    callback=_pairs,
    metavar="OURS=THEIRS",
    help="Read our column from theirs.",
)
@click.option("--yes", is_flag=True, help="Take what is guessed of the columns, and ask nothing.")
@click.option("--dry-run", is_flag=True, help="Show what would come of it, and write nothing.")
@click.option("--separator", help="What parts the words of tags.  [default: told by the file]")
@click.option("--sheet", help="Which sheet of a workbook.  [default: the first]")
@click.option("--encoding", help="Of a text file, e.g. cp1252.  [default: told by its bytes]")
@click.pass_obj
def import_catalogue(
    invocation: Invocation, /, path: Path, columns: dict[str, str], yes: bool, dry_run: bool, **layout: str | None
) -> None:
    """Read tracks from PATH: CSV, JSON (lines), Parquet or Excel, or a folder of tagged audio files.

    Columns track_id, title and artist are required; album, year, isrc, mbid, duration_s, language, audio, group_id,
    tags, text and labels are read when there; all others are kept. Columns of other names (Track Title, Künstler,
    Durée, 曲名 ...) are guessed and shown with the first tracks, and taken after a yes; ids a file has not are made.
    What was agreed upon is kept in crossmusim.toml. Audio paths are relative to the file's folder. Importing again
    replaces the tracks.

    \b
    Examples:
      crossmusim catalogue import tracks.csv --map track_id=id
      crossmusim catalogue import export.xlsx --dry-run
    """
    from sourcing.catalogue import FAILED, Reading, Wanted, read_catalogue

    settings = invocation.settings.catalogue
    column_wishes = Wanted(columns, settings.columns, "all" if yes else "needed", settings.make_ids)
    earlier_layout = settings.model_dump(include=set(layout), exclude_none=True)
    reading = Reading(column_wishes, **layout, remembered=earlier_layout)
    with invocation.progress("rows read") as advance:
        catalogue = read_catalogue(path, reading=reading, on_progress=advance)
    if catalogue.map.is_guess and not yes and not dry_run:
        _agree(invocation, path, catalogue)
    if not dry_run:
        with invocation.workspace.lock("catalogue"):
            _write(invocation, path, catalogue)
            layout_flags = {name: value for name, value in layout.items() if value}
            _remember(invocation, catalogue, layout_flags)
    _refuse_nothing(path, catalogue)
    result = {**_counts(catalogue), **({"dry_run": True} if dry_run else {})}
    invocation.emit(result, [*(_preview(catalogue) if dry_run else catalogue.map.lines()), *_import_lines(result)])
    if failed_rows := result["reasons"].get(FAILED):
        invocation.note(
            f"{failed_rows} rows met a bug of crossmusim and were left out (reason {FAILED}); the others are taken"
        )
        sys.exit(1)


def _agree(invocation: Invocation, path: Path, catalogue: Catalogue) -> None:
    """Show the guessed columns and ask for a yes; UsageError where nobody can be asked, or says no."""
    from sourcing.commands.console import table_text
    from sourcing.errors import UsageError

    guess = "; ".join(catalogue.map.lines())
    for line in [] if invocation.json else [*_preview(catalogue), *_import_lines(_counts(catalogue))]:
        invocation.note(line if isinstance(line, str) else table_text(line).rstrip())
    if invocation.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        import_it = f"`crossmusim catalogue import {shlex.quote(str(path))} --yes`"
        cure = f"take that with {import_it}, or say which column is which: --map OURS=THEIRS"
        raise UsageError(str(path), f"its columns have to be guessed ({guess})", cure)
    if not click.confirm("Take it so?", default=False, err=True):
        raise UsageError(str(path), "nothing was taken", "say which column is which: --map OURS=THEIRS")


def _write(invocation: Invocation, path: Path, catalogue: Catalogue) -> None:
    from sourcing.catalogue import catalogue_sha256
    from sourcing.store import Track
    from sourcing.store.workspace import write_json

    workspace = invocation.workspace
    workspace.write_rejected("catalogue", catalogue.rejected)
    if catalogue.tracks.is_empty():
        return
    workspace.write(Track, catalogue.tracks)
    source = {"path": path.resolve(), "audio_root": catalogue.audio_root.resolve()}
    record = {name: str(value) for name, value in source.items()}
    write_json(workspace.root / "catalogue.json", {**record, "sha256": catalogue_sha256(path)})


def _remember(invocation: Invocation, catalogue: Catalogue, layout_flags: dict[str, str]) -> None:
    """Write layout flags, mapped columns and `make_ids` of the import to the workspace's settings file."""
    from sourcing.errors import UsageError
    from sourcing.settings import SETTINGS_FILE
    from sourcing.store.settings_file import write_section

    before = invocation.settings.catalogue.model_dump(exclude_defaults=True)
    columns = {ours: theirs for ours, theirs in catalogue.map.columns.items() if theirs.strip().casefold() != ours}
    after = {**before, **layout_flags}
    if columns:
        after["columns"] = {**before.get("columns", {}), **columns}
    if catalogue.map.ids_made:
        after["make_ids"] = True
    if after == before or catalogue.tracks.is_empty():
        return
    try:
        write_section(invocation.workspace.root / SETTINGS_FILE, "catalogue", after)
    except UsageError as error:  # the tracks are in; only the next import has to be told again
        invocation.note(f"note: {error}")
        return
    invocation.note(f"kept in {SETTINGS_FILE}: [catalogue] {', '.join(after)}")


def _counts(catalogue: Catalogue) -> dict[str, Any]:
    from collections import Counter

    from sourcing.catalogue import VALUE_REASONS

    rejected, taken_rows = catalogue.rejected, catalogue.tracks.height
    reasons = dict(sorted(Counter(rejected["reason"].to_list()).items()))
    return {
        "rows": catalogue.rows,
        "taken": taken_rows,
        "rejected": catalogue.rows - taken_rows,
        "values_emptied": sum(count for reason, count in reasons.items() if reason in VALUE_REASONS),
        "reasons": reasons,
        "examples": rejected.select("key", "reason", "finding").head(_EXAMPLES).to_dicts(),
        "columns": catalogue.map.columns,
        "notes": catalogue.notes,
        "first": catalogue.first,
    }


def _refuse_nothing(path: Path, catalogue: Catalogue) -> None:
    from sourcing.errors import CatalogueError

    if not catalogue.tracks.is_empty():
        return
    rejected = catalogue.rejected
    reasons = ", ".join(f"{reason} {count}" for reason, count in _counts(catalogue)["reasons"].items())
    first = f"{rejected[0, 'key']}: {rejected[0, 'finding']}"
    raise CatalogueError(str(path), f"none of its {catalogue.rows} rows is a track ({reasons})", f"first {first}")


def _preview(catalogue: Catalogue) -> list[Any]:
    """Lines of the column map, and a table of the first tracks as imported."""
    from rich.markup import escape
    from rich.table import Table

    columns = [name for name in _SHOWN if any(row[name] for row in catalogue.first)]
    table = Table(*columns, title="the first tracks, as they will be")
    for row in catalogue.first:
        table.add_row(*(escape(_cell(row[name])) for name in columns))
    return [*catalogue.map.lines(), table]


def _cell(value: Any) -> str:
    text = (
        "; ".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value or "")
    )
    return text if len(text) <= _CELL_CHARACTERS else text[:_CELL_CHARACTERS] + "…"


def _import_lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{result['taken']} of {result['rows']} rows taken, {result['rejected']} rejected"]
    if result["values_emptied"]:
        lines[0] += f", {result['values_emptied']} values emptied or doubtful"
    lines += [f"  {example['key']}: {example['finding']}" for example in result["examples"]]
    if (more := sum(result["reasons"].values()) - len(result["examples"])) > 0:
        counts = ", ".join(f"{reason} {count}" for reason, count in result["reasons"].items())
        lines.append(f"  and {more} more ({counts}): `crossmusim catalogue show --rejected`")
    return lines + [f"note: {note}" for note in result["notes"]]


@click.command()
@click.option("--limit", type=click.IntRange(min=0), default=5, show_default=True, help="Tracks or rows to print.")
@click.option("--rejected", is_flag=True, help="Show the rows of the catalogue that were rejected, or lost a value.")
@click.option("--reason", help="Only rejected rows of this reason, e.g. title_missing.")
@click.pass_obj
def show(invocation: Invocation, limit: int, rejected: bool, reason: str | None) -> None:
    """Show what the workspace holds: rows per table, which columns are filled, the first tracks.

    \b
    Examples:
      crossmusim catalogue show --limit 10
      crossmusim catalogue show --rejected --reason duration_illegal
    """
    if rejected or reason:
        _show_rejected(invocation, limit, reason)
        return

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
    by_reason = {f"{stage}/{reason}": count for stage, reason, count in by_stage.iter_rows()}
    filled_counts = {
        name: tracks.filter(pl.col(name).list.len() > 0).height if dtype == pl.List else tracks[name].count()
        for name, dtype in tracks.schema.items()
    }
    columns = ["track_id", "title", "artist", "album", "audio", "tags"]
    first = tracks.select(columns).head(limit).to_dicts()

    table = Table(*columns)
    for row in first:
        table.add_row(*(escape("; ".join(row[name]) if name == "tags" else row[name] or "") for name in columns))
    coverage = Table("column", "tracks with it")
    for name, count in filled_counts.items():
        coverage.add_row(name, f"{count:,} ({count / max(tracks.height, 1):.0%})")
    lines = [
        f"{name}: {count:,}" for name, count in {**counts, **{f"rejected {k}": v for k, v in by_reason.items()}}.items()
    ]
    result = {
        "source": workspace.catalogue_record(),
        "rows": counts,
        "rejected": by_reason,
        "filled": filled_counts,
        "tracks": first,
    }
    invocation.emit(result, [*lines, coverage, *([table] if first else [])])


def _show_rejected(invocation: Invocation, limit: int, reason: str | None) -> None:
    import polars as pl

    frame = invocation.workspace.read_rejected().filter(pl.col("stage") == "catalogue")
    if reason:
        frame = frame.filter(pl.col("reason") == reason)
    rows = frame.drop("stage").head(limit).to_dicts()
    lines = []
    for row in rows:
        lines += [f"{row['key']} ({row['reason']}): {row['finding']}", *([f"  {row['row']}"] if row["row"] else [])]
    more = [f"and {frame.height - len(rows):,} more (--limit shows them)"] if frame.height > len(rows) else []
    invocation.emit(
        {"rows": frame.height, "rejected": rows}, [*lines, *more] or ["no row of the catalogue is rejected"]
    )
