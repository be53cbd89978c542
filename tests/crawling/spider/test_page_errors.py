"""A page object that raises costs its page: the others are read, the mistake is named, and the command ends with 1."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from commands import run_command

from sourcing.crawling.sources import Capture, musicbrainz
from sourcing.crawling.warc.writer import CaptureWriter, Exchange
from sourcing.store.schemas import Document
from sourcing.store.workspace import Workspace


def write(workspace: Workspace) -> None:
    writer = CaptureWriter(workspace.crawl_dir, "test")
    for n in range(3):
        body = {"id": f"0000000{n}-1a2b-4c3d-8e4f-5a6b7c8d9e0f", "title": f"Song {n}"}
        capture = Capture(
            source="musicbrainz",
            kind="recording",
            task_key=f"k{n}",
            url=f"https://musicbrainz.org/ws/2/recording/{n}",
            status=200,
            headers={"content-type": "application/json"},
            body=json.dumps(body).encode(),
            retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
        )
        writer.write(Exchange(capture))
    writer.close()


def test_a_replay_with_a_raising_page_object_reads_the_rest_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(tmp_path)
    write(workspace)
    typed = ["--workspace", str(tmp_path), "--json", "crawl", "replay"]
    assert run_command(capsys, [*typed, "--fresh"])[0] == 0
    read = musicbrainz.RecordingPage.documents

    def raising(page: musicbrainz.RecordingPage) -> list[dict[str, object]]:
        if b"Song 1" in page.capture.body:
            raise LookupError("what nobody thought of")
        return read(page)

    monkeypatch.setattr(musicbrainz.RecordingPage, "documents", raising)
    code, out, told = run_command(capsys, [*typed, "--fresh"])
    assert code == 1
    assert json.loads(out)["documents"] == 2
    assert "reading 1 pages raised (1 times LookupError)" in told
    assert workspace.read(Document).height == 2
    assert [row["reason"] for row in workspace.read_rejected().to_dicts()] == ["page_object_failed"]
