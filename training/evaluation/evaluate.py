"""A model measured on a split: embed its texts and tracks, then retrieval and similarity.

Letters: N tracks, Q distinct texts, E width of the common space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from training.evaluation.bootstrap import REPLICATES, Floats, Measured
from training.evaluation.report import as_record, verdict
from training.evaluation.retrieval import Queries, evaluate_retrieval, first_ranks, gather_queries
from training.evaluation.similarity import evaluate_similarity
from training.loss import nt_xent
from training.model.dual_encoder import DualEncoder
from training.pairs import PairedTrack, usable_texts

__all__ = ["embed_texts", "embed_tracks", "measure_split", "validate"]

_TEXT_BATCH = 64  # texts encoded at once
_MINIMUM_LABELLED = 2  # distinct values that a facet needs to be measured by default


def embed_tracks(
    model: DualEncoder, tracks: Sequence[PairedTrack], *, on_progress: Callable[[int], None] | None = None
) -> Floats:
    """Unit vectors (N, E) of whole tracks in fp64, embedded as for search and index."""
    vectors = []
    for track in tracks:
        vectors.append(model.embed_track(track.pcm).double().numpy())
        if on_progress is not None:
            on_progress(1)
    return np.stack(vectors)  # (N, E)


@torch.no_grad()
def embed_texts(model: DualEncoder, texts: Sequence[str]) -> Floats:
    """Unit vectors (Q, E) in fp64 of texts, in input order; batched by length, so that little is padding."""
    model.eval()
    # Positions sorted by text length; vectors are written back in input order.
    order = sorted(range(len(texts)), key=lambda place: (len(texts[place]), texts[place]))
    vectors = np.empty((len(texts), model.config.embedding_ndim), dtype=np.float64)
    for begin in range(0, len(order), _TEXT_BATCH):
        places = order[begin : begin + _TEXT_BATCH]
        # One batch: (64, E), or fewer at the end.
        vectors[places] = model.embed_text([texts[place] for place in places]).double().cpu().numpy()
    return vectors


def validate(model: DualEncoder, tracks: Sequence[PairedTrack], *, direction: str) -> dict[str, float]:
    """Measure the model during training: loss, R@10 and MRR, without intervals.

    `loss` is NT-Xent of each track with its first text; a few tracks make a smaller one than many, so that it compares
    within a run only. `mrr` and `r_at_10` are text→audio.
    """
    queries = gather_queries([usable_texts(track) for track in tracks])
    audio, text = embed_tracks(model, tracks), embed_texts(model, queries.texts)
    text_ranks, track_ranks = first_ranks(text @ audio.T, queries)
    return {
        "loss": _loss(model, audio, text, queries, len(tracks), direction),
        "r_at_10": float((text_ranks <= 10).mean()),
        "mrr": float((1 / text_ranks).mean()),
        "mrr_audio_to_text": float((1 / track_ranks).mean()),
    }


def measure_split(
    model: DualEncoder,
    tracks: Sequence[PairedTrack],
    *,
    facets: Sequence[str] | None = None,
    replicates: int = REPLICATES,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Measure retrieval and similarity on a split's tracks, each figure beside interval and chance.

    Returns {"tracks", "queries", "metrics": {"text_to_audio", "audio_to_text", "similarity"}, "verdict", "skipped"}.

    `facets` are the label columns for audio→audio; None takes all that have two values or more. A facet where
    no figure is possible (one value, or all of a value by one artist) lands in `skipped`.
    """
    queries = gather_queries([usable_texts(track) for track in tracks])
    audio, text = embed_tracks(model, tracks, on_progress=on_progress), embed_texts(model, queries.texts)
    retrieval = evaluate_retrieval(text, audio, queries, replicates=replicates)
    similarity: dict[str, dict[str, Measured]] = {}
    skipped_facets = []
    for facet in _facets(tracks) if facets is None else facets:
        figures = evaluate_similarity(
            audio,
            [track.labels.get(facet, frozenset()) for track in tracks],
            [track.artist for track in tracks],
            replicates=replicates,
        )
        if figures is None:
            skipped_facets.append(facet)
        else:
            similarity[facet] = figures
    return {
        "tracks": len(tracks),
        "queries": len(queries.texts),
        "metrics": as_record(retrieval, similarity),
        "verdict": verdict(retrieval["text_to_audio"]),
        "skipped": skipped_facets,
    }


def _facets(tracks: Sequence[PairedTrack]) -> list[str]:
    values: dict[str, set[str]] = {}
    for track in tracks:
        for facet, labels in track.labels.items():
            values.setdefault(facet, set()).update(labels)
    return sorted(facet for facet, labels in values.items() if len(labels) >= _MINIMUM_LABELLED)


def _loss(model: DualEncoder, audio: Floats, text: Floats, queries: Queries, n_tracks: int, direction: str) -> float:
    query_of: dict[int, int] = {}  # track -> its first query
    for query, owners in enumerate(queries.tracks):
        for track in owners:
            query_of.setdefault(track, query)
    query_by_track = torch.tensor([query_of[track] for track in range(n_tracks)])  # (N,)
    # Tracks whose first texts are equal are no negatives of each other, as in a training step.
    same = query_by_track[:, None] == query_by_track[None, :]
    texts = torch.from_numpy(text)[query_by_track]
    return nt_xent(torch.from_numpy(audio), texts, model.scale().detach().cpu(), direction=direction, same=same).item()
