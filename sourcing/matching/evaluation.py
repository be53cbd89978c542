"""Precision and recall of the bands on labelled pairs, with intervals, in all and by kind of hardness."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sourcing.errors import InputError

__all__ = ["SHIPPED_PAIRS", "Judged", "LabelledPair", "Rate", "judge", "rates", "read_pairs"]

SHIPPED_PAIRS = Path(__file__).parent / "data" / "pairs.jsonl"
_Z = 1.96  # 95 %
#: (track, document) → (band, score, reasons)
MatchOne = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, float, list[str]]]


@dataclass(frozen=True)
class LabelledPair:
    """A track and a document, with a person's judgement `same`: True when the document is about the track."""

    name: str
    kind: str
    same: bool
    track: Mapping[str, Any]
    document: Mapping[str, Any]
    split: str = ""  # "held-out" pairs were never looked at while the rules were made


@dataclass(frozen=True)
class Judged:
    """A labelled pair with band, score and reasons; a pair below every band is a reject."""

    pair: LabelledPair
    band: str
    score: float
    reasons: Sequence[str]


@dataclass(frozen=True)
class Rate:
    """The share `hits` / `of` with an interval; `None` and no interval when `of` is 0."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        return self.hits / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson's score interval at 95 %, which holds near 0 and 1 and for few pairs."""
        if not self.of:
            return None
        share, n = self.hits / self.of, self.of
        middle = share + _Z**2 / (2 * n)
        half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2))
        bottom = 1 + _Z**2 / n
        return max(0.0, (middle - half) / bottom), min(1.0, (middle + half) / bottom)

    def as_dict(self) -> dict[str, Any]:
        return {"hits": self.hits, "of": self.of, "value": self.value, "interval": self.interval}


def read_pairs(path: Path) -> list[LabelledPair]:
    """The pairs of a JSONL file; InputError names the first line that is no pair."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"cannot be read ({error})", "give a JSONL file of labelled pairs") from None
    pairs = [_pair(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not pairs:
        raise InputError(str(path), "holds no pairs", "write one JSON object a line")
    return pairs


def judge(pairs: Iterable[LabelledPair], match_one: MatchOne) -> list[Judged]:
    return [Judged(pair, *match_one(pair.track, pair.document)) for pair in pairs]


def rates(judged: Sequence[Judged], bands: frozenset[str] = frozenset({"accept"})) -> tuple[Rate, Rate]:
    """(precision, recall) when the pairs in `bands` are taken as being about the track."""
    in_bands = [one for one in judged if one.band in bands]
    right = sum(one.pair.same for one in in_bands)
    return Rate(right, len(in_bands)), Rate(right, sum(one.pair.same for one in judged))


def _pair(line: str, where: str) -> LabelledPair:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(where, f"not JSON ({error})", "one JSON object a line") from None
    sides = [row.get(side) for side in ("track", "document")] if isinstance(row, dict) else [None]
    track, document = sides if len(sides) == 2 else (None, None)
    if not (isinstance(track, dict) and isinstance(document, dict) and isinstance(row.get("same"), bool)):
        raise InputError(where, "lacks track, document or same", "see `crossmusim match evaluate --help`")
    if not all(isinstance(track.get(name), str) and track[name] for name in ("title", "artist")):
        raise InputError(where, "its track has no title or no artist", "give both as text")
    name = str(row.get("name") or f"{track['title']} / {document.get('title')}")
    return LabelledPair(name, str(row.get("kind") or "any"), row["same"], track, document, str(row.get("split") or ""))
