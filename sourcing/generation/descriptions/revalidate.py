"""Effect of new rules on the tables: descriptions and rejected pieces before and after, from the same replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from sourcing.store.schemas import Description
from sourcing.store.workspace import Workspace

__all__ = ["Snapshot", "compare", "snapshot"]


@dataclass(frozen=True)
class Snapshot:
    """JSON of each description's content by description_id, and number of rejected pieces by reason."""

    said: dict[str, str]
    reasons: dict[str, int]


def snapshot(workspace: Workspace) -> Snapshot:
    """Snapshot of the tables on disk; empty where there are none."""
    rows = workspace.read(Description) if workspace.has(Description) else Description.create_empty()
    contents = rows.select(
        "description_id", pl.struct("aspects", "caption", "language").struct.json_encode().alias("said")
    )
    rejected_rows = workspace.read_rejected().filter(pl.col("stage") == "describe")
    reasons = rejected_rows.group_by("reason").len().sort("reason")
    return Snapshot(dict(contents.iter_rows()), dict(reasons.iter_rows()))


def compare(before: Snapshot, after: Snapshot) -> dict[str, Any]:
    """Numbers of descriptions gained, lost, changed and same; `reasons`: (before, after) counts that differ."""
    both = before.said.keys() & after.said.keys()
    changed_count = sum(before.said[name] != after.said[name] for name in both)
    reasons = {
        reason: (before.reasons.get(reason, 0), after.reasons.get(reason, 0))
        for reason in sorted(before.reasons.keys() | after.reasons.keys())
        if before.reasons.get(reason, 0) != after.reasons.get(reason, 0)
    }
    return {
        "gained": len(after.said.keys() - both),
        "lost": len(before.said.keys() - both),
        "changed": changed_count,
        "same": len(both) - changed_count,
        "reasons": reasons,
    }
