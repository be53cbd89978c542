"""The training run: from a dataset version to a model folder, with checkpoints from which an interrupted run resumes.

    <out>/            the model folder, put there whole at the end, with training.json and metrics.jsonl in it
    <out>.run/        while it runs: metrics.jsonl and checkpoints/; gone once the model folder is complete

The same command takes up where it stopped, and on a CPU ends with the weights of an undisturbed run, bit for bit.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
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
from training.model_card import make_card
from training.pairs import PairedTrack, Pairs, SplitData, load_split, prefetch, require_tracks
from training.step import choose_device, make_optimizer, never_trains_text, train_step

__all__ = ["RECORD_FILE", "Watcher", "run_folder", "train"]

RECORD_FILE = "training.json"
_TEXT_BATCH = 64  # texts encoded at once


@dataclass
class Watcher:
    """The callbacks of a run: `note(sentence)`, `on_audio(1)` per decoded file, `on_step(step, total, words)`."""

    note: Callable[[str], None] = lambda _message: None
    on_audio: Callable[[int], None] | None = None
    on_step: Callable[[int, int, str], None] = lambda _step, _total, _words: None


@dataclass
class _Run:
    """A run: recipe, output folder, model, optimizer, and the state that changes with each step."""

    recipe: Recipe
    out: Path
    facts: dict[str, Any]  # must be equal for the run to resume
    checkpoints: Checkpoints
    model: DualEncoder
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0  # training time, summed over interruptions
    best: dict[str, float] = field(default_factory=dict)  # step and validation figures of the best weights
    last: dict[str, Any] = field(default_factory=dict)  # the newest value of every column of metrics.jsonl


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
    "must" refuses to begin anew; "fresh" throws away the run that is there. CheckpointError when that run was made
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
    checkpoint = checkpoints.newest()
    if checkpoint:
        require_fit(run_folder(out), checkpoint.facts, facts)
    elif resume == "must":
        raise UsageError("--resume", f"there is no unfinished run in {run_folder(out)}", "leave it out to begin one")
    elif resume == "auto" and (out / RECORD_FILE).exists():
        record: dict[str, Any] = json.loads((out / RECORD_FILE).read_text(encoding="utf-8"))
        require_fit(out, record, facts)
        watcher.note(f"{out} is this very model, already trained; --fresh trains it anew")
        return record
    torch.manual_seed(recipe.train.seed)  # the initial weights; each step seeds itself
    model = DualEncoder(recipe.model, load_text_tower).to(device)
    run = _Run(recipe, out, facts, checkpoints, model, make_optimizer(model, recipe.train))
    if checkpoint:
        _restore(run, checkpoint)
        watcher.note(f"taking up at step {run.step}")
    for note in checkpoints.notes:
        watcher.note(note)
    _run_steps(run, Pairs(data.tracks, recipe), validation.tracks, watcher)
    more = {
        "validation_tracks": len(validation.tracks),
        "licence_census": version.manifest["licence_census"],
        "rejected": [*data.rejected, *validation.rejected],
    }
    return _export(run, more)


def _load(
    version: DatasetVersion, recipe: Recipe, audio_root: Path, cache: PcmCache, watcher: Watcher
) -> tuple[SplitData, SplitData]:
    """The training split, and of the validation split as many tracks as the recipe looks at, drawn by a hash."""
    config = recipe.train
    data, validation = (
        load_split(
            version,
            split,
            audio_root=audio_root,
            cache=cache,
            text_mode=config.text_mode,
            origins=config.origins,
            min_confidence=config.min_confidence,
            on_progress=watcher.on_audio,
        )
        for split in ("train", "validation")
    )
    require_tracks(data, version, "train", audio_root)
    by_hash = sorted(validation.tracks, key=lambda track: hashlib.sha256(track.track_id.encode()).digest())
    return data, SplitData(by_hash[: config.validation_tracks], validation.rejected)


def _facts(version: DatasetVersion, recipe: Recipe, tracks: list[PairedTrack]) -> dict[str, Any]:
    """The dataset, recipe and tracks of a run; a run resumes only when all are equal."""
    lines = "\n".join(f"{track.track_id} {len(track.pcm)}" for track in tracks)
    return {
        "dataset": str(version),
        "logical_hash": version.manifest["logical_hash"],
        "recipe": recipe.as_dict(),
        "tracks": len(tracks),
        "tracks_hash": hashlib.sha256(lines.encode()).hexdigest(),
    }


def _restore(run: _Run, checkpoint: Checkpoint) -> None:
    # Not strict: the weights of a text tower that is never trained are not in a checkpoint.
    run.model.load_state_dict(checkpoint.state["model"], strict=False)
    run.optimizer.load_state_dict(checkpoint.state["optimizer"])
    run.step, run.seconds = checkpoint.step, checkpoint.facts["seconds"]
    run.best, run.last = dict(checkpoint.facts["best"]), dict(checkpoint.facts["last"])


def _run_steps(run: _Run, pairs: Pairs, validation: Sequence[PairedTrack], watcher: Watcher) -> None:
    """Run the steps that are left; measure, record and save as often as the recipe says, and at the end."""
    config, total = run.recipe.train, run.recipe.train.total_steps(len(pairs.tracks))
    log = MetricsLog(run_folder(run.out) / "metrics.jsonl", at_step=run.step)
    features = _known_features(run.model, pairs)
    start_s = time.monotonic() - run.seconds  # seconds before an interruption count too
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
        run.seconds = time.monotonic() - start_s
        row: dict[str, Any] = {
            "step": run.step,
            "epoch": run.step * pairs.batch_size / len(pairs.tracks),
            "loss": result.loss,
            "lr": run.optimizer.param_groups[0]["lr"],
            "scale": result.scale,
            "grad_norm": result.grad_norm,
            "seconds": round(run.seconds, 3),
        }
        at_end = run.step == total  # the last step is always measured and saved
        if len(validation) >= 2 and (at_end or run.step % config.eval_every_steps == 0):
            row["validation"] = validate(run.model, validation, direction=config.direction)
            _keep_best(run, row["validation"])
        run.last = {**run.last, **row}
        log.append(row)  # before the checkpoint: rows beyond it are dropped when the run is taken up
        if at_end or run.step % config.checkpoint_every_steps == 0:
            _save_checkpoint(run)
        watcher.on_step(run.step, total, f"loss {result.loss:.3f}{_mrr_words(run.last.get('validation'))}")


def _save_checkpoint(run: _Run) -> None:
    state = {"model": _trained_state(run), "optimizer": run.optimizer.state_dict()}
    progress = {"best": run.best, "last": run.last, "seconds": run.seconds}
    run.checkpoints.save(run.step, state, {**run.facts, **progress})


def _keep_best(run: _Run, validation: dict[str, float]) -> None:
    """Save the weights when the validation MRR, of both directions together, is the highest so far.

    Of equal MRR the later step counts. Not the lowest loss: on little data the loss turns upwards, or stays flat, while
    retrieval still improves.
    """
    if run.recipe.train.select == "best" and (not run.best or _ranking(validation) >= _ranking(run.best)):
        run.best = {"step": run.step, **validation}
        run.checkpoints.save(run.step, {"model": _trained_state(run)}, {}, name="best")


def _ranking(validation: dict[str, float]) -> float:
    return validation["mrr"] + validation["mrr_audio_to_text"]


def _trained_state(run: _Run) -> dict[str, Tensor]:
    """All weights and statistics, without a text tower that is never trained: 90 MB that never change."""
    state = run.model.state_dict()
    if never_trains_text(run.recipe.train):
        return {name: value for name, value in state.items() if not name.startswith("text_tower.")}
    return state


@torch.no_grad()
def _known_features(model: DualEncoder, pairs: Pairs) -> dict[str, Tensor] | None:
    """The frozen text tower's output (D,) for every text of the run; None when the texts or the tower may change.

    The texts are encoded in one fixed order and in fixed batches, for padding changes the last bits.
    """
    texts = pairs.all_texts() if never_trains_text(pairs.config) else None
    if texts is None:
        return None
    model.eval()
    texts = sorted(texts, key=lambda text: (len(text), text))  # texts of one length together: little padding
    batches = [texts[begin : begin + _TEXT_BATCH] for begin in range(0, len(texts), _TEXT_BATCH)]
    features = [row for batch in batches for row in model.text_features(batch).cpu()]
    return dict(zip(texts, features, strict=True))


def _export(run: _Run, more: dict[str, Any]) -> dict[str, Any]:
    """Write the model folder, the metrics, then the record that marks completion; then delete the run folder."""
    if run.best:
        run.model.load_state_dict(run.checkpoints.load("best").state["model"], strict=False)
    record = {
        "model": str(run.out),
        **run.facts,
        "steps": run.step,
        "epochs": run.last["epoch"],
        "train_loss": run.last["loss"],
        "validation": run.best or run.last.get("validation", {}),
        "exported": f"best on validation, step {int(run.best['step'])}" if run.best else f"last, step {run.step}",
        "direction": run.recipe.train.direction,
        "device": str(run.model.device),
        "seconds": round(run.seconds, 1),
        **more,
    }
    # In this order: a crash between two of these leaves a run that resumes and exports again.
    save_dual_encoder(run.model.eval(), run.out, card=make_card(run.out.name, run.recipe.model, record))
    shutil.copyfile(run_folder(run.out) / "metrics.jsonl", run.out / "metrics.jsonl")
    write_json(run.out / RECORD_FILE, record)
    shutil.rmtree(run_folder(run.out), ignore_errors=True)
    return record


def _refuse_foreign_folder(out: Path) -> None:
    """Raise UsageError when `out` exists, is not empty and is no model folder: saving would replace the content."""
    if out.exists() and not (out / "config.json").exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(str(out), "it exists and is no model folder", "name another with --out")


def _mrr_words(validation: dict[str, float] | None) -> str:
    return f", validation MRR {validation['mrr']:.3f}" if validation else ""
