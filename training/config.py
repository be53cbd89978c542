"""The configuration of a training run: plain dataclasses with units in the names, read from recipes.

A recipe is a TOML file with a table `[model]` and a table `[train]`; what it leaves out keeps the default here.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from sourcing.errors import UsageError
from sourcing.nearest import nearest
from training.model.config import ModelConfig

__all__ = [
    "RECIPES_DIR",
    "Recipe",
    "TrainConfig",
    "list_recipes",
    "load_recipe",
    "parse_settings",
]

RECIPES_DIR = Path(__file__).parent / "recipes"

_CHOICES = {
    "direction": ("rows", "cols", "symmetric"),
    "text_mode": ("aspects", "caption", "both"),
    "select": ("best", "last"),
}
_MAY_BE_ZERO = {
    "steps", "seed", "lr", "text_lr", "weight_decay", "warmup_steps", "final_lr_fraction", "aspects_probability",
    "text_variants", "gain_db", "freq_mask_bins", "time_mask_fraction", "min_confidence",
}  # fmt: skip
_AT_MOST_ONE = {"final_lr_fraction", "aspects_probability", "time_mask_fraction", "min_confidence"}


@dataclass(frozen=True)
class TrainConfig:
    """How the model is trained; a crop is `ModelConfig.clip_s` long, a track is seen once per epoch."""

    epochs: int = 60
    steps: int = 0  # overrides epochs when above 0
    batch_size: int = 64  # at most the number of tracks
    lr: float = 1e-3  # audio tower, projections, temperature
    text_lr: float = 1e-5  # text tower, once it is not frozen
    weight_decay: float = 0.1  # on matrices only
    warmup_steps: int = 20
    final_lr_fraction: float = 0.0  # where the cosine ends, as a fraction of the peak
    grad_clip: float = 1.0  # largest norm of the gradient
    direction: str = "symmetric"  # rows: audio asks for its text; cols: text asks for its audio
    freeze_text: bool = True
    unfreeze_text_at_step: int | None = None  # a first phase with the text tower frozen, then training it too
    text_mode: str = "both"  # aspects, caption or both
    aspects_probability: float = 0.5  # with both: how often a text is the aspects, else the caption
    text_variants: int = 0  # 0: fresh aspects each epoch; n: n draws per description, encoded once while frozen
    origins: tuple[str, ...] = ()  # descriptions to learn from; empty means all
    min_confidence: float = 0.0  # descriptions that fewer voices bear out are not learnt from
    gain_db: float = 0.0  # random gain, up or down by at most this much
    freq_mask_bins: int = 1  # SpecAugment: fewer than this many neighbouring mel bands are hidden
    time_mask_fraction: float = 0.0  # SpecAugment: up to this part of the crop is hidden
    seed: int = 0
    eval_every_steps: int = 50  # on the validation split, where there is one; always at the end
    validation_tracks: int = 512  # most tracks measured during training
    checkpoint_every_steps: int = 50
    select: str = "best"  # exported weights: "best" of the highest validation MRR, or "last"

    def total_steps(self, tracks: int) -> int:
        """Steps of the whole run over so many training tracks; batches run on across the ends of epochs."""
        return self.steps or max(1, -(-self.epochs * tracks // self.batch_of(tracks)))

    def batch_of(self, tracks: int) -> int:
        return min(self.batch_size, tracks)


@dataclass(frozen=True)
class Recipe:
    model: ModelConfig
    train: TrainConfig

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The recipe as plain values that survive a round trip through JSON."""
        train = dataclasses.asdict(self.train)
        return {"model": dataclasses.asdict(self.model), "train": {**train, "origins": list(self.train.origins)}}

    def with_settings(self, settings: Mapping[str, Any]) -> Recipe:
        """The recipe with `settings` applied (keys `lr` or `train.lr`); UsageError names keys near an unknown one."""
        tables = self.as_dict()
        for key, value in settings.items():
            table, name = _find_key(key, tables)
            tables[table][name] = value
        return _make_recipe(tables, "settings")


def list_recipes() -> list[str]:
    return sorted(path.stem for path in RECIPES_DIR.glob("*.toml"))


def load_recipe(name: str) -> Recipe:
    """A recipe by the name of a built-in one or the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else RECIPES_DIR / f"{name}.toml"
    if not path.is_file():
        cure = f"take one of {', '.join(list_recipes())}, or a path ending in .toml"
        raise UsageError(f"recipe {name!r}", "there is none", nearest(name, list_recipes(), cure))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(str(path), f"not TOML ({error})", "mend that line") from None
    tables: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
    for table, values in content.items():
        if table not in tables or not isinstance(values, dict):
            cure = "a recipe has the tables [model] and [train] only"
            raise UsageError(str(path), f"it has {table!r} at the top", cure)
        for key, value in values.items():
            _find_key(f"{table}.{key}", Recipe(ModelConfig(), TrainConfig()).as_dict())
            tables[table][key] = value
    return _make_recipe(tables, str(path))


def parse_settings(assignments: Iterable[str]) -> dict[str, Any]:
    """`("lr=3e-4", "origins=mined,scraped")` → values parsed as TOML; text that TOML refuses is a string."""
    settings: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"--set {assignment}", "there is no '='", "write --set key=value")
        try:
            settings[key.strip()] = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key.strip()] = text.strip()
    return settings


def _find_key(key: str, tables: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    table, dot, name = key.rpartition(".")
    for candidate in [table] if dot else tables:
        if name in tables.get(candidate, ()):
            return candidate, name
    known = [name for values in tables.values() for name in values]
    raise UsageError(
        f"recipe key {key!r}", "no such key", nearest(name, known, f"take one of {', '.join(sorted(known))}")
    )


def _make_recipe(tables: Mapping[str, Mapping[str, Any]], where: str) -> Recipe:
    return Recipe(_make(ModelConfig, tables["model"], where), _make(TrainConfig, tables["train"], where))


def _make(kind: Any, values: Mapping[str, Any], where: str) -> Any:
    hints = get_type_hints(kind)
    fields = {name: _check(name, hints[name], value, where) for name, value in values.items()}
    config = kind(**fields)
    for name, value in dataclasses.asdict(config).items():
        choices = _CHOICES.get(name)
        if choices and value not in choices:
            raise UsageError(f"{where}: {name} = {value!r}", "not a choice", f"take one of {', '.join(choices)}")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            low_enough = value >= 0 if name in _MAY_BE_ZERO else value > 0
            if not low_enough or (name in _AT_MOST_ONE and value > 1):
                bounds = "a number from 0 to 1" if name in _AT_MOST_ONE else "a number above 0"
                raise UsageError(f"{where}: {name} = {value!r}", "out of range", f"give {bounds}")
    return config


def _check(name: str, hint: Any, value: Any, where: str) -> Any:
    """The value in the field's type: 1 passes as 1.0, "a,b" as ("a", "b"); UsageError for a wrong type."""
    kinds = get_args(hint) or (hint,)
    if str in kinds and Ellipsis in kinds:  # tuple[str, ...]
        items = value.split(",") if isinstance(value, str) else value
        if isinstance(items, (list, tuple)) and all(isinstance(item, str) for item in items):
            return tuple(item.strip() for item in items if item.strip())
    elif type(None) in kinds and (value is None or value == "none"):
        return None
    elif float in kinds and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    elif type(value) in kinds:
        return value
    type_name = getattr(hint, "__name__", str(hint))
    raise UsageError(f"{where}: {name} = {value!r}", f"not of type {type_name}", f"give {name} as {type_name}")
