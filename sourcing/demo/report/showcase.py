"""The report's examples of descriptions, chosen by a written rule, and the small model's right and wrong aspects.

The demo invented its tracks, so it knows how each one sounds and can hold every mined aspect against that: *true* names
an attribute the track has, *false* one it lacks, *silent* none at all. The words that give an attribute away are the
`cues` of `lists/phrases.toml`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from markupsafe import Markup, escape

from sourcing.demo.word_lists import phrases, word_list
from sourcing.demo.world import DemoTrack, World
from sourcing.store import Description, Document, Workspace
from sourcing.store.schemas import Row

__all__ = ["Example", "ModelRecord", "aspect_truth", "choose", "highlight", "model_record", "showcase"]

_SHOWN = 4
_CONTEXT_CHARS = 160  # of a document around its quotes


@dataclass(frozen=True)
class Example:
    """A description with track, truth of each aspect, and documents with quotes marked."""

    kind: str  # "hit" | "miss" | "scraped"
    description: Row
    track: DemoTrack
    truths: list[str]
    sources: list[Row]


@dataclass
class ModelRecord:
    """The small model's record: replies, aspects by truth, refused claims by reason with one finding each."""

    model: str = ""
    replies: int = 0
    descriptions: int = 0
    truths: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)


def showcase(workspace: Workspace, world: World) -> list[Example]:
    """The mined descriptions that `choose` picks, then one scraped description, which no model touched."""
    tracks = {track.track_id: track for track in world.tracks}
    documents = {row["doc_id"]: row for row in workspace.read(Document).iter_rows(named=True)}
    rows = workspace.read(Description).sort("description_id").to_dicts()
    mined = [row for row in rows if row["origin"] == "mined" and row["track_id"] in tracks]
    scraped = [row for row in rows if row["origin"] == "scraped" and row["caption"] and row["aspects"]]
    picks = [*choose(mined, tracks), *(("scraped", row) for row in scraped[:1])]
    return [
        Example(
            kind,
            row,
            tracks[row["track_id"]],
            _truths(row, tracks) if row["origin"] == "mined" else [],
            _marked_documents(row, documents),
        )
        for kind, row in picks
    ]


def choose(mined: Iterable[Row], tracks: Mapping[str, DemoTrack], count: int = _SHOWN) -> list[tuple[str, Row]]:
    """`count` hits and one miss, by the rule that the report prints.

    Hits have the fewest aspects that are not true, then the most that are, one for each lead instrument; the miss has
    the most that are not true, and there is none if all are. Ties go by description_id.
    """
    ranking = []
    for row in mined:
        counts = Counter(_truths(row, tracks))
        ranking.append((counts["false"] + counts["silent"], -counts["true"], row["description_id"], row))
    ranking.sort(key=lambda entry: entry[:3])
    misses = [entry for entry in ranking if entry[0]]
    miss = max(misses, key=lambda entry: (entry[0], entry[1]))[3] if misses else None
    by_lead: dict[str, Row] = {}
    for *_, row in ranking:
        if row is not miss:
            by_lead.setdefault(tracks[row["track_id"]].spec.lead, row)
    hits = [("hit", row) for row in list(by_lead.values())[:count]]
    return hits + ([("miss", miss)] if miss else [])


def model_record(workspace: Workspace, world: World, replies: int) -> ModelRecord:
    """The small model's record over all replies, shown in the report or not."""
    tracks = {track.track_id: track for track in world.tracks}
    mined = [row for row in workspace.read(Description).to_dicts() if row["origin"] == "mined"]
    record = ModelRecord(mined[0]["model"] if mined else "", replies, len(mined))
    for row in mined:
        record.truths.update(_truths(row, tracks))
    for row in _refused_claims(workspace):
        record.refused[row["reason"]] += 1
        record.findings.setdefault(row["reason"], row["finding"])
    return record


def aspect_truth(text: str, track: DemoTrack) -> str:
    """true, false or silent: an aspect checked against the track's sound by cue words; one false cue makes false."""
    text = text.lower()
    truths = {"true"} if track.style_tag in text else set()
    own = {name: {value} for name, value in track.audible.items()} | {"lead": set(track.instruments)}
    for (attribute, value), cues in _cues().items():
        if cues.search(text):
            truths.add("true" if value in own[attribute] else "false")
    for word in ("slow", "fast"):
        if re.search(rf"\b{word}\b", text):
            truths.add("true" if word in track.spec.tempo else "false")
    return "false" if "false" in truths else "true" if truths else "silent"


@cache
def _cues() -> dict[tuple[str, str], re.Pattern[str]]:
    return {
        (attribute, value): re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases(attribute, value, 'cues')))})")
        for attribute, values in word_list("phrases").items()
        for value in values
    }


def _truths(row: Row, tracks: Mapping[str, DemoTrack]) -> list[str]:
    return [aspect_truth(aspect["text"], tracks[row["track_id"]]) for aspect in row["aspects"]]


def _refused_claims(workspace: Workspace) -> Iterable[Row]:
    """Rejected rows of model replies; those of scraped documents are keyed by track and document, with a space."""
    rows = workspace.read_rejected().iter_rows(named=True)
    return (row for row in rows if row["stage"] == "describe" and " " not in row["key"])


def _marked_documents(row: Row, documents: Mapping[str, Row]) -> list[Row]:
    """The texts of a description's documents with the aspects' quotes marked."""
    spans: dict[str, list[tuple[int, int]]] = {doc_id: [] for doc_id in row["doc_ids"]}
    for aspect in row["aspects"]:
        for quote in aspect["evidence"]:
            spans.setdefault(quote["doc_id"], []).append((quote["start"], quote["end"]))
    return [
        {
            "source": documents[doc_id]["source"],
            "permalink": documents[doc_id]["permalink"] or documents[doc_id]["url"],
            "text": highlight(documents[doc_id]["text"], quotes),
        }
        for doc_id, quotes in spans.items()
        if doc_id in documents and documents[doc_id]["text"]
    ]


def highlight(text: str, spans: list[tuple[int, int]], context: int = _CONTEXT_CHARS) -> Markup:
    """`text` escaped, with the character spans [start, end) in <mark>; far from any span it is cut to "…".

    Overlapping spans are joined; spans outside the text are clipped.
    """
    ranges: list[list[int]] = []
    for start, end in sorted((max(0, start), min(len(text), end)) for start, end in spans):
        if start >= end:
            continue
        if ranges and start <= ranges[-1][1]:
            ranges[-1][1] = max(ranges[-1][1], end)
        else:
            ranges.append([start, end])
    pieces, position = Markup(""), 0
    for start, end in ranges:
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
