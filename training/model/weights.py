"""The weights of a model folder: a dual encoder's parts written to it, and read back with their hashes checked.

<folder>/
  config.json            the ModelConfig, and the fingerprint of all weights
  model.safetensors      audio tower, projections, logit scale
  text/                  the text tower, whole: nothing is fetched to load a model folder
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from sourcing.errors import CheckpointError, UsageError
from training.model.config import ModelConfig
from training.model.dual_encoder import FORMAT, DualEncoder
from training.model.text_tower import read_text_tower

__all__ = ["load_dual_encoder", "write_weights"]


def write_weights(model: DualEncoder, folder: Path) -> None:
    """Write configuration, weights and text tower into a folder that exists."""
    model.text_tower.save(folder / "text")
    save_file(model.own_state(), folder / "model.safetensors")
    record = {"format": FORMAT, "model": asdict(model.config), "fingerprint": model.fingerprint()}
    (folder / "config.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def load_dual_encoder(folder: Path | str, *, device: str | torch.device = "cpu") -> DualEncoder:
    """The model of a folder, in evaluation mode; code that lies in the folder is never run.

    CheckpointError when the folder is missing, torn, or changed since it was written.
    """
    folder = Path(folder)
    record = _read_record(folder)
    cure = "train again, or take another model folder"
    try:
        # Random weights, all replaced by the file's; the text tower is loaded from text/.
        model = DualEncoder(ModelConfig(**record["model"]), lambda _name: read_text_tower(folder / "text"))
        missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    except (OSError, TypeError, KeyError, RuntimeError, SafetensorError, UsageError) as error:
        finding = f"the model is torn ({' '.join(str(error).split())[:200]})"
        raise CheckpointError(str(folder), finding, cure) from error
    # Only the text tower may be missing from the file: its weights lie in text/.
    if unexpected or any(not name.startswith("text_tower.") for name in missing):
        raise CheckpointError(str(folder), "its weights are not those its config.json tells of", cure)
    # Catches changed weights that still load: an index of the old weights would give wrong neighbours.
    if model.fingerprint() != record.get("fingerprint"):
        raise CheckpointError(str(folder), "its weights were changed after it was saved", cure)
    return model.to(device).eval()


def _read_record(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        finding = "no such model folder" if not folder.is_dir() else "no model in it: config.json is missing"
        raise CheckpointError(str(folder), finding, "correct the path, or run `crossmusim train NAME` first")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(str(path), f"not JSON ({error})", "train again, or take another model folder") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT or "model" not in record:
        raise CheckpointError(
            str(path), f"not a model of format {FORMAT}", "take a folder that `crossmusim train NAME` wrote"
        )
    return record
