"""Search over an index: by words, or by a track that sounds alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sourcing.errors import AudioError, CheckpointError, InputError
from sourcing.store.audio import audio_path
from training.index import Hit, TrackIndex

if TYPE_CHECKING:
    from training.model.dual import DualEncoder

__all__ = ["search_like", "search_text"]


def search_text(model: DualEncoder, index: TrackIndex, text: str, k: int = 10) -> list[Hit]:
    """The `k` tracks that fit the words best; CheckpointError when the index is another model's."""
    if not text.strip():
        raise InputError("search text", "empty", "say in words what the music should be like")
    if (path := audio_path(text)) is not None:
        cure = "say in words what the music should be like, or give a track's id to --like"
        raise AudioError(str(path), "the path of a file where words are wanted", cure)
    if model.fingerprint() != index.fingerprint:
        raise CheckpointError("index", "it was made with another model", "run `crossmusim embed MODEL` with this one")
    model.eval()
    with torch.inference_mode():
        vector = model.embed_text([text])[0].cpu().numpy()
    return index.search(vector, k)


def search_like(index: TrackIndex, track_id: str, k: int = 10, *, exclude_self: bool = True) -> list[Hit]:
    """The `k` tracks that sound most like one in the index; InputError names near ids when it is not there."""
    vector = index.embeddings[index.row_of(track_id)]
    return index.search(vector, k, exclude=[track_id] if exclude_self else [])
