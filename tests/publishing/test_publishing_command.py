"""`crossmusim dataset`: one JSON object on stdout, exit 3 on a flipped byte or a taken version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from commands import run_command
from publishing_rows import small_tables

from sourcing.store import Description, Document, Track, Workspace, open_version


@pytest.fixture
def work(tmp_path: Path) -> Path:
    workspace, tables = Workspace(tmp_path / "work"), small_tables()
    for schema, name in ((Track, "tracks"), (Document, "documents"), (Description, "descriptions")):
        workspace.write(schema, tables[name])
    return tmp_path


def _run(work: Path, *arguments: str, capsys: pytest.CaptureFixture[str], as_json: bool = True) -> tuple[int, Any, str]:
    flags = ["--json"] if as_json else []
    code, out, err = run_command(
        capsys, [*flags, "--workspace", str(work / "work"), "dataset", *arguments, "--root", str(work / "out")]
    )
    return code, json.loads(out) if as_json else out, err


def test_publish_list_show_and_verify_speak_json(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, published, _ = _run(work, "publish", "mine", "--why", "first", capsys=capsys)
    assert code == 0
    assert {key: published[key] for key in ("name", "version", "created", "quarantined")} == {
        "name": "mine",
        "version": "0.1.0",
        "created": True,
        "quarantined": 0,
    }
    assert published["rows"] == {"descriptions": 72, "tracks": 36, "documents": 36}
    assert set(published["splits"]["test"]) == {"tracks", "descriptions", "groups"}
    assert sum(split["groups"] for split in published["splits"].values()) == 12
    assert published["shares"]["test"]["wished"] == 0.2
    assert sum(split["share"] for split in published["shares"].values()) == pytest.approx(1)
    assert published["split_report"]["guests_in_two_splits"] == 0
    _, listed, _ = _run(work, "list", capsys=capsys)
    assert [(row["name"], row["version"], row["latest"], row["why"]) for row in listed["versions"]] == [
        ("mine", "0.1.0", True, "first")
    ]
    _, shown, _ = _run(work, "show", "mine", capsys=capsys)
    assert shown["logical_hash"] == published["logical_hash"]
    code, verified, _ = _run(work, "verify", "mine@0.1.0", capsys=capsys)
    assert (code, verified["sound"]) == (0, True)


def test_the_same_commands_speak_to_people(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = _run(work, "publish", "mine", capsys=capsys, as_json=False)
    assert out.startswith("published mine@0.1.0 in ")
    _, out, _ = _run(work, "publish", "mine", capsys=capsys, as_json=False)
    assert out.startswith("nothing changed since mine@0.1.0")
    for verb in (["list"], ["show", "mine"], ["verify", "mine"]):
        code, out, _ = _run(work, *verb, capsys=capsys, as_json=False)
        assert code == 0
        assert "0.1.0" in out


def test_old_consent_and_withdrawals_are_said_but_fail_nothing(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, published, err = _run(work, "publish", "mine", capsys=capsys)
    assert published["consent"]["documents_older"] == 36
    assert "documents asked for more than 30 days ago: 36" in err
    assert f"`crossmusim crawl run --again-after 30 --workspace {work}/work`" in err
    monkeypatch.setenv("CROSSMUSIM_PUBLISH__CONSENT_MAX_AGE_DAYS", "100000")
    workspace = Workspace(work / "work")
    denied = pl.col("doc_id") == "doc:t00-0"
    consent = pl.when(denied).then(pl.lit("deny")).otherwise(pl.col("consent"))
    workspace.write(Document, workspace.read(Document).with_columns(consent=consent))
    code, published, err = _run(work, "publish", "mine", capsys=capsys)
    assert (code, published["version"], published["withdrawn"]) == (0, "0.2.0", 1)
    assert "taken back by their sites: 1, named in" in err
    assert "--again-after" not in err


def test_a_taken_version_exits_3_in_one_sentence(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(work, "publish", "mine", "--version", "0.1.0", capsys=capsys)
    code, said, err = _run(work, "publish", "mine", "--version", "0.1.0", capsys=capsys)
    assert code == said["error"]["exit_code"] == 3
    assert err.startswith("error: dataset mine@0.1.0: already published; ")


def test_one_flipped_byte_exits_3_and_names_the_file(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _run(work, "publish", "mine", capsys=capsys)
    shard = open_version("mine", work / "out").files("descriptions", "train")[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    code, _, err = _run(work, "verify", "mine", capsys=capsys)
    assert code == 3
    assert f"descriptions/{shard.name}" in err
    assert "sha256" in err


def test_a_cluster_that_holds_much_of_the_catalogue_and_straddling_guests_are_warned_of(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = Workspace(work / "work")
    number = pl.col("track_id").str.slice(1, 2)
    chained = (
        pl.when(number < "05").then(pl.lit("Ada & Artist ") + number).otherwise(pl.col("artist") + " feat. Bo Reed")
    )
    workspace.write(Track, workspace.read(Track).with_columns(artist=chained))
    _, _, err = _run(work, "publish", "mine", capsys=capsys)
    assert "the largest cluster, artist:ada, holds 15 of 36 tracks, joined by artist:ada, artist:artist 00" in err
    assert "through guest credits: 1 (bo reed)" in err
    _, out, _ = _run(work, "show", "mine", capsys=capsys, as_json=False)
    assert "wished" in out
