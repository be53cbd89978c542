"""Publishing: foreign readers read it, equal inputs give equal bytes, numbers follow from what changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest
import yaml
from publishing_rows import description, frames, small_tables, track

from sourcing.errors import DatasetError, UsageError
from sourcing.publishing.publish import PublishOptions, PublishResult, WorkspaceTables, publish, read_tables
from sourcing.settings import PublishSettings
from sourcing.store import DatasetVersion, Description, Document, Track, Workspace, list_versions, open_version
from sourcing.store.versions import hold_dataset

NOW = datetime(2026, 4, 1, tzinfo=UTC)


def _publish(root: Path, tables: dict[str, pl.DataFrame] | None = None, **options: Any) -> PublishResult:
    settings = options.pop("settings", PublishSettings())
    workspace_tables = WorkspaceTables(**(tables or small_tables()))
    return publish(workspace_tables, "mine", PublishOptions(**options), root=root, settings=settings, now=NOW)


def _with_descriptions(rows: list[dict[str, Any]]) -> dict[str, pl.DataFrame]:
    tables = small_tables()
    return {**tables, "descriptions": pl.concat([tables["descriptions"], frames([], [], rows)["descriptions"]])}


def test_a_version_holds_every_row_once_with_no_artist_on_two_sides(tmp_path: Path) -> None:
    version = _publish(tmp_path).version
    version.verify()
    sides = {split: set(version.scan("tracks", split).collect()["artist"]) for split in ("train", "validation", "test")}
    assert all(sides.values())
    assert sum(map(len, sides.values())) == 12
    for config in ("descriptions", "documents"):
        for split, artists in sides.items():
            rows = version.scan(config, split).collect()
            ids = rows["track_id"] if config == "descriptions" else rows["doc_id"].str.strip_prefix("doc:")
            assert {f"Artist {track_id[1:3]}" for track_id in ids} == artists
    assert version.manifest["rows"] == {"descriptions": 72, "tracks": 36, "documents": 36}


def _with_agreement(tables: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """The mined descriptions said by half the samples and all sources, the others compared with nobody."""
    rows = tables["descriptions"].to_dicts()
    for row in rows:
        if row["origin"] == "mined":
            row["aspects"][0]["agreement"] = {"samples": 0.5, "models": None, "sources": 1.0}
    return {**tables, "descriptions": pl.DataFrame(rows, schema=tables["descriptions"].schema, orient="row")}


def test_foreign_readers_see_the_agreement_of_every_aspect(tmp_path: Path) -> None:
    version = _publish(tmp_path, _with_agreement(small_tables())).version
    files = f"'{version.path}/descriptions/*.parquet'"
    unnested = f"select origin, unnest(aspects) as a from {files}"
    shares = "a.agreement.samples, a.agreement.models, a.agreement.sources"
    found = duckdb.sql(f"select distinct origin, {shares} from ({unnested}) order by origin").fetchall()
    assert found == [("catalogue", None, None, None), ("mined", 0.5, None, 1.0)]
    mined = pd.read_parquet(version.path / "descriptions").query("origin == 'mined'")
    assert {aspect["agreement"]["samples"] for aspects in mined["aspects"] for aspect in aspects} == {0.5}
    card = (version.path / "README.md").read_text(encoding="utf-8")
    assert "agreement: {samples: float64, models: float64, sources: float64}" in card
    assert "| `samples` | the samples drawn from its model under the same prompt | 36 | 0 | 0 | 0.5 |" in card
    assert "| `models` |" not in card


def test_a_card_without_anything_compared_says_nothing_of_agreement(tmp_path: Path) -> None:
    assert "## Agreement" not in (_publish(tmp_path).version.path / "README.md").read_text(encoding="utf-8")


def _published_as(root: Path, aspects: pl.Expr) -> DatasetVersion:
    """A 0.1.0 of the small tables by a program whose `aspects` had another shape."""
    now = _publish(root / "now").version

    def fill(folder: Path) -> dict[str, Any]:
        shutil.copytree(now.path, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
        for path in folder.glob("descriptions/*.parquet"):
            pl.read_parquet(path).with_columns(aspects=aspects).write_parquet(path)
        schema = pl.read_parquet_schema(path)
        columns = {**now.manifest["columns"], "descriptions": {name: str(dtype) for name, dtype in schema.items()}}
        return {**now.manifest, "columns": columns, "logical_hash": "another"}

    with hold_dataset(root / "then", "mine") as dataset:
        return dataset.seal("0.1.0", fill)


def test_a_struct_that_gained_a_field_is_no_column_retyped(tmp_path: Path) -> None:
    fields = [pl.element().struct.field(name) for name in ("text", "facet", "evidence")]
    before = _published_as(tmp_path, pl.col("aspects").list.eval(pl.struct(fields)))
    before.verify()
    assert "agreement" not in str(before.scan("descriptions").collect_schema())
    after = _publish(tmp_path / "then").version
    assert (after.version, after.manifest["parent"]) == ("0.2.0", "0.1.0")


def test_a_struct_that_lost_or_retyped_a_field_is_a_column_retyped(tmp_path: Path) -> None:
    element = pl.element()
    changed = {
        "lost": element.struct.with_fields(loudness=pl.lit(0.5)),
        "retyped": element.struct.with_fields(facet=element.struct.field("facet").cast(pl.Binary)),
    }
    for name, aspect in changed.items():
        _published_as(tmp_path / name, pl.col("aspects").list.eval(aspect))
        assert _publish(tmp_path / name / "then").version.version == "1.0.0"


def test_pandas_duckdb_and_polars_read_it_with_none_of_our_code(tmp_path: Path) -> None:
    folder = _publish(tmp_path).version.path
    assert len(pd.read_parquet(folder / "descriptions")) == 72
    unnested = f"select unnest(aspects) as a from '{folder}/descriptions/*.parquet'"
    assert duckdb.sql(f"select count(*), count(distinct a.facet) from ({unnested})").fetchall() == [(72, 1)]
    assert pl.scan_parquet(folder / "documents/*.parquet").collect().height == 36


def _python(code: str, *arguments: Path, at: Path) -> str:
    """What a fresh Python prints, whose Hugging Face cache lies in `at`."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(at / "hf")}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=at, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.e2e
