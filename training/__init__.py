"""Training: from a dataset version to a model that embeds tracks and words in one space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

__all__ = ["load_model"]


def load_model(path: Path | str) -> SentenceTransformer:
    """The model of a folder that training saved; `.encode(["sad solo piano", "song.flac"])` gives unit vectors.

    CheckpointError when the folder is missing or torn. Nothing is fetched, and no code that lies in the folder is run.
    """
    from training.model.sentence_transformer import (
        as_sentence_transformer,  # torch and sentence-transformers take seconds to import
    )
    from training.model.weights import load_dual_encoder

    return as_sentence_transformer(load_dual_encoder(path))
