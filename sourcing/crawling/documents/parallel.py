"""Readings of WARC files made on every core: spans of files go to worker processes and come back in order.

Workers know the registered declarations and are told only what is changed in them: values of settings, and page
objects that can be imported. Others (of a notebook, inside a function) are read in this process alone.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from sourcing.crawling.documents.page_readings import empty_readings, read_answers
from sourcing.crawling.source import Capture, Source
from sourcing.crawling.sources import SOURCES
from sourcing.crawling.warc.foreign import attributed
from sourcing.crawling.warc.reader import Span, Tear, read_span, split_file
from sourcing.store.processes import begin_helper

__all__ = ["FileReadings", "are_settings", "overrides_of", "read_files"]

_MIN_SPAN_BYTES, _MAX_SPAN_BYTES = 1 << 16, 1 << 22  # compressed: some dozen to some thousand pages
_SPANS_PER_WORKER = 16  # so that the last ones end at about the same time
_WAITING_PER_WORKER = 2  # spans handed to a worker ahead of time

#: source → field → what was changed in it
Overrides = Mapping[str, Mapping[str, Any]]
_OnPages = Callable[[int, int], None]  # pages that are read, and bytes of the WARC files that are done with them
_Read = tuple[Span, pl.DataFrame]


@dataclass
class FileReadings:
    """Readings of one WARC file, to be taken before the next file's; `tears` are known once they are."""

    path: Path
    length: int
    frames: Iterator[pl.DataFrame]
    tears: list[Tear] = field(default_factory=list)


def overrides_of(sources: Mapping[str, Source]) -> Overrides | None:
    """Differences of the declarations from the registered ones; None when another process could not be told."""
    overrides: dict[str, dict[str, Any]] = {}
    for name, source in sources.items():
        declaration = SOURCES.get(name)
        if declaration is None:
            return None
        names = [item.name for item in fields(Source)]
        differences = {key: getattr(source, key) for key in names if getattr(source, key) != getattr(declaration, key)}
        if not all(_is_plain(value, classes=True) for value in differences.values()):
            return None
        overrides[name] = differences
    return overrides


def are_settings(overrides: Overrides) -> bool:
    """Whether values of settings are all that was changed: no code of which it is not known what it does."""
    return all(_is_plain(value) for values in overrides.values() for value in values.values())


def read_files(
    files: Sequence[tuple[Path, int]],
    sources: Mapping[str, Source],
    *,
    workers: int,
    on_pages: _OnPages,
    foreign: str = "",
) -> Iterator[FileReadings]:
    """Readings of the first bytes of each file, in the order of `files`; the same for any number of workers.

    This process reads too, so `workers` counts it. Where a worker dies, its spans are read here. `foreign` names the
    source that other crawlers' records are given to, instead of that of their hosts.
    """
    overrides = overrides_of(sources) if workers > 1 else None
    if overrides is None:
        for path, length in files:
            yield _read_alone(path, length, sources, on_pages, foreign)
        return
    size = sum(length for _, length in files) // (workers * _SPANS_PER_WORKER)
    size = min(max(size, _MIN_SPAN_BYTES), _MAX_SPAN_BYTES)
    crew = _Crew(overrides, sources, workers - 1, on_pages, foreign)
    try:
        yield from _read_together(files, size, crew)
    finally:
        crew.dismiss()


def _read_together(files: Sequence[tuple[Path, int]], size: int, crew: _Crew) -> Iterator[FileReadings]:
    split = [(path, length, split_file(path, length, size)) for path, length in files]
    crew.take(span for _, _, spans in split for span in spans)
    for path, length, spans in split:
        readings = FileReadings(path, length, iter(()))
        readings.frames = _chained(readings, spans, crew)
        yield readings
        crew.forget(path)


def _read_alone(
    path: Path, length: int, sources: Mapping[str, Source], on_pages: _OnPages, foreign: str
) -> FileReadings:
    readings, span = FileReadings(path, length, iter(())), Span(path, 0, length)

    def frames() -> Iterator[pl.DataFrame]:
        yield from read_answers(_counted(span, sources, on_pages, foreign), sources)
        readings.tears = span.tears

    readings.frames = frames()
    return readings


