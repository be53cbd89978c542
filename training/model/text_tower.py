"""The text tower: a sentence-transformers model of a local folder, as a part of the dual encoder."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers.utils import logging

from sourcing.errors import UsageError

__all__ = ["TextTower", "read_text_tower"]


class TextTower(nn.Module):
    """A sentence encoder with all modules: pooling, dense layers, activations and norms included."""

    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    @property
    def out_ndim(self) -> int:
        return int(self.model.get_embedding_dimension() or 0)

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Token ids and masks, each (B, longest text), on the CPU; rows in the order of the texts."""
        features = self.model.preprocess(texts)
        return {name: value for name, value in features.items() if isinstance(value, Tensor)}

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        """Sentence embeddings (B, D) of features from `tokenize`, as the model's modules define."""
        device = next(self.parameters()).device
        outputs = self.model({name: value.to(device) for name, value in features.items()})
        embeddings: Tensor = outputs["sentence_embedding"]  # (B, D)
        return embeddings

    def save(self, folder: Path) -> None:
        """Write the model into `folder` in sentence-transformers' own layout."""
        self.model.save(str(folder), create_model_card=False)


def read_text_tower(folder: Path) -> TextTower:
    """The tower of a folder; UsageError when it holds no model. Code that lies in the folder is never run."""
    logging.disable_progress_bar()
    try:
        # On the CPU: the enclosing model moves the tower to a device.
        return TextTower(SentenceTransformer(str(folder), device="cpu", local_files_only=True))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
        finding = f"holds no sentence-transformers model ({line})"
        raise UsageError(f"text model {str(folder)!r}", finding, "give another folder, or a hub name") from error
