"""Targets of a plan: tracks, tracks with their matched documents, or descriptions for a judge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from sourcing.errors import PromptError
from sourcing.generation.packs.judges import JUDGED_ORIGINS, is_judge, judged_name
from sourcing.generation.packs.pack import Pack
from sourcing.generation.planning.decoys import DECOY_PREFIX, is_decoy
from sourcing.generation.wire import sha256_hex
from sourcing.store.schemas import Description, Document, Match, Track
from sourcing.store.shard import Shard

__all__ = [
    "CAPTION_LANGUAGE",
    "MIN_DOCUMENT_CHARS",
    "Scope",
    "Tables",
    "Target",
    "count_targets",
    "find_targets",
]

#: Default language of captions and aspects.
CAPTION_LANGUAGE = "en"
#: Shorter documents say too little to be worth a call.
MIN_DOCUMENT_CHARS = 80

_SLICE = 512


@dataclass(frozen=True)
class Tables:
    """Tables read by a plan: documents and matches for packs that read a document, descriptions for judges."""

    tracks: dy.DataFrame[Track]
    documents: dy.DataFrame[Document] | None = None
    matches: dy.DataFrame[Match] | None = None
    descriptions: dy.DataFrame[Description] | None = None  # before any judging


@dataclass(frozen=True)
class Scope:
    """Part of the catalogue and languages of a plan. `limit` counts calls, spread over all artists."""

    track_ids: Collection[str] | None = None
    languages: Sequence[str] = (CAPTION_LANGUAGE,)
    limit: int | None = None
    shard: Shard | None = None
    decoy_share: float = 0.0  # see `decoys`; every shard asks about all of them, and no limit counts them
    decoys_only: bool = False


class Target(NamedTuple):
    """Subject of one step of a plan: a track, with its document, and for a judge the description to be judged."""

    track: Mapping[str, Any]
    document: Mapping[str, Any] | None
    description: Mapping[str, Any] | None

    @property
    def doc_id(self) -> str | None:
        if self.description is not None:
            return judged_name(self.description)
        return None if self.document is None else str(self.document["doc_id"])

    @property
    def key(self) -> str:
        """Key of the target in a rejected row: description id, else track id, with the document id if any."""
        if self.description is not None:
            return str(self.description["description_id"])
        return str(self.track["track_id"]) if self.doc_id is None else f"{self.track['track_id']} {self.doc_id}"


def find_targets(pack: Pack, tables: Tables, scope: Scope) -> Iterator[Target]:
    """Yield targets by track id, or under a limit by `nth` document, then rank within the artist, then hash."""
    for part in _target_frame(pack, tables, scope).iter_slices(_SLICE):
        tracks = tables.tracks[part["track_row"]].to_dicts()
        documents = _rows(tables.documents, part, "doc_row")
        descriptions = _rows(tables.descriptions, part, "description_row")
        yield from map(Target, tracks, documents, descriptions)


def _rows(table: pl.DataFrame | None, part: pl.DataFrame, column: str) -> list[dict[str, Any] | None]:
    """Rows of `table` as dicts, by the row numbers in a column of `part`; None for a null or a missing column."""
    if table is None or column not in part.columns:
        return [None] * part.height
    numbers = part[column]
    rows = iter(table[numbers.drop_nulls()].to_dicts())
    return [None if number is None else next(rows) for number in numbers]


def count_targets(pack: Pack, tables: Tables, scope: Scope) -> tuple[int, int]:
    """Number of targets in the catalogue, whether or not a limit is set, and number of decoys."""
    track_ids = _target_frame(pack, tables, scope)["track_id"]
    decoys = int(track_ids.str.starts_with(DECOY_PREFIX).sum())
    return len(track_ids) - decoys, decoys


def _target_frame(pack: Pack, tables: Tables, scope: Scope) -> pl.DataFrame:
    targets = _tracks(tables.tracks, with_rank=scope.limit is not None)
    if is_judge(pack):
        targets = _with_descriptions(pack, tables, targets)
    elif "document" in pack.inputs:
        targets = _with_documents(pack, tables, targets)
    decoys = pl.col("track_id").str.starts_with(DECOY_PREFIX)
    if scope.decoys_only:
        targets = targets.filter(decoys)
    if scope.track_ids is not None:
        targets = targets.filter(decoys | pl.col("track_id").is_in(list(scope.track_ids)))
    if scope.shard is not None:
        in_shard = [is_decoy(track_id) or scope.shard.holds(track_id) for track_id in targets["track_id"]]
        targets = targets.filter(pl.Series(in_shard, dtype=pl.Boolean))
    if scope.limit is None:
        return targets
    return targets.sort([~decoys, *(column for column in ("nth", "rank", "digest") if column in targets.columns)])


def _tracks(tracks: dy.DataFrame[Track], *, with_rank: bool) -> pl.DataFrame:
    """Row number and id of each track; `with_rank` also the id's hash, and the rank by hash within group or artist."""
    with_group = tracks.select("track_id", group=pl.coalesce("group_id", "artist")).with_row_index("track_row")
    if not with_rank:
        plain_tracks = with_group.drop("group")
        return plain_tracks if plain_tracks["track_id"].is_sorted() else plain_tracks.sort("track_id")
    with_digest = with_group.with_columns(
        pl.Series("digest", [sha256_hex(track_id) for track_id in with_group["track_id"]], dtype=pl.String),
        pl.Series("group", [str(group).casefold() for group in with_group["group"]], dtype=pl.String),
    )
    with_rank_column = with_digest.sort("digest", "track_id").with_columns(rank=pl.int_range(pl.len()).over("group"))
    return with_rank_column.select("track_row", "track_id", "rank", "digest").sort("track_id")


