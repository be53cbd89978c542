"""The demo is the whole mission: one command, real commands underneath, and numbers that are clear of chance."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import soundfile

pytestmark = pytest.mark.e2e


#: Tracks invented and documents mined. The small demo does all that the large one does, but learns too little.
SMALL = pytest.param((60, 3), id="small")
LARGE = pytest.param((240, 6), id="large", marks=pytest.mark.proof)


@pytest.fixture(scope="module", params=[SMALL, LARGE])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One demo in a folder whose name has a space; fewer documents are mined than `make demo` mines."""
    tracks, documents = map(str, request.param)
    out = tmp_path_factory.mktemp("a demo") / "demo out"
    command = [sys.executable, "-m", "sourcing.cli", "--json", "demo", "--out", str(out), "--tracks", tracks]
    process = subprocess.run([*command, "--documents", documents], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-4000:]
    return out, json.loads(process.stdout)


def test_the_demo_prints_one_json_object_with_every_figure(
    demo: tuple[Path, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    _, result = demo
    names = {
        "tracks", "documents", "matches", "descriptions", "rejected", "version", "model", "metrics", "report",
    }  # fmt: skip
    assert names <= set(result)
    assert result["tracks"] >= request.node.callspec.params["demo"][0] - 2
    assert {"scraped", "mined"} <= set(result["descriptions"])


@pytest.mark.parametrize("demo", [LARGE], indirect=True)
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
    assert not re.search(r"""\b(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert "http://127.0.0.1" not in page.split("<body", 1)[0]


def test_the_first_chart_counts_what_the_three_sources_were_asked(demo: tuple[Path, dict[str, Any]]) -> None:
    """The site's own log is the witness; what robots.txt closes was counted and never asked for."""
    out, result = demo
    lines = (out / "site" / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    paths = {json.loads(line)["path"] for line in lines}
    folders = {"musicbrainz": "/musicbrainz/", "schemaorg": "/reviews/", "wikipedia": "/wikipedia/"}
    paths_logged = {name: sum(path.startswith(folder) for path in paths) for name, folder in folders.items()}
    closed = result["rejected"]["crawl: robots.txt"]
    assert closed == 1
    paths_logged["schemaorg"] += closed
    assert {name: sum(states.values()) for name, states in result["requests"].items()} == paths_logged
    assert set(result["leads_elsewhere"]) & set(folders) == set()
    page = Path(result["report"]).read_text(encoding="utf-8")
    stage = page.split("addresses at the three sources")[1].split('class="stage"')[0]
    assert re.findall(r'<div class="row"><span>(\w+)<', stage) == list(folders)
    assert f"<b>{sum(paths_logged.values())}</b>" in stage


def test_the_bars_of_a_stage_add_up_to_its_figure(demo: tuple[Path, dict[str, Any]]) -> None:
    page = Path(demo[1]["report"]).read_text(encoding="utf-8")
    stages = re.split(r'<div class="stage">', page)[1:]
    assert len(stages) == 6
    for stage in stages:
        counts = re.findall(r'class="count">([\d /]+)<', stage)
        assert sum(int(count) for each in counts for count in each.split(" / ")) == int(
            re.search(r"<b>(\d+)<", stage)[1]
        )


def test_every_hit_neighbour_and_example_can_be_heard(demo: tuple[Path, dict[str, Any]]) -> None:
    page = Path(demo[1]["report"]).read_text(encoding="utf-8")
    sounds = dict(re.findall(r'<audio id="clip-([^"]*)" preload="none" src="data:audio/mpeg;base64,([^"]*)">', page))
    assert set(re.findall(r'data-clip="([^"]*)"', page)) == set(sounds)
    assert page.count('<td class="sound"><button') == page.count('<td class="sound">') == 4 * 8
    assert page.count('<h3 class="titled"><button') == page.count("<article") + 1
    for sound in sounds.values():
        assert 6 <= soundfile.info(io.BytesIO(base64.b64decode(sound))).duration <= 8
    assert len(page) < 4_000_000
