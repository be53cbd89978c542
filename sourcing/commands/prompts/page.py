"""`crossmusim prompts report|serve|accept`: runs on a page, and what a person decided about them taken into the packs."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import PromptError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sourcing.commands.invocation import Invocation
    from sourcing.generation.packs.pack import Pack
    from sourcing.workbench.runs import Run

__all__ = ["accept", "report", "serve"]

_TITLE = "Prompts, side by side"


@click.command
@click.argument("names", metavar="[RUN|PACK]...", nargs=-1)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The file.  [default: workbench/report.html]"
)
@click.pass_obj
def report(invocation: Invocation, names: tuple[str, ...], out: Path | None) -> None:
    """Write one HTML file with runs side by side: items by variants, quotes where they stand, differences word by word.

    A PACK stands for its newest runs, or, while it has none, for its recorded cases; without a name all packs' newest
    runs are shown. The file fetches nothing, and works from disk and in print. Accept and reject in it, export the
    decisions, and hand them to `prompts accept`.

    \b
    Example:
      crossmusim prompts report r1 r2
      crossmusim prompts report mine --out mine.html
    """
    from sourcing.store.workspace import atomic_path
    from sourcing.workbench.page.page import render_page

    data = _data(invocation, names)
    path = out or invocation.workspace.root / "workbench" / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(render_page(data, title=_TITLE), encoding="utf-8")
    cells = sum(cell is not None for item in data["items"] for cell in item["cells"])
    variants = [variant["name"] for variant in data["variants"]]
    result = {"path": str(path), "items": len(data["items"]), "cells": cells, "variants": variants}
    invocation.emit(result, [f"{len(data['items'])} items, {len(variants)} variants, {cells} cells: {path}"])


@click.command
@click.argument("names", metavar="[RUN|PACK]...", nargs=-1)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port on 127.0.0.1.  [default: a free one]")
@click.option("--for-s", type=click.FloatRange(min=0), metavar="SECONDS", help="End by itself after so long.")
@click.pass_obj
def serve(invocation: Invocation, names: tuple[str, ...], port: int, for_s: float | None) -> None:
    """Show the page live on this machine alone; what is accepted on it goes straight into the packs.

    It is made anew for every visit, and says when there are newer runs, as `prompts watch` makes them. Ctrl-C ends it.

    \b
    Example:
      crossmusim prompts serve mine --port 8080
    """
    import threading

    from sourcing.workbench.page.page import render_page
    from sourcing.workbench.page.server import PageServer
    from sourcing.workbench.reviews import read_decisions

    def page(token: str) -> str:
        return render_page({**_data(invocation, names), "token": token, "stamp": stamp()}, title=_TITLE)

    def stamp() -> str:
        from sourcing.workbench.runs import list_runs, runs_dir

        return " ".join(run.id for run in list_runs(runs_dir(invocation.workspace)))

    def decide(raw: bytes) -> str:
        lines = _accept(invocation, read_decisions(raw, "the page's decisions"))
        return "; ".join(lines) or "there was nothing to accept"

    _data(invocation, names)  # what is wrong with the names is told here, not on the page
    server, address = PageServer(page, stamp, decide, port).start()
    invocation.emit({"address": address}, [f"serving {address} until Ctrl-C"])
    sys.stdout.flush()
    if for_s is not None:
        threading.Timer(for_s, server.shutdown).start()
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        invocation.note("ended")
    finally:
        server.server_close()


@click.command
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--run", "run_id", metavar="RUN", help="Instead of a FILE: accept an item of this run.")
@click.option("--item", metavar="NAME", help="With --run: the item.")
@click.option("--note", default="", help="With --run: why.")
@click.pass_obj
def accept(invocation: Invocation, file: Path | None, run_id: str | None, item: str | None, note: str) -> None:
    """Take decisions into the packs: a case's accepted reply becomes its golden one, any other item's a new case.

    FILE is what the page exported. Rejections are written down in the workspace's `workbench/reviews.jsonl`. A reply
    to another prompt than the pack sends now is refused.

    \b
    Example:
      crossmusim prompts accept decisions.json
      crossmusim prompts accept --run r2 --item reggae_enumeration --note "the offbeat is named"
    """
    from sourcing.workbench.reviews import Decision, read_decisions

    if (file is None) == (run_id is None) or (run_id is None) != (item is None):
        raise UsageError("prompts accept", "it needs a FILE, or --run and --item", "give one or the other")
    if file is not None:
        decisions = read_decisions(file.read_bytes(), str(file))
    else:
        decisions = [Decision(run=str(run_id), item=str(item), decision="accept", note=note)]
    lines = _accept(invocation, decisions)
    packs = sorted({decision.run for decision in decisions})
    invocation.emit({"accepted": lines, "runs": packs}, [*lines, "next: crossmusim prompts test"])


def _accept(invocation: Invocation, decisions: Sequence[Any]) -> list[str]:
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.generation.packs.pack_files import find_pack
    from sourcing.workbench.reviews import accept as take_in
    from sourcing.workbench.runs import list_runs, runs_dir

    roots = prompt_roots(invocation)
    runs = list_runs(runs_dir(invocation.workspace))
    changes = take_in(decisions, invocation.workspace, runs, partial(find_pack, roots=roots), at=datetime.now(UTC))
    return [change.what for change in changes]


def _data(invocation: Invocation, names: Sequence[str]) -> dict[str, Any]:
    """The page's data for these runs and packs, with what has become stale."""
    from sourcing.commands.prompts.packs import each_pack
    from sourcing.workbench.page.page import page_data
    from sourcing.workbench.runs import find_run, list_runs, newest_variants, runs_dir

    runs = list_runs(runs_dir(invocation.workspace))
    packs: dict[str, Pack] = {}
    for pack_id, load in each_pack(invocation, ()):
        try:
            packs[pack_id] = load()
        except PromptError as error:
            invocation.note(f"broken: {error.thing}: {error.found}")
    shown: list[Run] = []
    newest = newest_variants(runs)
    for name in names:
        own = [run for run in newest if name in (run.pack, run.pack.partition("@")[0])]
        if own:
            shown += own
        elif name in packs:
            shown.append(_recorded(packs[name]))
        else:
            shown.append(find_run(name, runs))
    if not names:
        shown = newest or [_recorded(pack) for pack in packs.values() if (pack.folder / "cases.yaml").exists()]
    stale = [run.id for run in shown if _is_stale(run, packs)]
    return page_data(_once(shown), stale=stale)


