"""Checkpoints: whole or not at all, passed over when torn, refused when they are another run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sourcing.errors import CheckpointError
from training.checkpoint import Checkpoints, require_fit
from training.metrics_log import MetricsLog, read_metrics

FACTS: dict[str, Any] = {
    "dataset": "mine@0.1.0",
    "logical_hash": "a" * 64,
    "recipe": {"model": {"conv_ndim": 8}, "train": {"lr": 1e-3}},
    "tracks": 10,
    "tracks_hash": "c" * 64,
}


def save(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(step, {"model": {"w": torch.full((3,), float(step))}}, FACTS)
    return checkpoints


def test_the_newest_comes_back_and_only_two_are_kept(tmp_path: Path) -> None:
    checkpoint = save(tmp_path, 10, 20, 30).newest()
    assert checkpoint is not None
    assert checkpoint.step == 30
    assert checkpoint.state["model"]["w"].tolist() == [30.0] * 3
    assert checkpoint.facts == FACTS
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["step-00000020.pt", "step-00000030.pt"]


@pytest.mark.parametrize("harm", ["cut", "flip", "gone"])
def test_a_torn_checkpoint_is_passed_over_with_a_note(tmp_path: Path, harm: str) -> None:
    save(tmp_path, 10, 20)
    torn = tmp_path / "step-00000020.pt"
    whole = torn.read_bytes()
    if harm == "cut":
        torn.write_bytes(whole[: len(whole) // 2])
    elif harm == "flip":
        torn.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    else:
        torn.unlink()
    checkpoints = Checkpoints(tmp_path)
    checkpoint = checkpoints.newest()
    assert checkpoint is not None
    assert checkpoint.step == 10
    assert len(checkpoints.notes) == 1
    assert "step-00000020.pt is passed over" in checkpoints.notes[0]


def test_when_all_are_torn_it_says_so(tmp_path: Path) -> None:
    save(tmp_path, 10)
    (tmp_path / "step-00000010.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="torn; begin anew with --fresh"):
        Checkpoints(tmp_path).newest()


def test_weights_without_their_record_do_not_count(tmp_path: Path) -> None:
    save(tmp_path, 10, 20)
    (tmp_path / "step-00000020.json").unlink()  # killed between the two writes
    checkpoint = Checkpoints(tmp_path).newest()
    assert checkpoint is not None
    assert checkpoint.step == 10


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "nowhere").newest() is None


def test_a_named_checkpoint_is_replaced_and_never_removed(tmp_path: Path) -> None:
    checkpoints = save(tmp_path, 10)
    checkpoints.save(5, {"model": {}}, {}, name="best")
    checkpoints.save(9, {"model": {}}, {}, name="best")
    save(tmp_path, 20, 30)
    assert checkpoints.load("best").step == 9
    with pytest.raises(CheckpointError, match="missing or torn"):
        checkpoints.load("worst")


def test_a_checkpoint_from_another_dataset_names_both_and_the_cure(tmp_path: Path) -> None:
    other = {**FACTS, "dataset": "mine@0.2.0", "logical_hash": "b" * 64}
    with pytest.raises(CheckpointError, match=r"mine@0.1.0 \(logical hash a+\), not from mine@0.2.0.*--out.*--fresh"):
        require_fit(tmp_path, FACTS, other)


def test_a_renamed_dataset_of_equal_rows_fits(tmp_path: Path) -> None:
    require_fit(tmp_path, FACTS, {**FACTS, "dataset": "copy@3.0.0"})


def test_another_recipe_names_the_key_and_both_values(tmp_path: Path) -> None:
    other = {**FACTS, "recipe": {"model": {"conv_ndim": 8}, "train": {"lr": 1e-4}}}
    with pytest.raises(CheckpointError, match=r"train.lr = 0.001, now it is 0.0001"):
        require_fit(tmp_path, FACTS, other)


def test_other_tracks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="10 usable tracks, now there are 9"):
        require_fit(tmp_path, FACTS, {**FACTS, "tracks": 9, "tracks_hash": "d" * 64})


def test_metrics_after_the_checkpoint_are_cut_and_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in (1, 2, 3):
        log.append({"step": step, "loss": 1.0 / step})
    with path.open("a") as stream:
        stream.write('{"step": 4, "lo')
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3]
    MetricsLog(path, at_step=2).append({"step": 3, "loss": 0.5})
    assert [row["loss"] for row in read_metrics(path)] == [1.0, 0.5, 0.5]
