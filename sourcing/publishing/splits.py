"""Splits: which tracks are train, validation and test, with no main artist and no recording on two sides.

The rule, `main-artist-hash-order-by-track-share`: tracks that share a group (their `group_id`, else a main artist of
their credits) or a recording (ISRC, MusicBrainz id, sound file) form one cluster. Guests ("feat. …", "with …") do not
join clusters, as a few of them would chain most of a catalogue of rap or dance music into one. Clusters that share a
guest are dealt out together, as a bundle, where the bundle stays within the smallest split's share; a tie that would
make it larger is cut, and who is then heard on two sides is told (`Splits.leaks`). Bundles are put in the order of
sha256(salt + name) and dealt out by tracks: test first, then validation, the rest is train. A bundle too big for what
is left of a split is passed over, and every split with a fraction above zero gets at least one while there are enough.

What is traded: with few artists no split comes out empty, as it could with a threshold on the hash; but when tracks
are added, bundles near the cut can change sides. Compare models on one version only.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import NamedTuple

import polars as pl

from sourcing.errors import UsageError
from sourcing.matching.names import read_artist

__all__ = ["SPLIT_RULE", "Cluster", "Credits", "Leak", "Splits", "artist_credits", "cluster_tracks", "split_tracks"]

SPLIT_RULE = "main-artist-hash-order-by-track-share"

_GUEST_WORDS = r"(?:featuring|feat|ft|with|starring|mit|con|avec|com|prod(?:uced)?(?:\.?\s+by)?)\b\.?|part\.|[wf]/"
_GUEST_WORDS += "|フィーチャリング"
_BRACKETED_GUESTS = re.compile(rf"[(\[]\s*(?:{_GUEST_WORDS})\s*([^)\]]+)[)\]]", re.IGNORECASE)
_GUESTS = re.compile(rf"\s+(?:{_GUEST_WORDS})\s*(?=\S)", re.IGNORECASE)
_TITLE_GUESTS = re.compile(
    r"[(\[](?:[^()\[\]]*\s)?(?:featuring|feat|ft)\b\.?\s+(?P<bracketed>[^)\]]+)[)\]]"
    r"|\s(?:feat\b\.?|ft\.)\s+(?P<bare>.+?)(?=\s+[-–(\[]|$)",
    re.IGNORECASE,
)
_JOINTS = re.compile(
    r"\s+(?:and|vs|versus|x|×|und|et|y|e|och|og|и|presents|pres|meets)\.?\s+|\s*[,;&/+·•、]\s*", re.IGNORECASE
)
_NAMESAKE = re.compile(r"\s\(\d{1,3}\)")  # Discogs counts artists of one name: "Massive Attack (2)"
_ARTICLE = re.compile(r"^the\s+(?=\S)")
_JOINTS_TOLD = 5  # of the largest cluster


class Credits(NamedTuple):
    """The single artists of a credit, folded for comparison and sorted; no guest is a main artist too."""

    main: list[str]
    guests: list[str]


class Cluster(NamedTuple):
    """A cluster's name and size, and up to five of the names and recordings that joined its parts, most used first."""

    name: str
    tracks: int
    joined_by: list[str]


class Leak(NamedTuple):
    """An artist heard in two splits through a guest credit; `tracks` counts theirs by split."""

    artist: str
    tracks: dict[str, int]


class Splits(NamedTuple):
    """`rows`: `track_id`, `group` (the cluster's name) and `split` of every track, sorted by track_id."""

    rows: pl.DataFrame
    largest: Cluster | None
    leaks: list[Leak]  # by name