def _once(runs: Sequence[Run]) -> list[Run]:
    """Runs without repeats, in order."""
    return list({run.id: run for run in runs}.values())


def _is_stale(run: Run, packs: dict[str, Pack]) -> bool:
    """True for a run of today's version whose prompt reads otherwise now; an earlier version stays what it is."""
    pack = packs.get(run.pack.partition("@")[0])
    same_version = pack is not None and run.pack.removesuffix("-draft") == pack.name
    return same_version and pack is not None and pack.prompt_hash != run.prompt_hash


def _recorded(pack: Pack) -> Run:
    """A pack's recorded cases as a run."""
    from sourcing.generation.packs.cases import load_cases
    from sourcing.generation.packs.render import render
    from sourcing.workbench.items import items_of_cases
    from sourcing.workbench.replay import replay
    from sourcing.workbench.runs import Variant, make_run, subject

    cases = load_cases(pack)
    items = items_of_cases(pack, cases)
    subjects = [subject(item, render(pack, item.inputs)) for item in items]
    trials = [trial for case in cases for trial in replay(pack, case)]
    variant = Variant(pack.name, pack.prompt_hash, "recorded", "")
    run = make_run(variant, "cases", subjects, trials, items, at=datetime.now(UTC))
    return replace(run, id=f"recorded:{pack.name}")
