"""The self-contained report.html of a demo: figures, charts, examples and sound, with nothing fetched to show it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sourcing.demo.report.charts import line_chart, whiskers
from sourcing.demo.report.clips import CLIP_S, MIME_TYPE, encode_clips
from sourcing.demo.report.funnel import funnel
from sourcing.demo.report.palette import FAMILIES, legend, swatch
from sourcing.demo.report.showcase import Example, model_record, showcase
from sourcing.demo.report.sound_map import Dot, draw_map, find_regions, project
from sourcing.demo.report.summary import METRIC_NAMES, fact_lines, labels_by_track
from sourcing.demo.run import QUERIES, Mission
from sourcing.demo.world import DemoTrack, World
from sourcing.store import Workspace

__all__ = ["render_report", "write_report"]

_HERE = Path(__file__).parent
_RATES = ("r_at_1", "r_at_5", "r_at_10", "mrr", "map_at_10")
_HITS = 8  # shown of each search
Labels = Mapping[str, Mapping[str, str]]


def write_report(mission: Mission, world: World, result: dict[str, Any]) -> Path:
    """Write OUT/report.html from the workspace's tables, the model's metrics, the index and the sound files."""
    out = mission.options.out
    workspace = Workspace(out)
    labels, tracks = labels_by_track(workspace), {track.track_id: track for track in world.tracks}
    examples, searches = showcase(workspace, world), _searches(mission, result, labels)
    clips = encode_clips(_track_ids(examples, searches), {name: out / track.audio for name, track in tracks.items()})
    facts = {
        "seed": mission.options.seed,
        "result": result,
        "facts": fact_lines(result),
        "stages": funnel(result, out),
        "rejected": sorted(result["rejected"].items(), key=lambda item: (-item[1], item[0])),
        "examples": examples,
        "record": model_record(workspace, world, mission.answers["mine"]["replied"]),
        "curve": _curve(Path(result["model"])),
        "retrieval": _retrieval(result["metrics"]),
        "map": _map(out, tracks, labels, frozenset(clips)),
        "searches": searches,
        "tracks": tracks,
        "clips": clips,
        "steps": [(name, mission.commands.get(name, ""), spent_s) for name, spent_s in mission.seconds.items()],
    }
    path = out / "report.html"
    path.write_text(render_report(facts), encoding="utf-8")
    return path


def render_report(facts: dict[str, Any]) -> str:
    """The page of `facts`; all but our own SVG, style and script is escaped by the template engine.

    Its Content-Security-Policy lets a browser run this one script, by its hash, and fetch nothing.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        facts,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        families=FAMILIES,
        legend=legend(),
        swatch=swatch,
        clip_s=CLIP_S,
        sounds={
            name: f"data:{MIME_TYPE};base64,{base64.b64encode(clip).decode()}" for name, clip in facts["clips"].items()
        },
    )


def _track_ids(examples: Iterable[Example], searches: Iterable[Mapping[str, Any]]) -> list[str]:
    """Ids of tracks to play, most needed first: query tracks, examples, then hits rank by rank."""
    searches = list(searches)
    ranks = [
        search["hits"][rank]["track_id"] for rank in range(_HITS) for search in searches if rank < len(search["hits"])
    ]
    return [
        *(search["like"] for search in searches if search["like"]),
        *(example.track.track_id for example in examples),
        *ranks,
    ]


def _curve(model: Path) -> Markup:
    path = model / "metrics.jsonl"
    if not path.exists():
        return Markup("")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    size = max(1, len(rows) // 60)  # a point is the mean of so many steps: single batches jump
    chunks = [rows[at : at + size] for at in range(0, len(rows), size)]
    training = [(chunk[-1]["step"], sum(row["loss"] for row in chunk) / len(chunk)) for chunk in chunks]
    validation = [(row["step"], row["validation"]["loss"]) for row in rows if "validation" in row]
    return line_chart({"training": training, "validation": validation}, x_label="step", y_label="NT-Xent loss")


def _retrieval(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """Both directions and the label neighbourhoods, each as a chart; ranks on an axis of their own."""
    titles = {"text_to_audio": "Words find sound", "audio_to_text": "Sound finds words"}
    sections = []
    for direction, title in titles.items():
        rows = metrics.get(direction, {})
        rates = [(METRIC_NAMES[name], rows[name]) for name in _RATES if name in rows]
        ranks = [("median rank", rows["median_rank"])] if "median_rank" in rows else []
        sections.append({"title": title, "chart": whiskers(rates), "ranks": whiskers(ranks, log=True)})
    alike = [(f"same {facet}", row["map"]) for facet, row in metrics.get("similarity", {}).items() if "map" in row]
    if alike:
        title = "Sound finds sound (mAP, own artist left out)"
        sections.append({"title": title, "chart": whiskers(alike), "ranks": Markup("")})
    return sections


def _map(out: Path, tracks: Mapping[str, DemoTrack], labels: Labels, playable: frozenset[str]) -> Markup:
    """The index's embeddings drawn as a map with named regions; empty without an index."""
    import numpy as np
    import polars as pl

    folder = out / "index"
    if not (folder / "embeddings.npy").exists():
        return Markup("")
    points = project(np.load(folder / "embeddings.npy").astype(np.float64))  # (N, 2)
    track_ids = pl.read_parquet(folder / "tracks.parquet")["track_id"].to_list()
    dots = [
        Dot(track_id, float(x), float(y), tracks[track_id].spec.lead, _tooltip(tracks[track_id]))
        for (x, y), track_id in zip(points, track_ids, strict=True)
    ]
    return draw_map(dots, find_regions(points, [labels.get(track_id, {}) for track_id in track_ids]), playable)


def _tooltip(track: DemoTrack) -> str:
    spec = track.spec
    drums = "no drums" if spec.drums == "none" else spec.drums.replace("_", " ")
    return f"{track.title}, {track.artist}: {track.style_tag}, {spec.lead}, {spec.tempo}, {drums}"


def _searches(mission: Mission, result: dict[str, Any], labels: Labels) -> list[dict[str, Any]]:
    """The searches with the first hits of each; a hit is good when the label has the value that the query means."""
    searches = [(f"“{text}”", "", facet, value, result["searches"][text]) for text, facet, value in QUERIES]
    for name, answer in mission.answers.items():
        if name.startswith("like "):
            track_id = name.removeprefix("like ")
            lead = labels.get(track_id, {}).get("lead", "")
            searches.append((f"what sounds like {track_id}", track_id, "lead", lead, answer.get("hits", [])))
    return [
        {
            "query": query,
            "like": like,
            "facet": facet,
            "value": value,
            "hits": [
                {**hit, "labels": own, "good": own.get(facet) == value}
                for hit in hits[:_HITS]
                for own in [labels.get(hit["track_id"], {})]
            ],
        }
        for query, like, facet, value, hits in searches
    ]
