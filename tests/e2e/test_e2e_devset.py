"""Real music goes from a catalogue file to search hits by the very commands the README prints."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEVSET = ROOT.parent / "shared" / "devset"

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(not DEVSET.exists(), reason="the clips are not beside this checkout")]


def readme_commands() -> list[list[str]]:
    """The shell lines of the README's section "Your own music"."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Your own music", 1)[1]
    block = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert block is not None
    lines = block.group(1).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("crossmusim")]


def test_the_readme_takes_real_music_from_import_to_search(tmp_path: Path) -> None:
    shutil.copytree(DEVSET, tmp_path / "mymusic")
    results = {}
    for command in readme_commands():
        program = [sys.executable, "-m", "sourcing.cli", "--json", *command[1:]]
        done = subprocess.run(
            program,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr[-3000:]}"
        results[" ".join(word for word in command[3:5] if re.fullmatch("[a-z]+", word))] = json.loads(done.stdout)

    assert results["catalogue import"]["taken"] == 49
    assert results["catalogue import"]["rejected"] == 0
    assert results["generate describe"]["descriptions"] == {"catalogue": 49}
    search = next(result for name, result in results.items() if name.startswith("search"))
    assert len(search["hits"]) == 10
    assert all(-1.0 <= hit["score"] <= 1.0 for hit in search["hits"])
    evaluate = next(result for name, result in results.items() if name.startswith("evaluate"))
    assert evaluate["metrics"]["text_to_audio"]["mrr"]["chance"] > 0
