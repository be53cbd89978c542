"""Training: the same weights for the same seed, also when it was interrupted anywhere."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from tiny_models import make_dual, write_text_model
from training_rows import SMALL, publish_tones

from sourcing.errors import CheckpointError, DatasetError, UsageError
from sourcing.store.versions import DatasetVersion
from training.config import Recipe, TrainConfig
from training.metrics_log import read_metrics
from training.model.config import ModelConfig
from training.model.text_source import load_text_tower
from training.model.weights import load_dual_encoder
from training.pairs import Batch
from training.step import _augment, learning_rate_factor, make_optimizer, same_pairs, train_step
from training.trainer import RECORD_FILE, Watcher, run_folder, train


class World(NamedTuple):
    version: DatasetVersion
    audio_root: Path
    cache: Path
    recipe: Recipe

    def train(self, out: Path, **options: Any) -> dict[str, Any]:
        inputs = {
            "version": self.version,
            "recipe": self.recipe,
            "audio_root": self.audio_root,
            "cache_dir": self.cache,
        }
        return train(**{**inputs, "out": out, **options})


class Killed(BaseException):
    """Stands for a death at a moment of our choosing: nothing catches it."""


def dying_at(step: int) -> Watcher:
    def on_step(step_now: int, _total: int, _words: str) -> None:
        if step_now == step:
            raise Killed

    return Watcher(on_step=on_step)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    version, audio_root = publish_tones(folder)
    text_model = write_text_model(folder / "text")
    recipe = Recipe(ModelConfig(), TrainConfig()).with_settings({**SMALL, "text_model": str(text_model)})
    return World(version, audio_root, folder / "cache", recipe)


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    world.train(out)
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_dual_encoder(folder).state_dict()


def assert_bit_equal(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def history(folder: Path) -> list[dict[str, Any]]:
    return [{**row, "seconds": 0} for row in read_metrics(folder / "metrics.jsonl")]


def test_a_run_ends_with_a_model_its_record_and_its_curve(undisturbed: Path, world: World) -> None:
    record = json.loads((undisturbed / RECORD_FILE).read_text())
    assert record["dataset"] == "tones@0.1.0"
    assert record["logical_hash"] == world.version.manifest["logical_hash"]
    assert record["steps"] == math.ceil(2 * record["tracks"] / 4)
    assert record["epochs"] >= 2
    assert set(record["validation"]) >= {"loss", "mrr", "r_at_10"}
    assert record["exported"].startswith("best on validation, step")
    assert record["rejected"] == []
    rows = read_metrics(undisturbed / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, record["steps"] + 1))
    assert {"loss", "lr", "scale", "seconds"} <= rows[0].keys()
    assert "validation" in rows[-1]
    assert not run_folder(undisturbed).exists()


def test_the_exported_weights_are_those_with_the_best_validation_ranks(undisturbed: Path) -> None:
    record = json.loads((undisturbed / RECORD_FILE).read_text())
    losses = {
        row["step"]: row["validation"]["loss"]
        for row in read_metrics(undisturbed / "metrics.jsonl")
        if "validation" in row
    }
    assert len(losses) > 1
    assert record["validation"]["step"] == min(losses, key=lambda step: (losses[step], -step))


def test_equal_seeds_give_equal_weights_and_others_do_not(undisturbed: Path, world: World, tmp_path: Path) -> None:
    world.train(tmp_path / "again")
    assert_bit_equal(undisturbed, tmp_path / "again")
    world.train(tmp_path / "other", recipe=world.recipe.with_settings({"seed": 1}))
    assert not torch.equal(weights(undisturbed)["logit_scale"], weights(tmp_path / "other")["logit_scale"])


@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_run_that_died_at_any_step_ends_with_the_same_weights(
    undisturbed: Path, world: World, tmp_path: Path, step: int
) -> None:
    out = tmp_path / "model"
    with pytest.raises(Killed):
        world.train(out, watcher=dying_at(step))
    assert not out.exists()
    world.train(out)
    assert_bit_equal(undisturbed, out)
    assert history(out) == history(undisturbed)
    assert not run_folder(out).exists()


def test_a_death_after_a_torn_checkpoint_costs_steps_but_changes_nothing(
    undisturbed: Path, world: World, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    with pytest.raises(Killed):
        world.train(out, watcher=dying_at(5))
    newest = max((run_folder(out) / "checkpoints").glob("step-*.pt"))
    newest.write_bytes(newest.read_bytes()[:1000])
    notes: list[str] = []
    world.train(out, watcher=Watcher(note=notes.append))
    assert notes[0] == "taking up at step 2"
    assert "passed over" in notes[1]
    assert_bit_equal(undisturbed, out)


def test_a_death_while_the_model_folder_is_written_costs_nothing(
    undisturbed: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"

    def die(_folder: Path, _parts: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("training.trainer.write_json", die)  # the model folder is there, its record is not
        with pytest.raises(Killed):
            world.train(out)
    assert (out / "config.json").exists()
    assert not (out / RECORD_FILE).exists()
    world.train(out)
    assert_bit_equal(undisturbed, out)


def test_a_run_whose_text_tower_thaws_halfway_is_taken_up_exactly(world: World, tmp_path: Path) -> None:
    settings = {"unfreeze_text_at_step": 3, "text_lr": 1e-3, "freq_mask_bins": 8, "gain_db": 3.0}
    recipe = world.recipe.with_settings(settings)
    world.train(tmp_path / "straight", recipe=recipe)
    with pytest.raises(Killed):
        world.train(tmp_path / "halted", recipe=recipe, watcher=dying_at(5))
    world.train(tmp_path / "halted", recipe=recipe)
    assert_bit_equal(tmp_path / "straight", tmp_path / "halted")


def test_a_frozen_text_tower_keeps_its_weights_and_a_thawed_one_does_not(
    undisturbed: Path, world: World, tmp_path: Path
) -> None:
    before = load_text_tower(world.recipe.model.text_model).state_dict()
    after = load_dual_encoder(undisturbed).text_tower.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    world.train(tmp_path / "thawed", recipe=world.recipe.with_settings({"freeze_text": False, "text_lr": 1e-2}))
    thawed = load_dual_encoder(tmp_path / "thawed").text_tower.state_dict()
    assert not all(torch.equal(before[name], thawed[name]) for name in before)


def test_a_finished_run_is_left_as_it_is_unless_asked_for_anew(world: World, tmp_path: Path) -> None:
    out = tmp_path / "model"
    first = world.train(out)
    written = (out / RECORD_FILE).stat().st_mtime_ns
    notes: list[str] = []
    assert world.train(out, watcher=Watcher(note=notes.append)) == first
    assert (out / RECORD_FILE).stat().st_mtime_ns == written
    assert "already trained" in notes[0]
    world.train(out, resume="fresh")
    assert (out / RECORD_FILE).stat().st_mtime_ns != written


def test_another_recipe_in_the_same_folder_is_refused_by_name(world: World, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(Killed):
        world.train(out, watcher=dying_at(2))
    with pytest.raises(CheckpointError, match=r"train.lr = 0.001, now it is 0.1.*--out"):
        world.train(out, recipe=world.recipe.with_settings({"lr": 0.1}))


def test_another_dataset_in_the_same_folder_is_refused_by_name(world: World, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(Killed):
        world.train(out, watcher=dying_at(2))
    other, audio_root = publish_tones(tmp_path / "other", name="others", note=", remastered")
    with pytest.raises(CheckpointError, match=r"tones@0.1.0 .*not from others@0.1.0 .*--fresh"):
        world.train(out, version=other, audio_root=audio_root)


def test_resuming_where_nothing_was_begun_is_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no unfinished run"):
        world.train(tmp_path / "model", resume="must")


def test_a_folder_that_is_no_model_is_never_overwritten(world: World, tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("photos")
    with pytest.raises(UsageError, match="is no model folder"):
        world.train(tmp_path)


def test_without_sound_there_is_no_training(world: World, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="tracks can be used"):
        world.train(tmp_path / "model", audio_root=tmp_path)


def test_training_learns_what_two_kinds_of_tone_are_called(world: World, tmp_path: Path) -> None:
    recipe = world.recipe.with_settings({"epochs": 12, "lr": 1e-2, "select": "last"})
    record = world.train(tmp_path / "model", recipe=recipe)
    model = load_dual_encoder(tmp_path / "model")
    with torch.no_grad():
        texts = model.embed_text(["deep bass, slow", "bright bells, fast"])
    low = model.embed_track(world.audio_root / "t00-0.wav")
    high = model.embed_track(world.audio_root / "t01-0.wav")
    assert texts[0] @ low > texts[1] @ low
    assert texts[1] @ high > texts[0] @ high
    assert record["train_loss"] < read_metrics(tmp_path / "model" / "metrics.jsonl")[0]["loss"]


def test_the_learning_rate_climbs_then_follows_half_a_cosine() -> None:
    def factor(step: int) -> float:
        return learning_rate_factor(step, warmup_steps=9, total_steps=109, final_fraction=0.1)

    assert factor(0) == pytest.approx(0.1)
    assert factor(9) == 1.0
    assert factor(59) == pytest.approx(0.55)
    assert factor(109) == pytest.approx(0.1)
    assert all(factor(step + 1) < factor(step) for step in range(9, 108))


def test_weight_decay_falls_on_matrices_only(world: World) -> None:
    model = make_dual(Path(world.recipe.model.text_model))
    config = dataclasses.replace(world.recipe.train, freeze_text=False)
    optimizer = make_optimizer(model, config)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[id(parameter)]
            assert (group["weight_decay"] > 0) == (parameter.ndim >= 2), name
            assert (group["base_lr"] == config.text_lr) == name.startswith("text_tower."), name
    frozen = {names[id(p)] for group in make_optimizer(model, world.recipe.train).param_groups for p in group["params"]}
    assert "logit_scale" in frozen
    assert not any(name.startswith(("text_tower.", "audio_tower.mlp_head.")) for name in frozen)


def test_pairs_of_one_track_or_of_equal_texts_are_no_negatives() -> None:
    batch = Batch(np.zeros((4, 8), np.int16), ["a", "b", " A", "c"], np.array([0, 1, 2, 1]))
    same = same_pairs(batch)
    assert same.nonzero().tolist() == [[0, 0], [0, 2], [1, 1], [1, 3], [2, 0], [2, 2], [3, 1], [3, 3]]


def test_a_step_reports_the_norm_before_clipping_and_moves_no_further_than_allowed(world: World) -> None:
    model = make_dual(Path(world.recipe.model.text_model))
    config = dataclasses.replace(world.recipe.train, grad_clip=1e-6)
    optimizer = make_optimizer(model, config)
    crops = np.random.default_rng(0).integers(-3000, 3000, (4, 22_050)).astype(np.int16)
    batch = Batch(crops, ["a", "b", "c", "d"], np.arange(4))
    result = train_step(model, optimizer, batch, config=config, step=0, total_steps=10, text_features=None)
    assert result.grad_norm > 1e-3
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    assert math.sqrt(sum(float(g.square().sum()) for g in gradients)) <= 1.01e-6
    assert result.scale == pytest.approx(model.scale().item())


def test_a_step_under_bf16_autocast_trains_both_towers_and_keeps_fp32_weights(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a GPU does, on the CPU: the same operations are cast, only the device differs."""
    monkeypatch.setattr("training.step._precision", lambda device: torch.autocast(device.type, dtype=torch.bfloat16))
    model = make_dual(Path(world.recipe.model.text_model))
    config = dataclasses.replace(world.recipe.train, freeze_text=False)
    optimizer = make_optimizer(model, config)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    crops = np.random.default_rng(0).integers(-3000, 3000, (4, 22_050)).astype(np.int16)
    batch = Batch(crops, ["a", "b", "c", "d"], np.arange(4))
    result = train_step(model, optimizer, batch, config=config, step=9, total_steps=10, text_features=None)
    assert math.isfinite(result.loss)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert {name.split(".")[0] for name in moved} >= {
        "audio_tower",
        "text_tower",
        "audio_projection",
        "text_projection",
    }
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_masks_hide_runs_of_bands_and_frames_and_leave_the_rest() -> None:
    torch.manual_seed(0)
    mel = torch.randn(6, 1, 128, 40)
    config = TrainConfig(freq_mask_bins=20, time_mask_fraction=0.25)
    hidden = _augment(mel, config)
    changed = hidden != mel  # (6, 1, 128, 40)
    bands, frames = changed.all(dim=3).sum(dim=2), changed.all(dim=2).sum(dim=2)
    assert int(bands.max()) < 20
    assert int(frames.max()) <= 10
    assert int(bands.sum()) > 0
    assert int(frames.sum()) > 0
    assert torch.equal(_augment(mel, TrainConfig(freq_mask_bins=1, time_mask_fraction=0.0)), mel)
