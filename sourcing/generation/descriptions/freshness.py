"""Freshness of the description tables: digest of their inputs and code, compared with the digest at the last rebuild.

Describing a million replies takes a quarter of an hour. A command without new replies skips the rebuild while
catalogue, documents, matches, journal, packs, settings, code and libraries are unchanged.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sourcing.generation.journal.journal import Journal
from sourcing.generation.packs.pack_files import pack_folders
from sourcing.store.codeprint import code_and_libraries
from sourcing.store.schemas import Description, Disagreement, Document, Match, Track
from sourcing.store.versions import file_sha256
from sourcing.store.workspace import Workspace, write_json

__all__ = ["inputs_digest", "note_fresh_tables", "summary_of_fresh_tables"]

_RECORD = "described.json"
_LIBRARIES = ("HanTa", "crossmusim", "janome", "opencc", "polars", "py3langid", "rapidfuzz", "rjieba")
_GENERATION = Path(__file__).parents[1]


def inputs_digest(
    workspace: Workspace, journal: Journal, prompt_roots: Sequence[Path], thresholds: Sequence[float]
) -> str:
    """Hash of every input of the tables: tables by size and time, journal by stamp, code and packs by content."""
    code = [*_GENERATION.rglob("*.py"), *_GENERATION.rglob("data/*.txt"), *_GENERATION.parent.glob("store/*.py")]
    packs = [folder / "prompt.j2" for folder in pack_folders(prompt_roots).values()]
    made_of = {
        "tables": [_stamp(workspace.table_path(table)) for table in (Track, Document, Match)],
        "journal": journal.reader.stamp(),
        "packs": sorted((str(path), file_sha256(path)) for path in packs),
        "thresholds": list(thresholds),
        "code": code_and_libraries(sorted(code), _LIBRARIES),
    }
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def summary_of_fresh_tables(workspace: Workspace, digest: str) -> dict[str, Any] | None:
    """Recorded result of `rebuild_descriptions` for inputs of this digest; None when the tables must be rebuilt."""
    try:
        record = json.loads(_record(workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("digest") != digest or record.get("tables") != _made(workspace):
        return None
    summary: dict[str, Any] = record["told"]
    return summary


def note_fresh_tables(workspace: Workspace, digest: str, summary: dict[str, Any]) -> None:
    """Record the inputs' digest and the rebuild's result beside the stamps of the present tables."""
    write_json(_record(workspace), {"digest": digest, "tables": _made(workspace), "told": summary})


def _record(workspace: Workspace) -> Path:
    return workspace.generation_dir / _RECORD


def _made(workspace: Workspace) -> list[list[int]]:
    paths = [workspace.table_path(table) for table in (Description, Disagreement)]
    return [_stamp(path) for path in (*paths, *map(workspace.rejected_path, ("describe", "generate")))]


def _stamp(path: Path) -> list[int]:
    """Size, modification time in ns and inode of a file, [] for a missing file; tables are only replaced whole."""
    try:
        file_stat = path.stat()
    except FileNotFoundError:
        return []
    return [file_stat.st_size, file_stat.st_mtime_ns, file_stat.st_ino]
