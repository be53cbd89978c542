"""A model folder that can be given away: weights, the code that reads them, and a card; written whole or not at all.

    <folder>/
      config.json  model.safetensors  text/             the model itself, see `training.model.weights`
      modules.json  config_sentence_transformers.json   what sentence-transformers looks for
      modeling_crossmusim.py  crossmusim_*.py           copies of this package's modules that encode text and sound
      README.md                                         the model card

With the copies, `SentenceTransformer(folder, trust_remote_code=True)` needs nothing of crossmusim installed.
`training.load_model(folder)` uses the installed modules and never runs the copies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from importlib import import_module
from pathlib import Path

from sourcing.store.workspace import fsync_folder
from training.model.dual_encoder import DualEncoder
from training.model.sentence_transformer import AudioTextModule, as_sentence_transformer

__all__ = ["MODELING_MODULE", "portable_sources", "save_dual_encoder"]

MODELING_MODULE = "modeling_crossmusim"  # Hugging Face's name for the module in which a loader finds the class
_OWN_IMPORT = re.compile(r"^from ((?:sourcing|training)\.[\w.]+) import", re.MULTILINE)


def save_dual_encoder(model: DualEncoder, folder: Path | str, *, card: str = "") -> None:
    """Write the model folder, replacing an existing folder; `card` is the text of its README.md."""
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        as_sentence_transformer(model).save(str(building), create_model_card=False)
        _make_portable(building)
        if card:
            (building / "README.md").write_text(card, encoding="utf-8")
        _sync_tree(building)
        building.chmod(0o755)
        _take_place(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def portable_sources() -> dict[str, str]:
    """File name of the copy in a model folder → source text, for every module that encoding needs.

    The copies lie side by side and import each other relatively, for loaders copy no sub-folders.
    """
    sources: dict[str, str] = {}
    pending = [AudioTextModule.__module__]
    while pending:
        module = pending.pop()
        path = import_module(module).__file__  # imported already, by the class itself
        assert path is not None  # a module of this package, not a namespace
        text = Path(path).read_text(encoding="utf-8")
        copied = _OWN_IMPORT.sub(lambda own: f"from .{_copy_name(own[1])} import", text)
        sources[f"{_copy_name(module)}.py"] = f"# A copy of {module} of crossmusim (Apache-2.0).\n{copied}"
        pending += [own for own in _OWN_IMPORT.findall(text) if f"{_copy_name(own)}.py" not in sources]
    return sources


def _copy_name(module: str) -> str:
    """The name of a module's copy: `training.audio.mel` is `crossmusim_audio_mel`."""
    if module == AudioTextModule.__module__:
        return MODELING_MODULE
    return "crossmusim_" + module.partition(".")[2].replace(".", "_")


def _make_portable(folder: Path) -> None:
    """Write the copies into the folder, and make modules.json name the class in the copy, not the installed module."""
    for name, text in portable_sources().items():
        (folder / name).write_text(text, encoding="utf-8")
    path = folder / "modules.json"
    modules = json.loads(path.read_text(encoding="utf-8"))
    for module in modules:
        module["type"] = module["type"].replace(AudioTextModule.__module__, MODELING_MODULE)
    path.write_text(json.dumps(modules, indent=2) + "\n", encoding="utf-8")


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            fsync_folder(path)
            continue
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    fsync_folder(folder)


def _take_place(building: Path, folder: Path) -> None:
    """Rename `building` to `folder`; the folder that was there is moved aside first and removed last."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)  # of a save that was killed
    if folder.exists():
        folder.rename(old)
    building.rename(folder)
    fsync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
