"""Rebuild the descriptions table and its rejected rows from catalogue, documents, matches, journal and packs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sourcing.generation.describe import describe, example_aspects
from sourcing.generation.journal import Journal
from sourcing.generation.pack import load_pack, pack_folders
from sourcing.generation.packcheck import plain_examples
from sourcing.generation.plan import Plan
from sourcing.store.schemas import Description, Document, Match, Track
from sourcing.store.workspace import Workspace, rejected_frame

__all__ = ["rebuild_descriptions"]


def rebuild_descriptions(
    workspace: Workspace, journal: Journal, prompt_roots: Sequence[Path], *, plan: Plan | None = None
) -> dict[str, Any]:
    """Write descriptions and rejected rows; returns `descriptions` by origin and the number `rejected`.

    `plan` is the plan of the run that just ended, for the calls that could not be asked or were not answered.
    """
    documents = workspace.read(Document) if workspace.has(Document) else Document.create_empty()
    matches = workspace.read(Match) if workspace.has(Match) else Match.create_empty()
    descriptions, rejected = describe(
        workspace.read(Track), documents, matches, journal.replies(), echoes=_echoes(journal, prompt_roots)
    )
    workspace.write(Description, descriptions)
    workspace.write_rejected("describe", rejected)
    if plan is not None:
        unanswered = [
            {
                "stage": "generate",
                "key": call.request_key,
                "reason": f"call_{call.state}",
                "finding": f"{call.track_id}: {call.error}",
            }
            for call in journal.calls_in(("failed", "unknown"))
        ]
        workspace.write_rejected("generate", rejected_frame([*plan.rejected, *unanswered]))
    by_origin = dict(sorted(descriptions.group_by("origin").len().iter_rows()))
    return {"descriptions": by_origin, "rejected": len(rejected)}


def _echoes(journal: Journal, prompt_roots: Sequence[Path]) -> dict[str, list[str]]:
    """Prompt id → aspects of the pack's worked examples, which a small model likes to repeat; of packs still there."""
    asked = {name.partition("@")[0] for name in journal.counts()}
    packs = [load_pack(folder) for pack_id, folder in pack_folders(prompt_roots).items() if pack_id in asked]
    return {pack.id: example_aspects(plain_examples(pack)) for pack in packs}
