"""`crossmusim match run` on a workspace."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from matching_rows import documents_of, tracks_of

from sourcing.commands.invocation import Invocation
from sourcing.commands.match.run import run
from sourcing.errors import InputError
from sourcing.store.schemas import Document, Match, Track
from sourcing.store.workspace import Workspace


def test_the_command_writes_the_matches_and_counts_them(tmp_path):
    workspace = Workspace(tmp_path)
    workspace.write(Track, tracks_of([{"title": "Low Tide", "artist": "Harbour & Kite"}]))
    titles = ("Low Tide", "Low Tide (Live)", "Night Ferry")
    workspace.write(Document, documents_of([{"title": title, "artist": "Harbour & Kite"} for title in titles]))
    result = CliRunner().invoke(run, obj=Invocation(tmp_path, json=True), catch_exceptions=False)
    counts = {"documents": 3, "tracks": 1, "accept": 1, "review": 0, "reject": 1, "matched_tracks": 1, "verdicts": 0}
    assert json.loads(result.stdout) == counts
    assert workspace.read(Match).select("doc_id", "band").rows() == [("d000", "accept"), ("d001", "reject")]
    before = workspace.table_path(Match).read_bytes()
    CliRunner().invoke(run, obj=Invocation(tmp_path), catch_exceptions=False)
    assert workspace.table_path(Match).read_bytes() == before


def test_without_documents_the_command_says_what_to_run_first(tmp_path):
    Workspace(tmp_path).write(Track, tracks_of([{"title": "a", "artist": "b"}]))
    with pytest.raises(InputError, match="crossmusim crawl run"):
        CliRunner().invoke(run, obj=Invocation(tmp_path), catch_exceptions=False)
