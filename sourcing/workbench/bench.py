"""Bench: figures of prompt packs, or of the rules alone, on the gold documents, in all and by group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sourcing.workbench.measures.gold import GOLD_FOLDER
from sourcing.workbench.measures.scores import MEASURES, DocumentScore, Estimate, estimates

__all__ = ["GROUPS", "as_dict", "gold_folder", "grouped"]

#: By what figures are told apart.
GROUPS = ("language", "kind", "manner")


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
