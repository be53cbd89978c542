"""The evaluation as a record and as a table: each number beside interval and chance, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.evaluation.bootstrap import Measured

__all__ = ["NAMES", "as_record", "table_rows", "verdict"]

NAMES = {
    "r_at_1": "R@1",
    "r_at_5": "R@5",
    "r_at_10": "R@10",
    "mrr": "MRR",
    "map_at_10": "mAP@10",
    "median_rank": "median rank",
    "precision_at_10": "P@10",
    "map": "mAP",
}
_DIRECTIONS = {"text_to_audio": "text→audio", "audio_to_text": "audio→text"}

Metrics = Mapping[str, Mapping[str, Measured]]


def verdict(text_to_audio: Mapping[str, Measured]) -> str:
    """ "good" when both MRR and median rank of text→audio are clear of chance, else "within chance"."""
    clear = text_to_audio["mrr"].clear_of_chance and text_to_audio["median_rank"].clear_of_chance
    return "good" if clear else "within chance"


def as_record(retrieval: Metrics, similarity: Metrics) -> dict[str, Any]:
    """The metrics as plain values: {"text_to_audio": {"mrr": {...}}, "audio_to_text": …, "similarity": {facet: …}}."""
    record: dict[str, Any] = {direction: _plain(metrics) for direction, metrics in retrieval.items()}
    record["similarity"] = {facet: _plain(metrics) for facet, metrics in similarity.items()}
    return record


def table_rows(record: Mapping[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """Rows (section, metric, value, interval, chance with interval, clear) of a table, from a record of `as_record`."""
    sections = [(_DIRECTIONS[name], record[name]) for name in _DIRECTIONS if name in record]
    sections += [(f"same {facet}", metrics) for facet, metrics in record.get("similarity", {}).items()]
    return [
        (
            section,
            NAMES.get(name, name),
            _number(name, figure["value"]),
            _span(name, figure["low"], figure["high"]),
            f"{_number(name, figure['chance'])} ({_span(name, figure['chance_low'], figure['chance_high'])})",
            "yes" if figure["clear_of_chance"] else "no",
        )
        for section, metrics in sections
        for name, figure in metrics.items()
    ]


def _plain(metrics: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: figure.as_dict() for name, figure in metrics.items()}


def _number(name: str, value: float) -> str:
    return f"{value:.1f}" if name == "median_rank" else f"{value:.3f}"


def _span(name: str, low: float, high: float) -> str:
    return f"{_number(name, low)} – {_number(name, high)}"
