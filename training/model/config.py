"""The configuration of a model, stored beside the weights; units are in the names."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_TEXT_MODEL", "ModelConfig"]

DEFAULT_TEXT_MODEL = "sentence-transformers/distiluse-base-multilingual-cased-v2"


@dataclass(frozen=True)
class ModelConfig:
    """The sizes of a dual encoder's parts, the name of the text model, and length and rate of audio clips."""

    conv_ndim: int = 128  # channels of the audio encoder's stem: 128 teacher and student, 16 small
    attention_ndim: int = 256  # width of its transformer: 256 teacher and small, 64 student
    text_model: str = DEFAULT_TEXT_MODEL  # name on a hub, a folder, or "embedded" for the one from PyPI
    projection_hidden_ndim: int = 512
    embedding_ndim: int = 256  # width of the common space
    clip_s: float = 10.0  # audio seen at once
    sample_rate_hz: int = 22_050
    temperature: float = 0.07  # initial; the learned scale is 1 / temperature, clamped to 100
    learn_temperature: bool = True
