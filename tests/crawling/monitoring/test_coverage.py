"""A source that loses a field, or whose pages stop being readable, is noticed soon; chance and season are not."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from sourcing.commands.crawl.coverage import coverage as coverage_command
from sourcing.commands.crawl.status import status
from sourcing.commands.invocation import Invocation
from sourcing.crawling.documents.rebuild import ReplayOptions, rebuild_documents
from sourcing.crawling.monitoring import alarms as alarms_module
from sourcing.crawling.monitoring.alarms import alarms, pages_of
from sourcing.crawling.monitoring.coverage import FIELDS, PAGES, Alarm, coverage, drifts, seen_documents
from sourcing.crawling.monitoring.drift import BATCH, RowBatch, find_drop
from sourcing.crawling.sources import SOURCES, Capture
from sourcing.crawling.warc.writer import CaptureWriter, Exchange
from sourcing.errors import InputError
from sourcing.store import Document, Workspace

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
NO_PAGES = pl.DataFrame(schema=dict(PAGES))


def rows(count: int, *, start: int = 0, every_s: float = 1.0, host: str = "songs.test", **given: Any) -> pl.DataFrame:
    """Documents with every field; `given` replaces one, by a value or by a function of the row's number."""
    full = {
        "title": "Low Tide",
        "artist": "Harbour & Kite",
        "album": "Ferries",
        "year": 1999,
        "duration_s": 201.5,
        "isrcs": ["ZZAAA9900001"],
        "mbid": None,
        "tags": [{"name": "slow", "count": 3}],
        "lead": "A song.",
        "text": "A song about a ferry.",
        "source": "schemaorg",
        "granularity": "recording",
    }
    found = []
    for n in range(start, start + count):
        row = {**full, **{name: value(n) if callable(value) else value for name, value in given.items()}}
        found.append(
            {
                **row,
                "doc_id": f"{row['source']}:{host}:{n:08}",
                "url": f"https://{host}/{n}",
                "title_raw": row["title"],
                "retrieved_at": BEGIN + timedelta(seconds=n * every_s),
                "content_sha256": f"{n:064x}",
                "licences": [],
                "consent": "allow",
                "consent_evidence": [],
            }
        )
    return pl.DataFrame(found, schema=Document.create_empty().schema)


def told(*frames: pl.DataFrame, pages: pl.DataFrame = NO_PAGES) -> list[Alarm]:
    return drifts(seen_documents(pl.concat(frames).sort("doc_id").lazy()), pages)


def fields(found: list[Alarm]) -> list[str]:
    return [alarm.field for alarm in found]


def sometimes(share: float, seed: int) -> Callable[[int], str | None]:
    chance = random.Random(seed)
    return lambda _n: "Ferries" if chance.random() < share else None


def series(shares: list[float], seed: int, *, apart: timedelta = timedelta(minutes=1)) -> list[RowBatch]:
    """Batches filled by chance, each with its share."""
    chance = random.Random(seed)
    return [
        RowBatch(BEGIN + n * apart, BATCH, sum(chance.random() < share for _ in range(BATCH)))
        for n, share in enumerate(shares)
    ]


# --- the rule ---


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.99, 1.0])
def test_chance_raises_no_alarm(share: float) -> None:
    for seed in range(40):
        assert find_drop(series([share] * 60, seed)) is None


def test_a_source_whose_share_comes_and_goes_raises_none() -> None:
    chance = random.Random(3)
    for seed in range(40):
        season = [0.6 + 0.3 * math.sin(week / 4) for week in range(80)]  # a year of it has 25 batches
        assert find_drop(series(season[: chance.randrange(38, 80)], seed)) is None
        clumps = [chance.choice((0.2, 0.5, 0.9)) for _ in range(50)]  # records come by artist, and artists differ
        assert find_drop(series(clumps, seed)) is None


