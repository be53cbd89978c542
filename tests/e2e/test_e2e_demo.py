"""The demo is the whole mission: one command, real commands underneath, and numbers that are clear of chance."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One small demo in a folder whose name has a space; fewer documents are mined than `make demo` mines."""
    out = tmp_path_factory.mktemp("a demo") / "demo out"
    command = [sys.executable, "-m", "sourcing.cli", "--json", "demo", "--out", str(out), "--tracks", "240"]
    done = subprocess.run([*command, "--documents", "6"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return out, json.loads(done.stdout)


def test_the_demo_prints_one_json_object_with_every_figure(demo: tuple[Path, dict[str, Any]]) -> None:
    _, result = demo
    wanted = {
        "tracks", "documents", "matches", "descriptions", "rejected", "version", "model", "metrics", "report",
    }  # fmt: skip
    assert wanted <= set(result)
    assert result["tracks"] >= 238
    assert {"scraped", "mined"} <= set(result["descriptions"])


def test_retrieval_on_unseen_artists_is_clear_of_chance(demo: tuple[Path, dict[str, Any]]) -> None:
    _, result = demo
    text_to_audio = result["metrics"]["text_to_audio"]
    assert text_to_audio["mrr"]["clear_of_chance"]
    assert text_to_audio["median_rank"]["clear_of_chance"]


def test_the_published_version_is_sound_and_its_report_is_self_contained(demo: tuple[Path, dict[str, Any]]) -> None:
    out, result = demo
    command = [
        sys.executable,
        "-m",
        "sourcing.cli",
        "--json",
        "dataset",
        "verify",
        "demo",
        "--root",
        str(out / "datasets"),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert "<svg" in page
    assert "<mark" in page
    assert "<script src" not in page
    assert "http://127.0.0.1" not in page.split("<body", 1)[0]