def artist_credits(artist: str, title: str = "") -> Credits:
    """Part a credit into main artists and guests; guests named in the title's brackets belong to it.

    Splits too eagerly rather than too little ("Earth, Wind & Fire" is three names): that only makes clusters bigger.
    "Various Artists" is nobody.
    """
    artist = _NAMESAKE.sub("", unicodedata.normalize("NFKC", artist))
    bracket_guests = _BRACKETED_GUESTS.findall(artist)
    main, *guests = _GUESTS.split(_BRACKETED_GUESTS.sub(" ", artist))
    names = _part([main]) or {artist.strip().casefold()}
    in_title = [match[1] or match[2] for match in _TITLE_GUESTS.finditer(unicodedata.normalize("NFKC", title))]
    of_someone = sorted(name for name in names if not read_artist(name).nobody)
    return Credits(of_someone, sorted(_part([*guests, *bracket_guests, *in_title]) - names))


def _part(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for part in _JOINTS.split(text) if (name := _fold(part))}


def cluster_tracks(tracks: pl.DataFrame) -> dict[str, str]:
    """track_id → cluster name, independent of the order of rows.

    A track with a `group_id` is held by that alone, except that its main artists still bind where another track of
    theirs has no `group_id`.
    """
    return _cluster(_bonds(tracks))


def split_tracks(tracks: pl.DataFrame, *, salt: str, validation_fraction: float, test_fraction: float) -> Splits:
    """Deal the tracks out by the rule above; UsageError where the fractions leave nothing to train on."""
    if validation_fraction + test_fraction >= 1:
        finding = (
            f"validation_fraction {validation_fraction:g} and test_fraction {test_fraction:g} leave nothing to train on"
        )
        raise UsageError("settings [publish]", finding, "choose fractions whose sum is below 1")
    fractions = [(name, part) for name, part in (("test", test_fraction), ("validation", validation_fraction)) if part]
    bonds = _bonds(tracks)
    cluster_of = _cluster(bonds)
    sizes = Counter(cluster_of.values())
    limit = tracks.height * min((part for _, part in fractions), default=0.0)
    bundle_of = _bundle(bonds, cluster_of, sizes, limit)
    bundles: Counter[str] = Counter()
    for cluster, size in sizes.items():
        bundles[bundle_of[cluster]] += size
    waiting = sorted(bundles, key=lambda name: hashlib.sha256(f"{salt}\n{name}".encode()).hexdigest())
    split_of: dict[str, str] = {}
    for position, (split, fraction) in enumerate(fractions):
        later = len(fractions) - position  # the splits still to come, train among them, need one bundle each
        if len(waiting) < 2:
            break
        most = max(1, len(waiting) - later)
        dealt_bundles = _deal(waiting, bundles, tracks.height * fraction, most)
        split_of.update(dict.fromkeys(dealt_bundles, split))
        waiting = [name for name in waiting if name not in split_of]
    rows = [(track_id, group, split_of.get(bundle_of[group], "train")) for track_id, group in cluster_of.items()]
    frame = pl.DataFrame(rows, schema={"track_id": pl.String, "group": pl.String, "split": pl.String}, orient="row")
    straddling = frame.group_by("group").agg(pl.col("split").n_unique()).filter(pl.col("split") > 1)
    assert straddling.is_empty(), f"groups in two splits: {straddling['group'].to_list()[:3]}"
    side = dict(frame.select("track_id", "split").iter_rows())
    return Splits(frame, _largest(bonds, cluster_of, sizes), _leaks(bonds, side))


class _Bonds(NamedTuple):
    """Keys that bind a track to others (one in common is enough), and its artist credits."""

    keys: list[str]
    credits: Credits


def _bonds(tracks: pl.DataFrame) -> dict[str, _Bonds]:
    rows = tracks.select("track_id", "title", "artist", "group_id", "isrc", "mbid", "audio").sort("track_id").to_dicts()
    credits = {row["track_id"]: artist_credits(row["artist"], row["title"]) for row in rows}
    names_without_group = {name for row in rows if not row["group_id"] for name in credits[row["track_id"]].main}
    bonds = {}
    for row in rows:
        track_credits = credits[row["track_id"]]
        keys = [f"artist:{name}" for name in track_credits.main if name in names_without_group]
        if row["group_id"]:
            keys = [f"group:{row['group_id']}", *keys]
        keys += [f"recording:{row[name]}" for name in ("isrc", "mbid", "audio") if row[name]]
        bonds[row["track_id"]] = _Bonds(keys or [f"track:{row['track_id']}"], track_credits)
    return bonds


