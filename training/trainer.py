"""The training run: from a dataset version to a model folder, through checkpoints that any death may interrupt.

    <out>/            the model folder, put there whole at the end, with training.json and metrics.jsonl in it
    <out>.run/        while it runs: metrics.jsonl and checkpoints/; gone once the model folder is complete

The same command takes up where it stopped, and on a CPU ends with the weights of an undisturbed run, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sourcing.errors import UsageError
from sourcing.store.versions import DatasetVersion
from sourcing.store.workspace import write_json
from training.audio.cache import PcmCache
from training.checkpoint import Checkpoint, Checkpoints, require_fit
from training.config import Recipe
from training.evaluation.evaluate import validate
from training.metrics_log import MetricsLog
from training.model.dual_encoder import DualEncoder
from training.model.export import save_dual_encoder
from training.model.text_source import load_text_tower
from training.pairs import PairedTrack, Pairs, SplitData, load_split, prefetch, require_tracks
from training.step import choose_device, make_optimizer, never_trains_text, train_step

__all__ = ["RECORD_FILE", "Watcher", "run_folder", "train"]

RECORD_FILE = "training.json"
_TEXT_BATCH = 64


@dataclass
class Watcher:
    """Who wants to know: `note(sentence)`, `on_audio(1)` per decoded file, `on_step(step, total, words)`."""

    note: Callable[[str], None] = lambda _message: None
    on_audio: Callable[[int], None] | None = None
    on_step: Callable[[int, int, str], None] = lambda _step, _total, _words: None


@dataclass
class _Run:
    """What changes as the steps go by."""

    model: DualEncoder
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(default_factory=dict)
    last: dict[str, Any] = field(default_factory=dict)


def run_folder(out: Path) -> Path:
    return out.with_name(f"{out.name}.run")


def train(
    version: DatasetVersion,
    *,
    recipe: Recipe,
    audio_root: Path,
    cache_dir: Path,
    out: Path,
    resume: str = "auto",
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Train and write the model folder; returns its training.json.

    `resume`: "auto" takes up an unfinished run of the same recipe and data, and leaves a finished one as it is;
    "must" refuses to begin anew; "fresh" throws away what is there. CheckpointError when what is there was made
    otherwise, DatasetError when hardly any track can be used.
    """
    watcher = watcher or Watcher()
    _refuse_foreign_folder(out)
    if resume == "fresh":
        shutil.rmtree(run_folder(out), ignore_errors=True)
    device = choose_device()
    cache = PcmCache(cache_dir, sample_rate_hz=recipe.model.sample_rate_hz)
    data, validation = _load(version, recipe, audio_root, cache, watcher)
    facts = _facts(version, recipe, data.tracks)

    checkpoints = Checkpoints(run_folder(out) / "checkpoints")
    found = checkpoints.newest()
    if found:
        require_fit(run_folder(out), found.facts, facts)
    elif resume == "must":
        raise UsageError("--resume", f"there is no unfinished run in {run_folder(out)}", "leave it out to begin one")
    elif resume == "auto" and (out / RECORD_FILE).exists():
        record: dict[str, Any] = json.loads((out / RECORD_FILE).read_text(encoding="utf-8"))
        require_fit(out, record, facts)
        watcher.note(f"{out} is this very model, already trained; --fresh trains it anew")
        return record
    run = _begin(recipe, device)
    if found:
        _restore(run, found)
        watcher.note(f"taking up at step {run.step}")
    for note in checkpoints.notes:
        watcher.note(note)
    _run_steps(run, Pairs(data.tracks, recipe), validation, recipe, facts, checkpoints, out, watcher)
    rejected = [*data.rejected, *validation.rejected]
    return _export(run, recipe, facts, checkpoints, out, rejected)


def _load(
    version: DatasetVersion, recipe: Recipe, audio_root: Path, cache: PcmCache, watcher: Watcher
) -> tuple[SplitData, SplitData]:
    config = recipe.train
    loaded = {
        split: load_split(
            version,
            split,
            audio_root=audio_root,
            cache=cache,
            text_mode=config.text_mode,
            origins=config.origins,
            on_progress=watcher.on_audio,
        )
        for split in ("train", "validation")
    }
    require_tracks(loaded["train"], version, "train", audio_root)
    few = sorted(loaded["validation"].tracks, key=lambda track: hashlib.sha256(track.track_id.encode()).digest())
    validation = SplitData(few[: config.validation_tracks], loaded["validation"].rejected)
    return loaded["train"], validation


def _facts(version: DatasetVersion, recipe: Recipe, tracks: list[PairedTrack]) -> dict[str, Any]:
    """What must be the same for a run to be taken up."""
    named = "\n".join(f"{track.track_id} {len(track.pcm)}" for track in tracks)
    return {
        "dataset": str(version),
        "logical_hash": version.manifest["logical_hash"],
        "recipe": recipe.as_dict(),
        "tracks": len(tracks),
        "tracks_hash": hashlib.sha256(named.encode()).hexdigest(),
    }


def _begin(recipe: Recipe, device: torch.device) -> _Run:
    text_tower = load_text_tower(recipe.model.text_model)
    torch.manual_seed(recipe.train.seed)
    model = DualEncoder(recipe.model, text_tower).to(device)
    return _Run(model, make_optimizer(model, recipe.train))


