"""Prometheus metrics of a crawl, read from the ledger on every scrape."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sourcing.crawling.ledger import ASKED
from sourcing.crawling.ledger.view import LedgerView, looked_at
from sourcing.crawling.source import Source
from sourcing.errors import UsageError

__all__ = ["LedgerCollector", "serve_metrics"]

_LOOPBACK = "127.0.0.1"  # what is crawled, and how, is nobody else's business
_PREFIX = "crossmusim_crawl"
_CHANGING_MIN = 10  # the newest minutes are summed at every scrape, the older ones once


@contextmanager
def serve_metrics(ledger_path: Path, sources: Mapping[str, Source], port: int) -> Iterator[str]:
    """Answer scrapes on loopback while the block runs; yields the address. Port 0 takes any that is free.

    UsageError where the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(LedgerCollector(ledger_path, sources))
    try:
        server, thread = start_http_server(port, _LOOPBACK, registry)
    except OSError as error:
        raise UsageError(
            f"--metrics-port {port}",
            f"it cannot be had on {_LOOPBACK} ({os.strerror(error.errno or 0).lower()})",
            "give another, or 0 for any that is free",
        ) from error
    try:
        yield f"http://{_LOOPBACK}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class LedgerCollector(Collector):
    """Collector that opens the ledger once per scrape: scrapes come in threads of the server."""

    def __init__(self, path: Path, sources: Mapping[str, Source], now: Callable[[], float] = time.time) -> None:
        self._path, self._sources, self._now = path, sources, now
        self._lock = Lock()  # scrapes may come together
        self._summed_to = 0  # minute since 1970
        self._requests: Counter[tuple[str, str]] = Counter()  # up to that minute, by source and outcome
        self._bytes: Counter[str] = Counter()

    def collect(self) -> Iterable[Metric]:
        with looked_at(self._path) as view:
            return self._caps() if view is None else [*self._totals(view), *self._moment(view), *self._caps()]

    def _totals(self, view: LedgerView) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            f"{_PREFIX}_requests", "Requests by what became of them.", labels=("source", "outcome")
        )
        throttle_counter = CounterMetricFamily(
            f"{_PREFIX}_throttled",
            "Answers that said too much was asked; counted as failed or retried too.",
            labels=["source"],
        )
        size = CounterMetricFamily(f"{_PREFIX}_body_bytes", "Bytes of response bodies kept.", labels=["source"])
        counts, sizes = self._sums(view)
        for (source, outcome), n in sorted(counts.items()):
            if outcome == "throttled":
                throttle_counter.add_metric([source], n)
            elif outcome != ASKED:  # it takes back what was postponed: no counter
                requests.add_metric([source, outcome], n)
        for source, size_bytes in sorted(sizes.items()):
            size.add_metric([source], size_bytes)
        yield from (requests, throttle_counter, size)

    def _sums(self, view: LedgerView) -> tuple[Counter[tuple[str, str]], Counter[str]]:
        names, border = view.sources(), max(0, int(self._now() // 60) - _CHANGING_MIN)
        with self._lock:
            if border > self._summed_to:
                _add(view.sums(names, self._summed_to, border), self._requests, self._bytes)
                self._summed_to = border
            counts, sizes, start = self._requests.copy(), self._bytes.copy(), self._summed_to
        _add(view.sums(names, start, sys.maxsize), counts, sizes)
        return counts, sizes

    def _moment(self, view: LedgerView) -> Iterator[Metric]:
        now = self._now()
        tasks = GaugeMetricFamily(f"{_PREFIX}_tasks", "Tasks by state.", labels=("source", "state"))
        today = GaugeMetricFamily(f"{_PREFIX}_requests_today", "Requests of this UTC day.", labels=["source"])
        for source, states in view.census.counts().items():
            for state, n in states.items():
                tasks.add_metric([source, state], n)
            today.add_metric([source], view.tallies.asked_today(source, now))
        yield from (tasks, today)
        yield GaugeMetricFamily(
            f"{_PREFIX}_hosts_paused", "Hosts that nobody asks for now.", value=len(view.paused_hosts(now))
        )
        yield GaugeMetricFamily(
            f"{_PREFIX}_processes", "Crawl processes at work on the ledger.", value=len(view.processes())
        )

    def _caps(self) -> list[Metric]:
        daily = GaugeMetricFamily(
            f"{_PREFIX}_requests_daily_cap", "Requests allowed per UTC day, where there is a cap.", labels=["source"]
        )
        stored_gauge = GaugeMetricFamily(
            f"{_PREFIX}_body_bytes_cap", "Bytes of bodies that may be kept, where there is a cap.", labels=["source"]
        )
        for name, source in self._sources.items():
            if source.daily_cap is not None:
                daily.add_metric([name], source.daily_cap)
            if source.storage_cap_mb is not None:
                stored_gauge.add_metric([name], source.storage_cap_mb * 1e6)
        return [daily, stored_gauge]


def _add(sums: Iterable[tuple[str, str, int, int]], counts: Counter[tuple[str, str]], sizes: Counter[str]) -> None:
    for source, outcome, n, size in sums:
        counts[source, outcome] += n
        sizes[source] += size
