"""`crossmusim prompts optimise`: a pack's system message rewritten and tried, within a budget."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.prompts.asked import load_sound, make_askings, with_model_options
from sourcing.commands.prompts.run import find_items, item_options
from sourcing.errors import UsageError

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["optimise"]


@click.command
@click.argument("pack_id", metavar="PACK")
@click.argument("new_id", metavar="NEW")
@item_options
@with_model_options
@click.option("--rewriter", metavar="NAME", help="The model that rewrites.  [default: the model that is asked]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search.")
@click.pass_obj
def optimise(
    invocation: Invocation, /, pack_id: str, new_id: str, rewriter: str | None, seed: int, **options: Any
) -> None:
    """Search for a better system message of PACK, and write it as the pack NEW, unlocked, for you to compare.

    Candidates are tried on the cases, or on --gold documents, and rewritten by a model that sees what they got wrong
    (GEPA). --max-calls bounds the tries and must allow for a second candidate; --max-usd holds for all calls together.
    Stopped, the same command goes on: no reply is paid twice.

    \b
    Example:
      crossmusim prompts optimise extract drier --gold --language en --base-url URL --model NAME --max-calls 300
    """
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.generation.packs.new_pack import copy_pack
    from sourcing.generation.packs.pack import PROMPT_FILE, SHARED_FOLDER
    from sourcing.generation.packs.pack_files import built_in_packs, load_pack
    from sourcing.workbench.optimise import optimise as search

    if options["max_calls"] is None:
        raise UsageError("prompts optimise", "nothing says how many calls it may make", "give --max-calls N")
    roots = prompt_roots(invocation)
    if (roots[0] / new_id).exists():
        raise UsageError(f"pack {new_id}", f"{roots[0] / new_id} is there already", "name another")
    pack = load_sound(invocation, pack_id)
    about, items = find_items(invocation, pack, options)
    if about == "tracks":
        raise UsageError("--tracks", "nothing says what is right for a track", "take the cases, or --gold")
    (asking, *others) = make_askings(invocation, pack, items, options)
    if others:
        raise UsageError("--model", "a prompt is optimised for one model", "name one")
    rewriting = load_pack(built_in_packs() / SHARED_FOLDER / "rewrite")
    models = (rewriter,) if rewriter else options["models"]
    (asked,) = make_askings(invocation, rewriting, [], {**options, "models": models})
    budget = replace(asking.options, account=f"optimise {pack.prompt_hash}")
    asking, asked = replace(asking, options=budget), replace(asked, options=replace(asked.options, account=budget.account))
    with invocation.progress(f"rewriting {pack.name} for {asking.endpoint.model}") as advance:
        best = search(asking, asked, max_calls=options["max_calls"], seed=seed, on_candidate=advance)
    record = {"score_before": best.score_before, "score": best.score, "candidates": best.candidates}
    if best.score <= best.score_before:
        invocation.emit({**record, "path": None}, [f"{best.candidates} candidates, none better than {pack.name}"])
        return
    folder = copy_pack(pack, roots[0], new_id)
    path = folder / PROMPT_FILE
    before = next(source for role, source in pack.blocks if role == "system")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(before, best.instruction, 1), encoding="utf-8")
    lines = [
        f"{best.candidates} candidates; score {best.score_before:.3f} -> {best.score:.3f} on {len(items)} {about}",
        f"wrote {folder}",
        f"next: crossmusim prompts compare {pack.id} {new_id} --gold",
    ]
    invocation.emit({**record, "path": str(folder)}, lines)
