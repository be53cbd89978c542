"""Dataset versions: sealed whole or not at all, opened by name, and every changed byte is found."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sourcing.errors import DatasetError, StoppedShort, UsageError
from sourcing.store import list_versions, open_version
from sourcing.store.versions import hold_dataset


def _fill(folder: Path) -> dict[str, Any]:
    (folder / "descriptions").mkdir()
    for split in ("train", "test"):
        frame = pl.DataFrame({"description_id": [split], "track_id": ["t"]})
        frame.write_parquet(folder / f"descriptions/{split}-00000-of-00001.parquet")
    (folder / "README.md").write_text("# card\n", encoding="utf-8")
    return {"rows": {"descriptions": 2}}


def _publish(root: Path, version: str = "0.1.0", name: str = "mine") -> None:
    with hold_dataset(root, name) as dataset:
        dataset.seal(version, _fill)


def test_a_bare_name_opens_the_highest_version(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.2.0"):
        _publish(tmp_path, version)
    assert [each.version for each in list_versions(tmp_path)] == ["0.2.0", "0.9.0", "0.10.0"]
    assert str(open_version("mine", tmp_path)) == "mine@0.10.0"
    assert open_version("mine", tmp_path).latest
    assert not open_version("mine@0.9.0", tmp_path).latest


def test_scan_reads_one_split_or_all_and_nothing_where_there_is_none(tmp_path: Path) -> None:
    _publish(tmp_path)
    version = open_version("mine@0.1.0", tmp_path)
    assert version.scan("descriptions", "test").collect()["description_id"].to_list() == ["test"]
    assert version.scan("descriptions").collect().height == 2
    assert version.scan("descriptions", split="validation").collect().height == 0
    assert version.scan("documents").collect().is_empty()


@pytest.mark.parametrize(("config", "split"), [("captions", None), ("descriptions", "dev")])
def test_an_unknown_config_or_split_is_answered_with_those_there_are(
    tmp_path: Path, config: str, split: str | None
) -> None:
    _publish(tmp_path)
    with pytest.raises(DatasetError, match="choose one of"):
        open_version("mine", tmp_path).scan(config, split)


def test_an_unknown_name_or_version_is_answered_with_what_exists(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="publish one"):
        open_version("mine", tmp_path)
    _publish(tmp_path)
    with pytest.raises(DatasetError, match=r"choose one of: mine$"):
        open_version("other", tmp_path)
    with pytest.raises(DatasetError, match=r"choose one of: mine@0\.1\.0"):
        open_version("mine@0.2.0", tmp_path)
    for name in ("../mine", "", ".hidden"):
        with pytest.raises(UsageError, match="not a plain name"):
            open_version(name, tmp_path)


def test_an_existing_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    _publish(tmp_path)
    before = open_version("mine", tmp_path).manifest
    with pytest.raises(DatasetError, match=r"already published; .*never changes; publish the next, e\.g\. 0\.1\.1"):
        _publish(tmp_path)
    assert open_version("mine", tmp_path).manifest == before


@pytest.mark.parametrize("version", ["1", "v1.0.0", "01.0.0", "1.0.0-rc1", "../1.0.0"])
def test_a_version_is_three_numbers(tmp_path: Path, version: str) -> None:
    with pytest.raises(UsageError, match=r"X\.Y\.Z"):
        _publish(tmp_path, version)


def test_a_sound_version_verifies(tmp_path: Path) -> None:
    _publish(tmp_path)
    version = open_version("mine", tmp_path)
    assert version.problems() == []
    version.verify()
    rows = {entry["path"]: entry["rows"] for entry in version.manifest["files"]}
    assert rows == {
        "README.md": None,
        "descriptions/test-00000-of-00001.parquet": 1,
        "descriptions/train-00000-of-00001.parquet": 1,
    }


@pytest.mark.parametrize("where", [0, 5, -1])
def test_one_flipped_byte_in_any_file_is_found(tmp_path: Path, where: int) -> None:
    _publish(tmp_path)
    folder = open_version("mine", tmp_path).path
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[where] ^= 1
        path.write_bytes(changed)
        problems = open_version("mine@0.1.0", tmp_path).problems()
        assert len(problems) == 1
        assert path.name in problems[0]
        with pytest.raises(DatasetError, match=r"mine@0\.1\.0"):
            open_version("mine@0.1.0", tmp_path).verify()
        path.write_bytes(whole)


def test_missing_extra_and_resized_files_are_all_named(tmp_path: Path) -> None:
    _publish(tmp_path)
    version = open_version("mine", tmp_path)
    (version.path / "README.md").write_text("longer than before", encoding="utf-8")
    (version.path / "descriptions/test-00000-of-00001.parquet").unlink()
    (version.path / "descriptions/train-extra.parquet").write_bytes(b"")
    problems = version.problems()
    assert [problem.split(":")[0] for problem in problems] == [
        "README.md",
        "descriptions/test-00000-of-00001.parquet",
        "descriptions/train-extra.parquet",
    ]
    assert "18 bytes" in problems[0]
    assert problems[1].endswith("is missing")
    assert problems[2].endswith("is not in the manifest")
    with pytest.raises(DatasetError, match=r"README\.md: .* \(and 2 more\)"):
        version.verify()


def test_a_manifest_edited_to_fit_a_changed_file_is_found(tmp_path: Path) -> None:
    _publish(tmp_path)
    path = open_version("mine", tmp_path).path / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["rows"]["descriptions"] = 3
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"manifest\.json: its own hash"):
        open_version("mine", tmp_path).verify()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": [1]}', '{"files": [{"path": "x"}]}'])
def test_a_manifest_that_is_none_is_one_sentence(tmp_path: Path, content: str) -> None:
    _publish(tmp_path)
    (open_version("mine", tmp_path).path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=r"manifest\.json cannot be read"):
        open_version("mine", tmp_path).verify()


def _killed_at(moment: int, root: Path) -> int:
    """Publish 0.2.0 in a child that SIGKILLs itself at its `moment`-th sync or rename; returns the exit status."""
    child = os.fork()
    if child == 0:
        left = [moment]

        def dying(call: Any) -> Any:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **named)

            return wrapped

        for name in ("fsync", "rename", "replace"):
            setattr(os, name, dying(getattr(os, name)))

        def fill(folder: Path) -> dict[str, Any]:  # no Parquet: the table engine's threads do not survive a fork
            (folder / "README.md").write_text("# card\n", encoding="utf-8")
            return {"rows": {}}

        try:
            with hold_dataset(root, "mine") as dataset:
                dataset.seal("0.2.0", fill)
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_publish_killed_at_any_moment_leaves_a_whole_version_or_none(tmp_path: Path) -> None:
    seen, moment, status = set(), 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        moment += 1
        root = tmp_path / str(moment)
        _publish(root)
        status = _killed_at(moment, root)
        versions = list_versions(root)
        for version in versions:
            version.verify()
        seen.add(tuple(each.version for each in versions))
        assert open_version("mine", root).version in ("0.1.0", "0.2.0")
        with hold_dataset(root, "mine") as dataset:  # the next publish: nothing is held, and the remains are cleared
            assert not list(dataset.folder.glob(".tmp-*"))
        assert open_version("mine", root).version == versions[-1].version
    assert status == 0
    assert moment > 5
    assert seen == {("0.1.0",), ("0.1.0", "0.2.0")}


def test_a_fill_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path) -> dict[str, Any]:
        (folder / "half").write_text("half", encoding="utf-8")
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError), hold_dataset(tmp_path, "mine") as dataset:
        dataset.seal("0.1.0", fill)
    assert list_versions(tmp_path) == []
    assert not list((tmp_path / "mine").glob(".tmp-*"))


def test_two_cannot_publish_one_dataset_at_once(tmp_path: Path) -> None:
    with hold_dataset(tmp_path, "mine"), pytest.raises(StoppedShort, match=f"process {os.getpid()}"):
        _publish(tmp_path)
    _publish(tmp_path)


def test_a_version_published_before_a_field_was_added_opens_with_its_own_columns(tmp_path: Path) -> None:
    aspect = {"text": "slow", "facet": "tempo_rhythm", "evidence": []}

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "descriptions").mkdir()
        frame = pl.DataFrame({"description_id": ["d"], "aspects": [[{**aspect, "evidence": ["d"]}]]})
        frame.write_parquet(folder / "descriptions/train-00000-of-00001.parquet")
        return {"rows": {"descriptions": 1}}

    with hold_dataset(tmp_path, "mine") as dataset:
        dataset.seal("0.1.0", fill)
    version = open_version("mine", tmp_path)
    version.verify()
    assert version.scan("descriptions").collect()["aspects"].to_list() == [[{**aspect, "evidence": ["d"]}]]