@pytest.mark.parametrize(("before", "after"), [(0.98, 0.0), (0.98, 0.5), (0.6, 0.1), (1.0, 0.6)])
def test_a_real_drop_is_found_with_its_beginning(before: float, after: float) -> None:
    for seed in range(20):
        batches = series([before] * 40 + [after] * 3, seed)
        drop = find_drop(batches)
        assert drop is not None
        assert drop.since == batches[40].begins
        assert (drop.rows, drop.rows_before) == (3 * BATCH, 40 * BATCH)
        assert drop.filled == sum(batch.filled for batch in batches[40:])


def test_a_rise_and_a_drop_that_is_over_raise_none() -> None:
    assert find_drop(series([0.2] * 20 + [0.9] * 20, 1)) is None
    assert find_drop(series([0.95] * 40 + [0.1] * 4 + [0.95], 1)) is None


def test_a_low_that_the_source_has_been_through_before_is_no_alarm() -> None:
    known = [0.9] * 40 + [0.3] * 10 + [0.9] * 60
    for seed in range(20):
        assert find_drop(series([*known, *[0.3] * 4], seed)) is None
        assert find_drop(series([*known, *[0.0] * 4], seed)) is not None


def test_a_drop_of_less_than_ten_points_raises_none_however_certain() -> None:
    assert find_drop(series([1.0] * 1000 + [0.92] * 200, 1)) is None
    assert find_drop(series([1.0] * 1000 + [0.85] * 200, 1)) is not None


def test_a_drop_is_told_for_thirty_days_and_then_is_how_the_source_is() -> None:
    day = timedelta(days=1)
    assert find_drop(series([0.95] * 40 + [0.2] * 29, 1, apart=day)) is not None
    assert find_drop(series([0.95] * 40 + [0.2] * 34, 1, apart=day)) is None
    again = find_drop(series([0.95] * 40 + [0.5] * 40 + [0.05] * 3, 1, apart=day))
    assert again is not None
    assert again.since == BEGIN + 80 * day


def test_the_quick_cut_equals_a_stupid_loop() -> None:
    from sourcing.crawling.monitoring.drift import _deepest_cut

    def chi_squared(part: list[RowBatch]) -> float:
        share = sum(batch.filled for batch in part) / sum(batch.rows for batch in part)
        if share in (0.0, 1.0):
            return 0.0
        return sum((b.filled - b.rows * share) ** 2 / (b.rows * share * (1 - share)) for b in part)

    def stupid(batches: list[RowBatch]) -> tuple[int, float]:
        best = (0, 0.0)
        for cut in range(1, len(batches)):
            parts = batches[:cut], batches[cut:]
            n0, n1 = (sum(batch.rows for batch in part) for part in parts)
            x0, x1 = (sum(batch.filled for batch in part) for part in parts)
            if min(n0, n1) < BATCH or x0 / n0 <= x1 / n1:
                continue
            inner = [part for part in (batches[: cut - 1], batches[cut + 1 :]) if part]
            freedom = sum(len(part) - 1 for part in inner)
            factor = max(1.0, sum(map(chi_squared, inner)) / freedom) if freedom else 1.0
            pooled = (x0 + x1) / (n0 + n1)
            z = (x0 / n0 - x1 / n1) / math.sqrt(pooled * (1 - pooled) * (1 / n0 + 1 / n1) * factor)
            best = max(best, (cut, z), key=lambda each: each[1])
        return best

    chance = random.Random(8)
    for seed in range(60):
        batches = series([chance.random() for _ in range(chance.randrange(1, 30))], seed)
        batches[0] = RowBatch(batches[0].begins, 20, chance.randrange(21))  # the oldest is what remains
        cut, z = _deepest_cut(batches)
        assert (cut, z) == (stupid(batches)[0], pytest.approx(stupid(batches)[1]))


# --- documents ---


@pytest.mark.parametrize("past", [60, 300, 3000])
def test_a_redesigned_site_is_noticed_within_its_first_hundred_pages(past: int) -> None:
    found = told(rows(past, album=sometimes(0.9, 1)), rows(100, start=past, album=None, tags=[]))
    assert fields(found) == ["album", "tags"]
    assert str(found[1]).startswith("schemaorg: since 2026-03-02 ")
    assert "recording documents have tags, 100 % of" in str(found[1])
    assert "has songs.test changed?" in str(found[1])


