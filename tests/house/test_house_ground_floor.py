"""The ground floor holds: settings overlay, atomic writes, named locks, an error tree that is what it draws."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import sourcing.errors as errors
from sourcing.errors import InputError, StoppedShort, UsageError
from sourcing.settings import load_settings
from sourcing.store import Description, Document, Match, Rejected, Track, Workspace
from sourcing.store.schemas import describe_columns
from sourcing.store.workspace import atomic_path, rejected_frame

ROOT = Path(__file__).parents[2]


def test_every_error_is_drawn_in_the_tree_and_exported() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        assert name in errors.__doc__
    tree = ast.parse(Path(errors.__file__).read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert defined == set(errors.__all__)


def test_an_error_reads_as_one_sentence() -> None:
    assert str(InputError("a.csv row 3", "no title", "fill it in")) == "a.csv row 3: no title; fill it in"


def test_flags_win_over_environment_and_environment_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = '[generation]\nmodel = "file"\nconcurrency = 3\nbase_url = "http://file/v1"\n'
    (tmp_path / "crossmusim.toml").write_text(toml, encoding="utf-8")
    monkeypatch.setenv("CROSSMUSIM_GENERATION__MODEL", "environment")
    monkeypatch.setenv("CROSSMUSIM_GENERATION__CONCURRENCY", "5")
    settings = load_settings(tmp_path, generation={"model": "flag"})
    assert settings.generation.model == "flag"
    assert settings.generation.concurrency == 5
    assert settings.generation.base_url == "http://file/v1"


def test_a_settings_file_that_is_not_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "crossmusim.toml").write_text("[crawl\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"crossmusim\.toml: not TOML"):
        load_settings(tmp_path)


@pytest.mark.parametrize("schema", [Track, Document, Match, Description, Rejected])
def test_every_column_has_a_line_of_documentation(schema: type) -> None:
    assert all(describe_columns(schema).values())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_table_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="crossmusim catalogue import"):
        Workspace(tmp_path).read(Track)


def test_a_torn_table_names_its_cure(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = workspace.table_path(Track)
    path.parent.mkdir()
    path.write_bytes(b"PAR1 torn")
    with pytest.raises(InputError, match="not a sound table"):
        workspace.read(Track)


def test_tables_are_written_sorted_and_byte_identical(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"track_id": ["b", "a"], "doc_id": ["d", "d"], "score": [1.0, 0.5], "band": ["accept", "review"]}
    ).with_columns(method=pl.lit("text"), reasons=pl.lit([], dtype=pl.List(pl.String)))
    workspace = Workspace(tmp_path)
    workspace.write(Match, frame)
    first = workspace.table_path(Match).read_bytes()
    workspace.write(Match, frame.reverse())
    assert workspace.table_path(Match).read_bytes() == first
    assert workspace.read(Match)["track_id"].to_list() == ["a", "b"]


def test_rejected_rows_of_all_stages_are_read_together(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for stage in ("match", "catalogue"):
        row = {"stage": stage, "key": "k", "reason": "r", "finding": "f"}
        workspace.write_rejected(stage, rejected_frame([row]))
    assert workspace.read_rejected()["stage"].to_list() == ["catalogue", "match"]


def test_a_held_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from sourcing.store import Workspace\n"
        f"with Workspace({str(tmp_path)!r}).lock('crawl'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoppedShort, match=f"process {other.pid} on "), Workspace(tmp_path).lock("crawl"):
            pass
        other.kill()
    with Workspace(tmp_path).lock("crawl"):
        pass


def test_data_folders_hold_no_python_and_do_not_shadow_the_library() -> None:
    assert not [*(ROOT / "datasets").rglob("*.py"), *(ROOT / "prompts").rglob("*.py")]
    code = "import datasets; print(datasets.load_dataset.__module__)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.startswith("datasets.")
