"""Import of a published dump or data set as WARC captures, like answers of a crawl."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from sourcing import __version__
from sourcing.crawling.documents.page_readings import TOO_DEEP
from sourcing.crawling.ledger import task_key
from sourcing.crawling.source import Capture, DumpRecord, PageError, Source
from sourcing.crawling.warc.writer import CaptureWriter, Exchange
from sourcing.errors import InputError, UsageError
from sourcing.store.workspace import Workspace, rejected_frame, write_json

__all__ = ["ALL_RECORDS", "ImportResult", "Selection", "import_records", "imported_before"]

IMPORTS_FILE = "imports.json"
_EDGE_BYTES = 1 << 20  # of a file's beginning and end go into its fingerprint
_MAX_SEEN = 1_000_000  # addresses kept in memory; beyond, a record met twice is written twice and read once
_EXAMPLES = 3
_REFUSED_ROWS = 10_000  # of one file; beyond, they are counted
_PIECE_CHARS = 500


@dataclass(frozen=True)
class Selection:
    """Which records of a dump are written: those with a document row that `wants` takes, or all; `name` tells which."""

    name: str = "all"
    wants: Callable[[Mapping[str, Any]], bool] | None = None


ALL_RECORDS = Selection()


@dataclass
class ImportResult:
    """Counts and rejected rows of an import."""

    read: int = 0
    kept: int = 0
    repeated: int = 0  # wanted, but of an address kept already
    rejected: Counter[str] = field(default_factory=Counter)  # reason → records no page object could read
    examples: list[str] = field(default_factory=list)  # the first of them, with what was found
    refused: list[dict[str, Any]] = field(default_factory=list)  # rows of stage import, the first ten thousand
    torn: str | None = None  # where the file breaks off; what came before it is kept
    stopped: bool = False  # by the limit or the caller, before the end

    @property
    def complete(self) -> bool:
        return not self.torn and not self.stopped


def imported_before(workspace: Workspace, source: Source, path: Path, selection: str) -> dict[str, Any] | None:
    """Record of an earlier complete import of the file with the same selection or all records."""
    for note in _notes(workspace).get(_name(source, path), []):
        if note["complete"] and note["selection"] in ("all", selection) and note["fingerprint"] == _fingerprint(path):
            return dict(note)
    return None


def import_records(
    workspace: Workspace,
    source: Source,
    path: Path,
    selection: Selection = ALL_RECORDS,
    *,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[bool], None] = lambda kept: None,
) -> ImportResult:
    """Read `path` by the source's dump reader and write the wanted records into WARC files of their own.

    A record is dated by the file, so that the same file gives the same documents.
    `stop` is asked between records; `limit` counts records read. Memory
    stays flat. A second import of a file adds nothing to the documents. Records no page object can read become
    rejected rows of stage import, in place of those of an earlier import of that file.
    """
    if source.read_dump is None:
        raise UsageError(
            f"source {source.name}", "it has no reader of dumps or data sets", "see `crossmusim sources list`"
        )
    fingerprint = _fingerprint(path)
    import_ = _Import(source, path, selection)
    result = import_.result
    writer = CaptureWriter(workspace.crawl_dir, f"crossmusim/{__version__}")
    records = source.read_dump(path)
    try:
        for record in records:
            capture = import_.take(record)
            if capture is not None:
                writer.write(Exchange(capture))
            on_progress(capture is not None)
            if stop() or result.read == limit:
                result.stopped = True
                break
    except InputError as error:
        if not result.read:
            raise
        result.torn = str(error)
    finally:
        _close(records)
        writer.close()
    _note(workspace, _name(source, path), selection.name, fingerprint, result)
    return result


class _Import:
    """One file being read: decides record by record."""

    def __init__(self, source: Source, path: Path, selection: Selection) -> None:
        self.source, self.wants = source, selection.wants
        self.evidence = (f"published dump: {path.name}",)
        self.label = _name(source, path)
        self.retrieved_at = datetime.fromtimestamp(max(int(file.stat().st_mtime) for file in _files(path)), UTC)
        self.result = ImportResult()
        self._address_digests: set[int] = set()

    def take(self, record: DumpRecord) -> Capture | None:
        """Capture of a record; None when it is unreadable, unwanted or already imported."""
        result = self.result
        result.read += 1
        capture = self._captured(record)
        try:
            rows = self.source.page_for(record.kind)(capture, self.source).documents()
            is_unwanted = self.wants is not None and not any(map(self.wants, rows))
        except PageError as error:
            self._reject(record, error.reason, error.finding)
            return None
        except RecursionError:
            self._reject(record, TOO_DEEP, "lists and objects in each other, too deep")
            return None
        except Exception as error:
            # A page object met something its author did not think of; the dump's other records are still read.
            self._reject(record, "page_object_failed", f"{type(error).__name__}: {error}")
            return None
        if is_unwanted:
            return None
        if self._again(record.url):
            result.repeated += 1
            return None
        result.kept += 1
        return replace(capture, task_key=task_key(self.source.name, record.url))

    def _captured(self, record: DumpRecord) -> Capture:
        return Capture(
            source=self.source.name,
            kind=record.kind,
            task_key="",  # made for what is kept: it costs a tenth of reading a record
            url=record.url,
            status=200,
            headers={"content-type": record.content_type},
            body=record.body,
            retrieved_at=self.retrieved_at,
            consent_evidence=self.evidence,
            form="resource",
        )

    def _reject(self, record: DumpRecord, reason: str, finding: str) -> None:
        self.result.rejected[reason] += 1
        if len(self.result.examples) < _EXAMPLES:
            self.result.examples.append(f"{record.url}: {reason}: {finding[:200]}")
        if len(self.result.refused) < _REFUSED_ROWS:
            row = {
                "stage": "import",
                "key": record.url,
                "reason": reason,
                "finding": f"{self.label}: {finding[:_PIECE_CHARS]}",
                "row": record.body[:_PIECE_CHARS].decode("utf-8", "replace"),
            }
            self.result.refused.append({name: _storable(text) for name, text in row.items()})

    def _again(self, url: str) -> bool:
        digest = int.from_bytes(hashlib.sha256(url.encode("utf-8", "replace")).digest()[:8], "big")
        if digest in self._address_digests:
            return True
        if len(self._address_digests) < _MAX_SEEN:
            self._address_digests.add(digest)
        return False


def _close(records: Iterator[DumpRecord]) -> None:
    """Close a reader that was not read to its end."""
    close = getattr(records, "close", None)
    if close is not None:
        close()


def _fingerprint(path: Path) -> str:
    """Tells two files, or folders, apart by sizes, beginnings and ends: hashing all takes as long as reading all."""
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            size = file.stat().st_size
            digest.update(f"{file.relative_to(path.parent)} {size}\n".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(_EDGE_BYTES))
                stream.seek(max(0, size - _EDGE_BYTES))
                digest.update(stream.read(_EDGE_BYTES))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "name a dump or data set") from None
    return digest.hexdigest()


def _storable(text: str) -> str:
    """Without the lone surrogates a file's bytes or JSON escapes may have brought in."""
    return text.encode("utf-8", "replace").decode()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _name(source: Source, path: Path) -> str:
    return f"{source.name} {path.name}"


