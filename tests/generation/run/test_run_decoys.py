"""Decoys: recordings that do not exist, by which a model that invents is found out before its words are published."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from chatserver import chat_server, completion, json_reply
from commands import run_json
from genworld import fill, tracks
from loopback import Asked, Loopback, Reply

from sourcing.generation.descriptions.invention import invention_rates
from sourcing.generation.journal.journal import Journal
from sourcing.generation.planning.decoys import LEAST_DECOYS, Invention, is_decoy, make_decoys
from sourcing.store import Description, Track

KNOWN = {"known": True, "aspects": [{"text": "slow piano", "facet": "instrument"}], "caption": "A slow piano piece."}
UNKNOWN = {"known": False, "aspects": [], "caption": ""}


def claims_all(body: dict[str, Any], asked: Asked) -> Reply:
    return json_reply(completion(json.dumps(KNOWN)))


def knows_the_catalogue(body: dict[str, Any], asked: Asked) -> Reply:
    """Knows "Song 3" by "Artist 1" and its like, by title and artist together, and nothing else."""
    title, artist = re.search(r"title: (.*)\nartist: (.*)\n", body["messages"][-1]["content"]).groups()  # type: ignore[union-attr]
    real = re.fullmatch(r"Song (\d+)", title)
    known = real is not None and artist == f"Artist {int(real[1]) // 2}" and int(real[1]) < 6
    return json_reply(completion(json.dumps(KNOWN if known else UNKNOWN)))


def recall(root: Path, server: Loopback, *more: str) -> list[str]:
    return ["--workspace", str(root), "--json", "generate", "run", "recall", "--base-url", f"{server.url}/v1",
            "--model", "m", *more]  # fmt: skip


def test_a_model_that_claims_to_know_everything_is_stopped_and_nothing_of_it_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = fill(tmp_path, count=6)
    with chat_server(claims_all) as server:
        code, result = run_json(capsys, recall(tmp_path, server))
        assert code == 5
        assert "claimed to know 20 of 20 recordings that do not exist" in json.dumps(result)
        assert len(server.log) == LEAST_DECOYS, "the catalogue itself is not paid for"
    assert workspace.read(Description).filter(origin="prompted").is_empty()


def test_what_a_model_told_before_it_was_found_out_is_held_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = fill(tmp_path, count=6)
    with chat_server(claims_all) as server:
        monkeypatch.setenv("CROSSMUSIM_GENERATION__MAX_INVENTION_RATE", "1")
        code, result = run_json(capsys, recall(tmp_path, server))
        assert (code, result["descriptions"]["prompted"]) == (0, 6)
    monkeypatch.setenv("CROSSMUSIM_GENERATION__MAX_INVENTION_RATE", "0.5")
    code, result = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "describe"])
    assert (code, "prompted" in result["descriptions"]) == (0, False)
    held = workspace.read_rejected().filter(reason="model_invents")
    assert held.height == 6
    assert held["finding"].str.contains("test-model claimed to know 20 of 20").all()


def test_a_model_that_admits_what_it_does_not_know_passes_and_its_rate_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = fill(tmp_path, count=6)
    with chat_server(knows_the_catalogue) as server:
        code, result = run_json(capsys, recall(tmp_path, server))
        assert (code, result["descriptions"]["prompted"], len(server.log)) == (0, 6, LEAST_DECOYS + 6)
        code, result = run_json(capsys, recall(tmp_path, server))
        assert (code, len(server.log)) == (0, LEAST_DECOYS + 6), "decoys are paid once"
    assert not workspace.read(Description)["track_id"].str.starts_with("decoy").any()
    code, status = run_json(capsys, ["--workspace", str(tmp_path), "--json", "generate", "status"])
    (row,) = status["invention"]
    assert (row["decoys"], row["claimed"], row["rate"], row["low"]) == (LEAST_DECOYS, 0, 0.0, 0.0)
    assert 0.1 < row["high"] < 0.2
    with Journal.read(workspace.generation_dir) as journal:
        assert list(invention_rates(journal).values()) == [Invention(0, LEAST_DECOYS)]


def test_a_limit_counts_no_decoy_and_without_a_share_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, count=6)
    with chat_server(knows_the_catalogue) as server:
        code, result = run_json(capsys, recall(tmp_path, server, "--limit", "2"))
        assert (code, result["descriptions"]["prompted"], len(server.log)) == (0, 2, LEAST_DECOYS + 2)
        monkeypatch.setenv("CROSSMUSIM_GENERATION__DECOY_SHARE", "0")
        code, result = run_json(capsys, recall(tmp_path, server))
        assert (code, result["planned"], len(server.log)) == (0, 6, LEAST_DECOYS + 6)


def test_decoys_are_none_of_the_catalogues_recordings_and_the_same_every_time() -> None:
    catalogue = tracks(2000, year=1999, tags=["folk"])
    decoys = make_decoys(catalogue, 0.02)
    assert decoys.height == 40
    assert decoys["track_id"].map_elements(is_decoy, return_dtype=pl.Boolean).all()
    real = set(catalogue.select("title", "artist").iter_rows())
    assert real.isdisjoint(decoys.select("title", "artist").iter_rows())
    assert decoys["title"].is_in(catalogue["title"].to_list()).sum() >= 20, "half are real titles under wrong artists"
    assert make_decoys(catalogue, 0.02).equals(decoys)
    assert make_decoys(catalogue, 0.0).is_empty()
    assert make_decoys(tracks(1), 0.02).height == LEAST_DECOYS


def test_the_interval_is_wilsons() -> None:
    low, high = Invention(7, 50).interval
    assert (round(low, 4), round(high, 4)) == (0.0695, 0.2619)  # by hand: centre 0.1657, half 0.0962
    assert Invention(0, 0).interval == (0.0, 1.0)


def test_an_empty_catalogue_has_no_decoys() -> None:
    assert make_decoys(Track.create_empty(), 0.5).is_empty()