def _with_documents(pack: Pack, tables: Tables, tracks: pl.DataFrame) -> pl.DataFrame:
    """One row per accepted match with a usable document; `nth` numbers the matches of a track, best score first."""
    if tables.documents is None or tables.matches is None:
        finding = "it reads documents and none were handed over"
        raise PromptError(f"prompt pack {pack.name}", finding, "pass documents and matches")
    long_enough = pl.col("text").str.strip_chars().str.len_chars() >= MIN_DOCUMENT_CHARS
    usable = tables.documents.with_row_index("doc_row").filter((pl.col("consent") == "allow") & long_enough)
    accepted_pairs = tables.matches.filter(pl.col("band") == "accept").select("track_id", "doc_id", "score")
    pairs = accepted_pairs.join(usable.select("doc_id", "doc_row"), on="doc_id").join(tracks, on="track_id")
    sorted_pairs = pairs.sort(["track_id", "score", "doc_id"], descending=[False, True, False])
    return sorted_pairs.with_columns(nth=pl.int_range(pl.len()).over("track_id")).sort("track_id", "doc_id")


def _with_descriptions(pack: Pack, tables: Tables, tracks: pl.DataFrame) -> pl.DataFrame:
    """One row per model-made description; `nth` numbers the descriptions of a track."""
    if tables.descriptions is None or (tables.documents is None and "document" in pack.inputs):
        finding = "it judges descriptions and none were handed over"
        raise PromptError(f"prompt pack {pack.name}", finding, "pass descriptions and documents")
    model_descriptions = tables.descriptions.with_row_index("description_row").filter(
        pl.col("origin").is_in(JUDGED_ORIGINS)
    )
    with_names = model_descriptions.select(
        "description_row", "description_id", "track_id", doc_id=pl.col("doc_ids").list.first()
    )
    targets = with_names.join(tracks, on="track_id").sort("track_id", "description_id")
    if tables.documents is not None and "document" in pack.inputs:
        doc_rows = tables.documents.select("doc_id").with_row_index("doc_row")
        targets = targets.join(doc_rows, on="doc_id", how="left", maintain_order="left")
    return targets.with_columns(nth=pl.int_range(pl.len()).over("track_id"))
