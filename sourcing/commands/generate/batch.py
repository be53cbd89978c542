"""`crossmusim generate batch submit|status|collect|cancel|export|import`: calls handed over all at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.generate.batch_desk import Finder, batch_lock, open_desk
from sourcing.commands.generate.batch_report import (
    collected_lines,
    collected_numbers,
    odd_lines,
    progress_of,
    sent_lines,
    shard_row,
)
from sourcing.commands.generate.journal import end_on_row_errors, rebuild, table_lines
from sourcing.commands.generate.options import make_jobs, with_call_options

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.errors import CrossmusimError
    from sourcing.generation.batch.api import BatchSeen
    from sourcing.generation.batch.desk import Collected
    from sourcing.generation.journal.batch_shards import BatchShard
    from sourcing.generation.run.job import Job

__all__ = ["cancel", "collect", "export", "import_", "status", "submit"]

_LISTED = 20


@click.command
@with_call_options
@click.option("--wait", is_flag=True, help="Wait for the answers, collect them, and hand over what is left.")
@click.pass_obj
def submit(invocation: Invocation, /, wait: bool, **call_options: Any) -> None:
    """Hand the calls of PACK that were not sent yet over as batches: half the price, answers within a day.

    Each batch is written down, and the worst it may cost set aside under --max-usd, before it is uploaded. Killed at
    any point, the same command goes on with what was half sent, and sends nothing twice. Calls that failed for
    themselves are left to `generate run`.

    \b
    Example:
      crossmusim generate batch submit recall --base-url https://api.openai.com/v1 --model NAME --max-usd 20
      crossmusim generate batch submit recall --model NAME --wait
    """
    from sourcing.generation.batch.api import require_batches
    from sourcing.generation.batch.desk import Collected
    from sourcing.generation.batch.submit import Submitted
    from sourcing.generation.run.forecast import how_many

    jobs = _jobs(invocation, call_options)
    for job in jobs:
        require_batches(job.endpoint)
    submitted, total = Submitted(), Collected()
    with open_desk(invocation) as desk:
        for job in jobs:
            run = job.enter(desk.journal, datetime.now(UTC))
            if wait:
                with _progress(invocation, f"batches at {job.endpoint.name}", how_many(job)) as callbacks:
                    of_job, _ = desk.drive(
                        run, job.steps, job.options, total=total, on_shard=_tell(invocation), **callbacks
                    )
            else:
                of_job = desk.submit(run, job.steps, job.options, on_shard=_tell(invocation))
            submitted += of_job
    shards = [shard_row(shard) for shard in submitted.shards]
    counts = {"submitted": submitted.calls, "waiting": submitted.waiting, "too_large": submitted.too_large}
    result = {**counts, "shards": shards}
    lines = sent_lines(submitted)
    if wait:
        _end(
            invocation,
            {**result, **collected_numbers(total)},
            [*lines, *collected_lines(total)],
            total.stopped or submitted.stopped,
            total.row_errors,
        )
        return
    _raise(invocation, submitted.stopped, lines)
    invocation.emit(result, lines)


@click.command
@click.option("--wait", is_flag=True, help="Wait until every batch has ended.")
@click.pass_obj
def collect(invocation: Invocation, wait: bool) -> None:
    """Take the answers of batches that have ended, in whatever way, and rebuild the descriptions.

    What an expired or cancelled batch had finished is kept; what it had not is planned again, for the next
    `generate batch submit` or `generate run`.

    \b
    Example:
      crossmusim generate batch collect --wait
    """
    from sourcing.generation.journal.schema import OPEN_SHARD_STATES

    with open_desk(invocation) as desk:
        calls = sum(shard.lines for shard in desk.shards.in_states(OPEN_SHARD_STATES))
        with _progress(invocation, "calls answered in batches", calls) as callbacks:
            total = desk.collect(wait=wait, **callbacks)
    _end(invocation, collected_numbers(total), collected_lines(total), total.stopped, total.row_errors)


@click.command
@click.pass_obj
def status(invocation: Invocation) -> None:
    """Say how far every batch is: what the journal knows, and what the server says of those under way.

    \b
    Example:
      crossmusim generate batch status
    """
    from rich.table import Table

    from sourcing.errors import CrossmusimError

    server_views: dict[int, BatchSeen] = {}
    with open_desk(invocation, reading=True) as desk:
        shards = desk.shards.all()
        try:
            server_views = {shard.shard_id: view for shard, view in desk.look()}
        except CrossmusimError as error:
            invocation.note(f"the servers were not asked: {error}")
    rows = [shard_row(shard, server_views.get(shard.shard_id)) for shard in shards]
    if not rows:
        invocation.emit({"shards": []}, ["no batches yet; `crossmusim generate batch submit PACK` makes some"])
        return
    table = Table("shard", "batch", "state", "calls", "done", "failed", "since")
    for row in rows[-_LISTED:]:
        state = row["status"] or row["state"]
        ended = ("", "") if row["completed"] is None else (str(row["completed"]), str(row["failed"]))
        table.add_row(row["name"], row["batch"] or "", state, str(row["calls"]), *ended, row["written_at"][:19])
    lines: list[Any] = [table, *(f"{row['name']}: {row['error']}" for row in rows[-_LISTED:] if row["error"])]
    if len(rows) > _LISTED:
        lines.append(f"... and {len(rows) - _LISTED} older ones; --json lists all")
    invocation.emit({"shards": rows}, lines)


@click.command
@click.argument("names", nargs=-1, metavar="[SHARD]...")
@click.pass_obj
def cancel(invocation: Invocation, names: tuple[str, ...]) -> None:
    """Cancel batches that have not ended (all of them, unless named); what they had finished is still to be collected.

    Exported calls are planned again; answers to them can still be imported.

    \b
    Example:
      crossmusim generate batch cancel
    """
    with open_desk(invocation) as desk:
        cancelled = desk.cancel(names)
    rows = [{**shard_row(shard), "became": outcome} for shard, outcome in cancelled]
    lines = [f"{row['name']}: {row['calls']} calls, {row['became']}" for row in rows] or ["no batch is under way"]
    if any(row["became"] == "cancelling" for row in rows):
        lines.append("`crossmusim generate batch collect` takes what they had finished; it costs what it costs")
    invocation.emit({"cancelled": rows}, lines)


@click.command
@with_call_options
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.pass_obj
def export(invocation: Invocation, /, out: Path, **call_options: Any) -> None:
    """Write the calls of PACK that were not sent yet into a file for `vllm run-batch`.

    --base-url and --model name the server whose replies they count as. The calls are out of reach of `generate run`
    until they are imported, or planned again by `generate batch cancel`.

    \b
    Example:
      crossmusim generate batch export recall --base-url http://gpu:8000/v1 --model NAME --out calls.jsonl
      vllm run-batch -i calls.jsonl -o replies.jsonl --model NAME
      crossmusim generate batch import replies.jsonl
    """
    from sourcing.errors import UsageError
    from sourcing.generation.batch.export import export_calls
    from sourcing.generation.journal.batch_shards import BatchShards
    from sourcing.generation.journal.journal import enter_journal
    from sourcing.generation.run.forecast import how_many

    jobs = _jobs(invocation, call_options, batch=False)
    if len(jobs) != 1:
        raise UsageError("--model", f"{len(jobs)} were named for one file", "export them one by one")
    job = jobs[0]
    if job.endpoint.is_local:
        raise UsageError(
            "--endpoint local", "the embedded model reads no batch files", "use `crossmusim generate run PACK`"
        )
    with (
        enter_journal(invocation.workspace.generation_dir) as (journal, _),
        invocation.progress(f"writing {out}", how_many(job)) as advance,
    ):
        run = job.enter(journal, datetime.now(UTC))
        done = export_calls(
            BatchShards(journal), run, job.steps, job.options, out, lock=batch_lock(invocation), on_progress=advance
        )
    lines = [f"{done.calls} calls, {done.bytes:,} bytes in {out}" if done.calls else "nothing is left to export"]
    _raise(invocation, done.stopped, lines)
    invocation.emit({"exported": done.calls, "bytes": done.bytes, "file": str(out) if done.calls else None}, lines)


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_(invocation: Invocation, files: tuple[Path, ...]) -> None:
    """Journal the replies in output FILES of `vllm run-batch` or of the Batch API; the same file twice changes nothing.

    \b
    Example:
      crossmusim generate batch import replies.jsonl
    """
    from sourcing.generation.batch.export import import_answers
    from sourcing.generation.journal.journal import enter_journal

    with (
        enter_journal(invocation.workspace.generation_dir) as (journal, _),
        invocation.progress("calls answered") as advance,
    ):
        checker_of = Finder(invocation, journal).checker_of
        tally, answers = import_answers(
            journal, files, checker_of=checker_of, lock=batch_lock(invocation), on_answers=advance
        )
    tables = rebuild(invocation)
    result = {**tally.counts(), "already": answers.already, **answers.oddities(), "named": answers.named, **tables}
    lines = [
        f"{tally.replied} replies, {tally.failed} failed, {tally.again} planned again; {answers.already} lines told"
        " nothing new",
        *odd_lines(answers.oddities(), answers.named),
        *table_lines(tables),
    ]
    invocation.emit(result, lines)
    end_on_row_errors(invocation, [*answers.row_errors, *tables.get("row_errors", ())])


def _jobs(invocation: Invocation, call_options: dict[str, Any], *, batch: bool = True) -> list[Job]:
    from sourcing.errors import UsageError

    if call_options["on_unknown"] != "hold":
        finding, cure = "batches leave calls of unknown fate alone", "give it to `crossmusim generate run PACK`"
        raise UsageError(f"--on-unknown {call_options['on_unknown']}", finding, cure)
    return make_jobs(invocation, call_options, batch=batch)


@contextlib.contextmanager
def _progress(invocation: Invocation, what: str, total: int | None) -> Iterator[dict[str, Any]]:
    """Yield the callbacks by which a waiting desk moves a progress display."""
    with invocation.progress(what, total) as advance:

        def look(collected: Collected) -> None:
            under_way = [f"{shard.batch} {progress_of(view)}" for shard, view in collected.open[:3]]
            advance(0, note=", ".join(under_way))

        yield {"on_answers": lambda n: advance(n), "on_look": look}


def _tell(invocation: Invocation) -> Callable[[BatchShard], None]:
    return lambda shard: invocation.note(f"{shard.batch}: {shard.lines} calls, {shard.bytes:,} bytes ({shard.name})")


def _end(
    invocation: Invocation,
    result: dict[str, Any],
    lines: list[str],
    stopped: CrossmusimError | None,
    row_errors: list[str],
) -> None:
    tables = rebuild(invocation, anew=False)
    _raise(invocation, stopped, lines)
    invocation.emit({**result, **tables}, [*lines, *table_lines(tables)])
    end_on_row_errors(invocation, [*row_errors, *tables.get("row_errors", ())])


def _raise(invocation: Invocation, stopped: CrossmusimError | None, lines: list[str]) -> None:
    if stopped is not None:
        for line in lines:
            invocation.note(line)
        raise stopped
