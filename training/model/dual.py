"""The dual encoder: an audio tower and a text tower whose projections meet in one space of unit vectors.

    <folder>/
      config.json            what it is made of, and its fingerprint
      model.safetensors      audio tower, projections, logit scale
      text/                  the text tower, whole: nothing is fetched to load a model folder
      modules.json  …        so that sentence-transformers itself can load the folder

Letters: B rows, N samples, T frames, D width of a tower, E width of the common space.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sourcing.errors import CheckpointError, UsageError
from sourcing.store.workspace import fsync_folder
from training.audio.io import stream_windows, take, windows
from training.config import ModelConfig
from training.model.mtt import MAXIMUM_SAMPLES, MINIMUM_SAMPLES, MusicTaggingTransformer
from training.model.projection import Projection
from training.model.text import TextTower, load_text_tower

__all__ = ["DualEncoder"]

FORMAT = "crossmusim-dual-encoder/1"
_MAXIMUM_SCALE = 100.0


class DualEncoder(nn.Module):
    """Audio tower, text tower, a projection each, and the scale of their cosine similarities."""

    def __init__(self, config: ModelConfig, *, text_tower: TextTower | None = None) -> None:
        super().__init__()
        self.config = config
        self.clip_samples = round(config.clip_s * config.sample_rate_hz)
        _check(config, self.clip_samples)
        self.audio_tower = MusicTaggingTransformer(config.conv_ndim, config.attention_ndim, n_seq_cls=1)
        self.audio_tower.mlp_head.requires_grad_(False)  # the tag head has no part in this model
        self.text_tower = text_tower or load_text_tower(config.text_model)
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
        """What cosine similarities are multiplied by, at most 100; `logit_scale` is its logarithm."""
        return self.logit_scale.exp().clamp(max=_MAXIMUM_SCALE)

    def embed_audio(self, waveforms: Tensor) -> Tensor:
        """Unit vectors (B, E) in fp32 of clips (B, N), floats in [-1, 1] or int16."""
        return self.embed_mel(self.audio_tower.mel(waveforms.to(self.device)))

    def embed_mel(self, mel: Tensor) -> Tensor:
        """Unit vectors (B, E) of dB mels (B, 1, 128, T) that `audio_tower.mel` gave."""
        projected = self.audio_projection(self.audio_tower.embed_mel(mel))
        return F.normalize(projected.float(), dim=-1)

    def tokenize(self, texts: list[str]) -> dict[str, Tensor]:
        """Features for `embed_text`, on the CPU."""
        return self.text_tower.tokenize(texts)

    def embed_text(self, texts: dict[str, Tensor] | list[str]) -> Tensor:
        """Unit vectors (B, E) in fp32 of texts, or of what `tokenize` gave."""
        features = self.tokenize(texts) if isinstance(texts, list) else texts
        return self.project_text(self.text_tower(features))

    def text_features(self, texts: list[str]) -> Tensor:
        """The text tower's own output (B, D), before the projection: constant while the tower is frozen."""
        return self.text_tower(self.tokenize(texts))

    def project_text(self, features: Tensor) -> Tensor:
        """Unit vectors (B, E) in fp32 of text tower outputs (B, D)."""
        return F.normalize(self.text_projection(features).float(), dim=-1)

    @torch.no_grad()
    def embed_track(self, source: Path | str | npt.NDArray[Any], *, batch_size: int = 8) -> Tensor:
        """The unit vector (E,), on the CPU, of a whole track: the mean over its windows, normalised again.

        `source` is a file, which is streamed so that memory stays flat, or its samples at the model's rate.
        Dropout and batch statistics are switched off while it runs. Raises AudioRefused.
        """
        clips = self._clips(source)
        total = torch.zeros(self.config.embedding_ndim, dtype=torch.float64)
        with _evaluating(self):
            while batch := list(islice(clips, batch_size)):
                total += self.embed_audio(torch.from_numpy(np.stack(batch))).double().sum(dim=0).cpu()
        return F.normalize(total, dim=0).float()

    def _clips(self, source: Path | str | npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
        if isinstance(source, np.ndarray):
            return (take(source, start, self.clip_samples) for start in windows(len(source), self.clip_samples))
        return stream_windows(source, self.clip_samples, self.config.sample_rate_hz)

    def fingerprint(self) -> str:
        """A hash of every weight and of the clip: equal fingerprints give equal embeddings."""
        own = [f"{name} {_digest(tensor)}" for name, tensor in sorted(self._own_state().items())]
        # The text tower's names are its library's and change with its versions: its weights are hashed as a set.
        text = sorted(_digest(tensor) for tensor in self.text_tower.state_dict().values())
        parts = [FORMAT, self.config.clip_s, self.config.sample_rate_hz, own, text]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def save(self, folder: Path | str) -> None:
        """Write the model folder, whole or not at all, in place of what was there."""
        from training.model.sentence import as_sentence_transformer

        folder = Path(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        try:
            as_sentence_transformer(self).save(str(building), create_model_card=False)
            _sync_tree(building)
            building.chmod(0o755)
            _take_place(building, folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def write_parts(self, folder: Path) -> None:
        """Write config, weights and text tower into an existing folder; `save` is what others call."""
        from safetensors.torch import save_file

        self.text_tower.save(folder / "text")
        save_file(self._own_state(), folder / "model.safetensors")
        record = {"format": FORMAT, "model": asdict(self.config), "fingerprint": self.fingerprint()}
        (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path | str, *, device: str | torch.device = "cpu") -> DualEncoder:
        """The model of a folder that `save` wrote, in evaluation mode.

        CheckpointError when the folder is missing, torn, or changed since.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = Path(folder)
        record = _read_record(folder)
        cure = "train again, or take another model folder"
        try:
            model = cls(ModelConfig(**record["model"]), text_tower=load_text_tower(str(folder / "text")))
            missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        except (OSError, TypeError, KeyError, RuntimeError, SafetensorError, UsageError) as error:
            found = f"the model is torn ({' '.join(str(error).split())[:200]})"
            raise CheckpointError(str(folder), found, cure) from error
        if unexpected or any(not name.startswith("text_tower.") for name in missing):
            raise CheckpointError(str(folder), "its weights are not those its config.json tells of", cure)
        if model.fingerprint() != record.get("fingerprint"):
            raise CheckpointError(str(folder), "its weights were changed after it was saved", cure)
        return model.to(device).eval()

    def _own_state(self) -> dict[str, Tensor]:
        state = {name: value for name, value in self.state_dict().items() if not name.startswith("text_tower.")}
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}


def _digest(tensor: Tensor) -> str:
    array = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{array.dtype} {tuple(array.shape)} ".encode())
    digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check(config: ModelConfig, clip_samples: int) -> None:
    if config.sample_rate_hz != 22_050:
        cure = "leave sample_rate_hz at 22050"
        raise UsageError("model configuration", f"a sample rate of {config.sample_rate_hz} Hz", cure)
    if not MINIMUM_SAMPLES <= clip_samples <= MAXIMUM_SAMPLES:
        least, most = MINIMUM_SAMPLES / config.sample_rate_hz, MAXIMUM_SAMPLES / config.sample_rate_hz
        raise UsageError("model configuration", f"clip_s = {config.clip_s:g}", f"choose {least:.2f} to {most:.1f} s")
    if config.attention_ndim % 8:
        cure = "choose a multiple of 8, for its 8 heads"
        raise UsageError("model configuration", f"attention_ndim = {config.attention_ndim}", cure)


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        found = "no such model folder" if not folder.is_dir() else "no model in it: config.json is missing"
        raise CheckpointError(str(folder), found, "correct the path, or run `crossmusim train NAME` first")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(str(path), f"not JSON ({error})", "train again, or take another model folder") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT or "model" not in record:
        raise CheckpointError(
            str(path), f"not a model of format {FORMAT}", "take a folder that `crossmusim train NAME` wrote"
        )
    return record


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            fsync_folder(path)
            continue
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    fsync_folder(folder)


def _take_place(building: Path, folder: Path) -> None:
    """Rename `building` to `folder`; what was there is moved aside first and removed last."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    building.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
