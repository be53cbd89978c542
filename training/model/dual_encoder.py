"""The dual encoder: an audio tower and a text tower with projections into one space of unit vectors.

Letters: B rows of a batch, N samples, T frames, D width of a tower's output, H width of a projection's hidden layer,
E width of the common space.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sourcing.errors import UsageError
from training.audio.io import stream_windows, take, windows
from training.model.audio_tower import MAXIMUM_SAMPLES, MINIMUM_SAMPLES, MusicTaggingTransformer
from training.model.config import ModelConfig
from training.model.text_tower import TextTower

__all__ = ["FORMAT", "DualEncoder", "Projection"]

FORMAT = "crossmusim-dual-encoder/1"
_MAXIMUM_SCALE = 100.0  # CLIP's bound (Radford et al., 2021): CLIP's training was unstable above


class Projection(nn.Module):
    """Two layers that carry a tower's output (B, D) into the common space (B, E), not normalised."""

    def __init__(self, in_ndim: int, hidden_ndim: int, out_ndim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_ndim, hidden_ndim), nn.GELU(), nn.Linear(hidden_ndim, out_ndim))

    def forward(self, features: Tensor) -> Tensor:
        projected: Tensor = self.layers(features)  # (B, D) -> (B, H) -> (B, E)
        return projected


class DualEncoder(nn.Module):
    """Audio tower, text tower, one projection for each tower, and the scale of cosine similarities in the loss.

    `load_text` gives the text tower of a name, as `training.model.text_source.load_text_tower` does.
    """

    logit_scale: Tensor  # (), the logarithm of the scale, so that a gradient step changes it by a factor

    def __init__(self, config: ModelConfig, load_text: Callable[[str], TextTower]) -> None:
        super().__init__()
        self.config = config
        self.clip_samples = round(config.clip_s * config.sample_rate_hz)
        _check(config, self.clip_samples)
        self.audio_tower = MusicTaggingTransformer(config.conv_ndim, config.attention_ndim, n_seq_cls=1)
        self.audio_tower.mlp_head.requires_grad_(False)  # the tag head has no part in this model
        # Loaded between audio tower and projections: loading may draw random numbers, so the order is part of a seed.
        self.text_tower = load_text(config.text_model)
        hidden_ndim, out_ndim = config.projection_hidden_ndim, config.embedding_ndim
        self.audio_projection = Projection(self.audio_tower.out_ndim, hidden_ndim, out_ndim)
        self.text_projection = Projection(self.text_tower.out_ndim, hidden_ndim, out_ndim)
        logit_scale = torch.tensor(math.log(1.0 / config.temperature))
        if config.learn_temperature:
            self.logit_scale = nn.Parameter(logit_scale)
        else:
            self.register_buffer("logit_scale", logit_scale)

    @property
    def device(self) -> torch.device:
        return self.audio_tower.cls_token.device

    def scale(self) -> Tensor:
        """The factor of cosine similarities in the loss: a scalar of at most 100."""
        return self.logit_scale.exp().clamp(max=_MAXIMUM_SCALE)

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Unit vectors (B, E) in fp32 of clips (B, N), floats in [-1, 1] or int16."""
        return self.embed_mel(self.audio_tower.mel(waveforms.to(self.device)))

    def embed_mel(self, mel: Tensor) -> Tensor:
        """Unit vectors (B, E) in fp32 of dB mels (B, 1, 128, T) that `audio_tower.mel` gave."""
        features = self.audio_tower.embed_mel(mel)  # (B, D)
        projected = self.audio_projection(features)  # (B, E)
        # Under autocast `projected` is bf16, whose 8 bits of mantissa would blur cosines near 1.
        return F.normalize(projected.float(), dim=-1)

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Features for `embed_text`, on the CPU."""
        return self.text_tower.tokenize(texts)

    def embed_text(self, texts: dict[str, Tensor] | list[str]) -> Tensor:
        """Unit vectors (B, E) in fp32 of texts, or of the features that `tokenize` gave."""
        features = self.tokenize(texts) if isinstance(texts, list) else texts
        return self.project_text(self.text_tower(features))

    def text_features(self, texts: list[str]) -> Tensor:
        """The text tower's own output (B, D), before the projection: constant while the tower is frozen."""
        features: Tensor = self.text_tower(self.tokenize(texts))  # (B, D)
        return features

    def project_text(self, features: Tensor) -> Tensor:
        """Unit vectors (B, E) in fp32 of text tower outputs (B, D)."""
        return F.normalize(self.text_projection(features).float(), dim=-1)

    @torch.no_grad()
    def embed_track(self, source: Path | str | npt.NDArray[Any], *, batch_size: int = 8) -> Tensor:
        """The unit vector (E,), on the CPU, of a whole track: the mean over its windows, normalised again.

        `source` is a file, which is streamed so that memory stays flat, or its samples (N,) at the model's rate.
        Dropout and batch statistics are switched off while it runs. Raises AudioRefused.
        """
        clips = self._clips(source)
        total = torch.zeros(self.config.embedding_ndim, dtype=torch.float64)  # (E,); an hour sums up 360 clips of 10 s
        with _evaluating(self):
            while batch := list(islice(clips, batch_size)):
                vectors = self.embed_audio(torch.from_numpy(np.stack(batch)))  # (batch_size, E)
                total += vectors.double().sum(dim=0).cpu()
        return F.normalize(total, dim=0).float()

    def _clips(self, source: Path | str | npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        """Yield clips (clip_samples,) that cover the whole track, end included."""
        if isinstance(source, np.ndarray):
            return (take(source, start, self.clip_samples) for start in windows(len(source), self.clip_samples))
        return stream_windows(source, self.clip_samples, self.config.sample_rate_hz)

    def fingerprint(self) -> str:
        """A hash of every weight and of the clip: equal fingerprints give equal embeddings."""
        own = [f"{name} {_digest(tensor)}" for name, tensor in sorted(self.own_state().items())]
        # The text tower's names are its library's and change with its versions: its weights are hashed as a set.
        text = sorted(_digest(tensor) for tensor in self.text_tower.state_dict().values())
        parts = [FORMAT, self.config.clip_s, self.config.sample_rate_hz, own, text]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def own_state(self) -> dict[str, Tensor]:
        """All weights and statistics but the text tower's, by name, on the CPU."""
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("text_tower.")}
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _digest(tensor: Tensor) -> str:
    array = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{array.dtype} {tuple(array.shape)} ".encode())
    digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check(config: ModelConfig, clip_samples: int) -> None:
    """Refuse sizes that the audio tower cannot have; UsageError names the key and its bounds."""
    if config.sample_rate_hz != 22_050:
        cure = "leave sample_rate_hz at 22050"
        raise UsageError("model configuration", f"a sample rate of {config.sample_rate_hz} Hz", cure)
    if not MINIMUM_SAMPLES <= clip_samples <= MAXIMUM_SAMPLES:
        least, most = MINIMUM_SAMPLES / config.sample_rate_hz, MAXIMUM_SAMPLES / config.sample_rate_hz
        raise UsageError("model configuration", f"clip_s = {config.clip_s:g}", f"choose {least:.2f} to {most:.1f} s")
    if config.attention_ndim % 8:
        cure = "choose a multiple of 8, for its 8 heads"
        raise UsageError("model configuration", f"attention_ndim = {config.attention_ndim}", cure)


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)