def test_hugging_face_datasets_reads_every_config_and_split(tmp_path: Path) -> None:
    folder = _publish(tmp_path, _with_agreement(small_tables())).version.path
    code = (
        "import datasets, json, sys\n"
        "read = {c: datasets.load_dataset(sys.argv[1], c) for c in ('descriptions', 'tracks', 'documents')}\n"
        "print(json.dumps({c: {s: d.num_rows for s, d in read[c].items()} for c in read}))\n"
        "mined = next(row for row in read['descriptions']['train'] if row['origin'] == 'mined')\n"
        "print(json.dumps(mined, default=str))\n"
    )
    rows, first = map(json.loads, _python(code, folder, at=tmp_path).splitlines())
    splits = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["splits"]
    assert rows == {c: {s: splits[s][c] for s in splits} for c in ("descriptions", "tracks", "documents")}
    assert first["aspects"][0]["text"] == "slow piano"
    assert first["aspects"][0]["agreement"] == {"samples": 0.5, "models": None, "sources": 1.0}


@pytest.mark.e2e
def test_hugging_face_cache_tells_versions_of_one_number_apart(tmp_path: Path) -> None:
    other = small_tables()
    other["tracks"] = other["tracks"].with_columns(title=pl.lit("Another Song"))
    other["descriptions"] = other["descriptions"].with_columns(caption=pl.lit("another caption"))
    other["documents"] = other["documents"].with_columns(title=pl.lit("another document"))
    settings = PublishSettings()
    one, two = (
        publish(WorkspaceTables(**tables), name, root=tmp_path, settings=settings, now=NOW).version
        for name, tables in (("mine", small_tables()), ("yours", other))
    )
    assert one.version == two.version
    code = (
        "import datasets, json, sys\n"
        "columns = {'descriptions': 'caption', 'tracks': 'title', 'documents': 'title'}\n"
        "def values(folder, config, streaming):\n"
        "    rows = datasets.load_dataset(folder, config, split='train', streaming=streaming)\n"
        "    return sorted({str(row[columns[config]]) for row in rows})\n"
        "print(json.dumps([[values(folder, config, streaming) for config in columns]\n"
        "    for streaming in (False, True) for folder in sys.argv[1:]]))\n"
    )
    first, second, *streamed = json.loads(_python(code, one.path, two.path, at=tmp_path))
    assert second == [["another caption"], ["Another Song"], ["another document"]]
    assert first != second
    assert streamed == [first, second]


