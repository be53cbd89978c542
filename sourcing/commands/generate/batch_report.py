"""Batches in words and in numbers: what was handed over, how far it is, what came back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sourcing.generation.batch.api import BatchSeen
    from sourcing.generation.batch.desk import Collected
    from sourcing.generation.batch.shards import Shard
    from sourcing.generation.batch.submit import Submitted

__all__ = ["collected_lines", "collected_numbers", "odd_lines", "progress_of", "sent_lines", "shard_row"]


def collected_numbers(total: Collected) -> dict[str, Any]:
    return {
        **total.tally.counts(),
        "ended": [{**shard_row(shard), "status": status} for shard, status in total.ended],
        "open": [shard_row(shard, seen) for shard, seen in total.open],
        "oddities": total.oddities,
        "strangers": total.strangers,
    }


def shard_row(shard: Shard, seen: BatchSeen | None = None) -> dict[str, Any]:
    counts = seen.counts if seen is not None else None
    return {
        "name": shard.name,
        "batch": shard.batch,
        "state": shard.state,
        "status": seen.status if seen is not None else None,
        "model": shard.model,
        "calls": shard.lines,
        "bytes": shard.bytes,
        "completed": counts[1] if counts else None,
        "failed": counts[2] if counts else None,
        "error": shard.error,
        "written_at": shard.written_at,
    }


def sent_lines(sent: Submitted) -> list[str]:
    lines = [f"{sent.calls} calls handed over in {len(sent.shards)} batches"]
    left = sent.waiting - sent.too_large
    if left:
        lines.append(f"{left} calls wait: once batches are collected, the same command hands over more")
    if sent.too_large:
        lines.append(f"{sent.too_large} calls are too large for any batch; `crossmusim generate run PACK` makes them")
    return lines


def collected_lines(total: Collected) -> list[str]:
    tally = total.tally
    lines = [
        f"{len(total.ended)} batches ended: {tally.replied} replies, {tally.failed} failed,"
        f" {tally.again} planned again, {tally.unknown} unknown"
    ]
    if tally.followed:
        lines.append(f"{tally.followed} new calls follow replies that were cut or did not fit their schema")
    lines += [f"{shard.batch}: {shard.lines} calls, {progress_of(seen)}" for shard, seen in total.open]
    return [*lines, *odd_lines(total.oddities, total.strangers)]


def odd_lines(oddities: dict[str, int], named: list[str]) -> list[str]:
    said = {"duplicates": "answered a call a second time", "broken": "could not be read", "strangers": "are of no call"}
    lines = [f"{number} lines {said[name]}" for name, number in oddities.items()]
    return [*lines, *(f"unknown custom_id: {custom_id}" for custom_id in named[:3])]


def progress_of(seen: BatchSeen) -> str:
    return seen.status if seen.counts is None else f"{seen.status} {seen.counts[1]}/{seen.counts[0]}"