def _chained(readings: FileReadings, spans: Iterable[Span], crew: _Crew) -> Iterator[pl.DataFrame]:
    """Readings from the first byte on; a span that began at a wrong guess is read anew from where it is due."""
    at = 0
    for span in spans:
        if span.start == at:
            span, frame = crew.result_of(span)
        elif span.end > at:
            span, frame = crew.read(Span(span.path, at, span.end))
        else:
            continue
        yield frame
        at = span.reached
        readings.tears += span.tears


class _Crew:
    """The process and its helpers, which read spans in order; whoever is free takes the next."""

    def __init__(
        self,
        overrides: Overrides,
        sources: Mapping[str, Source],
        helpers: int,
        on_pages: _OnPages,
        foreign: str = "",
    ) -> None:
        self.sources, self.on_pages, self.foreign = sources, on_pages, foreign
        self._room = helpers * _WAITING_PER_WORKER
        self._open: deque[Span] = deque()
        self._reading: dict[Future[_Read], Span] = {}
        self._done: dict[tuple[Path, int], _Read] = {}
        self._pool: ProcessPoolExecutor | None = None
        if helpers:
            self._pool = ProcessPoolExecutor(
                helpers,
                mp_context=multiprocessing.get_context("spawn"),  # a fork would copy the locks of polars' threads
                initializer=_begin,
                initargs=(overrides, foreign),
            )

    def take(self, spans: Iterable[Span]) -> None:
        self._open.extend(spans)
        self._hand_out()

    def read(self, span: Span) -> _Read:
        """Read a span in this process."""
        captures = _counted(span, self.sources, self.on_pages, self.foreign)
        return span, pl.concat([empty_readings(), *read_answers(captures, self.sources)])

    def result_of(self, span: Span) -> _Read:
        """Work until the span is read; what else is finished meanwhile is kept for its turn."""
        key = span.path, span.start
        while key not in self._done:
            if self._open:
                mine = self._open.popleft()
                self._done[mine.path, mine.start] = self.read(mine)
            self._collect(block=not self._open and key not in self._done)
            self._hand_out()
        return self._done.pop(key)

    def forget(self, path: Path) -> None:
        """Drop all results of a file: it is done, or torn."""
        self._open = deque(span for span in self._open if span.path != path)
        self._done = {key: reading for key, reading in self._done.items() if key[0] != path}

    def dismiss(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _hand_out(self) -> None:
        while self._pool is not None and self._open and len(self._reading) < self._room:
            span = self._open.popleft()
            try:
                self._reading[self._pool.submit(_read_in_worker, span)] = span
            except BrokenProcessPool:
                self._open.appendleft(span)
                self._do_without()

    def _collect(self, *, block: bool) -> None:
        futures = wait(self._reading, timeout=None if block else 0, return_when=FIRST_COMPLETED)[0]
        try:
            for future in futures:
                span, frame = future.result()
                del self._reading[future]
                self._done[span.path, span.start] = span, frame
                self.on_pages(frame.height, span.end - span.start)
        except BrokenProcessPool:
            self._do_without()

    def _do_without(self) -> None:
        """Go on without helpers after one died: what it held is read here."""
        spans = sorted(self._reading.values(), key=lambda span: (span.path, span.start))
        self._open.extendleft(reversed(spans))
        self._reading.clear()
        self.dismiss()


def _counted(span: Span, sources: Mapping[str, Source], on_pages: _OnPages, foreign: str) -> Iterator[Capture]:
    for capture in read_span(span):
        on_pages(1, 0)
        yield capture if capture.source else attributed(capture, sources, foreign)
    on_pages(0, span.end - span.start)


def _is_plain(value: object, *, classes: bool = False) -> bool:
    if isinstance(value, tuple):
        return all(_is_plain(part, classes=classes) for part in value)
    if isinstance(value, type):
        return classes and value.__module__ != "__main__" and "<locals>" not in value.__qualname__
    return value is None or isinstance(value, str | int | float)


_sources_here: dict[str, Source] = {}  # in a worker process: the effective declarations
_foreign_here: list[str] = [""]  # and the source of other crawlers' records


def _begin(overrides: Overrides, foreign: str) -> None:
    begin_helper()
    _foreign_here[:] = [foreign]
    _sources_here.update({name: replace(SOURCES[name], **dict(values)) for name, values in overrides.items()})


def _read_in_worker(span: Span) -> _Read:
    captures = _counted(span, _sources_here, lambda _pages, _bytes: None, *_foreign_here)
    return span, pl.concat([empty_readings(), *read_answers(captures, _sources_here)])
