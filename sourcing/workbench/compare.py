"""Compare: two runs over the same items, paired by item and clustered, on what counts for the dataset.

Every measure is a number per item (the mean of its samples); the difference is B minus A. Items of one cluster (a
track's artist) are resampled together. Intervals are percentiles of the bootstrap, at levels widened for few clusters
as in Hesterberg, "What Teachers Should Know About the Bootstrap" (2015), section 4.5.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean

import numpy as np
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from sourcing.errors import UsageError
from sourcing.generation.text.folding import fold_text
from sourcing.generation.text.words import words
from sourcing.workbench.expectations import supported_share
from sourcing.workbench.measures.scores import MEASURES as SHARES
from sourcing.workbench.runs import Run
from sourcing.workbench.trials import Outcome, Trial

__all__ = [
    "MEASURES",
    "Comparison",
    "Difference",
    "compare",
    "difference",
    "f1_of",
    "paired_values",
    "past_deviation",
    "smallest_difference",
]

_RESAMPLES = 4000
_SIMILAR = 0.9  # of two captions, by insertions and deletions; from there on they are near-duplicates
_POWER_Z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
_SMALL_T = {1: 12.706, 2: 4.303, 3: 3.182}  # 97.5 % quantiles of Student's t
_UNKNOWN_DEVIATION = 0.5  # of a share's paired differences, where no runs tell
_LANGUAGE_REASONS = ("caption_wrong_language", "aspects_wrong_language")
Values = dict[str, float]


@dataclass(frozen=True)
class Measure:
    """A number per trial; None where a trial has none. `better` is +1 where more is better, -1 where less is."""

    title: str
    of: Callable[[Trial], float | None]
    better: int
    form: str = ".3f"


def _passes(trial: Trial) -> float:
    return float(trial.outcome is Outcome.PASS)


#: Measure by its key, as in JSON. Gold F1 and near-duplicates need more than a trial, see `paired_values`.
MEASURES: dict[str, Measure] = {
    "passed": Measure("passed", _passes, 1),
    "supported": Measure("supported quotes", supported_share, 1),
    "f1": Measure("F1 on gold", lambda trial: None, 1),
    "aspects": Measure("aspects kept", lambda trial: float(len(trial.aspects)), 1, ".2f"),
    "rejections": Measure("rejections", lambda trial: float(len(trial.rejected)), -1, ".2f"),
    "captions": Measure("captions kept", lambda trial: float(trial.caption is not None), 1),
    "near_duplicates": Measure("near-duplicates", lambda trial: None, -1),
    "wrong_language": Measure(
        "wrong language", lambda trial: float(any(reason in _LANGUAGE_REASONS for reason in trial.reasons)), -1
    ),
    "caption_words": Measure(
        "caption words", lambda trial: float(len(words(trial.caption))) if trial.caption else None, 0, ".1f"
    ),
    "usd": Measure("USD", lambda trial: trial.usage.usd, -1, ".6f"),
    "seconds": Measure("seconds", lambda trial: trial.usage.seconds, -1, ".2f"),
}


@dataclass(frozen=True)
class Difference:
    """Paired difference of a measure, B minus A, with its 95 % interval; wins are items where B is better."""

    a: float
    b: float
    value: float
    low: float | None
    high: float | None
    items: int
    clusters: int
    wins: int
    losses: int
    ties: int

    @property
    def is_sure(self) -> bool:
        """True where the interval excludes zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Two runs: differences by measure, rejections by reason, and the items whose outcome flipped."""

    a: Run
    b: Run
    differences: dict[str, Difference]
    reasons: dict[str, tuple[int, int]]
    flipped: list[tuple[str, Outcome, Outcome]]
    unpaired: list[str] = field(default_factory=list)


def compare(a: Run, b: Run, *, seed: int = 0) -> Comparison:
    """Compare two runs on the items both were asked about; UsageError when there are none.

    Items are the same when their names, inputs and documents are.
    """
    digests = {each.name: each.digest for each in a.subjects}
    clusters = {each.name: each.cluster or each.name for each in b.subjects if digests.get(each.name) == each.digest}
    if not clusters:
        thing, finding = f"{a.id} and {b.id}", f"they share no item ({a.about} and {b.about})"
        raise UsageError(thing, finding, "run both packs on the same cases, gold documents or tracks")
    differences = {}
    for key in MEASURES:
        values_a, values_b = (paired_values(run, key, clusters) for run in (a, b))
        names = [name for name in clusters if name in values_a and name in values_b]
        if names:
            pairs = [(values_a[name], values_b[name], clusters[name]) for name in names]
            differences[key] = difference(pairs, better=MEASURES[key].better, seed=seed)
    reasons = {
        reason: (count_a, count_b)
        for counts in [[_reasons(run, clusters) for run in (a, b)]]
        for reason in sorted({*counts[0], *counts[1]})
        for count_a, count_b in [(counts[0][reason], counts[1][reason])]
    }
    unpaired = sorted({each.name for run in (a, b) for each in run.subjects} - clusters.keys())
    outcomes_a, outcomes_b = (_outcomes(run) for run in (a, b))
    flipped = [
        (name, outcomes_a[name], outcomes_b[name])
        for name in clusters
        if name in outcomes_a and name in outcomes_b and outcomes_a[name] is not outcomes_b[name]
    ]
    return Comparison(a, b, differences, reasons, flipped, unpaired)


def paired_values(run: Run, key: str, names: Mapping[str, str]) -> Values:
    """A measure's mean per item of a run, for the items that have one."""
    if key == "f1":
        counts = {name: row["counts"] for name, row in run.gold.items() if name in names}
        return {name: f1_of(own) for name, own in counts.items() if own["gold"] or own["aspects"]}
    if key == "near_duplicates":
        return _near_duplicates(run, names)
    if key == "passed" and run.about != "cases":  # nothing else expects anything
        return {}
    samples: dict[str, list[float]] = defaultdict(list)
    for trial in run.trials:
        value = MEASURES[key].of(trial) if trial.outcome is not Outcome.ERROR or key == "passed" else None
        if trial.name in names and value is not None:
            samples[trial.name].append(value)
    return {name: fmean(own) for name, own in samples.items()}


