"""`crossmusim generate plan|run|status|describe`: model calls planned, made, counted, and turned into descriptions."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sourcing.commands.invocation import Invocation
    from sourcing.generation.endpoint import Endpoint
    from sourcing.generation.journal import Journal
    from sourcing.generation.pack import Pack
    from sourcing.generation.plan import Plan

__all__ = ["describe", "plan", "run", "status"]

_CHARS_PER_TOKEN = 4  # an estimate good enough to plan with; exact counts come with the replies
_LISTED = 20


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `plan` and `run` share, so that a plan shows what the run would do."""
    options = [
        click.argument("pack_id", metavar="PACK"),
        click.option("--limit", type=click.IntRange(min=1), help="At most this many calls, spread over all artists."),
        click.option("--track", "track_ids", multiple=True, metavar="ID", help="Only this track; may be repeated."),
        click.option("--endpoint", type=click.Choice(["local"]), help="`local`: the embedded model, offline."),
        click.option("--base-url", metavar="URL", help="An OpenAI-compatible server, e.g. http://host:8000/v1."),
        click.option("--model", metavar="NAME", help="The model, by the name the server knows it by."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command
@_asking
@click.pass_obj
def plan(
    invocation: Invocation,
    pack_id: str,
    limit: int | None,
    track_ids: tuple[str, ...],
    endpoint: str | None,
    base_url: str | None,
    model: str | None,
) -> None:
    """Count the calls a run of PACK would make; send nothing.

    \b
    Example:
      crossmusim generate plan mine --endpoint local --limit 24
    """
    from sourcing.generation.journal import Journal
    from sourcing.generation.run import to_send

    pack, target = _pack(invocation, pack_id), _endpoint(invocation, endpoint, base_url, model)
    made = _plan(invocation, pack, target, limit, track_ids)
    with Journal.read(invocation.workspace.generation_dir) as journal:
        states = journal.states(call.request_key for call in made.calls)
    pending, counts = to_send(made.calls, states, resend_unknown=target.resend_is_free)
    input_tokens = sum(call.input_chars for call in pending) // _CHARS_PER_TOKEN
    result = {
        "pack": pack.name,
        "prompt_hash": pack.prompt_hash,
        "endpoint": target.name,
        "model": target.model,
        "planned": counts.planned,
        "cached": counts.cached,
        "held": counts.held,
        "to_send": len(pending),
        "input_tokens": input_tokens,
        "output_tokens_at_most": len(pending) * (pack.sampling.max_tokens or 0),
        "rejected": len(made.rejected),
    }
    lines = [
        f"{pack.name} on {target.name}, model {target.model}",
        f"{counts.planned} calls, {counts.cached} answered already, {len(pending)} to send"
        + (f", {counts.held} held as unknown" if counts.held else ""),
        f"about {input_tokens} tokens in, at most {result['output_tokens_at_most']} out",
    ]
    if made.rejected:
        lines.append(f"{len(made.rejected)} cannot be asked: {made.rejected[0]['key']}: {made.rejected[0]['finding']}")
    invocation.emit(result, lines)


@click.command
@_asking
@click.option("--concurrency", type=click.IntRange(min=1), help="Calls in flight, at most.")
@click.option(
    "--on-unknown",
    type=click.Choice(["hold", "resend"]),
    default="hold",
    show_default=True,
    help="Calls that were in flight at a crash: leave them, or pay again.",
)
@click.option("--max-calls", type=click.IntRange(min=1), help="Stop after this many requests, retries counted.")
@click.pass_obj
def run(
    invocation: Invocation,
    pack_id: str,
    limit: int | None,
    track_ids: tuple[str, ...],
    endpoint: str | None,
    base_url: str | None,
    model: str | None,
    concurrency: int | None,
    on_unknown: str,
    max_calls: int | None,
) -> None:
    """Make the calls of PACK that have no reply yet, journal every reply, rebuild the descriptions.

    Stopped or killed, the same command takes up where it ended: no reply is lost, none is paid twice.

    \b
    Example:
      crossmusim generate run mine --endpoint local --limit 24
      crossmusim generate run recall --base-url https://host/v1 --model NAME
    """
    from sourcing.generation.journal import Journal
    from sourcing.generation.run import RunOptions, run_calls, to_send

    started = time.monotonic()
    invocation.override("generation", concurrency=concurrency)
    pack, target = _pack(invocation, pack_id), _endpoint(invocation, endpoint, base_url, model)
    made = _plan(invocation, pack, target, limit, track_ids)
    generation = invocation.settings.generation
    options = RunOptions(
        concurrency=generation.concurrency,
        timeout_s=generation.timeout_s,
        max_attempts=generation.max_attempts,
        on_unknown="resend" if on_unknown == "resend" else "hold",
        max_calls=max_calls,
    )
    workspace = invocation.workspace
    with workspace.lock("generate"), Journal.open(workspace.generation_dir) as journal:
        pending, _ = to_send(
            made.calls,
            journal.states(call.request_key for call in made.calls),
            resend_unknown=on_unknown == "resend" or target.resend_is_free,
        )
        with invocation.progress(f"asking {target.name}", len(pending)) as advance:
            outcome = run_calls(made.calls, journal, target, options, prompt=pack.name, on_reply=advance)
        tables = _describe(invocation, journal, made)
    if outcome.stopped:
        counts = outcome.counts()
        invocation.note(", ".join(f"{number} {name}" for name, number in counts.items() if number))
        raise outcome.stopped
    result = {**outcome.counts(), **tables, "seconds": round(time.monotonic() - started, 2)}
    lines = [
        f"{outcome.planned} calls: {outcome.cached} answered before, {outcome.replied} now, "
        f"{outcome.failed} failed, {outcome.unknown} unknown",
        *_table_lines(tables),
    ]
    if outcome.held or outcome.unknown:
        lines.append(
            f"{outcome.held + outcome.unknown} calls may have been answered and billed without our seeing it;"
            " `crossmusim generate status` lists them, --on-unknown resend asks again"
        )
    invocation.emit(result, lines)


@click.command
@click.pass_obj
def status(invocation: Invocation) -> None:
    """Count the journal's calls by pack and state; list the unknown ones.

    \b
    Example:
      crossmusim generate status
    """
    from rich.table import Table

    from sourcing.generation.journal import STATES, Journal

    with Journal.read(invocation.workspace.generation_dir) as journal:
        counts = journal.counts()
        unknown = journal.calls_in(("unknown", "sending"))
        failed = journal.calls_in(("failed",))
    result = {
        "calls": counts,
        "unknown": [
            {"request_key": c.request_key, "prompt": c.prompt, "track_id": c.track_id, "doc_id": c.doc_id}
            for c in unknown
        ],
        "failed": [
            {"request_key": c.request_key, "prompt": c.prompt, "track_id": c.track_id, "error": c.error} for c in failed
        ],
    }
    if not counts:
        invocation.emit(result, ["no calls yet; `crossmusim generate plan PACK` shows what a run would make"])
        return
    table = Table("pack", *STATES)
    for prompt, by_state in counts.items():
        table.add_row(prompt, *(str(by_state.get(state, 0)) for state in STATES))
    lines: list[Any] = [table]
    lines += [f"unknown: {c.prompt} {c.track_id} {c.doc_id or ''} ({c.request_key[:12]})" for c in unknown[:_LISTED]]
    lines += [f"failed: {c.prompt} {c.track_id}: {c.error}" for c in failed[:_LISTED]]
    left_out = max(0, len(unknown) - _LISTED) + max(0, len(failed) - _LISTED)
    if left_out:
        lines.append(f"... and {left_out} more; --json lists all")
    invocation.emit(result, lines)


@click.command
@click.pass_obj
def describe(invocation: Invocation) -> None:
    """Rebuild the descriptions table from catalogue, documents, matches and journal; asks nobody, costs nothing.

    \b
    Example:
      crossmusim generate describe
    """
    from sourcing.generation.journal import Journal

    started = time.monotonic()
    workspace = invocation.workspace
    with workspace.lock("generate"), Journal.read(workspace.generation_dir) as journal:
        tables = _describe(invocation, journal, None)
    invocation.emit({**tables, "seconds": round(time.monotonic() - started, 2)}, _table_lines(tables))


def _pack(invocation: Invocation, pack_id: str) -> Pack:
    """The pack, refused when it has lint findings: they would cost money to find out otherwise."""
    from sourcing.errors import PromptError
    from sourcing.generation.pack import find_pack
    from sourcing.generation.packcheck import check_lock, lint

    pack = find_pack(pack_id, _roots(invocation))
    check_lock(pack)
    findings = lint(pack)
    if findings:
        raise PromptError(
            f"prompt pack {pack.name}", findings[0], f"mend it; `crossmusim prompts lint {pack.id}` shows all"
        )
    return pack


def _endpoint(invocation: Invocation, endpoint: str | None, base_url: str | None, model: str | None) -> Endpoint:
    from sourcing.errors import UsageError
    from sourcing.generation.endpoint import resolve_endpoint

    if endpoint == "local" and (base_url or model):
        raise UsageError("--endpoint local", "it was given with --base-url or --model", "leave out one or the other")
    invocation.override("generation", base_url=base_url, model=model)
    return resolve_endpoint(invocation.settings.generation, local=endpoint == "local", environment=os.environ)


def _plan(
    invocation: Invocation, pack: Pack, endpoint: Endpoint, limit: int | None, track_ids: tuple[str, ...]
) -> Plan:
    from sourcing.errors import UsageError
    from sourcing.generation.plan import plan_calls
    from sourcing.store import Document, Match, Track

    workspace = invocation.workspace
    tracks = workspace.read(Track)
    missing = sorted(set(track_ids) - set(tracks["track_id"]))
    if missing:
        raise UsageError(f"--track {missing[0]}", "the catalogue has no such track", "see `crossmusim catalogue show`")
    reads_documents = "document" in pack.inputs
    return plan_calls(
        pack,
        endpoint,
        tracks,
        documents=workspace.read(Document) if reads_documents else None,
        matches=workspace.read(Match) if reads_documents else None,
        track_ids=track_ids or None,
        limit=limit,
    )


def _describe(invocation: Invocation, journal: Journal, made: Plan | None) -> dict[str, Any]:
    from sourcing.generation.rebuild import rebuild_descriptions

    return rebuild_descriptions(invocation.workspace, journal, _roots(invocation), plan=made)


def _roots(invocation: Invocation) -> list[Path]:
    from sourcing.generation.pack import pack_roots

    return pack_roots(invocation.settings.prompts_dir, invocation.workspace.root)


def _table_lines(tables: dict[str, Any]) -> list[str]:
    by_origin = ", ".join(f"{number} {origin}" for origin, number in tables["descriptions"].items()) or "none"
    return [f"descriptions: {by_origin}; {tables['rejected']} pieces rejected, see tables/rejected-describe.parquet"]
