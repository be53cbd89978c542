"""Batches as JSON and as lines: calls submitted, progress, replies collected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sourcing.generation.batch.api import BatchSeen
    from sourcing.generation.batch.desk import Collected
    from sourcing.generation.batch.submit import Submitted
    from sourcing.generation.journal.batch_shards import BatchShard

__all__ = ["collected_lines", "collected_numbers", "odd_lines", "progress_of", "sent_lines", "shard_row"]


def collected_numbers(total: Collected) -> dict[str, Any]:
    return {
        **total.tally.counts(),
        "ended": [{**shard_row(shard), "status": status} for shard, status in total.ended],
        "open": [shard_row(shard, view) for shard, view in total.open],
        "oddities": total.oddities,
        "strangers": total.strangers,
    }


def shard_row(shard: BatchShard, view: BatchSeen | None = None) -> dict[str, Any]:
    counts = view.counts if view is not None else None
    return {
        "name": shard.name,
        "batch": shard.batch,
        "state": shard.state,
        "status": view.status if view is not None else None,
        "model": shard.model,
        "calls": shard.lines,
        "bytes": shard.bytes,
        "completed": counts[1] if counts else None,
        "failed": counts[2] if counts else None,
        "error": shard.error,
        "written_at": shard.written_at,
    }


def sent_lines(submitted: Submitted) -> list[str]:
    lines = [f"{submitted.calls} calls handed over in {len(submitted.shards)} batches"]
    waiting_calls = submitted.waiting - submitted.too_large
    if waiting_calls:
        lines.append(f"{waiting_calls} calls wait: once batches are collected, the same command hands over more")
    if submitted.too_large:
        makes_them = "`crossmusim generate run PACK` makes them"
        lines.append(f"{submitted.too_large} calls are too large for any batch; {makes_them}")
    return lines


def collected_lines(total: Collected) -> list[str]:
    tally = total.tally
    lines = [
        f"{len(total.ended)} batches ended: {tally.replied} replies, {tally.failed} failed,"
        f" {tally.again} planned again, {tally.unknown} unknown"
    ]
    if tally.followed:
        lines.append(f"{tally.followed} new calls follow replies that were cut or did not fit their schema")
    lines += [f"{shard.batch}: {shard.lines} calls, {progress_of(view)}" for shard, view in total.open]
    return [*lines, *odd_lines(total.oddities, total.strangers)]


_ODDITIES = {
    "duplicates": "answered a call a second time",
    "broken": "could not be read",
    "strangers": "are of no call",
}


def odd_lines(oddities: dict[str, int], custom_ids: list[str]) -> list[str]:
    lines = [f"{number} lines {_ODDITIES[name]}" for name, number in oddities.items()]
    return [*lines, *(f"unknown custom_id: {custom_id}" for custom_id in custom_ids[:3])]


def progress_of(view: BatchSeen) -> str:
    return view.status if view.counts is None else f"{view.status} {view.counts[1]}/{view.counts[0]}"