def _cluster(bonds: Mapping[str, _Bonds]) -> dict[str, str]:
    union = _UnionFind()
    for bond in bonds.values():
        for key in bond.keys:
            union.join(bond.keys[0], key)
    names: dict[str, str] = {}
    for key in union.parent:  # the least key names the cluster; "artist:" and "group:" come before the others
        root = union.find(key)
        names[root] = min(key, names.get(root, key))
    return {track_id: names[union.find(bond.keys[0])] for track_id, bond in bonds.items()}


def _bundle(
    bonds: Mapping[str, _Bonds], cluster_of: Mapping[str, str], sizes: Mapping[str, int], limit: float
) -> dict[str, str]:
    """Cluster → name of its bundle: guests that tie the fewest clusters bind first, while at most `limit` tracks."""
    clusters_of: defaultdict[str, set[str]] = defaultdict(set)
    guests = {name for bond in bonds.values() for name in bond.credits.guests}
    for track_id, bond in bonds.items():
        for name in guests.intersection(bond.credits.main + bond.credits.guests):
            clusters_of[name].add(cluster_of[track_id])
    union = _UnionFind()
    track_counts = {union.find(cluster): size for cluster, size in sizes.items()}
    for name in sorted(clusters_of, key=lambda name: (len(clusters_of[name]), name)):
        roots = sorted({union.find(cluster) for cluster in clusters_of[name]})
        together = sum(track_counts[root] for root in roots)
        if together <= limit:
            for root in roots[1:]:
                union.join(roots[0], root)
            track_counts[roots[0]] = together
    return {cluster: union.find(cluster) for cluster in sizes}


def _deal(waiting: list[str], sizes: Mapping[str, int], target: float, most: int) -> set[str]:
    """Bundles for one split: in order, each that more than half fits into what is left; else the smallest one."""
    bundles: list[str] = []
    track_count = 0
    for name in waiting:
        if len(bundles) < most and track_count + sizes[name] / 2 <= target:
            bundles.append(name)
            track_count += sizes[name]
    return set(bundles or [min(waiting, key=lambda name: sizes[name])])


def _largest(bonds: Mapping[str, _Bonds], cluster_of: Mapping[str, str], sizes: Counter[str]) -> Cluster | None:
    if not sizes:
        return None
    name = min(sizes, key=lambda name: (-sizes[name], name))
    uses = Counter(key for track_id, bond in bonds.items() if cluster_of[track_id] == name for key in bond.keys)
    joints = {
        key for track_id, bond in bonds.items() if cluster_of[track_id] == name and len(bond.keys) > 1
        for key in bond.keys if uses[key] > 1
    }  # fmt: skip
    return Cluster(name, sizes[name], sorted(joints, key=lambda key: (-uses[key], key))[:_JOINTS_TOLD])


def _leaks(bonds: Mapping[str, _Bonds], side: Mapping[str, str]) -> list[Leak]:
    guests = {name for bond in bonds.values() for name in bond.credits.guests}
    tracks_by_artist: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for track_id, bond in bonds.items():
        for name in guests.intersection(bond.credits.main + bond.credits.guests):
            tracks_by_artist[name][side[track_id]] += 1
    return [
        Leak(name, dict(sorted(tracks_by_artist[name].items())))
        for name in sorted(tracks_by_artist)
        if len(tracks_by_artist[name]) > 1
    ]


@cache
def _fold(name: str) -> str:
    """Case, accents, punctuation and a leading article do not tell artists apart; a name of signs alone stays."""
    letters = unicodedata.normalize("NFKD", name.casefold())
    bare = "".join(
        " " if not (char.isalnum() or char.isspace()) else char for char in letters if not unicodedata.combining(char)
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