def f1_of(counts: Mapping[str, int]) -> float:
    """F1 of one document; 1 where there is nothing to say and nothing was said."""
    share = SHARES["f1"].share(counts)
    return float(counts["aspects"] == counts["gold"]) if share is None else share


def _near_duplicates(run: Run, names: Mapping[str, str]) -> Values:
    """1 for an item whose caption is nearly another item's, else 0; items without a caption are left out."""
    captions = {
        trial.name: fold_text(trial.caption)
        for trial in run.trials
        if trial.sample == 0 and trial.caption and trial.name in names
    }
    if len(captions) < 2:
        return {}
    texts = list(captions.values())
    alike = cdist(texts, texts, scorer=Indel.normalized_similarity, score_cutoff=_SIMILAR, dtype=np.float32) > 0
    return {name: float(row.sum() > 1) for name, row in zip(captions, alike, strict=True)}


def _reasons(run: Run, names: Mapping[str, str]) -> Counter[str]:
    return Counter(row["reason"] for trial in run.trials if trial.name in names for row in trial.rejected)


def _outcomes(run: Run) -> dict[str, Outcome]:
    """The outcome of each item's first sample."""
    return {trial.name: trial.outcome for trial in reversed(run.trials)}


def difference(pairs: Sequence[tuple[float, float, str]], *, better: int = 1, seed: int = 0) -> Difference:
    """Paired difference of (a, b, cluster) triples, with a cluster bootstrap interval; none for a single cluster."""
    a, b = (np.array([pair[place] for pair in pairs], dtype=float) for place in (0, 1))
    deltas = b - a  # (N,)
    names = {name: place for place, name in enumerate(dict.fromkeys(pair[2] for pair in pairs))}
    places = np.array([names[pair[2]] for pair in pairs])
    sums = np.bincount(places, weights=deltas, minlength=len(names))  # (K,)
    sizes = np.bincount(places, minlength=len(names)).astype(float)  # (K,)
    low, high = _interval(sums, sizes, seed)
    signs = np.sign(np.where(np.abs(deltas) < 1e-12, 0.0, deltas)) * (better or 1)
    return Difference(
        float(a.mean()), float(b.mean()), float(deltas.mean()), low, high, len(pairs), len(names),
        int((signs > 0).sum()), int((signs < 0).sum()), int((signs == 0).sum()),
    )  # fmt: skip


def _interval(sums: np.ndarray, sizes: np.ndarray, seed: int) -> tuple[float | None, float | None]:
    """95 % interval of the mean of items whose clusters have these sums and sizes, (K,) each."""
    clusters = len(sums)
    if clusters < 2:
        return None, None
    rng = np.random.default_rng(seed)
    means = np.empty(_RESAMPLES)
    for start in range(0, _RESAMPLES, 500):  # in parts, so that memory stays small with many clusters
        picks = rng.integers(0, clusters, (500, clusters))
        means[start : start + 500] = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    level = NormalDist().cdf(-math.sqrt(clusters / (clusters - 1)) * _t_quantile(clusters - 1))
    low, high = np.quantile(means, [level, 1 - level])
    return float(low), float(high)


def _t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t, by the series in 1/degrees (Abramowitz and Stegun 26.7.5); exact below four."""
    if degrees in _SMALL_T:
        return _SMALL_T[degrees]
    z = NormalDist().inv_cdf(0.975)
    terms: tuple[float, ...] = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / degrees**power for power, term in enumerate(terms, start=1))


def smallest_difference(clusters: int, deviation: float | None = None) -> float:
    """Smallest true difference that so many clusters show with 80 % power at the 5 % level.

    `deviation` is the standard deviation of paired differences between clusters; where nothing tells, that of a share
    of which a quarter of the items change.
    """
    return _POWER_Z * (_UNKNOWN_DEVIATION if deviation is None else deviation) / math.sqrt(max(clusters, 1))


def past_deviation(runs: Sequence[Run], pack_id: str) -> float | None:
    """Standard deviation of paired differences in supported quotes between the two newest runs of a pack, by cluster.

    None without two runs that share at least three clusters.
    """
    own = [run for run in runs if run.pack.partition("@")[0] == pack_id]
    for b, a in ((own[at], own[at - 1]) for at in range(len(own) - 1, 0, -1)):
        clusters = {each.name: each.cluster for each in b.subjects}
        values_a, values_b = (paired_values(run, "supported", clusters) for run in (a, b))
        deltas: dict[str, list[float]] = defaultdict(list)
        for name in values_a.keys() & values_b.keys():
            deltas[clusters[name]].append(values_b[name] - values_a[name])
        if len(deltas) >= 3:
            return float(np.std([fmean(each) for each in deltas.values()], ddof=1)) or None
    return None
