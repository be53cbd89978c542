"""What came of a demo: the result as one JSON object, as a few lines, and as a self-contained report.html."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sourcing.demo.charts import line_chart, scatter, whiskers
from sourcing.demo.run import QUERIES, Mission
from sourcing.demo.world import World

__all__ = ["highlight", "render_report", "summarise", "summary_lines", "write_report"]

_HERE = Path(__file__).parent
_SHOWN = ("r_at_1", "r_at_5", "r_at_10", "mrr", "map_at_10")
_NAMES = {"r_at_1": "R@1", "r_at_5": "R@5", "r_at_10": "R@10", "mrr": "MRR", "map_at_10": "mAP@10"}
_CONTEXT_CHARS = 260  # of a document around its quotes


def summarise(mission: Mission, world: World) -> dict[str, Any]:
    """The numbers of a finished mission, counted in the workspace's tables rather than taken on trust."""
    import polars as pl

    from sourcing.store import Description, Document, Match, Track, Workspace

    workspace, answers = Workspace(mission.options.out), mission.answers
    rejected: Counter[str] = Counter()
    for path in sorted((mission.options.out / "tables").glob("rejected-*.parquet")):
        for stage, reason in pl.read_parquet(path).select("stage", "reason").iter_rows():
            rejected[f"{stage}: {reason}"] += 1
    evaluated = answers["evaluate"]
    return {
        "tracks": workspace.read(Track).height,
        "artists": len(world.artists),
        "requests": {state: count for state, count in answers["crawl status"]["total"].items() if count},
        "documents": _count(workspace.read(Document)["source"]),
        "matches": _count(workspace.read(Match)["band"]),
        "descriptions": _count(workspace.read(Description)["origin"]),
        "rejected": dict(sorted(rejected.items())),
        "published": answers["publish"].get("rows", {}),
        "splits": answers["publish"].get("splits", {}),
        "version": f"{answers['publish']['name']}@{answers['publish']['version']}",
        "model": str(answers["train"]["model"]),
        "metrics": evaluated.get("metrics", evaluated),
        "verdict": evaluated.get("verdict"),
        "searches": {text: answers[f"search {text}"].get("hits", []) for text, _, _ in QUERIES},
    }


def summary_lines(mission: Mission, result: dict[str, Any]) -> list[str]:
    """Some twenty lines for a terminal."""
    seconds = result["seconds"]
    lines = ["", "What came of it"]
    lines += [f"  {name:<13} {value}" for name, value in _facts(result)]
    forth = result["metrics"]["text_to_audio"]
    lines += ["", "Words to sound, on artists the model never heard (95 % interval; what chance gives)"]
    for name in ("mrr", "median_rank", "r_at_10"):
        row = forth[name]
        clear = "clear of chance" if row["clear_of_chance"] else "within chance"
        figures = f"{row['value']:6.2f}  ({row['low']:.2f} to {row['high']:.2f}; chance {row['chance']:.2f})"
        lines.append(f"  {_NAMES.get(name, 'median rank'):<13} {figures}  {clear}")
    labels = _labels(mission)
    lines += ["", "Searches"]
    for text, facet, value in QUERIES:
        hits = result["searches"][text]
        good = sum(labels.get(hit["track_id"], {}).get(facet) == value for hit in hits)
        share = sum(found.get(facet) == value for found in labels.values()) / max(len(labels), 1)
        lines.append(f'  "{text}": {good} of {len(hits)} hits have {facet}={value} ({share:.0%} of the catalogue do)')
    slowest = sorted((item for item in seconds.items() if item[0] != "all"), key=lambda item: -item[1])[:5]
    lines += ["", f"{seconds['all']:.0f} s in all; most of it: " + ", ".join(f"{n} {s:.0f} s" for n, s in slowest)]
    return [*lines, f"Pictures: {result['report']}"]


