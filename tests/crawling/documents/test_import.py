"""`crawl import`: records of a dump become documents as if they had been asked for, and nothing is done twice."""

from __future__ import annotations

import gzip
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from matching_rows import tracks_of

from sourcing.commands.console import Advance
from sourcing.commands.crawl.import_dump import import_dump, wanted_by
from sourcing.commands.invocation import Invocation
from sourcing.crawling.documents.import_records import import_records
from sourcing.crawling.documents.rebuild import rebuild_documents
from sourcing.crawling.dumps.files import packed_position
from sourcing.crawling.sources import SOURCES
from sourcing.errors import InputError, StoppedShort, UsageError
from sourcing.store.schemas import Document, Track
from sourcing.store.workspace import Workspace

MUSICBRAINZ = SOURCES["musicbrainz"]
FILE_S = datetime(2026, 10, 31, 5, tzinfo=UTC).timestamp()
TRACKS = [
    {"title": "Low Tide", "artist": "Harbour & Kite", "album": "Slack Water"},
    {"title": "Night Ferry", "artist": "The Lantern Men feat. Ana Cruz", "isrc": "GBAAA1400002"},
    {"title": "Приливы", "artist": "Маяк", "mbid": "0000000a-1a2b-4c3d-8e4f-5a6b7c8d9e0f"},
]


def mbid(n: int) -> str:
    return f"{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f"


def recording(n: int, title: str, artist: str, **more: Any) -> dict[str, Any]:
    credit = [{"name": artist, "joinphrase": ""}]
    tags = [{"name": "ambient", "count": 2}]
    return {"id": mbid(n), "title": title, "artist-credit": credit, "tags": tags, **more}


RECORDINGS = [
    recording(1, "Low Tide (live)", "Harbour & Kite"),
    recording(2, "Low Tide", "Another Band"),
    recording(3, "Ferry de nuit", "Lanterne", isrcs=["GBAAA1400002"]),
    recording(10, "Tides", "Mayak"),
    recording(4, "LOW TIDE", "harbour and kite"),
    recording(5, "High Tide", "Harbour & Kite"),
    recording(1, "Low Tide (live)", "Harbour & Kite"),
    {"id": "not an id", "title": "Low Tide"},
]


def dump(path: Path, *entities: Any) -> Path:
    path.write_bytes(gzip.compress("\n".join(json.dumps(entity) for entity in entities).encode()))
    os.utime(path, (FILE_S, FILE_S))
    return path


def run(folder: Path, *arguments: str | Path) -> dict[str, Any]:
    invocation = Invocation(folder, json=True)
    result = CliRunner().invoke(import_dump, [str(part) for part in arguments], obj=invocation, catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "ws")
    made.write(Track, tracks_of(TRACKS))
    return made


def test_records_about_catalogue_tracks_become_documents_and_the_rest_is_counted(workspace, tmp_path):
    told = run(workspace.root, "musicbrainz", dump(tmp_path / "recording.gz", *RECORDINGS))
    assert {name: told[name] for name in ("read", "kept", "repeated", "rejected", "complete", "documents")} == {
        "read": 8,
        "kept": 4,
        "repeated": 1,
        "rejected": {"not_a_recording": 1},
        "complete": True,
        "documents": 4,
    }
    assert "not an id" in told["examples"][0]
    documents = workspace.read(Document)
    assert sorted(documents["mbid"]) == [mbid(1), mbid(3), mbid(4), mbid(10)]
    assert documents["retrieved_at"].unique().to_list() == [datetime.fromtimestamp(FILE_S, UTC)]
    assert documents["consent_evidence"].to_list() == [["published dump: recording.gz"]] * 4
    assert {entry["licence"] for entry in documents[0, "licences"]} == {"CC0-1.0", "CC-BY-NC-SA-3.0"}


