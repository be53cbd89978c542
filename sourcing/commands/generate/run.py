"""`crossmusim generate plan|run`: model calls counted and priced, or made, journalled and turned into descriptions."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.generate.journal import end_on_row_errors, rebuild, table_lines
from sourcing.commands.generate.options import make_jobs, with_call_options
from sourcing.errors import StoppedShort

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.cost.estimate import Estimate
    from sourcing.generation.run.job import Job
    from sourcing.generation.run.options import RunResult

__all__ = ["plan", "run"]


@click.command
@with_call_options
@click.pass_obj
def plan(invocation: Invocation, /, **call_options: Any) -> None:
    """Say what a run of PACK would ask, use and cost; send nothing.

    Tokens, cost and time are what half and what nearly all (95 %) such runs stay below, going by the replies that
    this pack and model gave so far; the worst case is what the calls would reserve.

    \b
    Example:
      crossmusim generate plan mine --endpoint local --limit 24
      crossmusim generate plan recall --base-url https://api.openai.com/v1 --model gpt-4o-mini
    """
    from sourcing.generation.journal.journal import Journal
    from sourcing.generation.run.forecast import how_many, weigh

    plans = []
    lines: list[Any] = []
    with Journal.read(invocation.workspace.generation_dir) as journal:
        for job in make_jobs(invocation, call_options):
            with invocation.progress(f"planning {job.pack.name}", how_many(job)) as advance:
                weighed = weigh(job, journal, on_call=advance)
            plans.append({"model": job.endpoint.model, **_plan_numbers(job), **weighed.numbers()})
            lines += [*_plan_lines(job, weighed.numbers(), weighed.estimate), *weighed.complaints()]
    invocation.emit({**plans[0], "plans": plans}, lines)


def _plan_numbers(job: Job) -> dict[str, Any]:
    return {
        "pack": job.pack.name,
        "prompt_hash": job.pack.prompt_hash,
        "endpoint": job.endpoint.name,
        "price": job.options.price.source,
    }


def _plan_lines(job: Job, numbers: dict[str, Any], estimate: Estimate) -> list[str]:
    from sourcing.generation.cost.budget import usd

    held_note = f", {numbers['held']} held as unknown" if numbers["held"] else ""
    lines = [
        f"{job.pack.name} on {job.endpoint.name}, model {job.endpoint.model}",
        f"{numbers['planned']} calls, {numbers['cached']} answered already, {numbers['to_send']} to send{held_note}",
        f"tokens in {estimate.input_tokens_p50:,} (95 %: {estimate.input_tokens_p95:,}),"
        f" out {estimate.output_tokens_p50:,} (95 %: {estimate.output_tokens_p95:,})",
    ]
    if estimate.cost_nusd_p50 is None or estimate.cost_nusd_p95 is None:
        lines.append("cost unknown: no price for this model; --price IN,OUT names one")
    else:
        worst = "unbounded" if estimate.worst_nusd is None else f"{usd(estimate.worst_nusd)} USD"
        lines.append(
            f"cost {estimate.cost_nusd_p50 / 1e9:.4f} USD (95 %: {estimate.cost_nusd_p95 / 1e9:.4f}; at worst {worst};"
            f" prices: {job.options.price.source})"
        )
    by = f"{estimate.calibrated_by} replies seen" if estimate.calibrated_by else "no reply seen yet, so a guess"
    lines.append(f"time {_spell(estimate.seconds_p50)} (95 %: {_spell(estimate.seconds_p95)}); going by {by}")
    return lines


def _spell(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


@click.command
@with_call_options
@click.pass_obj
def run(invocation: Invocation, /, **call_options: Any) -> None:
    """Make the calls of PACK that have no reply yet, journal every reply, rebuild the descriptions.

    Stopped or killed, the same command takes up where it ended: no reply is lost, none is paid twice. The ceilings
    (--max-usd, --max-calls, --max-tokens) hold for all runs of this version of the pack together, online and in
    batches: the worst a call may cost is set aside before it is sent.

    \b
    Example:
      crossmusim generate run mine --endpoint local --limit 24
      crossmusim generate run recall --base-url https://host/v1 --model NAME --max-usd 5
      crossmusim generate run recall --model A --model B --language en --language zh --workers 2
    """
    from sourcing.generation.run.forecast import how_many
    from sourcing.generation.run.options import RunResult
    from sourcing.generation.run.workers import run_in_workers

    started = time.monotonic()
    jobs = make_jobs(invocation, call_options)
    workers = invocation.settings.generation.workers
    result, looked_up = RunResult(), Counter[str]()
    for job in jobs:
        if call_options["on_unknown"] == "reconcile":
            looked_up.update(_reconcile(invocation, job))
        for part in _decoys_first(job):
            with invocation.progress(_asking(part), how_many(part)) as advance:
                result += run_in_workers(part, 1 if job.endpoint.is_local else workers, on_reply=advance)
            result.stopped = result.stopped or (_invents(invocation, job) if part.scope.decoys_only else None)
            if result.stopped:
                break
        if result.stopped:
            break
    tables = rebuild(invocation, anew=False)
    if result.stopped:
        if result.row_errors:
            invocation.note(f"looking at {len(result.row_errors)} replies raised ({result.row_errors[0]})")
        invocation.note(", ".join(f"{number} {name}" for name, number in result.counts().items() if number))
        raise result.stopped
    reconciled = {"reconciled": dict(looked_up)} if call_options["on_unknown"] == "reconcile" else {}
    answer = {**result.counts(), **tables, **reconciled, "seconds": round(time.monotonic() - started, 2)}
    lines = [*_run_lines(result), *table_lines(tables)]
    if reconciled:
        lines.insert(0, f"{looked_up['found']} of {looked_up.total()} unknown calls found at the endpoint")
    invocation.emit(answer, lines)
    end_on_row_errors(invocation, [*result.row_errors, *tables.get("row_errors", ())])


def _asking(job: Job) -> str:
    about = " about decoys" if job.scope.decoys_only else ""
    return f"asking {job.endpoint.name}, {job.endpoint.model}{about}"


def _decoys_first(job: Job) -> list[Job]:
    """The job, behind one of its decoys alone: a model that invents is found out before the catalogue is paid for."""
    from dataclasses import replace

    from sourcing.generation.planning.decoys import asks_knowledge

    if not asks_knowledge(job.pack) or not job.scope.decoy_share:
        return [job]
    return [replace(job, scope=replace(job.scope, decoys_only=True)), job]


def _invents(invocation: Invocation, job: Job) -> StoppedShort | None:
    """The error that ends a run whose model claims to know too many recordings that do not exist."""
    from sourcing.generation.descriptions.invention import held_back, invention_rates
    from sourcing.generation.journal.journal import Journal

    with Journal.read(invocation.workspace.generation_dir) as journal:
        rates = invention_rates(journal, job.endpoint.model)
    inventors = held_back(rates, invocation.settings.generation.max_invention_rate)
    finding = next((finding for (prompt, _), finding in inventors.items() if prompt == job.pack.name), None)
    if finding is None:
        return None
    cure = "ask a model that knows more, or a pack that lets it say so; nothing it told is published"
    return StoppedShort(f"{job.pack.name} on {job.endpoint.model}", finding, cure)


def _run_lines(result: RunResult) -> list[str]:
    lines = [
        f"{result.planned} calls: {result.cached} answered before, {result.replied} now,"
        f" {result.failed} failed, {result.unknown + result.held} unknown"
    ]
    if result.followed:
        lines.append(f"{result.followed} more calls followed replies that were cut or did not fit their schema")
    if result.elsewhere:
        lines.append(
            f"{result.elsewhere} calls are in batches, or in flight from another command;"
            " `crossmusim generate batch collect` takes what batches answered"
        )
    if result.held or result.unknown:
        lines.append(
            f"{result.held + result.unknown} calls may have been answered and billed without our seeing it;"
            " `crossmusim generate status` lists them, --on-unknown resend asks again, reconcile looks them up"
        )
    return lines


def _reconcile(invocation: Invocation, job: Job) -> dict[str, int]:
    """Mark the calls in flight of dead processes as unknown, then look the unknown calls up at the endpoint."""
    from datetime import UTC, datetime

    from sourcing.generation.journal.journal import enter_journal
    from sourcing.generation.run.reconcile import Patience, reconcile_unknown

    options = job.options
    with enter_journal(invocation.workspace.generation_dir) as (journal, presence):
        journal.bury(presence.is_dead, datetime.now(UTC))
        with invocation.progress(f"looking up calls at {job.endpoint.name}") as advance:
            return reconcile_unknown(
                journal,
                job.endpoint,
                account=options.account,
                patience=Patience(options.timeout_s, options.max_attempts),
                on_progress=advance.one_of,
            )
