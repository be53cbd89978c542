"""The spread of a measurement: an interval by resampling groups of queries, and what chance alone would give.

Two sources of luck are kept apart. Which tracks happened to be in the split: the bootstrap draws them anew with
replacement, all queries of a track together. What a model that knows nothing would score: the same scores with
the tracks' audio shuffled among the tracks, so that alike texts stay alike and only the knowledge is gone.
Letters: Q queries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["REPLICATES", "Floats", "Ints", "Measured", "measure_all"]

REPLICATES = 1000  # 25 of them lie beyond each end of a 95 % interval
_LEVEL = 0.95  # confidence level of intervals

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """One metric: its value, the 95 % bootstrap interval, chance's mean and chance's own 95 % interval."""

    value: float
    low: float
    high: float
    chance: float
    chance_low: float
    chance_high: float
    clear_of_chance: bool  # the whole interval lies beyond chance's interval, on the good side

    def as_dict(self) -> dict[str, float | bool]:
        return asdict(self)


def measure_all(
    score: Callable[[Ints | None], Mapping[str, Floats]],
    groups: Sequence[int],
    tracks: int,
    *,
    lower_is_better: Collection[str] = (),
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Measured]:
    """Measure every metric that `score` gives per query: its mean, or where lower is better (ranks) its median.

    `score(order)` scores with track i's audio being that of track order[i]; `score(None)` leaves it as it is.
    `groups` names, per query, the track it is drawn with; `tracks` is how many there are to shuffle.
    """
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    per_query = score(None)  # metric -> (Q,)
    # Queries of one track are drawn together: they share its audio, so they are no independent evidence.
    group = np.unique(np.asarray(groups), return_inverse=True)[1]  # (Q,)
    n_groups = int(group.max()) + 1
    weights = [  # how often each query was drawn, (Q,) per replicate
        np.bincount(random.integers(0, n_groups, n_groups), minlength=n_groups)[group] for _ in range(replicates)
    ]
    # Chance keeps texts and duplicates, and permutes only the audio.
    chance_summaries = [_summarise(score(random.permutation(tracks)), None, lower_is_better) for _ in range(replicates)]
    replicas = [_summarise(per_query, counts, lower_is_better) for counts in weights]
    values = _summarise(per_query, None, lower_is_better)
    result = {}
    for name, value in values.items():
        low, high = _interval([replica[name] for replica in replicas])
        by_chance = [summary[name] for summary in chance_summaries]
        chance_low, chance_high = _interval(by_chance)
        # Whole intervals apart, which asks for more than a value outside chance's interval.
        clear = high < chance_low if name in lower_is_better else low > chance_high
        result[name] = Measured(value, low, high, float(np.mean(by_chance)), chance_low, chance_high, bool(clear))
    return result


def _summarise(values: Mapping[str, Floats], counts: Ints | None, lower_is_better: Collection[str]) -> dict[str, float]:
    return {
        name: _median(column, counts) if name in lower_is_better else float(np.average(column, weights=counts))
        for name, column in values.items()
    }


def _median(values: Floats, counts: Ints | None) -> float:
    # np.average takes weights, np.median does not: a query drawn twice is repeated.
    return float(np.median(values if counts is None else np.repeat(values, counts)))


def _interval(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(np.asarray(values), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)
