"""Checkpoints of a run: written whole or not at all, checked by hash when read, refused when they do not fit.

    <folder>/step-00000120.pt      tensors and plain values, loadable with weights_only
    <folder>/step-00000120.json    its sha256, and the facts: recipe, dataset, logical hash, best so far, seconds

A checkpoint exists once its .json does, which is written last. Nothing of the random state is kept, because no draw
depends on it: data and dropout are keyed by seed and step.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sourcing.errors import CheckpointError
from sourcing.store.workspace import atomic_path, write_json

__all__ = ["Checkpoint", "Checkpoints", "require_fit"]

_KEEP = 2  # the newest, and the one before in case it is torn


@dataclass(frozen=True)
class Checkpoint:
    step: int
    state: dict[str, Any]
    facts: dict[str, Any]
    path: Path


class Checkpoints:
    """The checkpoints of a folder; `notes` holds a sentence for each that was passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []

    def save(self, step: int, state: Mapping[str, Any], facts: Mapping[str, Any], *, name: str | None = None) -> None:
        """Write a checkpoint in place of the one of that `name`; without a name old numbered ones are removed."""
        import torch

        # In memory first, for the hash must be of the bytes that are written.
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getbuffer()
        path = self.folder / f"{name or f'step-{step:08d}'}.pt"
        with atomic_path(path) as temporary:
            temporary.write_bytes(payload)
        digest = hashlib.sha256(payload).hexdigest()
        write_json(path.with_suffix(".json"), {"step": step, "sha256": digest, "facts": dict(facts)})
        if name is None:
            for old in sorted(self.folder.glob("step-*.json"))[:-_KEEP]:
                old.unlink()
                old.with_suffix(".pt").unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; a torn one is passed over with a note. CheckpointError when all are torn."""
        records = sorted(self.folder.glob("step-*.json"), reverse=True)
        for record in records:
            checkpoint = self._read(record)
            if checkpoint:
                return checkpoint
        if records:
            raise CheckpointError(str(self.folder), "all of its checkpoints are torn", "begin anew with --fresh")
        return None

    def load(self, name: str) -> Checkpoint:
        """The checkpoint of that name; CheckpointError when it is not there or torn."""
        record = self.folder / f"{name}.json"
        checkpoint = self._read(record) if record.exists() else None
        if checkpoint is None:
            raise CheckpointError(str(record.with_suffix(".pt")), "missing or torn", "begin anew with --fresh")
        return checkpoint

    def _read(self, record_path: Path) -> Checkpoint | None:
        import torch

        path = record_path.with_suffix(".pt")  # the .json is written last, so the .pt is there unless removed
        try:
            record = json.loads(record_path.read_text(encoding="utf-8"))
            payload = path.read_bytes()
            step, digest, facts = int(record["step"]), record["sha256"], dict(record["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(f"checkpoint {path.name} is passed over: it cannot be read ({error})")
            return None
        if hashlib.sha256(payload).hexdigest() != digest:
            self.notes.append(f"checkpoint {path.name} is passed over: torn (its bytes are not those written)")
            return None
        return Checkpoint(step, torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True), facts, path)


def require_fit(folder: Path, record: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming the first difference between `record`, of the run in `folder`, and `facts`.

    Both hold `dataset` (name@version), `logical_hash`, `recipe`, and number and hash of the `tracks` in use.
    """
    cure = "train into another folder with --out, or begin anew with --fresh"
    thing = f"the run in {folder}"
    if record["logical_hash"] != facts["logical_hash"]:
        before, now = _dataset_words(record), _dataset_words(facts)
        raise CheckpointError(thing, f"it was made from dataset {before}, not from {now}", cure)
    for table, values in facts["recipe"].items():
        for key, value in values.items():
            earlier = record["recipe"].get(table, {}).get(key)
            if earlier != value:
                raise CheckpointError(
                    thing, f"it was begun with {table}.{key} = {earlier!r}, now it is {value!r}", cure
                )
    if record["tracks_hash"] != facts["tracks_hash"]:
        before, now = record["tracks"], facts["tracks"]
        finding = f"it was begun with {before} usable tracks, now there are {now}, or their sound differs"
        raise CheckpointError(thing, finding, f"bring the sound files back as they were, {cure}")


def _dataset_words(facts: Mapping[str, Any]) -> str:
    return f"{facts['dataset']} (logical hash {facts['logical_hash'][:12]})"