def test_records_that_cannot_be_read_are_rejected_rows_that_name_their_file(workspace, tmp_path):
    bad = [{"id": f"no id {n}", "title": "x"} for n in range(5)] + [{"id": "\ud800", "title": "x"}]
    told = run(workspace.root, "musicbrainz", dump(tmp_path / "a.gz", *RECORDINGS, *bad))
    assert told["rejected"] == {"not_a_recording": 7}
    run(workspace.root, "musicbrainz", dump(tmp_path / "b.gz", *RECORDINGS))

    def findings() -> list[str]:
        return [row["finding"].partition(":")[0] for row in workspace.read_rejected().iter_rows(named=True)]

    assert findings() == ["musicbrainz a.gz"] * 7 + ["musicbrainz b.gz"]
    run(workspace.root, "musicbrainz", dump(tmp_path / "a.gz", RECORDINGS[0]))  # mended since
    assert findings() == ["musicbrainz b.gz"]


def test_a_file_with_nothing_for_the_catalogue_says_how_to_keep_it(workspace, tmp_path):
    arguments = ["musicbrainz", str(dump(tmp_path / "a.gz", RECORDINGS[1]))]
    assert "--all keeps them" in CliRunner().invoke(import_dump, arguments, obj=Invocation(workspace.root)).output
    assert "--all keeps them" not in CliRunner().invoke(
        import_dump, [*arguments, "--all"], obj=Invocation(workspace.root)
    ).output  # fmt: skip


def test_the_help_names_every_source_that_can_be_imported():
    page = CliRunner().invoke(import_dump, ["--help"]).output
    assert [name for name, source in SOURCES.items() if source.read_dump and f"\n  {name} " not in page] == []


def test_all_records_are_kept_when_asked_for(tmp_path):
    told = run(tmp_path / "ws", "musicbrainz", dump(tmp_path / "recording.gz", *RECORDINGS), "--all")
    assert (told["read"], told["kept"], told["documents"]) == (8, 6, 6)