def write_report(mission: Mission, world: World, result: dict[str, Any]) -> Path:
    """Write OUT/report.html from the workspace's tables, the model's metrics and the index."""
    out = mission.options.out
    facts = {
        "seed": mission.options.seed,
        "result": result,
        "facts": _facts(result),
        "funnel": _funnel(result),
        "rejected": sorted(result["rejected"].items(), key=lambda item: (-item[1], item[0])),
        "examples": _examples(out),
        "curve": _curve(Path(result["model"])),
        "retrieval": _retrieval(result["metrics"]),
        "map": _map(mission, world),
        "styles": list(dict.fromkeys(track.style_tag for track in world.tracks)),
        "searches": _searches(mission, result),
        "steps": [(name, mission.commands.get(name, ""), spent) for name, spent in mission.seconds.items()],
    }
    path = out / "report.html"
    path.write_text(render_report(facts), encoding="utf-8")
    return path


def render_report(facts: dict[str, Any]) -> str:
    """The page; everything but our own SVG and marks is escaped by the template engine."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("report.html.j2").render(facts)


def highlight(text: str, spans: list[tuple[int, int]], context: int = _CONTEXT_CHARS) -> Markup:
    """`text` escaped, with the character spans [start, end) in <mark>; far from any span it is cut to "…".

    Overlapping spans are joined; spans outside the text are clipped.
    """
    joined: list[list[int]] = []
    for start, end in sorted((max(0, start), min(len(text), end)) for start, end in spans):
        if start >= end:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    pieces, position = Markup(""), 0
    for start, end in joined:
        pieces += _between(text[position:start], context, first=position == 0)
        pieces += Markup("<mark>{}</mark>").format(text[start:end])
        position = end
    rest = text[position:]
    return pieces + escape(rest if len(rest) <= context else rest[:context].rsplit(" ", 1)[0] + " …")


def _between(text: str, context: int, *, first: bool) -> Markup:
    if first and len(text) > context:
        return escape("… " + text[-context:].split(" ", 1)[-1])
    if not first and len(text) > 2 * context:
        return escape(text[:context].rsplit(" ", 1)[0] + " … " + text[-context:].split(" ", 1)[-1])
    return escape(text)


def _count(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values.to_list()).items()))


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    def told(counts: dict[str, int]) -> str:
        return f"{sum(counts.values())} ({', '.join(f'{count} {name}' for name, count in counts.items())})"

    return [
        ("tracks", f"{result['tracks']} by {result['artists']} artists"),
        ("documents", told(result["documents"])),
        ("matches", told(result["matches"])),
        ("descriptions", told(result["descriptions"])),
        ("rejected", f"{sum(result['rejected'].values())}, each with a reason"),
        ("version", result["version"]),
        ("model", result["model"]),
    ]


def _funnel(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Stages with their parts: what came in, and what it was made of."""
    stages = [
        ("tracks in the catalogue", {"": result["tracks"]}),
        ("requests to the three sources", result["requests"]),
        ("documents read", result["documents"]),
        ("documents held against tracks", result["matches"]),
        ("descriptions", result["descriptions"]),
        ("descriptions published", {"": result["published"].get("descriptions", 0)}),
    ]
    most = max(sum(parts.values()) for _, parts in stages) or 1
    return [
        {
            "name": name,
            "total": sum(parts.values()),
            "parts": [{"name": part, "count": count, "share": 100 * count / most} for part, count in parts.items()],
        }
        for name, parts in stages
    ]


def _examples(out: Path, wanted: int = 6) -> list[dict[str, Any]]:
    """Mined descriptions with the most aspects, one a document, with their quotes marked; then one scraped."""
    from sourcing.store import Description, Document, Track, Workspace

    workspace = Workspace(out)
    documents = {row["doc_id"]: row for row in workspace.read(Document).iter_rows(named=True)}
    tracks = {row["track_id"]: row for row in workspace.read(Track).iter_rows(named=True)}
    rows = sorted(
        workspace.read(Description).iter_rows(named=True), key=lambda row: (-len(row["aspects"]), row["description_id"])
    )
    mined = [row for row in rows if row["origin"] == "mined"][:wanted]
    scraped = [row for row in rows if row["origin"] == "scraped" and row["caption"]][:1]
    shown = []
    for row in [*mined, *scraped]:
        spans: dict[str, list[tuple[int, int]]] = {doc_id: [] for doc_id in row["doc_ids"]}
        for aspect in row["aspects"]:
            for quote in aspect["evidence"]:
                spans.setdefault(quote["doc_id"], []).append((quote["start"], quote["end"]))
        sources = [
            {
                "source": documents[doc_id]["source"],
                "permalink": documents[doc_id]["permalink"] or documents[doc_id]["url"],
                "text": highlight(documents[doc_id]["text"] or "", found),
            }
            for doc_id, found in spans.items()
            if doc_id in documents and documents[doc_id]["text"]
        ]
        shown.append({"track": tracks[row["track_id"]], "description": row, "sources": sources})
    return shown


