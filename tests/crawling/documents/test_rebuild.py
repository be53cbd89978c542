"""Rebuilding the documents: the same bytes on one core or several, with kept readings or without, torn files said."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from sourcing.crawling.documents import parallel
from sourcing.crawling.documents.page_readings import read_captures
from sourcing.crawling.documents.parallel import _Crew, _read_together, overrides_of
from sourcing.crawling.documents.rebuild import EXTRACTED_FOLDER, ReplayOptions, rebuild_documents
from sourcing.crawling.sources import SOURCES, Capture
from sourcing.crawling.warc.reader import read_sealed, split_file, warc_files
from sourcing.crawling.warc.writer import CaptureWriter, Exchange
from sourcing.store import Document, Workspace

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def captures(count: int, *, seed: int = 0) -> Iterator[Capture]:
    """Recordings at a few addresses, fetched again, found unchanged, broken or forbidden now and then."""
    chance = random.Random(seed)
    for n in range(count):
        number = chance.randrange(count)
        version = chance.randrange(2)
        body = {"id": f"{number:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f", "title": f"Song {number} {version}"}
        encoded = json.dumps({**body, "artist-credit": [{"name": f"Artist {number % 7}"}]}).encode()
        capture = Capture(
            source="musicbrainz",
            kind="recording",
            task_key=f"{number:064x}",
            url=f"https://musicbrainz.org/ws/2/recording/{number}",
            status=200,
            headers={},
            body=encoded,
            retrieved_at=NOON + timedelta(seconds=n),
            track_id=f"t{number}",
            consent_evidence=("robots.txt: allowed",),
        )
        form = chance.choices(("response", "revisit", "broken", "denial"), (12, 3, 1, 1))[0]
        if form == "revisit":
            capture = replace(capture, form=form, body=b"", status=304, body_sha256=sha256(encoded).hexdigest())
        elif form == "broken":
            capture = replace(capture, body=encoded[:20])
        elif form == "denial":
            capture = replace(capture, form=form, body=b"", status=0, consent="deny")
        yield capture


def write(folder: Path, *chunks: Iterator[Capture]) -> list[Path]:
    """A WARC file per chunk."""
    for chunk in chunks:
        writer = CaptureWriter(folder, "crossmusim/test")
        for capture in chunk:
            writer.write(Exchange(capture, [("Content-Type", "application/json")], [("User-Agent", "crossmusim")]))
        writer.close()
    return warc_files(folder)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    write(workspace.crawl_dir, captures(90, seed=1), captures(60, seed=2))
    return workspace


def tables(workspace: Workspace) -> tuple[bytes, bytes]:
    return workspace.table_path(Document).read_bytes(), workspace.rejected_path("extract").read_bytes()


def rebuild(workspace: Workspace, **options: object) -> tuple[tuple[bytes, bytes], int]:
    """The tables' bytes, and how many pages were read for them."""
    read: list[int] = []
    live = options.pop("live", ())
    on_read = lambda pages, *_: read.append(pages)  # noqa: E731
    rebuild_documents(workspace, SOURCES, ReplayOptions(**options), live=live, on_read=on_read)  # type: ignore[arg-type]
    return tables(workspace), sum(read)


def test_the_tables_are_the_same_bytes_whatever_the_number_of_workers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_MIN_SPAN_BYTES", 2000)
    small = rebuild(workspace)
    assert rebuild(workspace, workers=1, fresh=True) == small
    assert rebuild(workspace, workers=2, fresh=True) == small
    documents = workspace.read(Document)
    assert 40 < documents.height < 150
    assert small[1] == 150


@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_waits_hears_how_much_of_the_files_is_done(
    workspace: Workspace, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "_MIN_SPAN_BYTES", 2000)
    heard: list[tuple[int, int]] = []
    rebuild_documents(workspace, SOURCES, ReplayOptions(workers), on_read=lambda _, *bytes_: heard.append(bytes_))
    total = sum(path.stat().st_size for path in warc_files(workspace.crawl_dir))
    assert {of for _, of in heard} == {total}
    done = [done for done, _ in heard]
    assert done == sorted(done)
    assert done[-1] == total


