"""Alias of the module `training.model.audio_tower`, named after the Music Tagging Transformer."""

from training.model.audio_tower import MusicTaggingTransformer, load_published

__all__ = ["MusicTaggingTransformer", "load_published"]
