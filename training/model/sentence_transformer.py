"""The dual encoder as one SentenceTransformer: strings and sound files into one space, in one list.

sentence-transformers' own Router sends a whole batch one way and refuses a mixed one, so a single input
module holds both routes and looks at each input for itself.

Letters: B inputs, N samples, E width of the common space.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modality_types import Modality
from sentence_transformers.base.modules import InputModule
from torch import Tensor

from sourcing.errors import InputError
from sourcing.store.audio import audio_path
from training.model.dual_encoder import DualEncoder
from training.model.weights import load_dual_encoder, write_weights

__all__ = ["AudioTextModule", "as_sentence_transformer"]

_PLACES = ("token", "cache_folder", "revision", "local_files_only")  # options of `load` that say where files lie


class AudioTextModule(InputModule):
    """Encode each input by kind: a path or a waveform is audio, any other string is text.

    `sourcing.store.audio.audio_path` says which strings are paths. A sound file's whole track is embedded, from all its
    windows. A path that is missing, or of a kind that is not decoded, is an AudioError, never a text.
    """

    def __init__(self, dual: DualEncoder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.dual = dual

    @property
    def modalities(self) -> list[Modality]:
        return ["text", "audio", "message"]  # "message" is what the library calls a mixed batch

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_options: Any) -> dict[str, Any]:
        sources = [_audio_source(value, self.dual.config.sample_rate_hz) for value in inputs]
        texts = [f"{prompt or ''}{text}" for text, source in zip(inputs, sources, strict=True) if source is None]
        is_audio = torch.tensor([source is not None for source in sources])
        features: dict[str, Any] = dict(self.dual.tokenize(texts)) if texts else {}
        # The library batches tensors only: files travel as a list, and are decoded in `forward`, one at a time.
        return {**features, "is_audio": is_audio, "audio": [source for source in sources if source is not None]}

    def forward(self, features: dict[str, Any], **_options: Any) -> dict[str, Any]:
        is_audio: Tensor = features["is_audio"]  # (B,)
        device = self.dual.device
        out = torch.empty(len(is_audio), self.dual.config.embedding_ndim, device=device)  # (B, E)
        if features["audio"]:  # each track by itself: its windows are the batch
            tracks = torch.stack([self.dual.embed_track(source) for source in features["audio"]])  # (audio inputs, E)
            out[is_audio.to(device)] = tracks.to(device)  # back into the order of the inputs
        if not is_audio.all():
            inputs = {name: features[name] for name in features.keys() - {"is_audio", "audio"}}
            texts = {name: value for name, value in inputs.items() if isinstance(value, Tensor)}
            out[~is_audio.to(device)] = self.dual.embed_text(texts)
        return {**features, "sentence_embedding": out}

    def get_embedding_dimension(self) -> int:
        return self.dual.config.embedding_ndim

    def save(self, output_path: str, *_args: Any, **_options: Any) -> None:
        write_weights(self.dual, Path(output_path))

    @classmethod
    def load(  # type: ignore[override]  # the library passes all but the first argument by name
        cls, model_name_or_path: str, subfolder: str = "", **options: Any
    ) -> AudioTextModule:
        """The module of a folder, or of a repository on the hub after fetching the files."""
        places = {name: options[name] for name in _PLACES if name in options}
        folder = cls.load_dir_path(model_name_or_path, subfolder, **places)
        return cls(load_dual_encoder(folder or Path(model_name_or_path, subfolder)))


def as_sentence_transformer(dual: DualEncoder) -> SentenceTransformer:
    """Wrap `dual`, not a copy, as a SentenceTransformer on the device of `dual`.

    `.encode` takes strings, paths of sound files as strings, waveforms (N,) at the model's rate, and
    `{"array", "sampling_rate"}`, mixed as one likes, and returns unit vectors.
    """
    return SentenceTransformer(modules=[AudioTextModule(dual)], device=str(dual.device))


def _audio_source(value: Any, sample_rate_hz: int) -> str | npt.NDArray[Any] | None:
    """A path or a mono waveform for audio, `None` for text."""
    if isinstance(value, str | os.PathLike):
        path = audio_path(value) if isinstance(value, str) else Path(os.fspath(value))
        return None if path is None else str(path)
    rate_hz = sample_rate_hz  # a bare waveform does not say its rate
    if isinstance(value, dict) and {"array", "sampling_rate"} <= value.keys():
        value, rate_hz = value["array"], int(value["sampling_rate"])
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if not isinstance(value, np.ndarray) or value.ndim != 1 or not len(value):
        finding = f"a {type(value).__name__}" + (f" of shape {value.shape}" if isinstance(value, np.ndarray) else "")
        raise InputError("an input of encode", finding, "give a text, a sound file's path, or a waveform (n,)")
    if rate_hz == sample_rate_hz:
        return value if value.dtype == np.int16 else value.astype(np.float32)
    resampled: npt.NDArray[np.float32] = soxr.resample(value.astype(np.float32), rate_hz, sample_rate_hz)
    return resampled
