"""Mending: records of WARC files that rotted are found, and what was lost with them is asked for again."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sourcing.crawling.ledger import Ledger
from sourcing.crawling.warc.reader import Tear, read_sealed, warc_files

__all__ = ["ask_for_lost"]


def ask_for_lost(ledger: Ledger, folder: Path, *, live: Collection[str] = (), again: Collection[str] = ()) -> int:
    """Make tasks with unreadable captures pending again; returns how many.

    Reads the files that changed since all of them were read last, and those named in `again`; leaves those that
    processes labelled `live` are writing. A file that is not there any more has lost what no other file holds.
    """
    noted_files = ledger.archive.files()  # before the folder is looked into: other processes begin files
    files = warc_files(folder)
    lost_count = _ask_for_missing(ledger, noted_files - {path.name for path in files}, files)
    for path in files:
        if any(f"-{label}-" in path.name for label in live):
            continue
        stat = path.stat()
        if path.name not in again and ledger.archive.looked_through(path.name) == (stat.st_size, stat.st_mtime_ns):
            continue
        tears: list[Tear] = []
        sound = {(each.start, each.capture.task_key) for each in read_sealed(path, on_tear=tears.append)}
        with ledger.group():
            lost_count += _ask_again(ledger, path, tears, sound)
            ledger.archive.note_looked_through(path.name, stat.st_size, stat.st_mtime_ns)
    return lost_count


def _ask_for_missing(ledger: Ledger, missing: Collection[str], files: Collection[Path]) -> int:
    if not missing:
        return 0
    bodies = (each.capture for path in files for each in read_sealed(path))
    elsewhere = {each.task_key for each in bodies if each.form != "revisit" or each.consent == "deny"}
    lost_count = 0
    for name in sorted(missing):
        offsets = {offset for offset, key in ledger.archive.offsets(name).items() if key not in elsewhere}
        with ledger.group():
            lost_count += (
                ledger.archive.lose(name, offsets, f"{name}: the file is not there any more") if offsets else 0
            )
            ledger.archive.forget(name)
    return lost_count


def _ask_again(ledger: Ledger, path: Path, tears: list[Tear], sound: set[tuple[int, str]]) -> int:
    """Make tasks captured in the file pending, unless among its `sound` exchanges (offset, task)."""
    captures = ledger.archive.offsets(path.name)
    moved_keys = {key for offset, key in sound if offset not in captures}  # the file was packed anew
    missing = {offset for offset, key in captures.items() if (offset, key) not in sound and key not in moved_keys}
    finding = f"{path.name}: {tears[0].found}" if tears else f"{path.name}: its record is not there any more"
    if captures or not tears:
        return ledger.archive.lose(path.name, missing, finding) if missing else 0
    return ledger.archive.lose_pages({tear.url for tear in tears if tear.url}, finding)
