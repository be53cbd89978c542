"""Cross-modal retrieval: text→audio and audio→text R@1/5/10, MRR, mAP@10 and median rank, beside chance.

Ranks start at 1, and a tie counts against the model. A query is one distinct text (case and spacing folded); every
track that carries it is a right answer, so identical texts never punish each other, and it is resampled with the
first of them. In the other direction a query is a track, and all of its texts are right answers.
Letters: Q queries, N candidates, R the most right answers that any query has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from training.evaluation.bootstrap import REPLICATES, Floats, Ints, Measured, measure_all

__all__ = ["Queries", "evaluate_retrieval", "first_ranks", "gather_queries", "metrics_of_ranks", "rank_all"]


@dataclass(frozen=True)
class Queries:
    """Distinct texts in the order of first use, each with the positions of the tracks that carry the text."""

    texts: list[str]
    tracks: list[list[int]]


def gather_queries(texts_by_track: Sequence[Sequence[str]]) -> Queries:
    """Fold texts that differ in case or spacing into one query, which keeps the first spelling."""
    owners_by_text: dict[str, tuple[str, list[int]]] = {}  # folded text -> (first spelling, positions of its tracks)
    for track, texts in enumerate(texts_by_track):
        for text in texts:
            owners = owners_by_text.setdefault(" ".join(text.casefold().split()), (text, []))[1]
            if track not in owners:
                owners.append(track)
    return Queries([text for text, _ in owners_by_text.values()], [owners for _, owners in owners_by_text.values()])


def rank_all(scores: Floats) -> Ints:
    """The ranks (Q, N) from 1 of scores (Q, N): the number of candidates that score at least as high."""
    # Per query N log N by sorting; comparing every pair would be N². side="left" counts strictly lower scores.
    lower = [np.searchsorted(np.sort(row), row, side="left") for row in scores]
    ranks: Ints = scores.shape[1] - np.stack(lower).astype(np.int64)
    return ranks


def metrics_of_ranks(ranks: Floats) -> dict[str, Floats]:
    """The metrics, each (Q,), of ranks (Q, R) of the right answers; inf fills up where a query has fewer.

    R@k asks whether any right answer is among the first k, MRR and median rank look at the best of them, and
    mAP@10 divides by the right answers there are, at most 10.
    """
    ranks = np.sort(ranks, axis=1)
    best_ranks, answers = ranks[:, 0], np.isfinite(ranks).sum(axis=1)  # (Q,)
    # The i-th right answer at rank r has i right ones among the first r.
    precision = np.where(ranks <= 10, np.arange(1, ranks.shape[1] + 1) / ranks, 0.0)  # (Q, R)
    return {
        "r_at_1": (best_ranks <= 1).astype(np.float64),
        "r_at_5": (best_ranks <= 5).astype(np.float64),
        "r_at_10": (best_ranks <= 10).astype(np.float64),
        "mrr": 1.0 / best_ranks,
        "map_at_10": precision.sum(axis=1) / np.minimum(answers, 10),
        "median_rank": best_ranks,
    }


def first_ranks(scores: Floats, queries: Queries) -> tuple[Ints, Ints]:
    """The rank of the best track per text (Q,) and of the best text per track (N,), by scores (Q, N)."""
    text_ranks, track_ranks = rank_all(scores), rank_all(scores.T)  # (Q, N), (N, Q)
    texts_of = _texts_of(queries, scores.shape[1])
    best_tracks = [text_ranks[query, owners].min() for query, owners in enumerate(queries.tracks)]
    best_texts = [track_ranks[track, texts].min() for track, texts in enumerate(texts_of) if texts]
    return np.asarray(best_tracks), np.asarray(best_texts)


def evaluate_retrieval(
    text: Floats, audio: Floats, queries: Queries, *, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, dict[str, Measured]]:
    """Measure both directions on unit vectors: text (Q, E) as `queries` are ordered, audio (N, E) as the tracks are."""
    scores = np.asarray(text, dtype=np.float64) @ np.asarray(audio, dtype=np.float64).T  # (Q, N)
    texts_of = _texts_of(queries, len(audio))
    queried_tracks = [track for track, texts in enumerate(texts_of) if texts]

    text_ranks, text_answers = rank_all(scores), _padded(queries.tracks)  # (Q, N), (Q, R)
    text_rows = np.arange(len(scores))[:, None]  # (Q, 1)

    def text_to_audio(order: Ints | None) -> dict[str, Floats]:
        # Shuffled audio: the answer is now the track whose audio the right one was given, (Q, R).
        columns = text_answers if order is None else order[text_answers]
        return metrics_of_ranks(np.where(text_answers < 0, np.inf, text_ranks[text_rows, columns]))

    track_ranks, track_answers = rank_all(scores.T), _padded([texts_of[track] for track in queried_tracks])  # (N, Q)
    track_rows = np.asarray(queried_tracks)[:, None]  # (queried tracks, 1)

    def audio_to_text(order: Ints | None) -> dict[str, Floats]:
        rows = track_rows if order is None else order[track_rows]
        return metrics_of_ranks(np.where(track_answers < 0, np.inf, track_ranks[rows, track_answers]))

    # A text of several tracks is drawn with the first of them.
    first_owners = [owners[0] for owners in queries.tracks]
    measure = partial(measure_all, tracks=len(audio), lower_is_better={"median_rank"}, replicates=replicates, seed=seed)
    return {
        "text_to_audio": measure(text_to_audio, first_owners),
        "audio_to_text": measure(audio_to_text, queried_tracks),
    }


def _texts_of(queries: Queries, tracks: int) -> list[list[int]]:
    """The queries that each track is a right answer to, by track."""
    queries_of: list[list[int]] = [[] for _ in range(tracks)]
    for query, owners in enumerate(queries.tracks):
        for track in owners:
            queries_of[track].append(query)
    return queries_of


def _padded(lists: Sequence[Sequence[int]]) -> Ints:
    """Lists of unequal length as one array (Q, R), filled up with -1."""
    width = max(len(row) for row in lists)
    return np.asarray([[*row, *[-1] * (width - len(row))] for row in lists], dtype=np.int64)
