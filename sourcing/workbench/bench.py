"""Bench: prompt packs, or the rules alone, held against the gold documents.

A pack is asked about the gold documents in a workspace of their own, through a journal like any other: what was
answered once is not paid again, and a run that stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from sourcing.store.schemas import Document, Match, Track
from sourcing.store.workspace import Workspace
from sourcing.workbench.gold import GOLD_FOLDER, GoldDocument
from sourcing.workbench.rules import document_row, track_row
from sourcing.workbench.scores import MEASURES, DocumentScore, Estimate, Words, estimates, score

__all__ = ["GROUPS", "as_dict", "gold_folder", "grouped", "lay_out", "score_all", "words_of"]

#: By what figures are told apart.
GROUPS = ("language", "kind", "manner")


def lay_out(workspace: Workspace, documents: Sequence[GoldDocument]) -> None:
    """Write the tables of a workspace whose tracks and documents are the gold ones, each matched to its own."""
    rows = {
        Track: [track_row(document) for document in documents],
        Document: [document_row(document) for document in documents],
        Match: [
            {"track_id": d.id, "doc_id": d.id, "score": 1.0, "band": "accept", "method": "gold", "reasons": []}
            for d in documents
        ],
    }
    for schema, table in rows.items():
        frame = schema.validate(pl.DataFrame(table, schema=schema.create_empty().schema), cast=True)
        workspace.write(schema, frame)


def words_of(documents: Iterable[GoldDocument], descriptions: pl.DataFrame) -> dict[str, Words]:
    """Gold id → what the descriptions of one pack and model say of it; nothing where none was kept."""
    rows = {row["track_id"]: row for row in descriptions.iter_rows(named=True)}
    words: dict[str, Words] = {}
    for document in documents:
        row = rows.get(document.id)
        aspects = [(aspect["text"], aspect["facet"]) for aspect in row["aspects"]] if row else []
        words[document.id] = Words(aspects, row["caption"] if row else None)
    return words


def score_all(
    documents: Sequence[GoldDocument],
    describe: Callable[[GoldDocument], Words],
    *,
    on_document: Callable[[], object] = lambda: None,
) -> list[DocumentScore]:
    """Score what `describe` takes from each document."""
    scores = []
    for document in documents:
        scores.append(score(document, describe(document)))
        on_document()
    return scores


def grouped(scores: Sequence[DocumentScore]) -> dict[str, dict[str, list[DocumentScore]]]:
    """Group → value → scores of its documents, in the order of the documents."""
    groups: dict[str, dict[str, list[DocumentScore]]] = {name: {} for name in GROUPS}
    for each in scores:
        for name in GROUPS:
            groups[name].setdefault(getattr(each.document, name), []).append(each)
    return groups


def as_dict(scores: Sequence[DocumentScore], usd: float = 0.0) -> dict[str, Any]:
    """Figures of all documents and of each group, and the findings of each document, as JSON values."""
    right = sum(each.counts["right"] for each in scores)
    return {
        "documents": len(scores),
        "measures": _figures(estimates(scores)),
        "usd": round(usd, 6),
        "usd_per_right_aspect": round(usd / right, 8) if right else None,
        "by": {
            name: {value: _figures(estimates(own)) for value, own in values.items()}
            for name, values in grouped(scores).items()
        },
        "details": [
            {
                "id": each.document.id,
                "aspects": [asdict(aspect) for aspect in each.aspects],
                "missed": each.missed,
                "caption": each.caption,
            }
            for each in scores
        ],
    }


def _figures(figures: Mapping[str, Estimate]) -> dict[str, list[float | None]]:
    return {key: [None if number is None else round(number, 4) for number in figures[key]] for key in MEASURES}


def gold_folder(prompt_roots: Sequence[Path]) -> Path:
    """The folder of gold documents of the first root that has one."""
    return next((root / GOLD_FOLDER for root in prompt_roots if (root / GOLD_FOLDER).is_dir()), Path(GOLD_FOLDER))
