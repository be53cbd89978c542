"""`crossmusim generate status|describe|revalidate|merge`: count calls, describe stored replies anew."""

from __future__ import annotations

import functools
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.generate.options import prompt_roots
from sourcing.errors import CrossmusimError

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation
    from sourcing.generation.journal.journal import CallRow

__all__ = ["describe", "end_on_row_errors", "merge", "rebuild", "revalidate", "status", "table_lines"]

_LISTED = 20


@click.command
@click.pass_obj
def status(invocation: Invocation) -> None:
    """Count the journal's calls by pack and state, say what they cost, list the unknown ones and what was rejected.

    \b
    Example:
      crossmusim generate status
    """
    from sourcing.commands.console import number_table
    from sourcing.generation.descriptions.invention import invention_line, invention_rates
    from sourcing.generation.journal.journal import STATES, Journal

    with Journal.read(invocation.workspace.generation_dir) as journal:
        counts, spent, rates = journal.reader.counts(), journal.reader.spend(), invention_rates(journal)
        unknown_calls, failed_calls = (
            journal.reader.calls_in(("unknown", "sending")),
            journal.reader.calls_in(("failed",)),
        )
    unknown_calls = _lost_with_their_process(invocation, unknown_calls, counts)
    reasons = _rejected_by_reason(invocation)
    result = {
        "calls": counts,
        "spent": spent,
        "unknown": [{**_identity(call), "since": call.updated_at} for call in unknown_calls],
        "failed": [{**_identity(call), "error": call.error} for call in failed_calls],
        "rejected": reasons,
        "invention": [{"prompt": prompt, "model": model, **own.as_dict()} for (prompt, model), own in rates.items()],
    }
    if not counts:
        invocation.emit(result, ["no calls yet; `crossmusim generate plan PACK` shows what a run would make"])
        return
    rows = []
    for prompt, by_state in counts.items():
        used = spent.get(prompt, {})
        money = [f"{used.get(name, 0.0):.4f}" for name in ("usd", "reserved_usd")]
        numbers = [str(by_state.get(state, 0)) for state in STATES]
        rows.append([prompt, *numbers, str(used.get("tokens", 0)), *money])
    lines: list[Any] = [number_table(["pack", *STATES, "tokens", "USD", "USD reserved"], rows)]
    lines += [
        f"{c.state}: {c.prompt} {c.track_id} {c.doc_id or ''} ({c.request_key[:12]})" for c in unknown_calls[:_LISTED]
    ]
    lines += [f"failed: {c.prompt} {c.track_id}: {c.error}" for c in failed_calls[:_LISTED]]
    lines += [
        f"{prompt}: {used['beyond_bound']:.0f} calls used more than their worst case: the bound did not hold there"
        for prompt, used in spent.items()
        if used["beyond_bound"]
    ]
    lines += [invention_line(author, own) for author, own in rates.items()]
    if reasons:
        counted_reasons = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        lines.append(f"rejected when last described: {counted_reasons}")
    left_out = max(0, len(unknown_calls) - _LISTED) + max(0, len(failed_calls) - _LISTED)
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
    started = time.monotonic()
    tables = rebuild(invocation)
    invocation.emit({**tables, "seconds": round(time.monotonic() - started, 2)}, table_lines(tables))
    end_on_row_errors(invocation, tables.get("row_errors", ()))


@click.command
@click.pass_obj
def revalidate(invocation: Invocation) -> None:
    """Hold every stored reply against today's rules and say what changed; asks nobody, costs nothing.

    \b
    Example:
      crossmusim generate revalidate
    """
    from sourcing.generation.descriptions.revalidate import compare, snapshot

    before = snapshot(invocation.workspace)
    tables = rebuild(invocation)
    changed = compare(before, snapshot(invocation.workspace))
    lines = [
        f"descriptions: {changed['gained']} gained, {changed['lost']} lost, {changed['changed']} changed,"
        f" {changed['same']} as before",
        *(f"{reason}: {was} pieces rejected before, {now} now" for reason, (was, now) in changed["reasons"].items()),
        *table_lines(tables),
    ]
    invocation.emit({**tables, **changed}, lines)


