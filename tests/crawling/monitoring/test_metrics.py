"""Prometheus reads a crawl's counts on loopback: names with units, labels by source, straight from the ledger."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sourcing.crawling.ledger import LEDGER_FILE, Ledger
from sourcing.crawling.monitoring.metrics import LedgerCollector, serve_metrics
from sourcing.crawling.source import TaskSpec
from sourcing.crawling.sources import SOURCES
from sourcing.errors import UsageError

NOW = 1_790_000_000.0
CAPPED = {"lastfm": replace(SOURCES["lastfm"], daily_cap=500, storage_cap_mb=100.0)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / LEDGER_FILE)
    ledger.add(TaskSpec("lastfm", f"https://a.test/{n}", "track") for n in range(4))
    count = ledger.tallies.count
    for outcome, n, size in [("asked", 9, 0), ("fetched", 5, 1200), ("failed", 2, 0), ("retried", 2, 0)]:
        count("lastfm", outcome, NOW, n, size)
    count("lastfm", "fetched", NOW - 7 * 86_400, 10, 800)
    count("lastfm", "throttled", NOW, 3)
    ledger.run.pause("a.test", NOW + 60)
    yield ledger
    ledger.close()


def scraped(address: str) -> dict[tuple[str, ...], float]:
    """Name and label values, in the order of the labels' names → value."""
    with urllib.request.urlopen(address, timeout=10) as reply:
        text = reply.read().decode()
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_scrape_equals_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    collected = {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for metric in LedgerCollector(tmp_path / LEDGER_FILE, CAPPED, lambda: NOW).collect()
        for sample in metric.samples
    }
    states = {("crossmusim_crawl_tasks", "lastfm", state): 0 for state in ("leased", "fetched", "failed", "denied")}
    assert collected == states | {
        ("crossmusim_crawl_tasks", "lastfm", "pending"): 4,
        ("crossmusim_crawl_requests_total", "fetched", "lastfm"): 15,
        ("crossmusim_crawl_requests_total", "failed", "lastfm"): 2,
        ("crossmusim_crawl_requests_total", "retried", "lastfm"): 2,
        ("crossmusim_crawl_throttled_total", "lastfm"): 3,
        ("crossmusim_crawl_body_bytes_total", "lastfm"): 2000,
        ("crossmusim_crawl_requests_today", "lastfm"): 9,
        ("crossmusim_crawl_requests_daily_cap", "lastfm"): 500,
        ("crossmusim_crawl_body_bytes_cap", "lastfm"): 100e6,
        ("crossmusim_crawl_hosts_paused",): 1,
        ("crossmusim_crawl_processes",): 0,
    }


def test_totals_summed_bit_by_bit_equal_those_of_the_ledger(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add([TaskSpec("musicbrainz", "https://b.test/1", "recording")])
    now = NOW - 3600
    collector = LedgerCollector(tmp_path / LEDGER_FILE, {}, lambda: now)
    for step in range(40):
        now += 97.0
        for n in range(step % 3):
            ledger.tallies.count("lastfm", "fetched", now, n + 1, 10)
            ledger.tallies.count("musicbrainz", "denied", now - 60, 1)
        found = {(s.name, *s.labels.values()): s.value for metric in collector.collect() for s in metric.samples}
        for source, outcomes in ledger.tallies.totals().items():
            assert found.get(("crossmusim_crawl_body_bytes_total", source), 0) == outcomes.pop("bytes")
            for outcome in outcomes.keys() - {"asked", "throttled"}:
                key = ("crossmusim_crawl_requests_total", source, outcome)
                assert found.get(key, 0) == outcomes[outcome], (step, key)


def test_every_scrape_looks_anew_beside_the_process_that_writes(tmp_path: Path, ledger: Ledger) -> None:
    with serve_metrics(tmp_path / LEDGER_FILE, {}, 0) as address, ledger.run.entered(NOW):
        before = scraped(address)
        for task in ledger.lease(2, NOW + 100, 60.0):
            ledger.fetched(task.key, now=NOW)
        after = scraped(address)
    assert before["crossmusim_crawl_tasks", "lastfm", "pending"] == 4
    assert after["crossmusim_crawl_tasks", "lastfm", "pending"] == 2
    assert after["crossmusim_crawl_tasks", "lastfm", "fetched"] == 2
    assert before["crossmusim_crawl_processes",] == 1


def test_a_crawl_that_has_not_begun_has_caps_and_no_counts(tmp_path: Path) -> None:
    with serve_metrics(tmp_path / LEDGER_FILE, CAPPED, 0) as address:
        names = {name for name, *_ in scraped(address)}
    assert names == {"crossmusim_crawl_requests_daily_cap", "crossmusim_crawl_body_bytes_cap"}
    assert list(tmp_path.iterdir()) == []


def test_only_this_machine_is_answered_and_only_while_the_crawl_runs(tmp_path: Path) -> None:
    with serve_metrics(tmp_path / LEDGER_FILE, {}, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        port = int(address.removesuffix("/metrics").rpartition(":")[2])
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=5).close()
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--metrics-port {port}: .*in use"), serve_metrics(tmp_path, {}, port):
            pass
