"""`crossmusim catalogue`: counts, reasons with rows, and one sentence with exit 3 when nothing can be taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import run_command

from sourcing.store import Track, Workspace


def _run(work: Path, *arguments: str, capsys: pytest.CaptureFixture[str], as_json: bool = True) -> tuple[int, Any, str]:
    code, out, err = run_command(
        capsys, [*(["--json"] if as_json else []), "--workspace", str(work), "catalogue", *arguments]
    )
    return code, json.loads(out) if as_json else out, err


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    rows = [
        "track_id,title,artist,year,audio",
        "a,Song [live],Ada,1999,",
        "7/8,Song,Ada,,",
        "b,Song,Bo,soon,gone.ogg",
        "a,Song,Ada,,",
    ]
    path = tmp_path / "mixed.csv"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_import_tells_rows_reasons_and_examples(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result, _ = _run(tmp_path / "w", "import", str(mixed), capsys=capsys)
    assert code == 0
    assert {key: result[key] for key in ("rows", "taken", "rejected", "values_emptied", "reasons")} == {
        "rows": 4,
        "taken": 2,
        "rejected": 2,
        "values_emptied": 2,
        "reasons": {"audio_missing": 1, "track_id_duplicate": 1, "track_id_illegal": 1, "year_illegal": 1},
    }
    assert result["examples"][0] == {
        "key": "mixed.csv row 3",
        "reason": "track_id_illegal",
        "finding": 'track_id "7/8" has a slash; use letters, digits, . _ : -',
    }
    workspace = Workspace(tmp_path / "w")
    assert workspace.read(Track)["track_id"].to_list() == ["a", "b"]
    assert workspace.read_rejected().height == 4
    record = workspace.catalogue_record()
    assert (record["path"], record["audio_root"]) == (str(mixed.resolve()), str(tmp_path.resolve()))
    assert len(record["sha256"]) == 64


def test_importing_again_replaces_tracks_and_rejected_rows(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(tmp_path / "w", "import", str(mixed), capsys=capsys)
    mixed.write_text("track_id,title,artist\nz,Song,Ada\n", encoding="utf-8")
    _, out, _ = _run(tmp_path / "w", "import", str(mixed), capsys=capsys, as_json=False)
    assert out == "1 of 1 rows taken, 0 rejected\n"
    assert Workspace(tmp_path / "w").read(Track)["track_id"].to_list() == ["z"]
    assert Workspace(tmp_path / "w").read_rejected().is_empty()


def test_nothing_taken_exits_3_with_the_reasons_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("track_id,title,artist\n/,Song,Ada\nb,,Ada\n", encoding="utf-8")
    code, _, err = _run(tmp_path / "w", "import", str(path), capsys=capsys)
    assert code == 3
    assert "none of its 2 rows is a track (title_missing 1, track_id_illegal 1)" in err
    assert len(err.splitlines()) == 1
    assert Workspace(tmp_path / "w").read_rejected().height == 2
    assert not Workspace(tmp_path / "w").has(Track)


def test_a_column_is_named_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ids.csv"
    path.write_text("id,title,artist\na,Song,Ada\n", encoding="utf-8")
    code, result, _ = _run(tmp_path / "w", "import", str(path), "--column", "track_id=id", capsys=capsys)
    assert (code, result["taken"]) == (0, 1)
    assert _run(tmp_path / "w", "import", str(path), "--column", "id", capsys=capsys)[0] == 2


def test_show_counts_tables_and_columns(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path / "w", "show", capsys=capsys)[0] == 3
    _run(tmp_path / "w", "import", str(mixed), capsys=capsys)
    _, shown, _ = _run(tmp_path / "w", "show", "--limit", "1", capsys=capsys)
    assert shown["rows"] == {"tracks": 2}
    assert shown["filled"]["year"] == 1
    assert shown["filled"]["tags"] == 0
    assert [row["track_id"] for row in shown["tracks"]] == ["a"]
    assert shown["rejected"]["catalogue/audio_missing"] == 1
    _, out, _ = _run(tmp_path / "w", "show", capsys=capsys, as_json=False)
    assert "[live]" in out