@click.command
@click.argument("journals", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.pass_obj
def merge(invocation: Invocation, journals: tuple[Path, ...]) -> None:
    """Join the journals of other machines into this workspace's; the same one twice changes nothing.

    JOURNALS are journal files, or the folders they lie in.

    \b
    Example:
      crossmusim generate run recall --shard 2/2    # on the other machine
      crossmusim generate merge /mnt/other/mymusic/generation
    """
    from sourcing.generation.journal.journal import Journal
    from sourcing.generation.journal.merge import merge_journal, open_batches

    folder = invocation.workspace.generation_dir
    counts_by_path = {}
    with Journal.open(folder) as journal, invocation.progress("calls merged") as advance:
        for path in journals:
            counts_by_path[str(path)] = merge_journal(journal, path, on_call=advance.one_of)
            if under_way := open_batches(path):
                finding = f"{path}: {under_way} batches are not collected there, and their calls are unknown here"
                there = (path if path.is_dir() else path.parent).resolve().parent
                collect = f"`crossmusim generate batch collect --workspace {shlex.quote(str(there))}`"
                invocation.note(f"{finding}; run {collect}, then merge again")
    tables = rebuild(invocation)
    lines = [
        f"{path}: {n['calls']} calls, {n['new']} new, {n['answered']} answered only there, {n['both']} answered in both"
        for path, n in counts_by_path.items()
    ]
    invocation.emit({"merged": counts_by_path, **tables}, [*lines, *table_lines(tables)])


def rebuild(invocation: Invocation, *, anew: bool = True) -> dict[str, Any]:
    """Write the descriptions table and the rejected rows, one process at a time; the rest wait their turn.

    Without `anew`, tables up to date with workspace, journal, packs and code are kept.
    """
    from sourcing.generation.descriptions.freshness import inputs_digest, note_fresh_tables, summary_of_fresh_tables
    from sourcing.generation.descriptions.rebuild import rebuild_descriptions
    from sourcing.generation.journal.journal import Journal
    from sourcing.store.processes import cores

    workspace = invocation.workspace
    settings = invocation.settings.generation
    thresholds = settings.min_agreement, settings.max_invention_rate
    with workspace.lock("descriptions", wait_s=_TURN_S), Journal.read(workspace.generation_dir) as journal:
        roots = prompt_roots(invocation)
        digest = inputs_digest(workspace, journal, roots, thresholds)
        if not anew and (table_counts := summary_of_fresh_tables(workspace, digest)) is not None:
            return table_counts
        replies = sum(states.get("replied", 0) for states in journal.reader.counts().values())
        with invocation.progress("replies described", replies) as advance:
            table_counts = rebuild_descriptions(
                workspace, journal, roots, min_agreement=settings.min_agreement,
                max_invention_rate=settings.max_invention_rate, helpers=cores(), on_reply=advance,
            )  # fmt: skip
        note_fresh_tables(workspace, digest, table_counts)
        return table_counts


_TURN_S = 600.0
_REPORT = "their bytes are kept, each is a rejected row (row_error) and all others are done; please report it"


def end_on_row_errors(invocation: Invocation, row_errors: Sequence[str]) -> None:
    """Exit with 1, after the result, when reading replies raised: each such reply is a rejected row."""
    if row_errors:
        names = "; ".join(f"{n} times {name}" for name, n in Counter(row_errors).most_common(3))
        invocation.note(f"error: looking at {len(row_errors)} replies raised ({names}); {_REPORT}")
        sys.exit(CrossmusimError.exit_code)


def table_lines(tables: dict[str, Any]) -> list[str]:
    """Lines for the user about the tables that `rebuild` wrote."""
    by_origin = ", ".join(f"{number} {origin}" for origin, number in tables["descriptions"].items()) or "none"
    lines = [f"descriptions: {by_origin}; {tables['rejected']} pieces rejected, see tables/rejected-describe.parquet"]
    if tables["disagreements"]:
        lines.append(f"disagreements: {tables['disagreements']}, see tables/disagreements.parquet")
    return lines


def _rejected_by_reason(invocation: Invocation) -> dict[str, int]:
    """Count the rejected rows of making and reading replies by reason, the commonest first."""
    import polars as pl

    rejected = invocation.workspace.read_rejected().filter(pl.col("stage").is_in(["generate", "describe"]))
    by_reason = rejected.group_by("reason").len().sort("len", "reason", descending=[True, False])
    return {str(reason): int(n) for reason, n in by_reason.iter_rows()}


def _lost_with_their_process(
    invocation: Invocation, calls: list[CallRow], counts: dict[str, dict[str, int]]
) -> list[CallRow]:
    """The calls, with calls in flight of dead processes as `unknown`; changes `counts` too, but not the journal."""
    from sourcing.store.presence import Presence

    is_dead = functools.cache(Presence(invocation.workspace.generation_dir).is_dead)
    lost = {call.request_key: call for call in calls if call.state == "sending" and is_dead(call.owner or "")}
    for call in lost.values():
        of_pack = counts[call.prompt]
        of_pack["sending"] -= 1
        of_pack["unknown"] = of_pack.get("unknown", 0) + 1
    for of_pack in counts.values():
        if not of_pack.get("sending", 1):
            del of_pack["sending"]
    return [replace(call, state="unknown") if call.request_key in lost else call for call in calls]


def _identity(call: CallRow) -> dict[str, Any]:
    labels = {"request_key": call.request_key, "prompt": call.prompt, "track_id": call.track_id}
    return {**labels, "doc_id": call.doc_id, "state": call.state}