def test_equal_inputs_give_equal_bytes(tmp_path: Path) -> None:
    one = _publish(tmp_path / "one").version
    tables = small_tables()
    shuffled = {name: frame.sample(fraction=1, shuffle=True, seed=3) for name, frame in tables.items()}
    other = _publish(tmp_path / "other", shuffled).version
    assert one.manifest == other.manifest
    for path in one.path.rglob("*.parquet"):
        assert path.read_bytes() == (other.path / path.relative_to(one.path)).read_bytes()


def test_resharding_keeps_the_logical_hash_and_the_rows(tmp_path: Path) -> None:
    one = _publish(tmp_path / "one").version
    many = _publish(tmp_path / "many", rows_per_shard=7).version
    assert len(many.files("descriptions", "train")) > 1
    assert many.files("descriptions", "test")[0].name.startswith("test-00000-of-0000")
    assert many.manifest["logical_hash"] == one.manifest["logical_hash"]
    assert (
        many.scan("descriptions")
        .collect()
        .sort("description_id")
        .equals(one.scan("descriptions").collect().sort("description_id"))
    )


def test_any_changed_value_changes_the_logical_hash(tmp_path: Path) -> None:
    tables = small_tables()
    before = _publish(tmp_path / "one", tables).version.manifest["logical_hash"]
    tables["tracks"] = tables["tracks"].with_columns(duration_s=pl.lit(1.5))
    assert _publish(tmp_path / "other", tables).version.manifest["logical_hash"] != before


def test_the_number_follows_from_what_changed(tmp_path: Path) -> None:
    assert _publish(tmp_path).version.version == "0.1.0"
    again = _publish(tmp_path)
    assert (again.version.version, again.created) == ("0.1.0", False)
    tables = small_tables()
    tables["tracks"] = tables["tracks"].with_columns(album=pl.lit("Mended"))
    patched = _publish(tmp_path, tables, why="albums mended").version
    assert (patched.version, patched.manifest["parent"], patched.manifest["why"]) == ("0.1.1", "0.1.0", "albums mended")
    grown = _with_descriptions([description("new", "t00-0", text="fiddle")])
    assert _publish(tmp_path, grown).version.version == "0.2.0"
    moved = _publish(tmp_path, grown, settings=PublishSettings(test_fraction=0.3))
    assert moved.version.version == "1.0.0"
    assert open_version("mine", tmp_path).version == "1.0.0"


def test_an_existing_version_is_refused(tmp_path: Path) -> None:
    _publish(tmp_path, version="0.1.0")
    with pytest.raises(DatasetError, match=r"publish the next, e\.g\. 0\.1\.1"):
        _publish(tmp_path, version="0.1.0")
    with pytest.raises(UsageError):
        _publish(tmp_path, version="next")


def test_nothing_fit_to_publish_is_said_with_the_reasons(tmp_path: Path) -> None:
    tables = frames([track("a")], [], [description("1", "gone")])
    with pytest.raises(DatasetError, match=r"no description is fit to publish \(publish/track_unknown 1\)"):
        _publish(tmp_path, tables)
    assert not tmp_path.joinpath("mine").exists()


