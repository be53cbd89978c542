"""The class `AudioTextModule` under its earlier name, which stands in the modules.json of older model folders."""

from training.model.sentence_transformer import AudioTextModule

__all__ = ["AudioTextModule"]
