"""A model folder given away: it opens without this project, and code inside it runs only for who asks for that."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import write_tone

from sourcing.errors import CheckpointError
from training import load_model
from training.model.dual_encoder import DualEncoder
from training.model.export import portable_sources, save_dual_encoder

# sentence-transformers brings the others but soundfile and soxr, which the card names.
_ALLOWED = {"numpy", "safetensors", "sentence_transformers", "soundfile", "soxr", "torch", "transformers"}
_INPUTS = ["calm", "SOUND", "a loud and very fast thing"]
_ALONE = f"""
import sys
sys.modules.update(crossmusim=None, sourcing=None, training=None)  # importing them raises ModuleNotFoundError
import numpy as np
from sentence_transformers import SentenceTransformer
folder, again, sound = sys.argv[1:]
model = SentenceTransformer(folder, trust_remote_code=True, device="cpu")
model.save(again, create_model_card=False)
inputs = [sound if text == "SOUND" else text for text in {_INPUTS}]
np.save("first.npy", model.encode(inputs))
np.save("again.npy", SentenceTransformer(again, trust_remote_code=True, device="cpu").encode(inputs))
"""


@pytest.fixture(scope="module")
def folder(dual: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "my model"
    save_dual_encoder(dual, folder, card="# My model\n")
    return folder


def test_the_folder_loads_in_sentence_transformers_alone(folder: Path, tmp_path: Path) -> None:
    sound, again = str(write_tone(tmp_path / "tone.wav")), tmp_path / "again"
    command = [sys.executable, "-I", "-c", _ALONE, str(folder), str(again), sound]
    env = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    expected = load_model(folder).encode([sound if text == "SOUND" else text for text in _INPUTS])
    assert np.array_equal(np.load(tmp_path / "first.npy"), expected)
    assert np.array_equal(np.load(tmp_path / "again.npy"), expected)
    assert np.array_equal(load_model(again).encode(["calm", sound]), load_model(folder).encode(["calm", sound]))


def test_the_copies_import_each_other_and_what_the_card_names(folder: Path) -> None:
    sources = portable_sources()
    assert {path.name: path.read_text() for path in folder.glob("*.py")} == sources
    for text in sources.values():
        nodes = list(ast.walk(ast.parse(text)))
        imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        froms = [node for node in nodes if isinstance(node, ast.ImportFrom)]
        imported |= {str(node.module) for node in froms if not node.level}
        assert {name.partition(".")[0] for name in imported} <= _ALLOWED | sys.stdlib_module_names
        assert {f"{node.module}.py" for node in froms if node.level} <= set(sources)


def test_code_in_a_model_folder_is_never_run_by_load_model(folder: Path, tmp_path: Path) -> None:
    expected = load_model(folder).encode("calm")
    hostile = Path(shutil.copytree(folder, tmp_path / "hostile"))
    trap = f"from pathlib import Path\nPath({str(tmp_path / 'sprung')!r}).touch()\n"
    for place in (hostile, hostile / "text"):
        for name in {path.name for path in folder.glob("*.py")}:
            (place / name).write_text(trap)
    assert np.array_equal(load_model(hostile).encode("calm"), expected)
    modules = json.loads((hostile / "text" / "modules.json").read_text())
    modules[0]["type"] = "modeling_crossmusim.AudioTextModule"
    (hostile / "text" / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CheckpointError, match="torn"):
        load_model(hostile)
    assert not (tmp_path / "sprung").exists()


def test_a_folder_of_before_there_were_copies_still_loads(folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    older = Path(shutil.copytree(folder, tmp_path / "older"))
    for path in [*older.glob("*.py"), older / "README.md"]:
        path.unlink()
    modules = json.loads((older / "modules.json").read_text())
    modules[0]["type"] = "training.model.sentence.AudioTextModule"
    (older / "modules.json").write_text(json.dumps(modules))
    expected = load_model(folder).encode("calm")
    assert np.array_equal(load_model(older).encode("calm"), expected)
    theirs = SentenceTransformer(str(older), trust_remote_code=True, device="cpu")
    assert np.array_equal(theirs.encode("calm"), expected)