def test_a_split_without_rows_has_no_file_and_the_card_does_not_name_it(tmp_path: Path) -> None:
    version = _publish(tmp_path, frames([track("a"), track("b")], [], [description("1", "a")])).version
    header = yaml.safe_load((version.path / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    logical_hash = version.manifest["logical_hash"]
    assert header["configs"] == [
        {
            "config_name": "descriptions",
            "default": True,
            "description": f"descriptions of mine@0.1.0, logical hash {logical_hash}",
            "data_files": [{"split": "train", "path": "descriptions/train-*.parquet"}],
        },
        {
            "config_name": "tracks",
            "description": f"tracks of mine@0.1.0, logical hash {logical_hash}",
            "data_files": [{"split": "train", "path": "tracks/train-*.parquet"}],
        },
    ]
    assert version.scan("documents").collect().is_empty()
    assert "text_withheld" in version.scan("documents").collect_schema()


def test_the_card_documents_every_column_and_counts_licences(tmp_path: Path) -> None:
    version = _publish(tmp_path, why="first | try").version
    card = (version.path / "README.md").read_text(encoding="utf-8")
    for config in ("descriptions", "tracks", "documents"):
        for column in version.scan(config).collect_schema():
            assert f"| `{column}` |" in card
    assert "| descriptions | CC-BY-SA-4.0 | 36 |" in card
    assert "`mine@1.0.0`" in card


def test_the_manifest_names_inputs_prompts_and_models_but_no_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "work")
    tables = small_tables()
    for schema, name in ((Track, "tracks"), (Document, "documents"), (Description, "descriptions")):
        workspace.write(schema, tables[name])
    done = publish(read_tables(workspace), "mine", root=tmp_path / "out", settings=PublishSettings(), now=NOW)
    manifest = done.version.manifest
    assert sorted(manifest["inputs"]) == ["descriptions.parquet", "documents.parquet", "tracks.parquet"]
    assert manifest["prompts"] == {"mine@1.0.0": ["ab" * 32]}
    assert manifest["models"] == ["tiny"]
    assert manifest["created_at"] == "2026-04-01T00:00:00+00:00"
    texts = [
        path.read_text(encoding="utf-8") for path in done.version.path.rglob("*.*") if path.suffix in (".json", ".md")
    ]
    assert not any(str(tmp_path) in text for text in texts)


@pytest.mark.e2e
@pytest.mark.parametrize("at", ["write_parquet", "render_card", "rename"])
def test_a_killed_publish_leaves_no_version_and_the_next_equals_an_undisturbed_one(tmp_path: Path, at: str) -> None:
    workspace = Workspace(tmp_path / "work")
    tables = small_tables()
    for schema, name in ((Track, "tracks"), (Document, "documents"), (Description, "descriptions")):
        workspace.write(schema, tables[name])
    code = (
        "import os, signal, sys, pathlib, polars, sourcing.publishing.publish as p\n"
        "die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"if {at!r} == 'render_card': p.render_card = die\n"
        f"elif {at!r} == 'rename': pathlib.Path.rename = die\n"
        "else: polars.DataFrame.write_parquet = die\n"
        "from sourcing.cli import main\n"
        "main(['--workspace', sys.argv[1], 'dataset', 'publish', 'mine', '--root', sys.argv[2]])\n"
    )
    root = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", code, str(workspace.root), str(root)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert list_versions(root) == []
    assert list((root / "mine").glob(".tmp-*"))
    mended = publish(read_tables(workspace), "mine", root=root, settings=PublishSettings(), now=NOW).version
    undisturbed = publish(
        read_tables(workspace), "mine", root=tmp_path / "calm", settings=PublishSettings(), now=NOW
    ).version
    assert mended.manifest == undisturbed.manifest
    assert not list((root / "mine").glob(".tmp-*"))
