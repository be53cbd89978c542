"""The page of the workbench: runs side by side, item by item, with nothing fetched to show it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sourcing.store.schemas import Row
from sourcing.workbench.compare import f1_of
from sourcing.workbench.expectations import UNBORNE, supported_share
from sourcing.workbench.runs import Run, Subject
from sourcing.workbench.trials import Trial

__all__ = ["page_data", "render_page"]

_HERE = Path(__file__).parent
_EXPENSIVE = 2.0  # times the median of its variant
_TEXT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def page_data(runs: Sequence[Run], *, stale: Collection[str] = (), note: str = "") -> dict[str, Any]:
    """What the page shows of these runs: variants, and items with a cell per variant (null where it was not asked).

    Items are the same where their names and digests are. `stale` are the ids of runs whose prompt has changed since.
    """
    subjects = {(each.name, each.digest): each for run in runs for each in run.subjects}
    cells = [_cells(run) for run in runs]
    digests = [{each.name: each.digest for each in run.subjects} for run in runs]
    messages = [{each.name: each.messages for each in run.subjects} for run in runs]
    items = []
    for (name, digest), own in subjects.items():
        row = [
            {**by_name[name], "messages": sent[name]} if known.get(name) == digest and name in by_name else None
            for by_name, known, sent in zip(cells, digests, messages, strict=True)
        ]
        items.append({"name": name, "about": own.about, "source": own.source, "cells": row, "search": _words(own, row)})
    kinds = list(dict.fromkeys(run.about for run in runs))
    return {
        "id": hashlib.sha256(" ".join(f"{run.id} {run.at}" for run in runs).encode()).hexdigest()[:16],
        "about": ", ".join(kinds),
        "note": note,
        "token": "",
        "stamp": "",
        "variants": [
            {"id": run.id, "name": run.variant, "stale": run.id in stale, "line": _line(run, run.id in stale)}
            for run in runs
        ],
        "items": items,
    }


def render_page(data: Mapping[str, Any], *, title: str) -> str:
    """The page as HTML. Its Content-Security-Policy lets a browser run this one script and style, by their hashes.

    What models and pages wrote stands in a block of JSON, whose angle brackets are written as escapes; the script sets
    it as text.
    """
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    script, style = ((_HERE / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _TEXT.items():
        text = text.replace(character, escape)
    return environment.get_template("page.html.j2").render(
        title=title, data=Markup(text), live=bool(data["token"]), script=Markup(script), style=Markup(style),
        script_hash=_hash(script), style_hash=_hash(style),
    )  # fmt: skip


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _cells(run: Run) -> dict[str, Row]:
    """Item → its cell: the trials of its samples, and the numbers that filters look at."""
    trials: dict[str, list[Trial]] = {}
    for trial in run.trials:
        trials.setdefault(trial.name, []).append(trial)
    costs = {name: _cost(own) for name, own in trials.items()}
    usual = median(costs.values()) if costs else 0.0
    return {
        name: {
            "trials": [_shown(trial) for trial in own],
            "supported": supported_share(own[0]),
            "unsupported": sum(row["reason"] in UNBORNE for trial in own for row in trial.rejected),
            "gold": run.gold.get(name) and {key: run.gold[name][key] for key in ("missed", "denied", "ragged")},
            "f1": f1_of(run.gold[name]["counts"]) if name in run.gold else None,
            "usd": _sum(trial.usage.usd for trial in own),
            "seconds": _sum(trial.usage.seconds for trial in own),
            "tokens": _sum((t.usage.input_tokens or 0) + (t.usage.output_tokens or 0) for t in own),
            "expensive": costs[name] > _EXPENSIVE * usual > 0,
        }
        for name, own in trials.items()
    }


def _shown(trial: Trial) -> Row:
    values = asdict(trial)
    return {name: values[name] for name in ("sample", "outcome", "aspects", "caption", "rejected", "problems", "reply")}


def _cost(trials: Sequence[Trial]) -> float:
    """What the replies of an item cost: dollars where they are told, else tokens of the replies."""
    usd = _sum(trial.usage.usd for trial in trials)
    return usd or float(_sum(trial.usage.output_tokens for trial in trials) or 0)


def _sum(numbers: Any) -> float | None:
    known = [number for number in numbers if number]
    return sum(known) if known else None


def _words(subject: Subject, cells: Sequence[Row | None]) -> str:
    """Lowercased words of an item that a search looks through."""
    parts = [subject.name, *map(str, subject.about.values())]
    for cell in filter(None, cells):
        for trial in cell["trials"]:
            parts += [aspect["text"] for aspect in trial["aspects"]]
            parts += [trial["caption"] or "", trial["outcome"], *trial["problems"]]
            parts += [row["reason"] for row in trial["rejected"]]
    return " ".join(parts).lower()


def _line(run: Run, is_stale: bool) -> str:
    """The line below a variant's name."""
    passed = sum(trial.outcome == "PASS" for trial in run.trials)
    parts = [f"{run.id}, {run.at[:16].replace('T', ' ')}"]
    if run.about == "cases":
        parts.append(f"{passed} of {len(run.trials)} pass")
    if run.gold:
        parts.append(f"F1 {sum(f1_of(row['counts']) for row in run.gold.values()) / len(run.gold):.2f}")
    if run.usd:
        parts.append(f"{run.usd:.4f} USD")
    if is_stale:
        parts.append("STALE: the prompt has changed since")
    return ", ".join(parts)