def test_pages_of_a_file_that_did_not_change_are_not_read_again(workspace: Workspace) -> None:
    first, read = rebuild(workspace, workers=1)
    assert (rebuild(workspace, workers=1), read) == ((first, 0), 150)
    write(workspace.crawl_dir, captures(20, seed=3))
    second, read = rebuild(workspace, workers=1)
    assert read == 20
    assert second != first
    assert rebuild(workspace, workers=1, fresh=True) == (second, 170)
    shutil.rmtree(workspace.crawl_dir / EXTRACTED_FOLDER)
    assert rebuild(workspace, workers=1) == (second, 170)


def test_a_file_that_grew_is_read_again(workspace: Workspace) -> None:
    whole = warc_files(workspace.crawl_dir)[1].read_bytes()
    cut = list(read_sealed(warc_files(workspace.crawl_dir)[1]))[29].end
    warc_files(workspace.crawl_dir)[1].write_bytes(whole[:cut])
    assert rebuild(workspace, workers=1)[1] == 120
    warc_files(workspace.crawl_dir)[1].write_bytes(whole)
    grown, read = rebuild(workspace, workers=1)
    assert read == 60
    assert rebuild(workspace, workers=1, fresh=True)[0] == grown


def test_a_changed_declaration_reads_every_page_again_and_a_changed_pace_none(workspace: Workspace) -> None:
    rebuild(workspace, workers=1)
    read: list[int] = []
    for changes, pages in (({"rate_per_s": 0.1}, 0), ({"base_url": "https://mirror.example"}, 150)):
        sources = {**SOURCES, "musicbrainz": replace(SOURCES["musicbrainz"], **changes)}
        read.clear()
        rebuild_documents(workspace, sources, ReplayOptions(1), on_read=lambda pages, *_: read.append(pages))
        assert sum(read) == pages


def test_kept_readings_that_cannot_be_read_cost_no_more_than_time(workspace: Workspace) -> None:
    sound, _ = rebuild(workspace, workers=1)
    entries = sorted((workspace.crawl_dir / EXTRACTED_FOLDER).iterdir())
    entries[0].write_bytes(b"PAR1 no more")
    assert rebuild(workspace, workers=1) == (sound, 90)
    spoilt = bytearray(entries[1].read_bytes())
    spoilt[4:2000] = bytes(1996)
    entries[1].write_bytes(spoilt)
    assert rebuild(workspace, workers=1)[0] == sound
    assert rebuild(workspace, workers=1) == (sound, 0), "what was spoilt was made anew"


def test_readings_of_files_that_are_gone_are_not_kept(workspace: Workspace) -> None:
    rebuild(workspace, workers=1)
    gone, stays = warc_files(workspace.crawl_dir)
    gone.unlink()
    rebuild(workspace, workers=1)
    assert [entry.name for entry in (workspace.crawl_dir / EXTRACTED_FOLDER).iterdir()] == [f"{stays.name}.parquet"]


def test_a_torn_file_is_said_every_time(workspace: Workspace) -> None:
    first = warc_files(workspace.crawl_dir)[0]
    first.write_bytes(first.read_bytes()[:-7])
    tables = [rebuild(workspace, **options)[0] for options in ({}, {"workers": 1}, {"workers": 1}, {"workers": 2})]
    assert len(set(tables)) == 1
    rejected = workspace.read_rejected().filter(pl.col("reason") == "warc_torn")
    assert rejected["key"].to_list() == [first.name]
    rebuild(workspace, workers=1, live=[str(os.getpid())])
    assert "warc_torn" not in set(workspace.read_rejected()["reason"]), "a process that still writes tears nothing"


def test_page_objects_registered_nowhere_are_read_here(workspace: Workspace) -> None:
    class Mine(SOURCES["musicbrainz"].page_for("recording")):  # type: ignore[misc]
        def documents(self) -> list[dict[str, object]]:
            return [{**row, "title": "mine"} for row in super().documents()]

    sources = {"musicbrainz": replace(SOURCES["musicbrainz"], pages=(Mine,))}
    assert overrides_of(sources) is None
    rebuild_documents(workspace, sources, ReplayOptions(2))
    assert set(workspace.read(Document)["title"]) == {"mine"}
    assert not (workspace.crawl_dir / EXTRACTED_FOLDER).exists()


class Louder(SOURCES["musicbrainz"].page_for("recording")):  # type: ignore[misc]
    """A page object that can be imported, and is registered nowhere."""

    def documents(self) -> list[dict[str, object]]:
        return [{**row, "title": str(row["title"]).upper()} for row in super().documents()]


