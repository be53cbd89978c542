"""The figures of a finished demo: one JSON object, and about twenty lines for a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sourcing.demo.report.funnel import requests_by_source
from sourcing.demo.run import QUERIES, Mission
from sourcing.demo.world import World
from sourcing.store import Description, Document, Match, Track, Workspace

__all__ = ["METRIC_NAMES", "fact_lines", "labels_by_track", "summarise", "summary_lines"]

METRIC_NAMES = {"r_at_1": "R@1", "r_at_5": "R@5", "r_at_10": "R@10", "mrr": "MRR", "map_at_10": "mAP@10"}


def summarise(mission: Mission, world: World) -> dict[str, Any]:
    """The numbers of a finished mission, counted in the workspace's tables rather than taken on trust.

    `requests` counts the tasks of the three sources by source and state, `leads_elsewhere` the tasks that their
    answers led to at sources which are switched off.
    """
    workspace, answers = Workspace(mission.options.out), mission.answers
    stages = workspace.read_rejected().select("stage", "reason").iter_rows()
    rejected = Counter(f"{stage}: {reason}" for stage, reason in stages)
    requests, leads_elsewhere = requests_by_source(answers["crawl status"])
    evaluation = answers["evaluate"]
    return {
        "tracks": workspace.read(Track).height,
        "artists": len(world.artists),
        "requests": requests,
        "leads_elsewhere": leads_elsewhere,
        "documents": _count(workspace.read(Document)["source"]),
        "matches": _count(workspace.read(Match)["band"]),
        "descriptions": _count(workspace.read(Description)["origin"]),
        "rejected": dict(sorted(rejected.items())),
        "published": answers["publish"].get("rows", {}),
        "splits": answers["publish"].get("splits", {}),
        "version": f"{answers['publish']['name']}@{answers['publish']['version']}",
        "model": str(answers["train"]["model"]),
        "metrics": evaluation.get("metrics", evaluation),
        "verdict": evaluation.get("verdict"),
        "searches": {text: answers[f"search {text}"].get("hits", []) for text, _, _ in QUERIES},
    }


def summary_lines(mission: Mission, result: dict[str, Any]) -> list[str]:
    """The figures of a finished demo as about twenty lines for a terminal."""
    seconds = result["seconds"]
    lines = ["", "What came of it"]
    lines += [f"  {name:<13} {value}" for name, value in fact_lines(result)]
    text_to_audio = result["metrics"]["text_to_audio"]
    lines += ["", "Words to sound, on artists the model never heard (95 % interval; what chance gives)"]
    for name in ("mrr", "median_rank", "r_at_10"):
        row = text_to_audio[name]
        clear = "clear of chance" if row["clear_of_chance"] else "within chance"
        figures = f"{row['value']:6.2f}  ({row['low']:.2f} to {row['high']:.2f}; chance {row['chance']:.2f})"
        lines.append(f"  {METRIC_NAMES.get(name, 'median rank'):<13} {figures}  {clear}")
    labels = labels_by_track(Workspace(mission.options.out))
    lines += ["", "Searches"]
    for text, facet, value in QUERIES:
        hits = result["searches"][text]
        good = sum(labels.get(hit["track_id"], {}).get(facet) == value for hit in hits)
        share = sum(own.get(facet) == value for own in labels.values()) / max(len(labels), 1)
        lines.append(f'  "{text}": {good} of {len(hits)} hits have {facet}={value} ({share:.0%} of the catalogue do)')
    slowest = sorted((item for item in seconds.items() if item[0] != "all"), key=lambda item: -item[1])[:5]
    lines += ["", f"{seconds['all']:.0f} s in all; most of it: " + ", ".join(f"{n} {s:.0f} s" for n, s in slowest)]
    return [*lines, f"Pictures: {result['report']}"]


def fact_lines(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each main figure."""

    def total(counts: dict[str, int]) -> str:
        return f"{sum(counts.values())} ({', '.join(f'{count} {name}' for name, count in counts.items())})"

    return [
        ("tracks", f"{result['tracks']} by {result['artists']} artists"),
        ("documents", total(result["documents"])),
        ("matches", total(result["matches"])),
        ("descriptions", total(result["descriptions"])),
        ("rejected", f"{sum(result['rejected'].values())}, each with a reason"),
        ("version", result["version"]),
        ("model", result["model"]),
    ]


def labels_by_track(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Track id → the catalogue's labels as facet → value; training never reads the labels."""
    rows = workspace.read(Track).select("track_id", "labels").iter_rows()
    return {track_id: {label["facet"]: label["value"] for label in labels} for track_id, labels in rows}


def _count(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values.to_list()).items()))
