"""`crossmusim prompts run|history`: packs tried on cases, gold documents or tracks, and what was tried before."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.prompts.asked import ask, load_sound, make_askings, plan_line, with_model_options
from sourcing.errors import UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sourcing.commands.invocation import Invocation
    from sourcing.generation.packs.pack import Pack
    from sourcing.workbench.items import Item
    from sourcing.workbench.runs import Run

__all__ = ["case_options", "find_items", "history", "item_options", "run"]

_ITEM_OPTIONS = (
    click.option("--case", "case_names", multiple=True, metavar="NAME", help="Only this case; repeatable."),
    click.option("--tracks", type=click.IntRange(min=1), metavar="N", help="N tracks of the catalogue, not the cases."),
    click.option("--track", "track_ids", multiple=True, metavar="ID", help="This track, not the cases; repeatable."),
    click.option("--gold", "gold", is_flag=True, help="The gold documents, not the cases."),
    click.option("--language", "languages", multiple=True, metavar="TAG", help="Gold documents, or words, in it."),
)


def item_options(command: Any) -> Any:
    """Add the options that say what a pack is tried on; see `find_items`."""
    for option in reversed(_ITEM_OPTIONS):
        command = option(command)
    return command


def case_options(case_names: Sequence[str]) -> dict[str, Any]:
    """The values of the item options that name cases alone."""
    return {"case_names": case_names, "gold": False, "tracks": None, "track_ids": (), "languages": ()}


def find_items(invocation: Invocation, pack: Pack, options: dict[str, Any]) -> tuple[str, list[Item]]:
    """What the options name: cases (of today's pack, for an earlier version too), gold documents or tracks."""
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.generation.packs.cases import cases_named, load_cases
    from sourcing.generation.packs.pack_files import find_pack
    from sourcing.generation.packs.recordings import recording_state
    from sourcing.generation.planning.plan import Scope
    from sourcing.generation.run.job import read_tables
    from sourcing.workbench.bench import gold_folder
    from sourcing.workbench.items import items_of_cases, items_of_gold, items_of_tracks
    from sourcing.workbench.measures.gold import load_gold

    flags = [flag for flag, name in (("--case", "case_names"), ("--gold", "gold")) if options[name]]
    flags += ["--track"] if options["track_ids"] or options["tracks"] else []
    if len(flags) > 1:
        raise UsageError(" ".join(flags), "each names another set of things to ask about", "give one of them")
    if options["gold"]:
        return "gold", items_of_gold(pack, load_gold(gold_folder(prompt_roots(invocation)), options["languages"]))
    if options["tracks"] or options["track_ids"]:
        scope = Scope(
            track_ids=options["track_ids"] or None,
            languages=options["languages"] or ("en",),
            limit=options["tracks"] or 1_000_000,
        )
        tables = read_tables(invocation.workspace, pack)
        known_ids = tables.tracks["track_id"].to_list()
        for track_id in options["track_ids"]:
            if track_id not in known_ids:
                cure = nearest(track_id, known_ids, "`crossmusim catalogue show` lists tracks")
                raise UsageError(f"--track {track_id}", "the catalogue has no such track", cure)
        items = list(items_of_tracks(pack, tables, scope))[: options["tracks"]]
        if not items:
            cure = "match documents to tracks first: `crossmusim match run`"
            raise UsageError(f"{pack.name} on tracks", "none of them has anything to ask about", cure)
        return "tracks", items
    today = find_pack(pack.id, prompt_roots(invocation))
    chosen = cases_named(pack, load_cases(today), options["case_names"])
    if not options["case_names"]:  # replies written by hand test the rules that read them; a model cannot give them
        chosen = [case for case in chosen if recording_state(today, case) != "handmade"] or chosen
    if not chosen:
        raise UsageError(f"prompt pack {pack.name}", "it has no cases", "write some, or give --gold or --tracks N")
    return "cases", items_of_cases(today, chosen)


@click.command
@click.argument("pack_id", metavar="PACK[@VERSION]")
@item_options
@with_model_options
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it may cost; send nothing.")
@click.pass_obj
def run(invocation: Invocation, /, pack_id: str, dry_run: bool, **options: Any) -> None:
    """Try PACK live on its cases, on gold documents or on tracks, and keep what came out as a run.

    Replies lie in a journal of the workbench (`workbench/` in the workspace): what was answered once is not paid
    again, and nothing of it becomes a description. An earlier, locked version is named as PACK@VERSION.

    \b
    Example:
      crossmusim prompts run mine --endpoint local
      crossmusim prompts run mine@1.0.0 --tracks 20 --base-url http://host:8000/v1 --model NAME --max-usd 1
    """
    pack = load_sound(invocation, pack_id)
    about, items = find_items(invocation, pack, options)
    runs, lines = [], list[Any]()
    for asking in make_askings(invocation, pack, items, options):
        if dry_run:
            lines.append(plan_line(asking))
            continue
        runs.append(ask(invocation, asking, about))
        lines += run_lines(runs[-1])
    if runs:
        lines.append(f"next: crossmusim prompts report {' '.join(each.id for each in runs)}")
    invocation.emit({"runs": [run_record(each) for each in runs], "plan": lines if dry_run else []}, lines)


def run_record(own_run: Run) -> dict[str, Any]:
    """A run as JSON: what was asked, the outcomes, and a row per item."""
    from sourcing.workbench.runs import as_rows

    counts = Counter(str(trial.outcome) for trial in own_run.trials)
    return {
        "id": own_run.id, "pack": own_run.pack, "prompt_hash": own_run.prompt_hash, "model": own_run.model, "about": own_run.about,
        "at": own_run.at, "items": len(own_run.subjects), "outcomes": dict(counts), "usd": own_run.usd, "trials": as_rows(own_run),
    }  # fmt: skip


def run_lines(own_run: Run) -> list[str]:
    """A run for people: each item with its words, then the sums."""
    from sourcing.workbench.expectations import supported_share

    lines = []
    for trial in own_run.trials:
        sample = f" [{trial.sample}]" if trial.sample else ""
        lines.append(f"{trial.outcome} {trial.name}{sample}: {', '.join(trial.texts) or 'no aspects'}")
        if trial.caption:
            lines.append(f"  {trial.caption}")
        lines += [f"  {problem}" for problem in trial.problems]
    counts = Counter(trial.outcome for trial in own_run.trials)
    shares = [share for trial in own_run.trials if (share := supported_share(trial)) is not None]
    supported = f", {sum(shares) / len(shares):.0%} of aspects supported" if shares else ""
    cost = "" if own_run.usd is None else f", {own_run.usd:.4f} USD"
    lines.append(f"{own_run.id}: {', '.join(f'{n} {outcome}' for outcome, n in counts.items())}{supported}{cost}")
    return lines


@click.command
@click.argument("pack_id", metavar="[PACK]", required=False)
@click.pass_obj
def history(invocation: Invocation, pack_id: str | None) -> None:
    """List the runs that were kept: when, which version and model, on what, and how it went.

    \b
    Example:
      crossmusim prompts history mine
    """
    from rich.table import Table

    from sourcing.workbench.runs import list_runs, runs_dir

    runs = [
        each
        for each in list_runs(runs_dir(invocation.workspace))
        if pack_id is None or pack_id in (each.pack, each.pack.partition("@")[0])
    ]
    table = Table("run", "at", "pack", "hash", "model", "on", "outcomes", "USD")
    for each in runs:
        outcomes = Counter(str(trial.outcome) for trial in each.trials)
        table.add_row(
            each.id, each.at[:16].replace("T", " "), each.pack, each.prompt_hash[:8], each.model,
            f"{len(each.subjects)} {each.about}", ", ".join(f"{n} {name}" for name, n in outcomes.items()),
            "-" if each.usd is None else f"{each.usd:.4f}",
        )  # fmt: skip
    lines: Sequence[Any] = [table] if runs else ["no runs yet: `crossmusim prompts run PACK` makes one"]
    invocation.emit({"runs": [{k: v for k, v in run_record(each).items() if k != "trials"} for each in runs]}, lines)