def _notes(workspace: Workspace) -> dict[str, list[dict[str, Any]]]:
    path = workspace.crawl_dir / IMPORTS_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _note(workspace: Workspace, name: str, selection: str, fingerprint: str, result: ImportResult) -> None:
    """Keep one note per file name, selection and content; several processes may import into one workspace."""
    with workspace.lock("imports"):
        notes = _notes(workspace)
        _keep_refused(workspace, name, result)
        counts = {each: value for each, value in vars(result).items() if each != "refused"}
        note = {**counts, "complete": result.complete, "selection": selection, "fingerprint": fingerprint}
        facts = [
            old for old in notes.get(name, []) if (old["selection"], old["fingerprint"]) != (selection, fingerprint)
        ]
        write_json(workspace.crawl_dir / IMPORTS_FILE, {**notes, name: [*facts, note]})


def _keep_refused(workspace: Workspace, name: str, result: ImportResult) -> None:
    """Write the file's rejected rows beside those of other files."""
    path = workspace.rejected_path("import")
    rows: pl.DataFrame = rejected_frame(result.refused)
    if path.exists():
        others = pl.read_parquet(path).filter(~pl.col("finding").str.starts_with(f"{name}: "))
        rows = pl.concat([others, rows])
    if rows.height or path.exists():
        workspace.write_rejected("import", rows)
