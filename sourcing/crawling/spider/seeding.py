"""Seeding: tasks for the tracks of a catalogue and the lines of a list, fed to the ledger as they are needed.

A feed is read a chunk at a time while its source has little left to ask, and the ledger notes how far it came,
so that ten million tasks neither delay a start nor are offered again by the next run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sourcing import __version__
from sourcing.crawling.ledger import Ledger
from sourcing.crawling.policy.politeness import unusable_url
from sourcing.crawling.source import Source, TaskSpec
from sourcing.crawling.sources.schemaorg import PAGE_KIND, PAGE_SOURCE
from sourcing.errors import CrossmusimError, InputError, UsageError
from sourcing.store.shard import Shard

__all__ = [
    "Chunk",
    "Feed",
    "Seeding",
    "catalogue_feeds",
    "list_feed",
    "plain_feed",
]

_CHUNK = 500
_ENOUGH = 2000  # tasks of a source that are ready: no need to feed more
_CHECKED_LINES = 1000
_LONGEST_LINE = 100_000  # characters read of a line
_LONGEST_TRACK_ID = 300


@dataclass(frozen=True)
class Chunk:
    """Tasks, lines that are no task (with what is wrong), and the position behind them."""

    specs: list[TaskSpec]
    position: int
    refused: list[tuple[TaskSpec, str, str]] = field(default_factory=list)  # with reason and finding


@dataclass(frozen=True)
class Feed:
    """Where a source's seeds come from; `name` is what the ledger notes its position under, "" notes nothing."""

    name: str
    source: str
    chunks: Callable[[int], Iterator[Chunk]]  # from a position


class Seeding:
    """Feeds a ledger; `feed` is called before each lease, in the thread that owns the ledger."""

    def __init__(self, ledger: Ledger, feeds: Iterable[Feed], shard: Shard | None = None) -> None:
        self._ledger, self._shard = ledger, shard
        self.failures: list[Exception] = []  # why feeds came to no end
        self._open = [(feed, feed.chunks(ledger.cursor(feed.name) if feed.name else 0)) for feed in feeds]

    @property
    def done(self) -> bool:
        """True when all feeds are exhausted."""
        return not self._open

    def feed(self) -> None:
        """Read a chunk of each feed with few tasks left."""
        for feed, chunks in list(self._open):
            if self._ledger.census.ready(feed.source, _ENOUGH) >= _ENOUGH:
                continue
            try:
                chunk = next(chunks, None)
            except (CrossmusimError, OSError) as error:  # the others go on; `run_crawl` raises it when they are done
                self.failures.append(error)
                chunk = None
            if chunk is None:
                self._open.remove((feed, chunks))
                continue
            mine = [spec for spec in chunk.specs if self._shard is None or self._shard.holds(spec.track_id or spec.url)]
            with self._ledger.group():
                self._ledger.add(mine, cursor=(feed.name, chunk.position) if feed.name else None)
                for spec, reason, finding in chunk.refused:
                    self._ledger.refuse(spec, reason, finding)


def plain_feed(specs: Iterable[TaskSpec]) -> Feed:
    """Tasks at hand, offered in every run."""

    def chunks(_position: int) -> Iterator[Chunk]:
        rest = list(specs)
        for start in range(0, len(rest), _CHUNK):
            yield Chunk(rest[start : start + _CHUNK], start + _CHUNK)

    return Feed("", PAGE_SOURCE, chunks)


def list_feed(path: Path, shard: Shard | None = None) -> Feed:
    """Pages from a text file: one URL a line, optionally a tab and a track_id; # starts a comment line.

    A line that is none becomes a failed task that names file and line. UsageError where not one of the first thousand
    lines is a URL: it is the wrong file.
    """
    wrong = ""
    for number, line in islice(_lines(path), _CHECKED_LINES):
        spec = _listed(line)
        why = _unusable(spec, line) if spec is not None else ""
        if spec is not None and not why:
            break
        wrong = wrong or (why and f"{path} line {number}: {why}")
    else:
        if wrong:
            raise UsageError(wrong.partition(": ")[0], wrong.partition(": ")[2], "write one http or https URL a line")

    def chunks(position: int) -> Iterator[Chunk]:
        specs: list[TaskSpec] = []
        refusals: list[tuple[TaskSpec, str, str]] = []
        number = 0
        for number, line in _lines(path):
            spec = _listed(line) if number > position else None
            if spec is None:
                continue
            if why := _unusable(spec, line):
                refusals.append((spec, "url_unusable", f"{path} line {number}: {why}"))
            else:
                specs.append(spec)
            if len(specs) + len(refusals) >= _CHUNK:
                yield Chunk(specs, number, refusals)
                specs, refusals = [], []
        yield Chunk(specs, number, refusals)

    return Feed(_name("list", path, shard), PAGE_SOURCE, chunks)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a list; of an endless one the beginning. Bytes that are no UTF-8 come as lone surrogates."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
        number = 0
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            yield number, line
            while len(line) == _LONGEST_LINE and not line.endswith("\n"):
                line = stream.readline(_LONGEST_LINE)


def _listed(line: str) -> TaskSpec | None:
    url, _, track_id = line.strip().partition("\t")
    if not url or url.startswith("#"):
        return None
    return TaskSpec(PAGE_SOURCE, url.strip(), PAGE_KIND, track_id.strip() or None)


def _unusable(spec: TaskSpec, line: str) -> str:
    if len(line) >= _LONGEST_LINE:
        return f"a line of {_LONGEST_LINE} characters and more"
    track_id = spec.track_id or ""
    if not track_id.isprintable() or len(track_id) > _LONGEST_TRACK_ID:
        return f"a track_id that is none: {track_id[:40]!a}"
    return unusable_url(spec.url)


def catalogue_feeds(path: Path, sources: Mapping[str, Source], shard: Shard | None = None) -> list[Feed]:
    """One lazy feed per source over the tracks table at `path`."""

    def feed(source: Source) -> Feed:
        def chunks(position: int) -> Iterator[Chunk]:
            for start, rows in _track_rows(path, position):
                specs: list[TaskSpec] = []
                refusals: list[tuple[TaskSpec, str, str]] = []
                for row in rows:
                    try:
                        specs += source.tasks(row, source)
                    except Exception as error:  # of one track: the others are asked about
                        spec = TaskSpec(source.name, f"track {row.get('track_id')}", "seed")
                        refusals.append((spec, "seed_unreadable", f"{type(error).__name__}: {str(error)[:200]}"))
                yield Chunk(specs, start + len(rows), refusals)

        own = (source.name, source.base_url, *source.languages)
        return Feed(_name("catalogue", path, shard, *own), source.name, chunks)

    return [feed(source) for source in sources.values()]


def _track_rows(path: Path, position: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Rows of the table from `position`, with the position of the first; reads one row group at a time."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path)
        start = 0
        for group in range(table.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if start + rows > position:
                for batch in table.iter_batches(batch_size=_CHUNK, row_groups=[group]):
                    skip = max(0, position - start)
                    if skip < batch.num_rows:
                        yield start + skip, batch.slice(skip).to_pylist()
                    start += batch.num_rows
            else:
                start += rows
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(
            str(path), f"not a sound table ({error})", "run `crossmusim catalogue import FILE` again"
        ) from error


def _name(what: str, path: Path, shard: Shard | None, *more: str) -> str:
    """Name of a feed: differs by file, its content, and the part read."""
    stat = path.stat()
    parts = (__version__, str(path.resolve()), str(stat.st_size), str(stat.st_mtime_ns), repr(shard), *more)
    return f"{what}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}"
