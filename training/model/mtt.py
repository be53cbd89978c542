"""The module `training.model.audio_tower` under the name of the model it holds, the Music Tagging Transformer."""

from training.model.audio_tower import MusicTaggingTransformer, load_published

__all__ = ["MusicTaggingTransformer", "load_published"]