def test_documents_are_rebuilt_from_the_warc_files_without_the_dump(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    run(workspace.root, "musicbrainz", path)
    before = workspace.table_path(Document).read_bytes()
    path.unlink()
    workspace.table_path(Document).unlink()
    rebuild_documents(workspace, SOURCES)
    assert workspace.table_path(Document).read_bytes() == before


def test_a_file_is_read_once_unless_asked_again_and_then_changes_nothing(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    run(workspace.root, "musicbrainz", path)
    before = workspace.table_path(Document).read_bytes()
    captures = sorted(workspace.crawl_dir.glob("*.warc.gz"))
    assert run(workspace.root, "musicbrainz", path)["skipped"]
    assert sorted(workspace.crawl_dir.glob("*.warc.gz")) == captures
    again = run(workspace.root, "musicbrainz", path, "--again")
    assert (again["skipped"], again["kept"]) == (False, 4)
    assert workspace.table_path(Document).read_bytes() == before


def test_another_catalogue_or_another_content_is_read_although_the_name_is_the_same(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    run(workspace.root, "musicbrainz", path)
    workspace.write(Track, tracks_of([*TRACKS, {"title": "High Tide", "artist": "Harbour & Kite"}]))
    assert run(workspace.root, "musicbrainz", path)["kept"] == 5
    assert not run(workspace.root, "musicbrainz", dump(path, *RECORDINGS[:3]))["skipped"]
    assert not run(workspace.root, "musicbrainz", path, "--all")["skipped"]
    assert run(workspace.root, "musicbrainz", path)["skipped"]  # all holds what any catalogue wants


def test_an_import_cut_short_by_its_limit_is_not_taken_for_done(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    told = run(workspace.root, "musicbrainz", path, "--limit", "3")
    assert (told["read"], told["kept"], told["complete"]) == (3, 2, False)
    assert run(workspace.root, "musicbrainz", path)["kept"] == 4


def test_a_torn_file_is_kept_up_to_the_tear_and_said_so(workspace, tmp_path):
    path = tmp_path / "recording"
    path.write_bytes("\n".join(json.dumps(entity) for entity in RECORDINGS[:5]).encode()[:-20])
    told = run(workspace.root, "musicbrainz", path)
    assert (told["read"], told["kept"], told["documents"], told["complete"]) == (4, 3, 3, False)
    assert "after 4 records" in told["torn"] and "fetch it again" in told["torn"]
    path.write_bytes(b'{"id"')
    with pytest.raises(InputError, match="after 0 records"):
        run(workspace.root, "musicbrainz", path)


def test_an_interrupt_finishes_the_record_and_leaves_sound_files(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    seen = 0

    def interrupt(_kept: bool) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            signal.raise_signal(signal.SIGINT)

    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    try:
        result = import_records(workspace, MUSICBRAINZ, path, stop=lambda: bool(received), on_progress=interrupt)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.read, result.kept, result.complete) == (3, 3, False)
    assert rebuild_documents(workspace, SOURCES) == (3, 0)


def test_the_command_tells_an_interrupt_from_the_end(workspace, tmp_path, monkeypatch):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    monkeypatch.setattr("sourcing.commands.crawl.import_dump._PROGRESS_EVERY", 1)

    def interrupt(_advance: Advance, _done: int, _total: int, note: str, **_: str) -> None:
        if "records" in note:  # not while the documents are rebuilt
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Advance, "reach", interrupt)

    with pytest.raises(StoppedShort, match="after 1 records, 1 of them kept"):
        CliRunner().invoke(
            import_dump, ["musicbrainz", str(path)], obj=Invocation(workspace.root), catch_exceptions=False
        )
    assert rebuild_documents(workspace, SOURCES) == (1, 0)


def test_progress_is_told_in_bytes_of_the_dump_as_it_lies_on_disk(workspace, tmp_path, monkeypatch):
    path = dump(tmp_path / "recording.gz", *RECORDINGS)
    heard: list[tuple[int, int]] = []
    monkeypatch.setattr("sourcing.commands.crawl.import_dump._PROGRESS_EVERY", 1)
    monkeypatch.setattr(Advance, "reach", lambda _, done, total, *__, **___: heard.append((done, total)))
    run(workspace.root, "musicbrainz", path)
    heard = [(done, total) for done, total in heard if total == path.stat().st_size]
    assert len(heard) == len(RECORDINGS)
    assert heard[-1] == (path.stat().st_size, path.stat().st_size)
    assert packed_position(path) is None


def test_a_source_without_a_dump_is_refused_with_those_that_have_one(workspace, tmp_path):
    path = dump(tmp_path / "recording.gz")
    for name, found in (("wikipedia", "no dump"), ("wikipaedia", "no such source")):
        with pytest.raises(UsageError, match=rf"{found}.*musicbrainz"):
            run(workspace.root, name, path)
    with pytest.raises(UsageError, match="no reader"):
        import_records(workspace, SOURCES["wikipedia"], path)


def test_a_release_is_wanted_for_its_name_or_for_a_track_on_it():
    wanted = wanted_by(tracks_of(TRACKS))

    def release(title: str, artist: str | None, *tracks: tuple[str, str | None]) -> dict[str, Any]:
        on = [{"title": name, "artist": by} for name, by in tracks]
        return {"granularity": "release", "title": title, "artist": artist, "tracks": on}

    assert wanted(release("Slack Water", "Harbour & Kite"))
    assert wanted(release("Low Tide", "Harbour & Kite"))
    assert wanted(release("Quiet Shores", "Various", ("Intro", None), ("Night Ferry - Remastered", "Lantern Men")))
    assert not wanted(release("Slack Water", "Another Band", ("Low Tide", "Another Band")))
    assert not wanted(release("Night Ferry", "Harbour & Kite", ("Night Ferry", "Harbour & Kite")))
    assert not wanted(release("Low Tide", None))


def test_a_recording_is_not_wanted_for_the_name_of_an_album():
    wanted = wanted_by(tracks_of(TRACKS))
    row = {"granularity": "recording", "artist": "Harbour & Kite"}
    assert wanted({**row, "title": "Low Tide [Demo]"})
    assert not wanted({**row, "title": "Slack Water"})
    assert not wanted({"granularity": "recording", "artist": None, "title": None})
