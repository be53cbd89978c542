"""Freshness of the description tables: a note of the inputs and code that made them, compared with the present ones.

Describing a million replies takes a quarter of an hour. A command that answered nothing new need not wait for it, as
long as catalogue, documents, matches, journal, packs, settings, code and libraries are those the tables were made of.
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
_LIBRARIES = ("crossmusim", "opencc", "polars", "py3langid", "rapidfuzz")
_GENERATION = Path(__file__).parents[1]


def inputs_digest(workspace: Workspace, journal: Journal, prompt_roots: Sequence[Path], min_agreement: float) -> str:
    """Of all that the tables depend on; files of the workspace by size and time, code and packs by content."""
    code = [*_GENERATION.rglob("*.py"), *_GENERATION.rglob("data/*.txt"), *_GENERATION.parent.glob("store/*.py")]
    packs = [folder / "prompt.j2" for folder in pack_folders(prompt_roots).values()]
    made_of = {
        "tables": [_stamp(workspace.table_path(table)) for table in (Track, Document, Match)],
        "journal": journal.reader.stamp(),
        "packs": sorted((str(path), file_sha256(path)) for path in packs),
        "min_agreement": min_agreement,
        "code": code_and_libraries(sorted(code), _LIBRARIES),
    }
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()


def summary_of_fresh_tables(workspace: Workspace, digest: str) -> dict[str, Any] | None:
    """Result that `rebuild_descriptions` gave for the tables of exactly these inputs; None if it has to make them."""
    try:
        record = json.loads(_record(workspace).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if record.get("digest") != digest or record.get("tables") != _made(workspace):
        return None
    summary: dict[str, Any] = record["told"]
    return summary


def note_fresh_tables(workspace: Workspace, digest: str, summary: dict[str, Any]) -> None:
    """Write down from which inputs the present tables were made."""
    write_json(_record(workspace), {"digest": digest, "tables": _made(workspace), "told": summary})


def _record(workspace: Workspace) -> Path:
    return workspace.generation_dir / _RECORD


def _made(workspace: Workspace) -> list[list[int]]:
    paths = [workspace.table_path(table) for table in (Description, Disagreement)]
    return [_stamp(path) for path in (*paths, *map(workspace.rejected_path, ("describe", "generate")))]


def _stamp(path: Path) -> list[int]:
    """Size and time of a file that is only ever replaced as a whole; of none, nothing."""
    try:
        file_stat = path.stat()
    except FileNotFoundError:
        return []
    return [file_stat.st_size, file_stat.st_mtime_ns, file_stat.st_ino]
