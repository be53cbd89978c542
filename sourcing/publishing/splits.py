"""Splits: which tracks are train, validation and test, with no artist and no recording on two sides.

The rule, `hash-order-by-track-share`: tracks that share a group (their `group_id`, else an artist credit) or a
recording (ISRC, MusicBrainz id, sound file) form one cluster; clusters are put in the order of
sha256(salt + cluster name) and dealt out by tracks: test first, then validation, the rest is train. A cluster too
big for what is left of a split is passed over, and every split with a fraction above zero gets at least one cluster
while there are clusters enough.

What is traded: with few artists no split comes out empty, as it could with a threshold on the hash; but when tracks
are added, clusters near the cut can change sides. Compare models on one version only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from functools import cache

import polars as pl

from sourcing.errors import UsageError

__all__ = ["SPLIT_RULE", "artist_credits", "cluster_tracks", "split_tracks"]

SPLIT_RULE = "hash-order-by-track-share"

_JOINTS = re.compile(
    r"\s*[(\[]?\b(?:featuring|feat|ft)\b\.?\s*|\s+(?:with|and|vs|versus|x|×)\.?\s+|\s*[,;&/+·•]\s*", re.IGNORECASE
)
_TITLE_GUESTS = re.compile(r"[(\[]\s*(?:featuring|feat|ft)\b\.?\s+([^)\]]+)[)\]]", re.IGNORECASE)
_ARTICLE = re.compile(r"^the\s+(?=\S)")


def artist_credits(artist: str, title: str = "") -> list[str]:
    """The single artists of a credit, folded for comparison; guests named in the title's brackets belong to it.

    Splits too eagerly rather than too little ("Earth, Wind & Fire" is three names): that only makes clusters bigger.
    """
    texts = [artist, *_TITLE_GUESTS.findall(title)]
    names = [_fold(part) for text in texts for part in _JOINTS.split(text) if part.strip()]
    return sorted({name for name in names if name}) or [artist.strip().casefold()]


def cluster_tracks(tracks: pl.DataFrame) -> dict[str, str]:
    """track_id → name of its cluster, which does not depend on the order of the rows.

    A track with a `group_id` is held by that alone, except that its artists still bind where another track of theirs
    has no `group_id`.
    """
    rows = tracks.select("track_id", "title", "artist", "group_id", "isrc", "mbid", "audio").sort("track_id").to_dicts()
    credits = {
        row["track_id"]: [f"artist:{name}" for name in artist_credits(row["artist"], row["title"])] for row in rows
    }
    ungrouped = {key for row in rows if not row["group_id"] for key in credits[row["track_id"]]}
    union = _UnionFind()
    keys_of: dict[str, list[str]] = {}
    for row in rows:
        keys = [key for key in credits[row["track_id"]] if key in ungrouped]
        if row["group_id"]:
            keys = [f"group:{row['group_id']}", *keys]
        keys += [f"recording:{row[name]}" for name in ("isrc", "mbid", "audio") if row[name]]
        keys_of[row["track_id"]] = keys
        for key in keys:
            union.join(keys[0], key)
    names: dict[str, str] = {}
    for key in union.parent:  # the least key names the cluster; "artist:" and "group:" come before "recording:"
        root = union.find(key)
        names[root] = min(key, names.get(root, key))
    return {track_id: names[union.find(keys[0])] for track_id, keys in keys_of.items()}


def split_tracks(tracks: pl.DataFrame, *, salt: str, validation_fraction: float, test_fraction: float) -> pl.DataFrame:
    """`track_id`, `group` (the cluster's name) and `split` of every track, sorted by track_id."""
    if validation_fraction + test_fraction >= 1:
        found = (
            f"validation_fraction {validation_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on"
        )
        raise UsageError("settings [publish]", found, "choose fractions whose sum is below 1")
    clusters = cluster_tracks(tracks)
    sizes = Counter(clusters.values())
    waiting = sorted(sizes, key=lambda name: hashlib.sha256(f"{salt}\n{name}".encode()).hexdigest())
    split_of: dict[str, str] = {}
    fractions = [(name, part) for name, part in (("test", test_fraction), ("validation", validation_fraction)) if part]
    for position, (split, fraction) in enumerate(fractions):
        later = len(fractions) - position  # the splits still to come, train among them, need one cluster each
        if len(waiting) < 2:
            break
        most = max(1, len(waiting) - later)
        chosen = _deal(waiting, sizes, tracks.height * fraction, most)
        split_of.update(dict.fromkeys(chosen, split))
        waiting = [name for name in waiting if name not in split_of]
    rows = [(track_id, group, split_of.get(group, "train")) for track_id, group in sorted(clusters.items())]
    frame = pl.DataFrame(rows, schema={"track_id": pl.String, "group": pl.String, "split": pl.String}, orient="row")
    straddling = frame.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    assert straddling.is_empty(), f"groups in two splits: {straddling['group'].to_list()[:3]}"
    return frame


def _deal(waiting: list[str], sizes: Counter[str], target: float, most: int) -> set[str]:
    """Clusters for one split: in order, each that more than half fits into what is left; else the smallest one."""
    chosen: list[str] = []
    taken = 0
    for name in waiting:
        if len(chosen) < most and taken + sizes[name] / 2 <= target:
            chosen.append(name)
            taken += sizes[name]
    return set(chosen or [min(waiting, key=lambda name: sizes[name])])


@cache
def _fold(name: str) -> str:
    """Case, accents, punctuation and a leading article do not tell artists apart; a name of signs alone stays."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(
        " " if not (char.isalnum() or char.isspace()) else char
        for char in decomposed
        if not unicodedata.combining(char)
    )
    return _ARTICLE.sub("", " ".join(bare.split())) or name.strip().casefold()


class _UnionFind:
    def __init__(self) -> None:
        self.parent: dict[str, str] = {}

    def find(self, key: str) -> str:
        self.parent.setdefault(key, key)
        while self.parent[key] != key:
            self.parent[key] = self.parent[self.parent[key]]
            key = self.parent[key]
        return key

    def join(self, one: str, other: str) -> None:
        self.parent[self.find(other)] = self.find(one)
