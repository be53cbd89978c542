"""The options by which a command on packs asks models, and what it does with them: plan, cost, ask, keep as runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.generate.options import endpoint_of, price_for, prompt_roots
from sourcing.errors import PromptError, UsageError

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.packs.pack import Pack
    from sourcing.workbench.asking import Asking, Forecast
    from sourcing.workbench.items import Item
    from sourcing.workbench.runs import Run

__all__ = ["ask", "load_sound", "make_askings", "plan_line", "with_model_options"]

_OPTIONS = (
    click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline."),
    click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1."),
    click.option("--model", "models", multiple=True, metavar="NAME", help="The model; several are asked in turn."),
    click.option("--concurrency", type=click.IntRange(min=1), help="Calls in flight, at most."),
    click.option("--max-usd", metavar="USD", help="What this pack version may cost here, all its runs together."),
    click.option("--max-calls", type=click.IntRange(min=1), help="Requests it may make here."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Tokens it may use here."),
    click.option("--price", metavar="IN,OUT", help="USD per million tokens in and out, or 0 for a free server."),
)


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name and bound a model; the command passes their values to `make_askings`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def load_sound(invocation: Invocation, name: str) -> Pack:
    """The pack `id` or `id@version`; PromptError where lint finds a mistake, which would cost money to find out.

    A template that changed under a locked version may be tried: its runs are called drafts.
    """
    from sourcing.generation.packs.lint import mistakes
    from sourcing.generation.packs.versions import find_version

    pack = find_version(name, prompt_roots(invocation))
    invocation.pack_id = pack.id
    if findings := mistakes(pack, with_lock=False):
        cure = f"mend it; `crossmusim prompts lint {pack.id}` shows all"
        raise PromptError(f"prompt pack {pack.name}", findings[0], cure)
    return pack


def make_askings(
    invocation: Invocation, pack: Pack, items: Sequence[Item], options: dict[str, Any]
) -> Iterator[Asking]:
    """One asking per model of the options; UsageError where options contradict each other or no price is known."""
    from sourcing.generation.cost.budget import Ceilings
    from sourcing.generation.cost.estimate import require_bound
    from sourcing.generation.run.job import Rates
    from sourcing.generation.run.options import RunOptions
    from sourcing.workbench.asking import Asking

    local = options["endpoint"] == "local"
    if local and (options["base_url"] or options["models"]):
        raise UsageError("--endpoint local", "it was given with --base-url or --model", "leave out one or the other")
    invocation.override("generation", base_url=options["base_url"], concurrency=options["concurrency"])
    ceilings = Ceilings.of_flags(options["max_usd"], options["max_calls"], options["max_tokens"])
    require_bound(pack.name, pack.sampling.max_tokens, ceilings)
    for model in options["models"] or (None,):
        invocation.override("generation", model=model)
        settings, endpoint = invocation.settings.generation, endpoint_of(invocation, local=local)
        run_options = RunOptions(
            concurrency=settings.concurrency, timeout_s=settings.timeout_s, max_attempts=settings.max_attempts,
            account=pack.prompt_hash, ceilings=ceilings, give_up_after_s=settings.give_up_after_s,
            price=price_for(invocation, endpoint, options["price"], ceilings, batch=False),
        )  # fmt: skip
        rates = Rates(settings.requests_per_minute, settings.tokens_per_minute)
        yield Asking(invocation.workspace.root / "workbench", pack, endpoint, items, run_options, rates)


def plan_line(asking: Asking, forecast: Forecast | None = None) -> str:
    """What an asking will send, and what that may cost, in one line; `forecast` spares counting once more."""
    forecast = forecast or asking.forecast()
    if not forecast.to_send:
        cost = "nothing to pay"
    elif forecast.estimate.cost_nusd_p50 is None or forecast.estimate.worst_nusd is None:
        cost = "cost unknown"
    else:
        cost = f"{forecast.estimate.cost_nusd_p50 / 1e9:.4f} USD, {forecast.estimate.worst_nusd / 1e9:.4f} at worst"
    return (
        f"{asking.pack.name} on {asking.endpoint.name}, {asking.endpoint.model}: {len(asking.items)} items,"
        f" {forecast.planned} calls, {forecast.answered} answered, {forecast.to_send} to send; {cost}"
    )


def ask(invocation: Invocation, asking: Asking, about: str, *, keep: bool = True) -> Run:
    """Ask for the replies there are none of, check every trial, and keep the run; raises what stopped it, once kept."""
    from datetime import UTC, datetime

    from sourcing.generation.packs.lock import draft_name
    from sourcing.workbench.runs import Variant, make_run, runs_dir, save_run, subject

    forecast = asking.forecast()
    if not asking.endpoint.is_local:
        invocation.note(plan_line(asking, forecast))
    stopped = None
    if forecast.to_send:
        with invocation.progress(f"asking {asking.endpoint.name}, {asking.endpoint.model}", forecast.to_send) as advance:
            stopped = asking.ask(on_reply=advance).stopped
    trials = asking.checked_trials(stopped)
    subjects = [subject(item, calls[0].request["messages"]) for item, calls in asking.calls]
    pack, endpoint = asking.pack, asking.endpoint
    variant = Variant(draft_name(pack), pack.prompt_hash, endpoint.model, endpoint.name)
    run = make_run(variant, about, subjects, trials, asking.items, at=datetime.now(UTC))
    if keep:
        run = save_run(runs_dir(invocation.workspace), run)
    if stopped is not None:
        if keep:
            invocation.note(f"{run.id} keeps what was answered")
        raise stopped
    return run
