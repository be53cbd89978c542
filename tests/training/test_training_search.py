"""Search by words and by a track."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from sourcing.errors import AudioError, CheckpointError, InputError
from training.index import TrackIndex
from training.model.dual import DualEncoder
from training.search import search_like, search_text


@pytest.fixture(scope="module")
def index(dual: DualEncoder) -> TrackIndex:
    with torch.no_grad():
        calm = dual.embed_text(["calm solo piano"])[0].numpy()
    away = np.eye(8, dtype=np.float32)[0]
    away = away - (away @ calm) * calm  # at a right angle
    vectors = np.stack([away / np.linalg.norm(away), calm, -calm])
    tracks = pl.DataFrame({"track_id": ["away", "calm", "opposite"], "title": ["A", "B", "C"], "artist": ["X"] * 3})
    return TrackIndex(vectors.astype(np.float32), tracks, dual.fingerprint())


def test_words_find_the_track_whose_vector_is_theirs(dual: DualEncoder, index: TrackIndex) -> None:
    hits = search_text(dual, index, "calm solo piano", k=2)
    assert [hit.track_id for hit in hits] == ["calm", "away"]
    assert (hits[0].title, hits[0].artist) == ("B", "X")
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.0], abs=1e-5)


def test_a_track_finds_others_and_itself_only_when_asked(index: TrackIndex) -> None:
    assert [hit.track_id for hit in search_like(index, "calm")] == ["away", "opposite"]
    assert search_like(index, "calm", exclude_self=False)[0].track_id == "calm"


def test_an_unknown_track_is_refused_naming_near_ones(index: TrackIndex) -> None:
    with pytest.raises(InputError, match="did you mean calm"):
        search_like(index, "clam")


def test_no_words_and_another_models_index_are_refused(dual: DualEncoder, index: TrackIndex) -> None:
    with pytest.raises(InputError, match="empty"):
        search_text(dual, index, "  ")
    other = TrackIndex(index.embeddings, index.tracks, "0" * 64)
    with pytest.raises(CheckpointError, match="another model"):
        search_text(dual, other, "calm")


@pytest.mark.parametrize("text", ["song.flac", "~/song.M4A", "file:///music/song.ogg", __file__])
def test_a_path_never_becomes_words(dual: DualEncoder, index: TrackIndex, text: str) -> None:
    with pytest.raises(AudioError, match="the path of a file where words are wanted"):
        search_text(dual, index, text)
