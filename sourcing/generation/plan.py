"""Plan: which calls a pack needs for which tracks and documents, each with its request key and body.

Planning is lazy: a million calls are planned, written down and sent a few at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dataframely as dy
import polars as pl

from sourcing.errors import PromptError
from sourcing.generation.endpoint import Endpoint
from sourcing.generation.pack import Pack, render
from sourcing.generation.requests import RequestMaker
from sourcing.generation.wire import sha256_hex
from sourcing.store.schemas import Document, Match, Track
from sourcing.store.shard import Shard

__all__ = [
    "CAPTION_LANGUAGE",
    "DOCUMENT_CHARS",
    "MIN_DOCUMENT_CHARS",
    "Plan",
    "PlannedCall",
    "Scope",
    "Step",
    "Tables",
    "count_calls",
    "cut_document",
    "plan_calls",
    "plan_steps",
]

#: Characters of a document a prompt may hold, about 500 tokens; cut at the last sentence that ends within.
DOCUMENT_CHARS = 2000
#: Shorter documents say too little to be worth a call.
MIN_DOCUMENT_CHARS = 80
#: Language asked for in captions and aspects where nobody asks for another.
CAPTION_LANGUAGE = "en"

_SENTENCE_END = re.compile(r"[.!?…](?=[\"'”’)\]]?\s)|[。！？]|\n\n")
_MAY_LACK = ("year",)
_SLICE = 512


@dataclass(frozen=True, slots=True)
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
    payload: bytes  # the body as it is sent

    @property
    def body(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.payload)
        return read


@dataclass(frozen=True)
class Tables:
    """What a plan reads; documents and matches only for packs that read a document."""

    tracks: dy.DataFrame[Track]
    documents: dy.DataFrame[Document] | None = None
    matches: dy.DataFrame[Match] | None = None


@dataclass(frozen=True)
class Scope:
    """What part of the catalogue is asked about, in which languages. `limit` counts calls, spread over all artists."""

    track_ids: Collection[str] | None = None
    languages: Sequence[str] = (CAPTION_LANGUAGE,)
    limit: int | None = None
    shard: Shard | None = None


@dataclass(frozen=True)
class Step:
    """The calls of one target, or the rejected row of one that cannot be asked; `position` targets are planned now."""

    position: int
    calls: tuple[PlannedCall, ...]
    rejected: dict[str, Any] | None = None


@dataclass(frozen=True)
class Plan:
    """Calls sorted by track, document and sample, and rejected rows for what cannot be asked."""

    calls: tuple[PlannedCall, ...]
    rejected: tuple[dict[str, Any], ...] = field(default=())


def plan_calls(pack: Pack, endpoint: Endpoint, tables: Tables, scope: Scope = Scope()) -> Plan:
    """The whole plan at once, for what is small."""
    steps = list(plan_steps(pack, endpoint, tables, scope))
    calls = sorted((call for step in steps for call in step.calls), key=_order)
    return Plan(tuple(calls), tuple(step.rejected for step in steps if step.rejected is not None))


def _order(call: PlannedCall) -> tuple[str, str, str, int]:
    return call.track_id, call.doc_id or "", call.language, call.sample_idx


def plan_steps(
    pack: Pack, endpoint: Endpoint, tables: Tables, scope: Scope = Scope(), *, start: int = 0
) -> Iterator[Step]:
    """Target by target, the calls of `pack`: per accepted match when it reads a document, else per track.

    Equal arguments give equal steps; `start` passes over the first so many. Targets that lack a required input come
    as rejected rows (stage generate, reason input_missing).
    """
    maker = RequestMaker(pack, endpoint)
    left = scope.limit
    for position, (track, document) in enumerate(_targets(pack, tables, scope), start=1):
        if left is not None and left <= 0:
            return
        asked = [(language, idx) for language in _languages(pack, document, scope) for idx in range(pack.samples)]
        asked, missing = asked[:left], _missing(pack, track)
        if left is not None and missing is None:
            left -= len(asked)
        if position <= start:
            continue
        if missing is not None:
            key = track["track_id"] if document is None else f"{track['track_id']} {document['doc_id']}"
            finding = f"the track has no {missing}, which {pack.name} requires"
            rejected = {"stage": "generate", "key": key, "reason": "input_missing", "finding": finding}
            yield Step(position, (), rejected)
        else:
            yield Step(position, tuple(_calls_of(pack, endpoint, maker, track, document, asked)))


def count_calls(pack: Pack, tables: Tables, scope: Scope) -> int:
    """How many calls a plan will come to, at most; costs no rendering."""
    per_target = pack.samples * (len(scope.languages) if "language" in pack.inputs else 1)
    most = _target_frame(pack, tables, scope).height * per_target
    return most if scope.limit is None else min(most, scope.limit)


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


def _targets(pack: Pack, tables: Tables, scope: Scope) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any] | None]]:
    """Rows of track and document; in the tables' order, or under a limit with every artist before any comes twice."""
    targets = _target_frame(pack, tables, scope)
    for part in targets.iter_slices(_SLICE):
        tracks = tables.tracks[part["track_row"]].to_dicts()
        if tables.documents is None or "doc_row" not in part.columns:
            yield from ((track, None) for track in tracks)
        else:
            yield from zip(tracks, tables.documents[part["doc_row"]].to_dicts(), strict=True)


