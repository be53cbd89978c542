"""Audio→audio similarity: precision and mAP of a track's neighbours by label, tracks of the same artist left out.

Tracks of one artist sound alike for reasons (the same studio, the same voice) that have nothing to do with the
label, so they are never candidates. Chance is the same measurement with the audio shuffled among the tracks.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from training.evaluation.bootstrap import REPLICATES, Floats, Ints, Measured, measure_all

__all__ = ["evaluate_similarity"]


def evaluate_similarity(
    audio: Floats,
    labels: Sequence[Set[str]],
    artists: Sequence[str],
    *,
    k: int = 10,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, Measured] | None:
    """Precision@k and mAP of unit vectors (N, E); a neighbour is right when it shares a value of the label.

    Only labelled tracks take part. Precision divides by k, or by the candidates when they are fewer. None when
    no track has both a right and a wrong candidate: then nothing can be told.
    """
    labelled = [position for position, values in enumerate(labels) if values]
    if len(labelled) < 2:
        return None
    # Artists are compared without case and outer spaces.
    names = [artists[position].casefold().strip() for position in labelled]
    allowed = np.asarray([[a != b for b in names] for a in names])  # (N, N); False on the diagonal
    right = np.asarray([[bool(labels[a] & labels[b]) for b in labelled] for a in labelled]) & allowed  # (N, N)
    queries = np.flatnonzero(right.any(axis=1) & (allowed & ~right).any(axis=1))  # (Q,)
    if not len(queries):
        return None
    vectors = np.asarray(audio, dtype=np.float64)[labelled]
    scores = vectors @ vectors.T  # (N, N)

    def score(order: Ints | None) -> dict[str, Floats]:
        shuffled_scores = scores if order is None else scores[np.ix_(order, order)]
        return _precisions(shuffled_scores[queries], right[queries], allowed[queries], k)

    return measure_all(score, queries.tolist(), len(labelled), replicates=replicates, seed=seed)


def _precisions(scores: Floats, right: np.ndarray, allowed: np.ndarray, k: int) -> dict[str, Floats]:
    """Precision@k and average precision, each (Q,), by scores, right answers and candidates, each (Q, N)."""
    # Equal scores: wrong answers first, so that a tie counts against the model; what is not allowed comes last.
    order = np.lexsort((right, np.where(allowed, -scores, np.inf)), axis=1)  # (Q, N)
    hits = np.take_along_axis(right, order, axis=1)  # (Q, N)
    hit_counts = hits.cumsum(axis=1)  # (Q, N): right answers among the first 1 ... N
    candidates = allowed.sum(axis=1)  # (Q,)
    depth = np.minimum(k, candidates)
    at_k = np.take_along_axis(hit_counts, depth[:, None] - 1, axis=1)[:, 0] / depth
    # Precision at each right answer, then the mean over them.
    average = (hits * hit_counts / np.arange(1, scores.shape[1] + 1)).sum(axis=1) / hits.sum(axis=1)
    return {f"precision_at_{k}": at_k, "map": average}
