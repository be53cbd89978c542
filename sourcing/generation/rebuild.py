"""Rebuild descriptions, disagreements and rejected rows from catalogue, documents, matches, journal and packs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from sourcing.generation.agreement import Asked, score_agreement
from sourcing.generation.describe import describe, example_aspects
from sourcing.generation.disagreement import find_disagreements
from sourcing.generation.journal import Journal
from sourcing.generation.pack import load_pack, pack_folders
from sourcing.generation.packcheck import plain_examples
from sourcing.store.schemas import Description, Disagreement, Document, Match, Rejected, Track
from sourcing.store.workspace import Workspace, rejected_frame

__all__ = ["rebuild_descriptions"]


def rebuild_descriptions(
    workspace: Workspace,
    journal: Journal,
    prompt_roots: Sequence[Path],
    *,
    min_agreement: float = 0.0,
) -> dict[str, Any]:
    """Write the tables; returns `descriptions` by origin, the number `rejected` and the number of `disagreements`.

    Disagreements are those of all descriptions, also of what `min_agreement` (see `score_agreement`) leaves out.
    """
    documents = workspace.read(Document) if workspace.has(Document) else Document.create_empty()
    matches = workspace.read(Match) if workspace.has(Match) else Match.create_empty()
    asked = Asked()
    replies = asked.noting(journal.replies())
    made, rejected = describe(workspace.read(Track), documents, matches, replies, echoes=_echoes(journal, prompt_roots))
    disagreements = find_disagreements(made, documents)
    descriptions, unagreed = score_agreement(made, documents, asked, min_agreement=min_agreement)
    left_out = Rejected.validate(pl.concat([rejected, unagreed]))
    workspace.write(Description, descriptions)
    workspace.write(Disagreement, disagreements)
    workspace.write_rejected("describe", left_out)
    unanswered = [
        {
            "stage": "generate",
            "key": call.request_key,
            "reason": f"call_{call.state}",
            "finding": f"{call.track_id}: {call.error}",
        }
        for call in journal.calls_in(("failed", "unknown"))
    ]
    workspace.write_rejected("generate", rejected_frame([*journal.refused(), *unanswered]))
    by_origin = dict(sorted(descriptions.group_by("origin").len().iter_rows()))
    return {"descriptions": by_origin, "rejected": len(left_out), "disagreements": len(disagreements)}


def _echoes(journal: Journal, prompt_roots: Sequence[Path]) -> dict[str, list[str]]:
    """Prompt id → aspects of the pack's worked examples, which a small model likes to repeat; of packs still there."""
    asked = {name.partition("@")[0] for name in journal.counts()}
    packs = [load_pack(folder) for pack_id, folder in pack_folders(prompt_roots).items() if pack_id in asked]
    return {pack.id: example_aspects(plain_examples(pack)) for pack in packs}
