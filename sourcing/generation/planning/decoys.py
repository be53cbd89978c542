"""Decoys: recordings that do not exist, asked about like the catalogue's, to learn how often a model invents.

Half are invented titles by invented artists, made of the catalogue's own words and names; half are real titles under
wrong artists. Only their track ids tell them apart, and no model is shown an id. The share of decoys that a model
claims to know is its invention rate.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from sourcing.generation.packs.judges import is_judge
from sourcing.generation.packs.pack import Pack
from sourcing.generation.wire import sha256_hex
from sourcing.store.schemas import Track

__all__ = ["DECOY_PREFIX", "LEAST_DECOYS", "Invention", "asks_knowledge", "is_decoy", "make_decoys"]

DECOY_PREFIX = "decoy."
LEAST_DECOYS = 20
_MODELS = 5_000  # tracks that decoys are made of, at most
_TRIES = 50  # for one decoy that is not in the catalogue after all


class Invention(NamedTuple):
    """How many of the decoys a model answered about it claimed to know, with the 95 % Wilson interval of the share."""

    claimed: int
    answered: int

    @property
    def rate(self) -> float:
        return self.claimed / self.answered if self.answered else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        n, z = self.answered, 1.96
        if not n:
            return 0.0, 1.0
        centre = (self.rate + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(self.rate * (1 - self.rate) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def as_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "decoys": self.answered, "claimed": self.claimed, "rate": round(self.rate, 4),
            "low": round(low, 4), "high": round(high, 4),
        }  # fmt: skip


def asks_knowledge(pack: Pack) -> bool:
    """True for packs that ask a model what it knows by itself: their replies say whether it is `known`."""
    properties = pack.output.get("properties")
    known = properties.get("known") if isinstance(properties, Mapping) else None
    asks = isinstance(known, Mapping) and known.get("type") == "boolean"
    return asks and "document" not in pack.inputs and not is_judge(pack)


def is_decoy(track_id: str) -> bool:
    return track_id.startswith(DECOY_PREFIX)


def make_decoys(tracks: dy.DataFrame[Track], share: float) -> dy.DataFrame[Track]:
    """Decoys for `share` of the tracks, 20 at least; none for a share of 0.

    Equal catalogues give equal decoys, and a larger share the same ones and more. Year and tags come from tracks, so
    that a decoy looks like one; no decoy has title and artist of a track.
    """
    number = max(LEAST_DECOYS, math.ceil(share * tracks.height)) if share > 0 and tracks.height else 0
    if not number:
        return Track.create_empty()
    rows = tracks.sort("track_id").gather_every(1 + tracks.height // _MODELS).to_dicts()
    known = set(zip(map(_key, tracks["title"]), map(_key, tracks["artist"]), strict=True))
    decoys: dict[str, dict[str, Any]] = {}
    for n in range(number):
        for title, artist in _candidates(rows, n):
            row = {**dict.fromkeys(tracks.columns), "tags": [], "labels": [], **_dressed(rows, n)}
            track_id = DECOY_PREFIX + sha256_hex(f"{title}\0{artist}")[:16]
            if (_key(title), _key(artist)) not in known and track_id not in decoys:
                decoys[track_id] = {**row, "track_id": track_id, "title": title, "artist": artist}
                break
    frame = pl.DataFrame(list(decoys.values()), schema=tracks.schema)
    return Track.validate(frame.sort("track_id"))


def _candidates(rows: list[dict[str, Any]], n: int) -> Iterator[tuple[str, str]]:
    rng = random.Random(f"decoy {n}")
    for _ in range(_TRIES):
        if n % 2:
            yield rng.choice(rows)["title"], rng.choice(rows)["artist"]
        else:
            yield _mixed(rng, [row["title"] for row in rows]), _mixed(rng, [row["artist"] for row in rows])
    yield f"{_mixed(rng, [row['title'] for row in rows])} {n}", f"{rng.choice(rows)['artist']} Ensemble"


def _mixed(rng: random.Random, names: list[str]) -> str:
    """The beginning of one name with the end of another; single words are cut in their midst."""
    first, last = rng.choice(names), rng.choice(names)
    parts, ends = first.split(), last.split()
    if len(parts) == 1 and len(ends) == 1:
        return first[: (len(first) + 1) // 2] + last[len(last) // 2 :].lower()
    return " ".join([*parts[: (len(parts) + 1) // 2], *ends[len(ends) // 2 :]])


def _dressed(rows: list[dict[str, Any]], n: int) -> dict[str, Any]:
    """Year of one track and tags of another: what a prompt shows beside title and artist."""
    rng = random.Random(f"dress {n}")
    year, tags = rng.choice(rows)["year"], rng.choice(rows)["tags"]
    return {"year": year, "tags": tags or []}


def _key(name: str) -> str:
    return " ".join(name.casefold().split())