def _curve(model: Path) -> Markup:
    path = model / "metrics.jsonl"
    if not path.exists():
        return Markup("")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    size = max(1, len(rows) // 60)  # a point is the mean of so many steps: single batches jump
    chunks = [rows[at : at + size] for at in range(0, len(rows), size)]
    trained = [(chunk[-1]["step"], sum(row["loss"] for row in chunk) / len(chunk)) for chunk in chunks]
    checked = [(row["step"], row["validation"]["loss"]) for row in rows if "validation" in row]
    return line_chart({"training": trained, "validation": checked}, x_label="step", y_label="NT-Xent loss")


def _retrieval(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Both directions and the label neighbourhoods, each as a chart; ranks on an axis of their own."""
    titles = {"text_to_audio": "Words find sound", "audio_to_text": "Sound finds words"}
    sections = []
    for key, title in titles.items():
        found = metrics.get(key, {})
        rows = [(_NAMES[name], found[name]) for name in _SHOWN if name in found]
        ranks = [("median rank", found["median_rank"])] if "median_rank" in found else []
        sections.append({"title": title, "chart": whiskers(rows), "ranks": whiskers(ranks, log=True)})
    alike = [
        (f"same {facet}", found["map"]) for facet, found in metrics.get("similarity", {}).items() if "map" in found
    ]
    if alike:
        title = "Sound finds sound (mAP, own artist left out)"
        sections.append({"title": title, "chart": whiskers(alike), "ranks": Markup("")})
    return sections


def _map(mission: Mission, world: World) -> Markup:
    """The catalogue's embeddings on their two widest principal axes, coloured by style."""
    import numpy as np
    import polars as pl

    folder = mission.options.out / "index"
    if not (folder / "embeddings.npy").exists():
        return Markup("")
    vectors = np.load(folder / "embeddings.npy").astype(np.float64)  # (N, E)
    ids = pl.read_parquet(folder / "tracks.parquet")["track_id"].to_list()
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat = centred @ axes[:2].T  # (N, 2)
    tracks = {track.track_id: track for track in world.tracks}
    points = [
        (float(x), float(y), tracks[track_id].style_tag, _tooltip(tracks[track_id]))
        for (x, y), track_id in zip(flat, ids, strict=True)
        if track_id in tracks
    ]
    return scatter(points, list(dict.fromkeys(track.style_tag for track in world.tracks)))


def _tooltip(track: Any) -> str:
    spec = track.spec
    return (
        f"{track.title}, {track.artist}: {track.style_tag}, {spec.lead}, {spec.tempo}, {spec.drums.replace('_', ' ')}"
    )


def _labels(mission: Mission) -> dict[str, dict[str, str]]:
    from sourcing.store import Track, Workspace

    rows = Workspace(mission.options.out).read(Track).select("track_id", "labels").iter_rows()
    return {track_id: {label["facet"]: label["value"] for label in labels} for track_id, labels in rows}


def _searches(mission: Mission, result: dict[str, Any]) -> list[dict[str, Any]]:
    labels = _labels(mission)
    asked = [(f'"{text}"', facet, value, result["searches"][text]) for text, facet, value in QUERIES]
    for name, answer in mission.answers.items():
        if name.startswith("like "):
            own = labels.get(name.removeprefix("like "), {})
            asked.append((f"like {name.removeprefix('like ')}", "lead", own.get("lead", ""), answer.get("hits", [])))
    return [
        {
            "query": query,
            "facet": facet,
            "value": value,
            "hits": [
                {
                    **hit,
                    "labels": labels.get(hit["track_id"], {}),
                    "good": labels.get(hit["track_id"], {}).get(facet) == value,
                }
                for hit in hits[:8]
            ],
        }
        for query, facet, value, hits in asked
    ]
