"""`crossmusim prompts list|lint|render|test|lock`: prompt packs looked at, checked, replayed and locked."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import PromptError, UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.calls import PlannedCall
    from sourcing.generation.packs.pack import Pack

__all__ = ["each_pack", "lint", "list_packs", "lock", "render"]


@click.command("list")
@click.pass_obj
def list_packs(invocation: Invocation) -> None:
    """List the prompt packs: the settings' folder, the workspace's, the built-in ones.

    \b
    Example:
      crossmusim prompts list
    """
    from rich.table import Table

    packs: list[Pack] = []
    broken: dict[str, str] = {}
    for pack_id, load in each_pack(invocation, ()):
        try:
            packs.append(load())
        except PromptError as error:
            broken[pack_id] = f"{error.thing}: {error.found}"
    result = {
        "packs": [
            {
                "id": pack.id,
                "version": pack.version,
                "prompt_hash": pack.prompt_hash,
                "inputs": list(pack.inputs),
                "description": pack.description,
                "path": str(pack.folder),
            }
            for pack in packs
        ],
        "broken": broken,
    }
    table = Table("pack", "hash", "inputs", "description")
    for pack in packs:
        table.add_row(pack.name, pack.prompt_hash[:12], ", ".join(pack.inputs), pack.description.partition(". ")[0])
    invocation.emit(result, [table, *(f"broken: {pack_id}: {finding}" for pack_id, finding in broken.items())])


@click.command
@click.argument("pack_ids", metavar="[PACK]...", nargs=-1)
@click.pass_obj
def lint(invocation: Invocation, pack_ids: tuple[str, ...]) -> None:
    """Check packs for mistakes: names, inputs, schema, cases, lock.

    \b
    Example:
      crossmusim prompts lint mine
    """
    from sourcing.generation.packs.lint import lint as lint_pack

    findings: dict[str, list[str]] = {}
    for pack_id, load in each_pack(invocation, pack_ids):
        try:
            pack = load()
            findings[pack.name] = lint_pack(pack)
        except PromptError as error:
            if len(pack_ids) == 1:
                raise
            findings[pack_id] = [f"{error.thing}: {error.found}"]
    complaints = [f"{name}: {finding}" for name, of_pack in findings.items() for finding in of_pack]
    if complaints:
        for line in complaints[1:]:
            invocation.note(line)
        name, _, finding = complaints[0].partition(": ")
        more = f" (and {len(complaints) - 1} more above)" if len(complaints) > 1 else ""
        raise PromptError(f"prompt pack {name}", f"{finding}{more}", "mend the pack and lint it again")
    invocation.emit({"packs": findings}, [f"{name}: good" for name in findings])


@click.command
@click.argument("pack_id", metavar="PACK")
@click.option("--track", "track_id", metavar="ID", help="Render for this track of the catalogue.")
@click.option("--doc", "doc_id", metavar="ID", help="With --track: for this document instead of the best matched.")
@click.option("--case", "case_name", metavar="NAME", help="Render for one of the pack's cases.")
@click.pass_obj
def render(
    invocation: Invocation, pack_id: str, track_id: str | None, doc_id: str | None, case_name: str | None
) -> None:
    """Show the messages PACK would send for a track or a case; send nothing.

    \b
    Example:
      crossmusim prompts render mine --track t-0001
    """

    if (track_id is None) == (case_name is None) or (doc_id and not track_id):
        raise UsageError("prompts render", "it needs either --track or --case", "give one (--doc goes with --track)")
    (pack,) = _load(invocation, (pack_id,))
    if case_name is not None:
        from sourcing.generation.packs.cases import load_cases
        from sourcing.generation.packs.render import render as render_pack

        cases = {case.name: case for case in load_cases(pack)}
        if case_name not in cases:
            finding = f"{pack.name} has the cases {', '.join(cases) or 'none'}"
            raise UsageError(f"--case {case_name}", finding, nearest(case_name, cases, "name one"))
        messages = render_pack(pack, cases[case_name].inputs)
        result: dict[str, Any] = {"pack": pack.name, "messages": messages}
    else:
        call = _call(invocation, pack, str(track_id), doc_id)
        messages = list(call.request["messages"])
        result = {"pack": pack.name, "track_id": call.track_id, "doc_id": call.doc_id, "messages": messages}
    lines = [line for message in messages for line in (f"--- {message['role']} ---", message["content"])]
    invocation.emit(result, lines)


@click.command
@click.argument("pack_ids", metavar="[PACK]...", nargs=-1)
@click.pass_obj
def lock(invocation: Invocation, pack_ids: tuple[str, ...]) -> None:
    """Record the hash of each pack version in prompts.lock; refuse a version that changed since it was locked.

    \b
    Example:
      crossmusim prompts lock
    """
    from sourcing.generation.packs.lock import lock_packs

    packs = _load(invocation, pack_ids)
    locked_names: list[str] = []
    for root in sorted({pack.folder.parent for pack in packs}):
        locked_names += lock_packs(root, only=[pack.id for pack in packs if pack.folder.parent == root])
    lines = [f"locked {name}" for name in locked_names] or ["every pack version was locked already"]
    invocation.emit({"locked": locked_names}, lines)


def _roots(invocation: Invocation) -> list[Path]:
    from sourcing.generation.packs.pack_files import pack_roots

    return pack_roots(invocation.settings.prompts_dir, invocation.workspace.root)


def each_pack(invocation: Invocation, pack_ids: tuple[str, ...]) -> list[tuple[str, Callable[[], Pack]]]:
    """Id and loader of these packs, or of all: each is loaded by itself, so that a broken one stops no other."""
    from sourcing.generation.packs.pack_files import find_pack, pack_folders

    roots = _roots(invocation)
    return [(pack_id, partial(find_pack, pack_id, roots)) for pack_id in pack_ids or pack_folders(roots)]


def _load(invocation: Invocation, pack_ids: tuple[str, ...]) -> list[Pack]:
    """Load the packs of `pack_ids`, or every pack when empty."""
    from sourcing.generation.packs.pack_files import find_pack, pack_folders

    roots = _roots(invocation)
    return [find_pack(pack_id, roots) for pack_id in pack_ids or pack_folders(roots)]


def _call(invocation: Invocation, pack: Pack, track_id: str, doc_id: str | None) -> PlannedCall:
    from sourcing.generation.endpoint.endpoint import resolve_endpoint
    from sourcing.generation.planning.plan import Scope, plan_calls
    from sourcing.generation.run.job import read_tables

    endpoint = resolve_endpoint(invocation.settings.generation, local=True, environment={})  # only names a model
    tables = read_tables(invocation.workspace, pack)
    plan = plan_calls(pack, endpoint, tables, Scope(track_ids=[track_id]))
    calls = [call for call in plan.calls if doc_id is None or call.doc_id == doc_id]
    if not calls:
        thing = f"--track {track_id}" + (f" --doc {doc_id}" if doc_id else "")
        finding = plan.rejected[0]["finding"] if plan.rejected else "no call is planned for it"
        cure = "name a track of the catalogue" + (" with an accepted match" if "document" in pack.inputs else "")
        known_ids = tables.tracks["track_id"].to_list()
        raise UsageError(thing, finding, cure if track_id in known_ids else nearest(track_id, known_ids, cure))
    return calls[0]
