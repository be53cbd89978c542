"""The options that plan, run and batch share, and the jobs made from the options, one per model."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import PromptError, UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.cost.budget import Ceilings
    from sourcing.generation.cost.prices import Price
    from sourcing.generation.endpoint.endpoint import Endpoint
    from sourcing.generation.packs.pack import Pack
    from sourcing.generation.run.job import Job

__all__ = ["endpoint_of", "make_jobs", "price_for", "prompt_roots", "with_call_options"]

_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")  # the shape of BCP 47

_OPTIONS = (
    click.argument("pack_id", metavar="PACK"),
    click.option("--limit", type=click.IntRange(min=1), help="At most this many calls, spread over all artists."),
    click.option("--track", "track_ids", multiple=True, metavar="ID", help="Only this track; may be repeated."),
    click.option("--language", "languages", multiple=True, metavar="TAG", help="Language asked for; may be repeated."),
    click.option("--samples", type=click.IntRange(1, 64), help="Samples of each call, instead of the pack's number."),
    click.option("--shard", metavar="I/N", help="Only the I-th of N parts of the tracks, for several machines."),
    click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline."),
    click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1."),
    click.option("--model", "models", multiple=True, metavar="NAME", help="The model; several are asked in turn."),
    click.option("--dialect", metavar="NAME", help="openai, azure, vllm, llama.cpp, ollama; told by the address."),
    click.option("--concurrency", type=click.IntRange(min=1), help="Calls in flight, at most."),
    click.option("--workers", type=click.IntRange(min=1), help="Processes that make the calls."),
    click.option("--max-usd", metavar="USD", help="What this pack version may cost, all its runs together."),
    click.option("--max-calls", type=click.IntRange(min=1), help="Requests it may make, all its runs together."),
    click.option("--max-tokens", type=click.IntRange(min=1), help="Tokens it may use, all its runs together."),
    click.option("--price", metavar="IN,OUT", help="USD per million tokens in and out, or 0 for a free server."),
    click.option(
        "--on-unknown",
        type=click.Choice(["hold", "resend", "reconcile"]),
        default="hold",
        show_default=True,
        help="Calls that were in flight at a crash: leave them, pay again, or look them up at the endpoint.",
    ),
)


def with_call_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of model calls to a command; the command passes the values to `make_jobs` as keywords."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_jobs(invocation: Invocation, call_options: dict[str, Any], *, batch: bool = False) -> list[Job]:
    """Make one job per model; a pack with lint findings is refused: they would cost money to find out."""
    from sourcing.generation.cost.budget import Ceilings
    from sourcing.generation.cost.estimate import require_bound
    from sourcing.generation.planning.plan import Scope
    from sourcing.generation.run.job import Job
    from sourcing.generation.run.options import RunOptions
    from sourcing.store import Track
    from sourcing.store.shard import Shard

    local = call_options["endpoint"] == "local"
    if local and (call_options["base_url"] or call_options["models"]):
        raise UsageError("--endpoint local", "it was given with --base-url or --model", "leave out one or the other")
    models = call_options["models"] or (None,)
    pack = _sound_pack(invocation, call_options["pack_id"])
    invocation.pack_id = pack.id
    names = ("base_url", "dialect", "concurrency", "workers")
    invocation.override(
        "generation", **{name: call_options[name] for name in names}, languages=list(call_options["languages"]) or None
    )
    workspace = invocation.workspace
    if call_options["track_ids"]:
        known_ids = workspace.read(Track)["track_id"].to_list()
        if unknown_ids := sorted(set(call_options["track_ids"]) - set(known_ids)):
            cure = nearest(unknown_ids[0], known_ids, "`crossmusim catalogue show` lists tracks")
            raise UsageError(f"--track {unknown_ids[0]}", "the catalogue has no such track", cure)
    ceilings = Ceilings.of_flags(call_options["max_usd"], call_options["max_calls"], call_options["max_tokens"])
    require_bound(pack.name, pack.sampling.max_tokens, ceilings)
    jobs = []
    for model in models:
        invocation.override("generation", model=model)
        settings = invocation.settings.generation
        endpoint = endpoint_of(invocation, local=local)
        options = RunOptions(
            concurrency=settings.concurrency,
            timeout_s=settings.timeout_s,
            max_attempts=settings.max_attempts,
            resend_unknown=call_options["on_unknown"] == "resend",
            account=pack.prompt_hash,
            ceilings=ceilings,
            price=price_for(invocation, endpoint, call_options["price"], ceilings, batch=batch),
            give_up_after_s=settings.give_up_after_s,
            store_completions=settings.store_completions and endpoint.dialect.stored,
        )
        scope = Scope(
            track_ids=call_options["track_ids"] or None,
            languages=_languages(settings.languages),
            limit=call_options["limit"],
            shard=Shard.parse(call_options["shard"]) if call_options["shard"] else None,
            decoy_share=settings.decoy_share,
        )
        jobs.append(
            Job(
                workspace.root, pack.folder, endpoint, scope, options, samples=call_options["samples"],
                requests_per_minute=settings.requests_per_minute, tokens_per_minute=settings.tokens_per_minute,
                prompt_roots=tuple(prompt_roots(invocation)),
            )
        )  # fmt: skip
    return jobs


def prompt_roots(invocation: Invocation) -> list[Path]:
    """Folders of prompt packs; of two packs with one id, the first folder's counts."""
    from sourcing.generation.packs.pack_files import pack_roots

    return pack_roots(invocation.settings.prompts_dir, invocation.workspace.root)


def _sound_pack(invocation: Invocation, pack_id: str) -> Pack:
    from sourcing.generation.packs.lint import mistakes
    from sourcing.generation.packs.lock import check_lock
    from sourcing.generation.packs.pack_files import find_pack

    pack = find_pack(pack_id, prompt_roots(invocation))
    check_lock(pack)
    findings = mistakes(pack)
    if findings:
        raise PromptError(
            f"prompt pack {pack.name}", findings[0], f"mend it; `crossmusim prompts lint {pack.id}` shows all"
        )
    return pack


def endpoint_of(invocation: Invocation, *, local: bool) -> Endpoint:
    from sourcing.generation.endpoint.endpoint import resolve_endpoint

    return resolve_endpoint(invocation.settings.generation, local=local, environment=os.environ)


def price_for(
    invocation: Invocation, endpoint: Endpoint, flag: str | None, ceilings: Ceilings, *, batch: bool
) -> Price:
    """The price of an endpoint; a server on this machine is free, unless a budget stands on it: it may be a proxy."""
    from sourcing.generation.cost.prices import FREE, named_price, price_of

    settings = invocation.settings.generation
    overrides = named_price(
        flag,
        input_usd_per_mtok=settings.price_input_usd_per_mtok,
        output_usd_per_mtok=settings.price_output_usd_per_mtok,
    )
    price = price_of(endpoint.model, endpoint.base_url, overrides=overrides, must_know=True, batch=batch)
    if price is FREE and ceilings.max_nusd is not None and not endpoint.is_local:
        raise UsageError(
            f"--max-usd at {endpoint.name}",
            "nothing tells what it bills, and a proxy on this machine may bill what its provider does",
            "add --price IN,OUT (USD per million tokens), or --price 0 where nobody bills",
        )
    return price


def _languages(tags: Sequence[str]) -> tuple[str, ...]:

    for tag in tags:
        if not _LANGUAGE_TAG.fullmatch(tag):
            raise UsageError(f"--language {tag}", "it is no language tag", "write it like en, zh or pt-BR")
    return tuple(tags)
