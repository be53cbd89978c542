"""Plan: which calls a pack needs for which tracks and documents, each with its request key and body."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.errors import PromptError
from sourcing.generation.endpoint import Endpoint
from sourcing.generation.pack import Pack, render
from sourcing.generation.wire import request_body, request_key, sha256_hex
from sourcing.store.schemas import Document, Match, Track

__all__ = ["DOCUMENT_CHARS", "MIN_DOCUMENT_CHARS", "Plan", "PlannedCall", "cut_document", "plan_calls"]

#: Characters of a document a prompt may hold, about 500 tokens; cut at the last sentence that ends within.
DOCUMENT_CHARS = 2000
#: Shorter documents say too little to be worth a call.
MIN_DOCUMENT_CHARS = 80
#: Language asked for in captions and aspects.
CAPTION_LANGUAGE = "en"

_SENTENCE_END = re.compile(r"[.!?…](?=[\"'”’)\]]?\s)|[。！？]|\n\n")


@dataclass(frozen=True)
class PlannedCall:
    """One call and what it is for. Two tracks whose requests are equal share one key, and so one payment."""

    request_key: str
    prompt_id: str
    prompt_version: str
    prompt_hash: str
    track_id: str
    doc_id: str | None
    sample_idx: int
    language: str
    model: str
    body: Mapping[str, Any]

    @property
    def input_chars(self) -> int:
        return sum(len(message["content"]) for message in self.body["messages"])


@dataclass(frozen=True)
class Plan:
    """Calls sorted by track, document and sample, and rejected rows for what cannot be asked."""

    calls: tuple[PlannedCall, ...]
    rejected: tuple[dict[str, Any], ...] = field(default=())


@dataclass(frozen=True)
class _Target:
    """One thing to ask about; `spread` orders targets so that the first N of them reach as many artists as they can."""

    track: Mapping[str, Any]
    document: Mapping[str, Any] | None
    spread: tuple[int, int, str]

    @property
    def key(self) -> str:
        track_id = str(self.track["track_id"])
        return track_id if self.document is None else f"{track_id} {self.document['doc_id']}"


def plan_calls(
    pack: Pack,
    endpoint: Endpoint,
    tracks: dy.DataFrame[Track],
    *,
    documents: dy.DataFrame[Document] | None = None,
    matches: dy.DataFrame[Match] | None = None,
    track_ids: Iterable[str] | None = None,
    limit: int | None = None,
) -> Plan:
    """Calls of `pack`: per accepted match when it reads a document, else per track; `limit` counts calls.

    Targets that lack a required input come back as rejected rows (stage generate, reason input_missing).
    """
    targets = _targets(pack, tracks, documents, matches)
    if track_ids is not None:
        wanted = set(track_ids)
        targets = [target for target in targets if target.track["track_id"] in wanted]
    targets.sort(key=lambda target: target.spread)
    calls: list[PlannedCall] = []
    rejected: list[dict[str, Any]] = []
    for target in targets:
        if limit is not None and len(calls) >= limit:
            break
        try:
            calls += _calls_of(pack, endpoint, target)
        except _InputMissing as missing:
            finding = f"the track has no {missing}, which {pack.name} requires"
            rejected.append({"stage": "generate", "key": target.key, "reason": "input_missing", "finding": finding})
    calls = calls[:limit]
    calls.sort(key=lambda call: (call.track_id, call.doc_id or "", call.sample_idx))
    return Plan(tuple(calls), tuple(rejected))


def cut_document(text: str, budget: int = DOCUMENT_CHARS) -> str:
    """The longest prefix of `text` within `budget` characters that ends with a sentence, else with a word."""
    text = text.strip()
    if len(text) <= budget:
        return text
    window = text[: budget + 1]
    ends = [found.end() for found in _SENTENCE_END.finditer(window) if found.end() <= budget]
    if ends and ends[-1] >= budget // 4:
        return window[: ends[-1]].rstrip()
    return window[:budget].rsplit(None, 1)[0].rstrip()


class _InputMissing(Exception):
    pass


def _targets(
    pack: Pack,
    tracks: dy.DataFrame[Track],
    documents: dy.DataFrame[Document] | None,
    matches: dy.DataFrame[Match] | None,
) -> list[_Target]:
    rank_in_group = _rank_in_group(tracks)
    rows = {str(row["track_id"]): row for row in tracks.iter_rows(named=True)}
    if "document" not in pack.inputs:
        return [_Target(row, None, (0, *rank_in_group[track_id])) for track_id, row in rows.items()]
    if documents is None or matches is None:
        raise PromptError(
            f"prompt pack {pack.name}", "it reads documents and none were handed over", "pass documents and matches"
        )
    usable = documents.filter(
        (pl.col("consent") == "allow") & (pl.col("text").str.strip_chars().str.len_chars() >= MIN_DOCUMENT_CHARS)
    )
    document_rows = {str(row["doc_id"]): row for row in usable.iter_rows(named=True)}
    accepted = matches.filter(pl.col("band") == "accept").sort(
        ["track_id", "score", "doc_id"], descending=[False, True, False]
    )
    seen: dict[str, int] = defaultdict(int)
    targets = []
    for track_id, doc_id in accepted.select("track_id", "doc_id").iter_rows():
        if track_id in rows and doc_id in document_rows:
            targets.append(_Target(rows[track_id], document_rows[doc_id], (seen[track_id], *rank_in_group[track_id])))
            seen[track_id] += 1
    return targets


def _rank_in_group(tracks: dy.DataFrame[Track]) -> dict[str, tuple[int, str]]:
    """track_id → (how many of its artist come before it, its hash): every artist once before any comes twice."""
    hashed = sorted(
        (sha256_hex(str(row["track_id"])), str(row["track_id"]), str(row["group_id"] or row["artist"]).casefold())
        for row in tracks.select("track_id", "group_id", "artist").iter_rows(named=True)
    )
    seen: dict[str, int] = defaultdict(int)
    ranks = {}
    for digest, track_id, group in hashed:
        ranks[track_id] = (seen[group], digest)
        seen[group] += 1
    return ranks


def _calls_of(pack: Pack, endpoint: Endpoint, target: _Target) -> Iterable[PlannedCall]:
    inputs = _inputs(pack, target)
    messages = render(pack, inputs)
    for sample_idx in range(pack.samples):
        body = request_body(
            endpoint.model,
            messages,
            schema_name=pack.id,
            schema=pack.output,
            sampling=pack.sampling.given(),
            sample_idx=sample_idx,
        )
        yield PlannedCall(
            request_key=request_key(body, endpoint.identity, sample_idx),
            prompt_id=pack.id,
            prompt_version=pack.version,
            prompt_hash=pack.prompt_hash,
            track_id=str(target.track["track_id"]),
            doc_id=None if target.document is None else str(target.document["doc_id"]),
            sample_idx=sample_idx,
            language=CAPTION_LANGUAGE,
            model=endpoint.model,
            body=body,
        )


def _inputs(pack: Pack, target: _Target) -> dict[str, Any]:
    track, document = target.track, target.document or {}
    offered = {
        "title": track["title"],
        "artist": track["artist"],
        "album": track["album"] or "",
        "year": track["year"],
        "tags": list(track["tags"] or []),
        "language": CAPTION_LANGUAGE,
        "document": cut_document(document.get("text") or ""),
        "document_title": document.get("title") or "",
    }
    inputs = {name: offered[name] for name in pack.inputs if name in offered}
    for name, value in inputs.items():
        if value is None and pack.inputs[name].required:
            raise _InputMissing(name)
    return inputs