def _target_frame(pack: Pack, tables: Tables, scope: Scope) -> pl.DataFrame:
    targets = _ranked_tracks(tables.tracks)
    if "document" in pack.inputs:
        targets = _with_documents(pack, tables, targets)
    if scope.track_ids is not None:
        targets = targets.filter(pl.col("track_id").is_in(list(scope.track_ids)))
    if scope.shard is not None:
        held = [scope.shard.holds(track_id) for track_id in targets["track_id"]]
        targets = targets.filter(pl.Series(held, dtype=pl.Boolean))
    return targets.sort("nth", "rank", "digest") if scope.limit is not None else targets


def _ranked_tracks(tracks: dy.DataFrame[Track]) -> pl.DataFrame:
    """Row, id, how many of its artist come before it by hash, and that hash."""
    named = tracks.select("track_id", group=pl.coalesce("group_id", "artist")).with_row_index("track_row")
    hashed = named.with_columns(
        pl.Series("digest", [sha256_hex(track_id) for track_id in named["track_id"]], dtype=pl.String),
        pl.Series("group", [str(group).casefold() for group in named["group"]], dtype=pl.String),
    )
    ranked = hashed.sort("digest", "track_id").with_columns(rank=pl.int_range(pl.len()).over("group"))
    return ranked.select("track_row", "track_id", "rank", "digest", nth=pl.lit(0)).sort("track_id")


def _with_documents(pack: Pack, tables: Tables, tracks: pl.DataFrame) -> pl.DataFrame:
    """A row per accepted match of a usable document; `nth` of its track, best first."""
    if tables.documents is None or tables.matches is None:
        found = "it reads documents and none were handed over"
        raise PromptError(f"prompt pack {pack.name}", found, "pass documents and matches")
    long_enough = pl.col("text").str.strip_chars().str.len_chars() >= MIN_DOCUMENT_CHARS
    usable = tables.documents.with_row_index("doc_row").filter((pl.col("consent") == "allow") & long_enough)
    accepted = tables.matches.filter(pl.col("band") == "accept").select("track_id", "doc_id", "score")
    pairs = accepted.join(usable.select("doc_id", "doc_row"), on="doc_id").join(tracks.drop("nth"), on="track_id")
    ordered = pairs.sort(["track_id", "score", "doc_id"], descending=[False, True, False])
    return ordered.with_columns(nth=pl.int_range(pl.len()).over("track_id")).sort("track_id", "doc_id")


def _languages(pack: Pack, document: Mapping[str, Any] | None, scope: Scope) -> Sequence[str]:
    """The languages asked for; a pack that cannot be told one answers in its document's."""
    if "language" in pack.inputs:
        return scope.languages
    return [(document or {}).get("language") or CAPTION_LANGUAGE]


def _missing(pack: Pack, track: Mapping[str, Any]) -> str | None:
    """The first required input that this track lacks; a missing album or list of tags is an empty one."""
    return next(
        (name for name in _MAY_LACK if name in pack.inputs and pack.inputs[name].required and track[name] is None), None
    )


def _calls_of(
    pack: Pack,
    endpoint: Endpoint,
    maker: RequestMaker,
    track: Mapping[str, Any],
    document: Mapping[str, Any] | None,
    asked: Iterable[tuple[str, int]],
) -> Iterator[PlannedCall]:
    rendered: dict[str, list[dict[str, str]]] = {}
    for language, sample_idx in asked:
        if language not in rendered:
            rendered[language] = render(pack, _inputs(pack, track, document or {}, language))
        request_key, payload = maker.make(rendered[language], sample_idx)
        yield PlannedCall(
            request_key=request_key,
            prompt_id=pack.id,
            prompt_version=pack.version,
            prompt_hash=pack.prompt_hash,
            track_id=str(track["track_id"]),
            doc_id=None if document is None else str(document["doc_id"]),
            sample_idx=sample_idx,
            language=language,
            model=endpoint.model,
            payload=payload,
        )


def _inputs(pack: Pack, track: Mapping[str, Any], document: Mapping[str, Any], language: str) -> dict[str, Any]:
    offered = {
        "title": track["title"],
        "artist": track["artist"],
        "album": track["album"] or "",
        "year": track["year"],
        "tags": list(track["tags"] or []),
        "language": language,
        "document": cut_document(document.get("text") or "") if "document" in pack.inputs else "",
        "document_title": document.get("title") or "",
    }
    return {name: offered[name] for name in pack.inputs if name in offered}