def test_documents_as_they_always_were_raise_no_alarm() -> None:
    for seed in range(5):
        assert told(rows(500, album=sometimes(0.8, seed), mbid=None, isrcs=[])) == []


def test_a_small_source_raises_none_whatever_it_does() -> None:
    assert told(rows(49), rows(50, start=49, album=None)) == []
    weekly = [rows(8, start=8 * week, every_s=75_600, album=None if week % 2 else "Ferries") for week in range(30)]
    assert told(*weekly) == []


def test_one_site_of_many_is_noticed_and_named() -> None:
    hosts = [rows(400, host=f"{name}.test") for name in ("a", "b", "c")]
    found = told(*hosts, rows(300, host="d.test"), rows(80, start=300, host="d.test", duration_s=None))
    assert [(alarm.host, alarm.field) for alarm in found] == [("d.test", "duration_s")]


def test_another_kind_of_document_is_no_drop() -> None:
    assert told(rows(300), rows(200, start=300, granularity="artist", album=None, duration_s=None, isrcs=[])) == []


def test_time_of_retrieval_counts_and_not_the_order_of_rows() -> None:
    frame = pl.concat([rows(300), rows(100, start=300, album=None)])
    assert fields(told(frame.sample(fraction=1.0, shuffle=True, seed=5))) == ["album"]
    assert told(pl.concat([rows(100, album=None), rows(300, start=100)])) == []


def test_pages_that_can_no_longer_be_read_raise_an_alarm() -> None:
    pages = pl.DataFrame(
        [
            ("schemaorg", f"https://songs.test/{n}", BEGIN + timedelta(seconds=n), n < 200 or n % 3 == 0)
            for n in range(280)
        ],
        schema=dict(PAGES),
        orient="row",
    )
    (found,) = told(rows(20), pages=pages)
    assert (found.host, found.field) == ("songs.test", "")
    assert "pages can be read, 100 % of" in str(found)
    assert told(rows(20), pages=pages.head(200)) == []


# --- the table ---


def test_coverage_counts_by_week_as_a_stupid_loop_does() -> None:
    chance = random.Random(2)
    frame = pl.concat(
        [
            rows(150, every_s=20_000, album=sometimes(0.5, 4), tags=lambda n: [] if n % 3 else [{"name": "x"}]),
            rows(
                60,
                every_s=30_000,
                source="wikidata",
                host="data.test",
                text=None,
                year=lambda n: None if n % 2 else 1980,
            ),
        ]
    )
    pages = pl.DataFrame(
        [
            (row["source"], row["url"], row["retrieved_at"], chance.random() < 0.7)
            for row in frame.iter_rows(named=True)
        ],
        schema=dict(PAGES),
        orient="row",
    )
    weeks = 2
    found = coverage(seen_documents(frame.lazy()), pages, weeks=weeks)
    expected = []
    for source in ("schemaorg", "wikidata"):
        mine = [row for row in frame.iter_rows(named=True) if row["source"] == source]
        read = {url: ok for _, url, _, ok in pages.iter_rows()}
        mondays = sorted({monday(row) for row in mine})
        for week in [None, *mondays[-weeks:]]:
            of_week = [row for row in mine if (monday(row) if monday(row) in mondays[-weeks:] else None) == week]
            shares = [sum(row[name] not in (None, []) for row in of_week) / len(of_week) for name in FIELDS]
            ok = sum(read[row["url"]] for row in of_week) / len(of_week)
            expected.append((source, week, len(of_week), *shares, len(of_week), ok))
    assert found.rows() == expected


def monday(row: dict[str, Any]) -> Any:
    day = row["retrieved_at"].date()
    return day - timedelta(days=day.weekday())


# --- a workspace ---


