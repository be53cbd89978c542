"""Workspace: the folder where one catalogue's logs and derived tables lie.

crossmusim.toml          settings
catalogue.json           where the catalogue came from, and the folder its audio paths start from
tables/<name>.parquet    tracks, documents, matches, descriptions, disagreements; sorted by key, rebuilt from the logs
tables/rejected-<stage>.parquet
crawl/                   task ledger (SQLite) and WARC files: what the web answered
matches/verdicts.jsonl   what people decided about pairs: a log of truth
generation/              call journal (SQLite): what the models answered
models/  index/          trained models, embeddings of the catalogue
locks/                   who is writing what
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import dataframely as dy
import polars as pl

from sourcing.errors import InputError, StoppedShort
from sourcing.store.schemas import Description, Disagreement, Document, Match, Rejected, Track

__all__ = ["Workspace", "atomic_path", "fsync_folder", "hold_lock", "rejected_frame", "write_json", "write_parquet"]

S = TypeVar("S", bound=dy.Schema)

_TABLES: dict[type[dy.Schema], tuple[str, str]] = {
    Track: ("tracks", "`crossmusim catalogue import FILE`"),
    Document: ("documents", "`crossmusim crawl run`"),
    Match: ("matches", "`crossmusim match run`"),
    Description: ("descriptions", "`crossmusim generate describe`"),
    Disagreement: ("disagreements", "`crossmusim generate describe`"),
}


def fsync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable (a no-op where folders cannot be opened, as on Windows)."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block succeeds it is synced and takes `path`'s place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _with_new_columns(schema: type[dy.Schema], frame: pl.DataFrame) -> pl.DataFrame:
    """An older table, with nulls in nullable columns added since."""
    empty = schema.create_empty().schema
    missing = [name for name, column in schema.columns().items() if column.nullable and name not in frame.columns]
    return frame.with_columns(pl.lit(None, empty[name]).alias(name) for name in missing) if missing else frame


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically, with sorted keys so that equal values give equal bytes."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def write_parquet(path: Path, frame: pl.DataFrame) -> None:
    """Write `frame` as zstd Parquet, atomically; equal frames give equal bytes."""
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary, compression="zstd", statistics=True)


def rejected_frame(rows: list[dict[str, Any]]) -> dy.DataFrame[Rejected]:
    """Rejected rows from dicts with the schema's columns (`row` may be left out), sorted."""
    schema = Rejected.create_empty().schema
    frame = pl.DataFrame([{"row": None, **row} for row in rows], schema=schema, orient="row")
    return Rejected.validate(frame.sort("stage", "key", "reason", "finding"))


class Workspace:
    """A workspace folder; made on first write, so that looking never leaves traces."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    @property
    def crawl_dir(self) -> Path:
        return self.root / "crawl"

    @property
    def generation_dir(self) -> Path:
        return self.root / "generation"

    @property
    def models_dir(self) -> Path:
        return self.root / "models"

    @property
    def index_dir(self) -> Path:
        return self.root / "index"

    def table_path(self, schema: type[dy.Schema]) -> Path:
        return self.root / "tables" / f"{_TABLES[schema][0]}.parquet"

    def has(self, schema: type[dy.Schema]) -> bool:
        return self.table_path(schema).exists()

    def read(self, schema: type[S]) -> dy.DataFrame[S]:
        """The table of `schema`, sorted by its key; InputError names the command that makes it when missing."""
        path = self.table_path(schema)
        if not path.exists():
            name, command = _TABLES[schema]
            raise InputError(f"workspace {self.root}", f"it has no {name} table yet", f"run {command} first")
        try:
            return schema.validate(_with_new_columns(schema, pl.read_parquet(path)))
        except (pl.exceptions.PolarsError, dy.exc.ValidationError, dy.exc.SchemaError) as error:
            command = _TABLES[schema][1]
            raise InputError(str(path), f"not a sound table ({error})", f"rebuild it: {command}") from error

    def write(self, schema: type[S], frame: pl.DataFrame) -> dy.DataFrame[S]:
        """Validate, sort by primary key and replace the table atomically; returns what was written."""
        valid_rows = schema.validate(frame.select(schema.column_names()).sort(schema.primary_key()))
        write_parquet(self.table_path(schema), valid_rows)
        return valid_rows

    def rejected_path(self, stage: str) -> Path:
        return self.root / "tables" / f"rejected-{stage}.parquet"

    def write_rejected(self, stage: str, frame: pl.DataFrame) -> None:
        """Replace the rejected rows of one stage."""
        write_parquet(self.rejected_path(stage), Rejected.validate(frame.sort("stage", "key", "reason", "finding")))

    def read_rejected(self) -> dy.DataFrame[Rejected]:
        """Rejected rows of all stages."""
        paths = sorted((self.root / "tables").glob("rejected-*.parquet"))
        frames = [pl.read_parquet(path) for path in paths]
        return Rejected.validate(pl.concat([Rejected.create_empty(), *frames]))

    def catalogue_record(self) -> dict[str, Any]:
        """Record that `catalogue import` left: `path`, `sha256`, `audio_root`; empty before the first import."""
        path = self.root / "catalogue.json"
        return cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def lock(self, what: str, *, wait_s: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Hold the lock `what` (e.g. "matches"); StoppedShort names the holder when it is taken. Freed by any death."""
        return hold_lock(self.root / "locks", what, f"workspace {self.root}", wait_s=wait_s)


@contextlib.contextmanager
def hold_lock(folder: Path, what: str, thing: str, *, wait_s: float = 0.0) -> Iterator[None]:
    """Hold `folder/<what>.lock`; StoppedShort about `thing` names the holder when another process has it."""
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / f"{what}.json"
    lock = FileLock(folder / f"{what}.lock", timeout=wait_s)
    try:
        lock.acquire()
    except Timeout:
        raise StoppedShort(
            thing, f"{what} is being written by {_read_holder(holder)}", "wait for it, or stop it"
        ) from None
    try:
        holder.write_text(json.dumps(_describe_self()), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _describe_self() -> dict[str, Any]:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": command,
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _read_holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} (`{holder['command']}`, since {holder['since']})"
    except (OSError, ValueError, KeyError):
        return "another process"