def _restore(run: _Run, found: Checkpoint) -> None:
    run.model.load_state_dict(found.state["model"], strict=False)  # a text tower that is never trained is not in it
    run.optimizer.load_state_dict(found.state["optimizer"])
    run.step, run.seconds = found.step, found.facts["seconds"]
    run.best, run.last = dict(found.facts["best"]), dict(found.facts["last"])


def _run_steps(
    run: _Run,
    pairs: Pairs,
    validation: SplitData,
    recipe: Recipe,
    facts: dict[str, Any],
    checkpoints: Checkpoints,
    out: Path,
    watcher: Watcher,
) -> None:
    config, total = recipe.train, recipe.train.total_steps(len(pairs.tracks))
    log = MetricsLog(run_folder(out) / "metrics.jsonl", at_step=run.step)
    features = _known_features(run.model, pairs)
    begun_at_s = time.monotonic() - run.seconds
    for batch in prefetch(pairs.batch, range(run.step, total)):
        result = train_step(
            run.model,
            run.optimizer,
            batch,
            config=config,
            step=run.step,
            total_steps=total,
            text_features=features,
        )
        run.step += 1
        run.seconds = time.monotonic() - begun_at_s
        row: dict[str, Any] = {
            "step": run.step,
            "epoch": run.step * pairs.batch_size / len(pairs.tracks),
            "loss": result.loss,
            "lr": run.optimizer.param_groups[0]["lr"],
            "scale": result.scale,
            "grad_norm": result.grad_norm,
            "seconds": round(run.seconds, 3),
        }
        at_end = run.step == total
        if len(validation.tracks) >= 2 and (at_end or run.step % config.eval_every_steps == 0):
            row["validation"] = validate(run.model, validation.tracks, direction=config.direction)
            _keep_best(run, row["validation"], config.select, checkpoints, recipe)
        run.last = {**run.last, **row}
        log.append(row)
        if at_end or run.step % config.checkpoint_every_steps == 0:
            state = {"model": _own_state(run.model, recipe), "optimizer": run.optimizer.state_dict()}
            progress = {"best": run.best, "last": run.last, "seconds": run.seconds}
            checkpoints.save(run.step, state, {**facts, **progress})
        watcher.on_step(run.step, total, f"loss {result.loss:.3f}{_say(run.last.get('validation'))}")


def _keep_best(run: _Run, found: dict[str, float], select: str, checkpoints: Checkpoints, recipe: Recipe) -> None:
    """Best is the highest MRR on the validation split, of both directions together; of equals the later.

    Not the lowest loss: on little data it turns upwards, or stays flat, while retrieval still improves.
    """
    if select == "best" and (not run.best or _ranking(found) >= _ranking(run.best)):
        run.best = {"step": run.step, **found}
        checkpoints.save(run.step, {"model": _own_state(run.model, recipe)}, {}, name="best")


def _ranking(validation: dict[str, float]) -> float:
    return validation["mrr"] + validation["mrr_audio_to_text"]


def _own_state(model: DualEncoder, recipe: Recipe) -> dict[str, Tensor]:
    """All weights and statistics but those of a text tower that is never trained: it is 90 MB that never change."""
    state = model.state_dict()
    if never_trains_text(recipe.train):
        return {name: value for name, value in state.items() if not name.startswith("text_tower.")}
    return state


@torch.no_grad()
def _known_features(model: DualEncoder, pairs: Pairs) -> dict[str, Tensor] | None:
    """The frozen text tower's output for every text of the run; None when the texts or the tower may change.

    The texts are encoded in one fixed order and in fixed batches, for padding changes the last bits.
    """
    texts = pairs.all_texts() if never_trains_text(pairs.config) else None
    if texts is None:
        return None
    model.eval()
    texts = sorted(texts, key=lambda text: (len(text), text))
    batches = [texts[begin : begin + _TEXT_BATCH] for begin in range(0, len(texts), _TEXT_BATCH)]
    features = [row for batch in batches for row in model.text_features(batch).cpu()]
    return dict(zip(texts, features, strict=True))


def _export(
    run: _Run, recipe: Recipe, facts: dict[str, Any], checkpoints: Checkpoints, out: Path, rejected: list[Any]
) -> dict[str, Any]:
    """Model folder first, then its metrics, then the record that says it is complete, then the run folder goes."""
    if run.best:
        run.model.load_state_dict(checkpoints.load("best").state["model"], strict=False)
    save_dual_encoder(run.model.eval(), out)
    folder = run_folder(out)
    shutil.copyfile(folder / "metrics.jsonl", out / "metrics.jsonl")
    validation = run.best or run.last.get("validation", {})
    record = {
        "model": str(out),
        **facts,
        "steps": run.step,
        "epochs": run.last["epoch"],
        "train_loss": run.last["loss"],
        "validation": validation,
        "exported": f"best on validation, step {int(run.best['step'])}" if run.best else f"last, step {run.step}",
        "direction": recipe.train.direction,
        "device": str(run.model.device),
        "seconds": round(run.seconds, 1),
        "rejected": rejected,
    }
    write_json(out / RECORD_FILE, record)
    shutil.rmtree(folder, ignore_errors=True)
    return record


def _refuse_foreign_folder(out: Path) -> None:
    """The model folder takes the place of what is there, so that must be a model or nothing."""
    if out.exists() and not (out / "config.json").exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(str(out), "it exists and is no model folder", "name another with --out")


def _say(validation: dict[str, float] | None) -> str:
    return f", validation MRR {validation['mrr']:.3f}" if validation else ""
