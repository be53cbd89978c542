"""Drift: whether a share that used to be steady has dropped, and since when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

__all__ = ["BATCH", "Drop", "RowBatch", "find_drop"]

BATCH = 50  # rows in a batch: a redesigned site is noticed within its first hundred pages
_MIN_DROP = 0.10  # ten points below the past as a whole
_BELOW_KNOWN = 0.05  # and five below its lows
_MIN_Z = 5.0  # it is the largest of many tests, for every field of every site, each time somebody looks
_OLD_NEWS = timedelta(days=30)


@dataclass(frozen=True)
class RowBatch:
    """Consecutive rows, with the number of rows where the counted field is filled."""

    begins: datetime
    rows: int
    filled: int


@dataclass(frozen=True)
class Drop:
    """From `since` on, `filled` of `rows` have what `filled_before` of `rows_before` had."""

    since: datetime
    rows: int
    filled: int
    rows_before: int
    filled_before: int

    @property
    def share(self) -> float:
        return self.filled / self.rows

    @property
    def share_before(self) -> float:
        return self.filled_before / self.rows_before


def find_drop(batches: Sequence[RowBatch]) -> Drop | None:
    """The drop that the newest rows of a series are in; None when there is none. Oldest batch first.

    The series is cut in two where the parts differ most, by a two-proportion z-test with pooled variance. The cut
    is a drop when

    - both parts hold at least `BATCH` rows;
    - the later part's share lies ten points below the earlier part's, and five below what 19 of 20 earlier batches
      had: a source whose share comes and goes with the season must drop below what it has been through. So does
      the newest batch alone: what has recovered is no alarm;
    - z is at least 5, after its variance is multiplied by how much more than chance the batches of either part
      vary among themselves (Pearson's chi-squared by its degrees of freedom, never below 1): records that come by
      artist vary more than single ones. The two batches at the cut do not count there; the drop begins inside one.
    - it began at most thirty days before the newest batch. An older one is how the source is now: the rows from it
      on are searched in its place.
    """
    while batches:
        place, z = _deepest_cut(batches)
        if z < _MIN_Z:
            return None
        if batches[-1].begins - batches[place].begins <= _OLD_NEWS:
            return _told(batches[:place], batches[place:])
        batches = batches[place:]
    return None


def _told(before: Sequence[RowBatch], after: Sequence[RowBatch]) -> Drop | None:
    drop = Drop(
        since=after[0].begins,
        rows=sum(batch.rows for batch in after),
        filled=sum(batch.filled for batch in after),
        rows_before=sum(batch.rows for batch in before),
        filled_before=sum(batch.filled for batch in before),
    )
    shares = sorted(batch.filled / batch.rows for batch in before[:-1] or before)
    low = min(drop.share_before - _MIN_DROP, shares[len(shares) // 20] - _BELOW_KNOWN)
    return drop if max(drop.share, after[-1].filled / after[-1].rows) <= low else None


def _deepest_cut(batches: Sequence[RowBatch]) -> tuple[int, float]:
    """Position of the largest z, and z; z is 0 where no cut can be made or no later part is lower."""
    rows = [0, *accumulate(batch.rows for batch in batches)]
    filled_sums = [0, *accumulate(batch.filled for batch in batches)]
    squares = [0.0, *accumulate(batch.filled**2 / batch.rows for batch in batches)]

    def spread(start: int, end: int) -> float:
        """Pearson's chi-squared of batches around the common share."""
        n, x = rows[end] - rows[start], filled_sums[end] - filled_sums[start]
        return (squares[end] - squares[start] - x * x / n) / (x / n * (1 - x / n)) if 0 < x < n else 0.0

    count = len(batches)
    best, best_z = 0, 0.0
    for place in range(1, count):
        n0, x0, n1, x1 = (
            rows[place],
            filled_sums[place],
            rows[count] - rows[place],
            filled_sums[count] - filled_sums[place],
        )
        if n0 < BATCH or n1 < BATCH or x0 * n1 <= x1 * n0:
            continue
        freedom = max(0, place - 2) + max(0, count - place - 2)
        times_chance = (spread(0, place - 1) + spread(place + 1, count)) / freedom if freedom else 1.0
        pooled_share = (x0 + x1) / (n0 + n1)
        variance = pooled_share * (1 - pooled_share) * (1 / n0 + 1 / n1) * max(1.0, times_chance)
        z = (x0 / n0 - x1 / n1) / math.sqrt(variance)
        if z > best_z:
            best, best_z = place, z
    return best, best_z
