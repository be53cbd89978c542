"""`crossmusim match show`: every document held against a track, with why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from matching_rows import documents_of, tracks_of

from sourcing.commands.invocation import Invocation
from sourcing.commands.match.run import run
from sourcing.commands.match.show import show
from sourcing.errors import InputError
from sourcing.store.schemas import Document, Track
from sourcing.store.workspace import Workspace


@pytest.fixture
def work(tmp_path: Path) -> Path:
    workspace = Workspace(tmp_path)
    tracks = tracks_of([{"title": "Low Tide", "artist": "Harbour & Kite"}])
    workspace.write(Track, tracks)
    track_id = tracks["track_id"][0]
    rows = [{"title": title, "artist": "Harbour & Kite"} for title in ("Low Tide", "Low Tide (Live)")]
    rows.append({"title": "Elsewhere", "artist": "Nobody", "lead_track_id": track_id})
    workspace.write(Document, documents_of(rows))
    CliRunner().invoke(run, obj=Invocation(tmp_path, json=True), catch_exceptions=False)
    return tmp_path


def _show(work: Path, *arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(show, arguments, obj=Invocation(work, json=True), catch_exceptions=False)
    return json.loads(result.stdout)


def test_documents_are_shown_accepted_first_and_with_reasons(work: Path) -> None:
    track_id = Workspace(work).read(Track)["track_id"][0]
    shown = _show(work, track_id)["documents"]
    assert [(row["title"], row["band"]) for row in shown] == [
        ("Low Tide", "accept"),
        ("Low Tide (Live)", "reject"),
        ("Elsewhere", "reject"),
    ]
    assert any("live" in reason for reason in shown[1]["reasons"])
    assert [row["title"] for row in _show(work, track_id, "--rejected")["documents"]] == [
        "Low Tide (Live)",
        "Elsewhere",
    ]
    plain = CliRunner().invoke(show, [track_id], obj=Invocation(work), catch_exceptions=False).stdout
    assert "reject" in plain


def test_a_track_that_is_not_there_is_refused_naming_near_ones(work: Path) -> None:
    track_id = Workspace(work).read(Track)["track_id"][0]
    with pytest.raises(InputError, match=f"did you mean {track_id}"):
        _show(work, f"{track_id}x")
