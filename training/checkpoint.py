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

_KEPT = 2  # the newest, and the one before in case it is torn


@dataclass(frozen=True)
class Checkpoint:
    step: int
    state: dict[str, Any]
    facts: dict[str, Any]
    path: Path


class Checkpoints:
    """The checkpoints in a folder; `notes` says in words what was passed over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []

    def save(self, step: int, state: Mapping[str, Any], facts: Mapping[str, Any], *, name: str | None = None) -> None:
        """Write one; with a `name` ("best") it replaces the one of that name, else old numbered ones are removed."""
        import torch

        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        payload = buffer.getbuffer()
        path = self.folder / f"{name or f'step-{step:08d}'}.pt"
        with atomic_path(path) as temporary:
            temporary.write_bytes(payload)
        digest = hashlib.sha256(payload).hexdigest()
        write_json(path.with_suffix(".json"), {"step": step, "sha256": digest, "facts": dict(facts)})
        if name is None:
            for old in sorted(self.folder.glob("step-*.json"))[:-_KEPT]:
                old.unlink()
                old.with_suffix(".pt").unlink(missing_ok=True)

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; a torn one is passed over with a note. CheckpointError when all are torn."""
        records = sorted(self.folder.glob("step-*.json"), reverse=True)
        for record in records:
            found = self._read(record)
            if found:
                return found
        if records:
            raise CheckpointError(str(self.folder), "all of its checkpoints are torn", "begin anew with --fresh")
        return None

    def load(self, name: str) -> Checkpoint:
        """The one of that name; CheckpointError when it is not there or torn."""
        record = self.folder / f"{name}.json"
        found = self._read(record) if record.exists() else None
        if found is None:
            raise CheckpointError(str(record.with_suffix(".pt")), "missing or torn", "begin anew with --fresh")
        return found

    def _read(self, record: Path) -> Checkpoint | None:
        import torch

        path = record.with_suffix(".pt")
        try:
            told = json.loads(record.read_text(encoding="utf-8"))
            payload = path.read_bytes()
            step, digest, facts = int(told["step"]), told["sha256"], dict(told["facts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.notes.append(f"checkpoint {path.name} is passed over: it cannot be read ({error})")
            return None
        if hashlib.sha256(payload).hexdigest() != digest:
            self.notes.append(f"checkpoint {path.name} is passed over: torn (its bytes are not those written)")
            return None
        return Checkpoint(step, torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True), facts, path)


def require_fit(where: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """CheckpointError naming the first thing in which the run in `where` is not the one asked for.

    Both sides hold `dataset` (name@version), `logical_hash`, `recipe`, and number and hash of the `tracks` in use.
    """
    cure = "train into another folder with --out, or begin anew with --fresh"
    thing = f"the run in {where}"
    if found["logical_hash"] != wanted["logical_hash"]:
        mine, yours = _named(found), _named(wanted)
        raise CheckpointError(thing, f"it was made from dataset {mine}, not from {yours}", cure)
    for table, values in wanted["recipe"].items():
        for key, value in values.items():
            before = found["recipe"].get(table, {}).get(key)
            if before != value:
                raise CheckpointError(thing, f"it was begun with {table}.{key} = {before!r}, now it is {value!r}", cure)
    if found["tracks_hash"] != wanted["tracks_hash"]:
        found_count, count = found["tracks"], wanted["tracks"]
        why = f"it was begun with {found_count} usable tracks, now there are {count}, or their sound differs"
        raise CheckpointError(thing, why, f"bring the sound files back as they were, {cure}")


def _named(facts: Mapping[str, Any]) -> str:
    return f"{facts['dataset']} (logical hash {facts['logical_hash'][:12]})"
