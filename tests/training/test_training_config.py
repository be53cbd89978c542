"""Recipes and --set: typed, complete, and helpful about what they do not know."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sourcing.errors import UsageError
from training.config import Recipe, TrainConfig, list_recipes, load_recipe, parse_settings
from training.model.config import ModelConfig


def test_the_built_in_recipes_load() -> None:
    assert list_recipes() == ["demo", "paper-start", "small"]
    paper = load_recipe("paper-start")
    assert (paper.model.conv_ndim, paper.train.batch_size, paper.train.lr) == (128, 1024, 1e-4)
    assert paper.train.freeze_text
    assert paper.train.unfreeze_text_at_step
    assert load_recipe("demo").train.text_variants > 0


def test_model_and_train_share_no_key_so_that_set_needs_no_table() -> None:
    names = [field.name for kind in (ModelConfig, TrainConfig) for field in dataclasses.fields(kind)]
    assert len(names) == len(set(names))


def test_settings_are_read_as_toml_and_put_into_the_right_table() -> None:
    settings = parse_settings(
        ["lr=3e-4", "model.conv_ndim=8", "origins=mined, scraped", "freeze_text=false", "epochs=3"]
    )
    changed = load_recipe("small").with_settings(settings)
    assert changed.train.lr == 3e-4
    assert changed.model.conv_ndim == 8
    assert changed.train.origins == ("mined", "scraped")
    assert changed.train.freeze_text is False
    assert load_recipe("small").with_settings({"weight_decay": 0}).train.weight_decay == 0.0


def test_a_recipe_survives_json_and_back() -> None:
    recipe = load_recipe("paper-start").with_settings({"origins": ["mined"]})
    assert (
        Recipe(ModelConfig(), TrainConfig()).with_settings(
            {f"{table}.{key}": value for table, values in recipe.as_dict().items() for key, value in values.items()}
        )
        == recipe
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"leraning_rate": 1}, "no such key"),
        ({"batchsize": 1}, "did you mean batch_size"),
        ({"model.lr": 1}, "no such key"),
        ({"batch_size": 0}, "above 0"),
        ({"batch_size": "many"}, "not of type int"),
        ({"batch_size": True}, "not of type int"),
        ({"lr": -1.0}, "out of range"),
        ({"aspects_probability": 1.5}, "from 0 to 1"),
        ({"direction": "diagonal"}, "rows, cols, symmetric"),
        ({"freeze_text": "maybe"}, "not of type bool"),
    ],
)
def test_a_wrong_setting_is_named_with_a_cure(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_recipe("small").with_settings(settings)


def test_a_setting_without_a_value_is_refused() -> None:
    with pytest.raises(UsageError, match="no '='"):
        parse_settings(["lr"])


def test_a_recipe_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[train]\nlr = 1\n")
    assert load_recipe(str(tmp_path / "mine.toml")).train.lr == 1.0


@pytest.mark.parametrize("text", ["[train]\nlearn = 1", "lr = 1", "[train", "[model]\nlr = 1.0", "[train]\nlr = 'x'"])
def test_a_recipe_that_does_not_hold_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UsageError):
        load_recipe(str(tmp_path / "mine.toml"))


def test_an_unknown_recipe_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="demo, paper-start, small"):
        load_recipe("large")


def test_steps_win_over_epochs_and_batches_never_exceed_the_tracks() -> None:
    config = TrainConfig(epochs=3, batch_size=64)
    assert config.total_steps(tracks=10) == 3
    assert config.total_steps(tracks=100) == 5  # 300 items in batches of 64
    assert dataclasses.replace(config, steps=7).total_steps(tracks=10) == 7
