"""The class `AudioTextModule` at an earlier import path, named in the modules.json of older model folders."""

from training.model.sentence_transformer import AudioTextModule

__all__ = ["AudioTextModule"]
