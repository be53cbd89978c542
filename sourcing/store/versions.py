"""Dataset versions: open, scan and verify what was published, and seal a new one so that half of it is never seen.

    <root>/<name>/<version>/manifest.json    every file with its sha256, bytes and rows; sealed by a hash of itself
    <root>/<name>/<version>/<config>/<split>-00000-of-0000N.parquet
    <root>/<name>/latest.json                pointer to the highest version, swapped atomically
    <root>/<name>/.tmp-…                     a version being built, or left behind by a killed publish

A version exists from the moment its finished folder is renamed into place; before that only a hidden temporary
folder exists, which no reader looks at and the next publish removes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import dataframely as dy
import polars as pl

from sourcing.errors import DatasetError, UsageError
from sourcing.nearest import nearest
from sourcing.store.schemas import Description, Document, Track
from sourcing.store.workspace import fsync_folder, hold_lock, write_json

__all__ = [
    "CONFIGS",
    "MANIFEST_FILE",
    "SPLITS",
    "DatasetFolder",
    "DatasetVersion",
    "PublishedDocument",
    "file_sha256",
    "hold_dataset",
    "list_versions",
    "open_version",
    "parse_version",
]

MANIFEST_FILE = "manifest.json"
SPLITS = ("train", "validation", "test")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_ENTRY_KEYS = {"path", "sha256", "bytes", "rows"}
_DAMAGED = "restore it from a copy, or publish the next version; a published version never changes"


class PublishedDocument(Document):
    """A document as published: its prose is there only where its licence lets anyone pass it on."""

    text_withheld = dy.Bool(description="true when `text` or `lead` was left out because its licence does not allow it")


#: The configs of a version, each a folder of Parquet shards.
CONFIGS: dict[str, type[dy.Schema]] = {"descriptions": Description, "tracks": Track, "documents": PublishedDocument}


def parse_version(text: str) -> tuple[int, int, int]:
    """The three numbers of a semantic version; UsageError when `text` is not X.Y.Z."""
    match = _VERSION.fullmatch(text)
    if not match:
        raise UsageError(f"dataset version {text!r}", "not three numbers", "write X.Y.Z, e.g. 0.1.0")
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class DatasetVersion:
    """One published version. Reading it costs nothing until `.scan` is collected or `.verify` is called."""

    def __init__(self, name: str, version: str, path: Path) -> None:
        self.name, self.version, self.path = name, version, path

    def __repr__(self) -> str:
        return f"DatasetVersion({str(self)!r}, path={str(self.path)!r})"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @cached_property
    def manifest(self) -> dict[str, Any]:
        try:
            manifest = json.loads((self.path / MANIFEST_FILE).read_text(encoding="utf-8"))
            if not all(entry.keys() >= _ENTRY_KEYS for entry in manifest["files"]):
                raise ValueError("an entry of its files lacks a field")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DatasetError(f"dataset {self}", f"{MANIFEST_FILE} cannot be read ({error})", _DAMAGED) from None
        return cast("dict[str, Any]", manifest)

    @property
    def latest(self) -> bool:
        """True when the bare dataset name opens this version."""
        return _latest(self.path.parent) == self.version

    def files(self, config: str, split: str | None = None) -> list[Path]:
        """Parquet files of a config as the manifest lists them: train, validation, test, shards in order."""
        _require(config, CONFIGS, f"dataset {self}", "config")
        if split is not None:
            _require(split, SPLITS, f"dataset {self}", "split")
        paths = sorted(entry["path"] for entry in self.manifest["files"])
        prefixes = [f"{config}/{name}-" for name in SPLITS if split in (None, name)]
        return [self.path / path for prefix in prefixes for path in paths if path.startswith(prefix)]

    def scan(self, config: str, split: str | None = None) -> pl.LazyFrame:
        """Rows of a config, all splits or one; no rows where the version has none. Sort by key if order matters."""
        paths = self.files(config, split)
        for path in paths:
            if not path.is_file():
                relative = path.relative_to(self.path).as_posix()
                raise DatasetError(f"dataset {self}", f"{relative} is missing", _DAMAGED)
        return pl.scan_parquet(paths) if paths else CONFIGS[config].create_empty().lazy()

    def problems(self, on_progress: Callable[[], None] = lambda: None) -> list[str]:
        """Differences between folder and manifest, one line per file; empty when sound.

        `on_progress` is called after each file.
        """
        problems = []
        try:
            is_sealed = (self.path / MANIFEST_FILE).read_bytes() == _render(_seal(self.manifest))
        except DatasetError as error:
            return [error.found]
        if not is_sealed:
            problems.append(f"{MANIFEST_FILE}: its own hash does not match, so it was changed after publishing")
        entries = {entry["path"]: entry for entry in self.manifest["files"]}
        present = {path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if not path.is_dir()}
        for name in sorted(entries.keys() | present - {MANIFEST_FILE}):
            problem = _file_problem(self.path / name, entries.get(name))
            if problem:
                problems.append(f"{name}: {problem}")
            on_progress()
        return problems

    def verify(self) -> None:
        """Read every byte; DatasetError names the first file that differs from the manifest, and how."""
        problems = self.problems()
        if problems:
            raise self.damage(problems)

    def damage(self, problems: list[str]) -> DatasetError:
        """DatasetError for a list of problems."""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return DatasetError(f"dataset {self}", problems[0] + more, _DAMAGED)


def open_version(spec: str, root: Path | str = "datasets") -> DatasetVersion:
    """The version called `name@X.Y.Z`, or the latest of `name`. DatasetError names what exists when it does not."""
    name, _, version = spec.partition("@")
    folder = Path(root) / _checked_name(name)
    existing = _versions(folder)
    if not existing:
        names = sorted({published_version.name for published_version in list_versions(root)})
        own_root = "" if Path(root) == Path("datasets") else f" --root {shlex.quote(str(root))}"
        publish = f"publish one: `crossmusim dataset publish {name}{own_root}`"
        cure = nearest(name, names, f"choose one of: {', '.join(names)}" if names else publish)
        raise DatasetError(f"dataset {name}", f"there is none in {Path(root)}", cure)
    if not version:
        version = _latest(folder) or existing[-1]
    if version not in existing:
        versions = [f"{name}@{each}" for each in existing]
        near = nearest(f"{name}@{version}", versions, "")
        cure = f"{near} choose one of: {', '.join(versions)}".strip()
        raise DatasetError(f"dataset {name}@{version}", f"there is no such version in {Path(root)}", cure)
    return DatasetVersion(name, version, folder / version)


def list_versions(root: Path | str = "datasets", name: str | None = None) -> list[DatasetVersion]:
    """Published versions by name, then from the oldest version number to the newest."""
    root = Path(root)
    names = [_checked_name(name)] if name else sorted(path.name for path in root.glob("*") if path.is_dir())
    return [
        DatasetVersion(each, version, root / each / version) for each in names for version in _versions(root / each)
    ]


class DatasetFolder:
    """The folder of one dataset while this process alone may add versions to it; get it from `hold_dataset`."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name, self.folder = root, _checked_name(name), root / name

    def versions(self) -> list[DatasetVersion]:
        return list_versions(self.root, self.name)

    def refuse_existing(self, version: str) -> None:
        """DatasetError when the version number is taken."""
        major, minor, patch = parse_version(version)
        if (self.folder / version).exists():
            existing = set(_versions(self.folder))
            while f"{major}.{minor}.{patch}" in existing | {version}:
                patch += 1
            raise DatasetError(
                f"dataset {self.name}@{version}",
                "already published",
                f"a published version never changes; publish the next, e.g. {major}.{minor}.{patch}",
            )

    def seal(self, version: str, fill: Callable[[Path], dict[str, Any]]) -> DatasetVersion:
        """Publish the files that `fill` writes into an empty folder; it returns the manifest but for `files`.

        Order, so that a kill at any moment leaves the version whole or unseen: files synced, manifest written last
        and synced, folder renamed, pointer swapped.
        """
        self.refuse_existing(version)
        building = Path(tempfile.mkdtemp(prefix=f".tmp-{version}-", dir=self.folder))
        try:
            building.chmod(0o755)
            manifest = fill(building)
            entries = [_entry(building, path) for path in sorted(building.rglob("*")) if path.is_file()]
            manifest = _seal({**manifest, "name": self.name, "version": version, "files": entries})
            (building / MANIFEST_FILE).write_bytes(_render(manifest))
            _fsync_file(building / MANIFEST_FILE)
            for folder in (*(path for path in building.rglob("*") if path.is_dir()), building):
                fsync_folder(folder)
            building.rename(self.folder / version)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        fsync_folder(self.folder)
        self.point()
        return DatasetVersion(self.name, version, self.folder / version)

    def point(self) -> None:
        """Let latest.json name the highest version, also after a publish was killed just before it did."""
        versions = _versions(self.folder)
        if versions and _latest(self.folder) != versions[-1]:
            write_json(self.folder / "latest.json", {"version": versions[-1]})


