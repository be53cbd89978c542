"""`crossmusim prompts list|new|copy|show|lint|lock`: prompt packs begun, looked at, checked and locked."""

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

__all__ = ["copy", "each_pack", "lint", "list_packs", "lock", "new", "show"]


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
            findings[pack.name] = lint_pack(pack, roots=_roots(invocation))
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
@click.argument("pack_id", metavar="PACK[@VERSION]")
@click.pass_obj
def show(invocation: Invocation, pack_id: str) -> None:
    """Show a pack: where it lies and what it hides, its hash and lock, its inputs with examples, cases and versions.

    \b
    Example:
      crossmusim prompts show mine
    """
    from rich.table import Table

    from sourcing.generation.packs.lint import INPUTS, sample_inputs
    from sourcing.generation.packs.lock import draft_name, read_lock
    from sourcing.generation.packs.versions import find_version, kept_versions

    roots = _roots(invocation)
    pack = find_version(pack_id, roots)
    places = [root / pack.id for root in roots if (root / pack.id / "prompt.j2").is_file()]
    locked = read_lock(pack.folder.parent).get(pack.name)
    state = "locked" if locked == pack.prompt_hash else "not locked" if locked is None else "changed since it was locked"
    cases, problem = _case_states(pack)
    examples = sample_inputs(pack)
    inputs = {
        name: {**spec.model_dump(), "example": examples.get(name), "given_as": INPUTS.get(name)}
        for name, spec in pack.inputs.items()
    }
    result: dict[str, Any] = {
        "pack": draft_name(pack), "prompt_hash": pack.prompt_hash, "lock": state, "path": str(pack.folder),
        "origin": _origin(places.index(pack.folder) if pack.folder in places else -1, roots, pack),
        "hides": [str(place) for place in places if place != pack.folder and pack.folder in places],
        "description": pack.description, "inputs": inputs, "includes": list(pack.includes),
        "sampling": pack.sampling.parameters(), "samples": pack.samples, "may_name": list(pack.may_name),
        "cases": cases, "versions": list(kept_versions(pack.folder)), "output": dict(pack.output),
    }  # fmt: skip
    table = Table("input", "type", "required", "what it is", "example")
    for name, row in inputs.items():
        table.add_row(name, row["type"], "yes" if row["required"] else "no", row["description"] or _MEANING.get(name, ""),
                      _short(row["example"]))  # fmt: skip
    hidden = [
        "hides the pack that comes along" if Path(place).parent == roots[-1] else f"hides {place}"
        for place in result["hides"]
    ]
    lines: list[Any] = [
        f"{result['pack']}: {pack.description}",
        f"{result['origin']}: {pack.folder}", *hidden, f"hash {pack.prompt_hash} ({state})", table,
        f"sampling: {', '.join(f'{k} {v}' for k, v in pack.sampling.parameters().items())}; samples {pack.samples}",
        f"versions kept: {', '.join(result['versions']) or 'none'}",
        f"cases: {', '.join(f'{name} ({state})' for name, state in cases.items()) or 'none'}{problem}",
    ]  # fmt: skip
    invocation.emit(result, lines)


#: What a plan gives for each input; a pack's own description of it comes first.
_MEANING = {
    "title": "the track's title", "artist": "the artist credit", "album": "the album, may be empty",
    "year": "year of release", "tags": "the owner's tags", "language": "language of the words asked for",
    "document": "the page's text, cut at a sentence", "document_title": "the page's title",
    "aspects": "aspects to be judged", "caption": "caption to be judged",
}  # fmt: skip


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 40 else text[:39] + "…"


def _origin(place: int, roots: list[Path], pack: Pack) -> str:
    """In words: from which of the folders of packs one comes."""
    if place < 0:
        return "a kept version"
    own = pack.folder.parent
    return "comes along" if own == roots[-1] else "of the workspace" if own == roots[-2] else "of the settings' prompts_dir"


def _case_states(pack: Pack) -> tuple[dict[str, str], str]:
    """Case → what its recording is; and what is wrong with the cases' file."""
    from sourcing.generation.packs.cases import load_cases
    from sourcing.generation.packs.recordings import recording_state

    states: dict[str, str] = {}
    try:
        for case in load_cases(pack):
            try:
                states[case.name] = recording_state(pack, case)
            except PromptError as error:
                states[case.name] = f"broken: {error.found}"
    except PromptError as error:
        return states, f" (broken: {error.thing}: {error.found})"
    return states, ""


@click.command
@click.argument("pack_id", metavar="PACK")
@click.option("--description", default="Say what a document tells of the sound.", help="What it is for, in a sentence.")
@click.pass_obj
def new(invocation: Invocation, pack_id: str, description: str) -> None:
    """Write a starter pack into the workspace's (or the settings') folder of packs: template, schema and two cases.

    \b
    Example:
      crossmusim prompts new textures --description "Quote what a document says of textures."
    """
    from sourcing.generation.packs.new_pack import new_pack
    from sourcing.generation.packs.pack_files import pack_folders

    roots = _roots(invocation)
    if (hidden := pack_folders(roots).get(pack_id)) is not None:
        cure = f"name another, or change a copy of it: `crossmusim prompts copy {pack_id}`"
        raise UsageError(f"pack {pack_id}", f"there is one in {hidden}", cure)
    folder = new_pack(roots[0], pack_id, description=description)
    lines = [f"wrote {folder}", f"next: crossmusim prompts record {pack_id} --endpoint local"]
    invocation.emit({"path": str(folder)}, lines)


@click.command
@click.argument("pack_id", metavar="PACK[@VERSION]")
@click.argument("new_id", metavar="[NEW]", required=False)
@click.pass_obj
def copy(invocation: Invocation, pack_id: str, new_id: str | None) -> None:
    """Copy a pack into the workspace's (or the settings') folder, to change it there; under the same name it wins.

    \b
    Example:
      crossmusim prompts copy mine
      crossmusim prompts copy mine drier
    """
    from sourcing.generation.packs.new_pack import copy_pack
    from sourcing.generation.packs.versions import find_version

    pack = find_version(pack_id, _roots(invocation))
    folder = copy_pack(pack, _roots(invocation)[0], new_id or pack.id)
    invocation.emit({"path": str(folder)}, [f"wrote {folder}", f"next: crossmusim prompts show {new_id or pack.id}"])


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
