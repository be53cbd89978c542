"""`crossmusim prompts record`: replies for a pack's cases, asked of a model and kept in the pack."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["record"]


@click.command
@click.argument("pack_id", metavar="PACK")
@click.option("--case", "case_names", multiple=True, metavar="NAME", help="Only this case; may be repeated.")
@click.option("--again", is_flag=True, help="Also cases that are recorded already; handmade ones only with --case.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked and what it may cost; send nothing.")
@click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline.")
@click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1.")
@click.option("--model", metavar="NAME", help="The model.")
@click.option("--price", metavar="IN,OUT", help="USD per million tokens in and out, or 0 for a free server.")
@click.option("--max-usd", type=click.FloatRange(min=0), help="Refuse to ask for more than this at worst.")
@click.pass_obj
def record(
    invocation: Invocation,
    /,
    pack_id: str,
    case_names: tuple[str, ...],
    again: bool,
    dry_run: bool,
    max_usd: float | None,
    **model_options: Any,
) -> None:
    """Ask a model for the replies of PACK's cases that have none, or one to an earlier request; keep them in `golden/`.

    Each recording carries the hash of the request it answered, so that `prompts test` knows when the pack has changed
    since. What is recorded already is not asked for again.

    \b
    Example:
      crossmusim prompts record mine --endpoint local
      crossmusim prompts record recall --base-url https://api.openai.com/v1 --model gpt-4o-mini --max-usd 1
    """
    from sourcing.commands.generate.options import prompt_roots
    from sourcing.errors import UsageError
    from sourcing.generation.cost.prices import named_price, price_of
    from sourcing.generation.endpoint.endpoint import resolve_endpoint
    from sourcing.generation.packs.cases import cases_named, load_cases
    from sourcing.generation.packs.pack_files import find_pack
    from sourcing.workbench.record import record as record_cases
    from sourcing.workbench.record import wanted

    pack = find_pack(pack_id, prompt_roots(invocation))
    chosen = cases_named(pack, load_cases(pack), case_names)
    local = model_options["endpoint"] == "local"
    invocation.override("generation", base_url=model_options["base_url"], model=model_options["model"])
    settings = invocation.settings.generation
    endpoint = resolve_endpoint(settings, local=local, environment=os.environ)
    overrides = named_price(
        model_options["price"],
        input_usd_per_mtok=settings.price_input_usd_per_mtok,
        output_usd_per_mtok=settings.price_output_usd_per_mtok,
    )
    price = price_of(endpoint.model, endpoint.base_url, overrides=overrides, must_know=True)
    needed = [
        each
        for each in wanted(pack, chosen, endpoint, price, again=again or bool(case_names))
        if each.state != "handmade" or case_names
    ]
    worst_usd = sum(each.worst_nusd for each in needed) / 1e9
    if max_usd is not None and worst_usd > max_usd:
        finding = f"{len(needed)} calls may cost {worst_usd:.6f} USD at worst"
        raise UsageError(f"--max-usd {max_usd:g}", finding, "raise it, or name fewer cases")
    lines = [
        f"{len(needed)} of {len(chosen)} cases to ask {endpoint.name}, {endpoint.model}; {worst_usd:.4f} USD at worst"
    ]
    if not dry_run and needed:
        with invocation.progress(f"asking {endpoint.name}, {endpoint.model}", len(needed)) as advance:
            record_cases(pack, needed, endpoint, timeout_s=settings.timeout_s, on_reply=advance)
        lines += [f"recorded {each.case.name} ({each.state} before)" for each in needed]
        lines.append(f"next: crossmusim prompts test {pack.id}")
    result = {
        "pack": pack.name,
        "model": endpoint.model,
        "cases": [{"name": each.case.name, "before": each.state} for each in needed],
        "recorded": 0 if dry_run else len(needed),
        "worst_usd": worst_usd,
    }
    invocation.emit(result, lines)
