"""Cache of WARC files' readings between runs, so that a crawl of days reads no page twice.

A cache and no more: an entry counts while the file's length and age, the code that read it, the libraries below
that and the declarations are what they were, and deleting the folder costs nothing but time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sourcing.crawling.documents.extract import Readings
from sourcing.crawling.documents.page_readings import empty_readings
from sourcing.crawling.documents.parallel import FileReadings, Overrides
from sourcing.crawling.warc.reader import Tear
from sourcing.store import schemas
from sourcing.store.codeprint import code_and_libraries
from sourcing.store.workspace import atomic_path

__all__ = ["ReadingsCache", "fingerprint"]

_STAMP = "crossmusim.readings"
_LIBRARIES = (
    *("crossmusim", "beautifulsoup4", "extruct", "ftfy", "lxml", "opencc", "py3langid", "trafilatura"),
    *("polars", "pyarrow"),
)
#: How hard a source is asked does not change how its answers are read.
_PACE = frozenset({"rate_per_s", "concurrency", "burst", "daily_cap", "storage_cap_mb"})


def fingerprint(overrides: Overrides, foreign: str = "") -> str:
    """Fingerprint of everything readings depend on besides the WARC file: code, libraries, declarations, the
    `foreign` source.
    """
    files = [*sorted(Path(__file__).parents[1].rglob("*.py")), *sorted(Path(schemas.__file__).parent.glob("*.py"))]
    declarations = {
        name: {key: value for key, value in values.items() if key not in _PACE} for name, values in overrides.items()
    }
    parts = [*code_and_libraries(files, _LIBRARIES), declarations, foreign]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class ReadingsCache:
    """Readings by WARC file: one Parquet file each, written whole or not at all."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    def find(self, path: Path, length: int) -> tuple[Readings, list[Tear]] | None:
        """Cached readings and tears of a file of the given length, None when absent or outdated."""
        entry = self._entry(path)
        try:
            stamp = json.loads(pl.read_parquet_metadata(entry).get(_STAMP, "{}"))
        except (OSError, ValueError, pl.exceptions.PolarsError):
            return None  # never kept, or not readable: read the pages again
        if [stamp.get(key) for key in ("length", "changed", "fingerprint")] != [
            *(length, path.stat().st_mtime_ns, self.fingerprint)
        ]:
            return None
        return partial(_columns, entry), [Tear(path, *tear) for tear in stamp["tears"]]

    def keep(self, file: FileReadings) -> Readings:
        """Write a file's readings to the cache, one span in memory at a time."""
        entry, schema = self._entry(file.path), _arrow(empty_readings()).schema
        modified_at = file.path.stat().st_mtime_ns
        with atomic_path(entry) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for frame in file.frames:
                writer.write_table(_arrow(frame))
            tears = [(tear.offset, tear.found, tear.url, tear.last) for tear in file.tears]
            stamp = {"length": file.length, "changed": modified_at, "fingerprint": self.fingerprint, "tears": tears}
            writer.add_key_value_metadata({_STAMP: json.dumps(stamp)})
        return partial(_columns, entry)

    def forget_all_but(self, paths: Iterable[Path]) -> None:
        """Remove cache entries of files that no longer exist."""
        entries = {self._entry(path) for path in paths}
        for entry in self.folder.glob("*.parquet"):
            if entry not in entries:
                entry.unlink(missing_ok=True)

    def _entry(self, path: Path) -> Path:
        return self.folder / f"{path.name}.parquet"


def _columns(entry: Path, columns: Any) -> pl.DataFrame:
    return pl.read_parquet(entry, columns=list(columns))


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