def test_page_objects_that_can_be_imported_are_read_on_every_core_and_nothing_of_them_is_kept(
    workspace: Workspace,
) -> None:
    sources = {"musicbrainz": replace(SOURCES["musicbrainz"], pages=(Louder,))}
    overrides = overrides_of(sources)
    assert overrides == {"musicbrainz": {"pages": (Louder,)}}
    rebuild_documents(workspace, sources, ReplayOptions(1))
    alone_bytes = workspace.table_path(Document).read_bytes()
    assert all(title.isupper() for title in workspace.read(Document)["title"])
    rebuild_documents(workspace, sources, ReplayOptions(2))
    assert workspace.table_path(Document).read_bytes() == alone_bytes
    assert not (workspace.crawl_dir / EXTRACTED_FOLDER).exists()


def alone(size: int, *paths: Path) -> list[tuple[list[str], str]]:
    """Titles and tear of each file, read in spans of `size` bytes by this process."""
    crew = _Crew({}, SOURCES, 0, lambda _pages, _bytes: None)
    told = []
    for file in _read_together([(path, path.stat().st_size) for path in paths], size, crew):
        titles = [title for frame in file.frames for title in frame["documents"].explode().struct.field("title")]
        told.append((titles, "".join(tear.found for tear in file.tears)))
    return told


@pytest.mark.parametrize("size", [1, 700, 5000, 10**9])
def test_spans_of_any_size_give_what_reading_from_end_to_end_gives(workspace: Workspace, size: int) -> None:
    paths = warc_files(workspace.crawl_dir)
    paths[0].write_bytes(paths[0].read_bytes()[:-7])
    assert alone(size, *paths) == alone(10**9, *paths)


def test_an_archive_inside_a_page_is_not_taken_for_records(tmp_path: Path) -> None:
    page = next(captures(1, seed=1))
    (inner,) = write(tmp_path / "inner", iter([page]))
    noise = [random.Random(n).randbytes(80_000) for n in range(5)]  # what cannot be compressed is stored as it is
    others = list(captures(30, seed=2))
    hidden = replace(page, body=inner.read_bytes().join(noise))
    (outer,) = write(tmp_path / "outer", iter([*others[:15], hidden, *others[15:]]))
    ends = {0, *(sealed.end for sealed in read_sealed(outer))}
    guesses = {span.start for span in split_file(outer, outer.stat().st_size, 3000)}
    assert len(guesses - ends) > 3, "some lie inside the page"
    honest = [sealed.capture for sealed in read_sealed(outer)]
    expected = pl.concat(list(read_captures(honest, SOURCES)))["documents"].explode().struct.field("title").to_list()
    for span_bytes in (1000, 3000):
        assert alone(span_bytes, outer) == [(expected, "")]


def test_spans_of_a_worker_that_died_are_read_here(workspace: Workspace) -> None:
    paths = warc_files(workspace.crawl_dir)
    overrides = overrides_of(SOURCES)
    assert overrides is not None
    pages: list[int] = []
    crew = _Crew(overrides, SOURCES, 1, lambda number, _bytes: pages.append(number))
    try:
        files = _read_together([(path, path.stat().st_size) for path in paths], 2000, crew)
        titles = []
        for file in files:
            for process in list(crew._pool._processes.values()) if crew._pool else []:
                assert process.pid is not None
                os.kill(process.pid, signal.SIGKILL)
            for frame in file.frames:
                titles.append(frame["documents"].explode().struct.field("title").to_list())
    finally:
        crew.dismiss()
    assert [title for group in titles for title in group] == [
        title for group, _ in alone(10**9, *paths) for title in group
    ]
    assert sum(pages) == 150


def test_a_rebuild_removes_what_killed_ones_left_half_written(workspace: Workspace) -> None:
    whole = rebuild(workspace, workers=1)[0]
    kept = workspace.crawl_dir / EXTRACTED_FOLDER
    for path in (workspace.table_path(Document), workspace.rejected_path("extract"), next(kept.glob("*.parquet"))):
        (path.parent / f".{path.name}.k1ll3d.tmp").write_bytes(b"PAR1 half")
    of_others = workspace.root / "tables" / ".tracks.parquet.wr1t1ng.tmp"
    of_others.write_bytes(b"PAR1")
    assert rebuild(workspace, workers=1)[0] == whole
    assert list(workspace.root.rglob("*.tmp")) == [of_others]
