"""The report's first chart: each stage's rows that went on, wait for review or were refused, by source or origin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sourcing.store import Description, Document, Match, Workspace, open_version

__all__ = ["Bar", "Stage", "funnel", "requests_by_source"]

_ON, _REVIEW, _REFUSED = "on", "review", "refused"
#: state of a crawl task, or band of a match → outcome; other states are still open and in no bar
_OUTCOMES = {
    "fetched": _ON, "failed": _REFUSED, "denied": _REFUSED, "accept": _ON, "review": _REVIEW, "reject": _REFUSED,
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """The rows of one source or origin at one stage, by outcome."""

    name: str
    on: int
    review: int = 0
    refused: int = 0

    @property
    def total(self) -> int:
        return self.on + self.review + self.refused


@dataclass(frozen=True)
class Stage:
    """A stage of the mission: counted unit, and names of the outcomes."""

    unit: str
    outcomes: str
    bars: tuple[Bar, ...]

    @property
    def total(self) -> int:
        return sum(bar.total for bar in self.bars)


def requests_by_source(crawl_status: Mapping[str, Any]) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """From `crawl status`: source → state → tasks of the sources that are on; source → tasks of those that are off.

    A page names records at other sources; for a source that is off these stay tasks nobody was asked about.
    """
    states = ("fetched", "failed", "denied", "pending", "leased")
    counts = {
        name: {state: source[state] for state in states if source[state]}
        for name, source in sorted(crawl_status["sources"].items())
    }
    is_on = {name: source["on"] for name, source in crawl_status["sources"].items()}
    requests = {name: by_state for name, by_state in counts.items() if is_on[name]}
    return requests, {name: sum(by_state.values()) for name, by_state in counts.items() if by_state and not is_on[name]}


def funnel(result: Mapping[str, Any], out: Path) -> list[Stage]:
    """The stages from catalogue to published descriptions, counted in the demo's tables below `out`."""
    workspace = Workspace(out)
    documents = workspace.read(Document).select("doc_id", "source")
    bands = workspace.read(Match).join(documents, on="doc_id").select("source", "band")
    origins = Counter(workspace.read(Description)["origin"].to_list())
    published = Counter(
        open_version(result["version"], out / "datasets").scan("descriptions").select("origin").collect()["origin"]
    )
    refused_rows = sum(count for reason, count in result["rejected"].items() if reason.startswith("catalogue: "))
    tasks = [(name, state, count) for name, states in result["requests"].items() for state, count in states.items()]
    pairs = [(source, band, 1) for source, band in bands.iter_rows()]
    sources = Counter(documents["source"].to_list())
    return [
        Stage("rows of the catalogue", "tracks, refused", (Bar("owner's file", result["tracks"], 0, refused_rows),)),
        Stage("addresses at the three sources", "answered; missing, or closed to us", _bars(tasks)),
        Stage(
            "documents read from the answers", "", tuple(Bar(name, count) for name, count in sorted(sources.items()))
        ),
        Stage("pairs of a document and a track", "accepted, for review, rejected", _bars(pairs)),
        Stage("descriptions made", "", tuple(Bar(name, count) for name, count in sorted(origins.items()))),
        Stage(
            "descriptions published",
            "published, held back",
            tuple(Bar(name, published[name], 0, count - published[name]) for name, count in sorted(origins.items())),
        ),
    ]


def _bars(counts: Iterable[tuple[str, str, int]]) -> tuple[Bar, ...]:
    """One bar a name from (name, state or band, count)."""
    outcomes: dict[str, Counter[str]] = {}
    for name, state, count in counts:
        outcomes.setdefault(name, Counter())[_OUTCOMES.get(state, "open")] += count
    return tuple(
        Bar(name, by_outcome[_ON], by_outcome[_REVIEW], by_outcome[_REFUSED])
        for name, by_outcome in sorted(outcomes.items())
    )