@contextlib.contextmanager
def hold_dataset(root: Path | str, name: str) -> Iterator[DatasetFolder]:
    """Hold a dataset for writing, after clearing what killed publishes left; StoppedShort when another holds it."""
    dataset = DatasetFolder(Path(root), name)
    with hold_lock(dataset.folder / ".locks", "publish", f"dataset {name}"):
        for stale in (*dataset.folder.glob(".tmp-*"), *dataset.folder.glob(".latest.json.*.tmp")):
            shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
        dataset.point()
        yield dataset


def _versions(folder: Path) -> list[str]:
    names = [path.parent.name for path in folder.glob(f"*/{MANIFEST_FILE}") if _VERSION.fullmatch(path.parent.name)]
    return sorted(names, key=parse_version)


def _latest(folder: Path) -> str | None:
    """Version named by latest.json; None when the version is missing."""
    try:
        version = json.loads((folder / "latest.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if version in _versions(folder) else None


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"dataset name {name!r}", "not a plain name", "use letters, digits, . _ - and begin with neither"
        )
    return name


def _require(value: str, choices: Any, thing: str, what: str) -> None:
    if value not in choices:
        raise DatasetError(thing, f"there is no {what} {value!r}", f"choose one of: {', '.join(choices)}")


def _file_problem(path: Path, entry: dict[str, Any] | None) -> str | None:
    if entry is None:
        return "is not in the manifest"
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    if size != entry["bytes"]:
        return f"has {size} bytes, the manifest says {entry['bytes']}"
    digest = file_sha256(path)
    if digest != entry["sha256"]:
        return f"has sha256 {digest[:12]}…, the manifest says {entry['sha256'][:12]}…"
    return None


def _entry(building: Path, path: Path) -> dict[str, Any]:
    _fsync_file(path)
    rows = pl.scan_parquet(path).select(pl.len()).collect().item() if path.suffix == ".parquet" else None
    relative = path.relative_to(building).as_posix()
    return {"path": relative, "sha256": file_sha256(path), "bytes": path.stat().st_size, "rows": rows}


def _fsync_file(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _seal(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with a hash of all other fields, so that a change of the manifest shows."""
    body = {key: value for key, value in manifest.items() if key != "seal"}
    return {**body, "seal": hashlib.sha256(_render(body)).hexdigest()}


def _render(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