def recordings(count: int, *, start: int = 0, broken: bool = False, **left_out: bool) -> Iterator[Capture]:
    for n in range(start, start + count):
        record: dict[str, Any] = {
            "id": f"{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
            "title": f"Song {n}",
            "length": 200_000,
            "artist-credit": [{"name": "Harbour & Kite"}],
        }
        body = json.dumps({key: value for key, value in record.items() if key not in left_out}).encode()
        yield Capture(
            source="musicbrainz",
            kind="recording",
            task_key=f"{n:032x}",
            url=f"https://musicbrainz.org/ws/2/recording/{n}",
            status=200,
            headers={},
            body=body[:30] if broken else body,
            retrieved_at=BEGIN + timedelta(seconds=n),
        )


def crawled(folder: Path, *chunks: Iterator[Capture], **options: Any) -> Workspace:
    workspace = Workspace(folder)
    writer = CaptureWriter(workspace.crawl_dir, "crossmusim/test")
    for chunk in chunks:
        for capture in chunk:
            writer.write(Exchange(capture))
    writer.close()
    rebuild_documents(workspace, SOURCES, ReplayOptions(**options))
    return workspace


def verb(workspace: Workspace, *arguments: str, as_json: bool = True) -> str:
    invocation = Invocation(workspace.root, json=as_json)
    return CliRunner().invoke(coverage_command, list(arguments), obj=invocation, catch_exceptions=False).stdout


@pytest.mark.parametrize("kept", [False, True])
def test_pages_are_counted_whether_readings_were_kept_or_not(tmp_path: Path, kept: bool) -> None:
    options = {"workers": 1} if kept else {}
    workspace = crawled(tmp_path, recordings(130), recordings(60, start=130, broken=True), **options)
    assert (workspace.crawl_dir / "extracted").exists() == kept
    pages = pages_of(workspace).sort("at")
    assert pages["read"].to_list() == [True] * 130 + [False] * 60
    assert pages.schema == dict(PAGES)
    (line,) = alarms(workspace)
    assert line.startswith("musicbrainz: since 2026-03-02 00:0")
    assert "pages can be read" in line


def test_the_command_shows_the_share_of_every_field_and_the_alarms(tmp_path: Path) -> None:
    workspace = crawled(tmp_path, recordings(100), recordings(60, start=100, length=True))
    answer = json.loads(verb(workspace))
    (week,) = answer["coverage"]
    assert (week["source"], week["week"], week["documents"], week["pages"]) == ("musicbrainz", "2026-03-02", 160, 160)
    assert (week["title"], week["duration_s"], week["text"], week["read"]) == (1.0, 0.625, 0.0, 1.0)
    (alarm,) = answer["alarms"]
    assert (alarm["field"], alarm["host"], alarm["granularity"]) == ("duration_s", "musicbrainz.org", "recording")
    shown = verb(workspace, as_json=False)
    assert "62%" in shown
    assert f"ALARM {alarm['message']}" in shown
    assert alarms(workspace) == [alarm["message"]]
    told_by_status = CliRunner().invoke(status, obj=Invocation(tmp_path, json=True), catch_exceptions=False)
    assert json.loads(told_by_status.stdout)["alarms"] == [alarm["message"]]


def test_alarms_are_reckoned_once_per_documents_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = crawled(tmp_path, recordings(100), recordings(60, start=100, length=True))
    first = alarms(workspace)
    with monkeypatch.context() as patch:
        patch.setattr(alarms_module, "drifts", None)  # would break if it were asked
        assert alarms(workspace) == first
    workspace.write(Document, workspace.read(Document).head(120))
    second = alarms(workspace)
    assert second != first
    (workspace.crawl_dir / "alarms.json").write_text("[", encoding="utf-8")
    assert alarms(workspace) == second


def test_a_workspace_without_documents_has_no_alarms_and_says_what_to_run(tmp_path: Path) -> None:
    assert alarms(Workspace(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="crossmusim crawl run"):
        verb(Workspace(tmp_path))


def test_the_table_fits_in_a_hundred_columns(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.write(Document, rows(300, source="internetarchive", every_s=40_000).sort("doc_id"))
    shown = verb(workspace, "--weeks", "3", as_json=False)
    lines = [line for line in shown.splitlines() if "internetarchive" in line]
    assert len(lines) == 4
    assert "earlier" in lines[0]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 100
