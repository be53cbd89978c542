"""`sources list` tells of every source how it is asked, and what one that is off is waiting for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sourcing.commands.invocation import Invocation
from sourcing.commands.sources import list_sources
from sourcing.crawling.sources import SOURCES

ACKNOWLEDGED = '[sources.genius]\nenabled = true\nacknowledged = "J. Doe, 2026-11-25"\n'


def listed(folder: Path, as_json: bool = False) -> Any:
    result = CliRunner().invoke(list_sources, [], obj=Invocation(folder, json=as_json), catch_exceptions=False)
    return json.loads(result.stdout) if as_json else result.stdout


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in SOURCES.values():
        if source.key:
            monkeypatch.delenv(source.key.env, raising=False)


def test_a_source_that_is_off_says_all_it_waits_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = listed(tmp_path)
    assert "off: set GENIUS_ACCESS_TOKEN; set [sources.genius] enabled = true and acknowledged" in said
    assert "  off: set JAMENDO_CLIENT_ID\n" in said
    monkeypatch.setenv("GENIUS_ACCESS_TOKEN", "k")
    (tmp_path / "crossmusim.toml").write_text(ACKNOWLEDGED, encoding="utf-8")
    assert "genius: Genius, class C, on, 0.5 requests/s, key GENIUS_ACCESS_TOKEN\n" in listed(tmp_path)


def test_published_data_is_neither_on_nor_off_and_names_its_command(tmp_path: Path) -> None:
    said = listed(tmp_path)
    assert "musiccaps: MusicCaps, class import\n" in said
    assert "crossmusim crawl import musiccaps FILE" in said


def test_caps_are_those_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "crossmusim.toml").write_text("[sources.lastfm]\ndaily_cap = 7\n", encoding="utf-8")
    assert "7 requests a day, 100 MB kept, key LASTFM_API_KEY" in listed(tmp_path)


def test_machines_are_told_of_every_source_with_its_class_and_terms(tmp_path: Path) -> None:
    rows = {row["name"]: row for row in listed(tmp_path, as_json=True)["sources"]}
    assert set(rows) == set(SOURCES)
    assert rows["musicbrainz"]["why_off"] is None and rows["musicbrainz"]["enabled"]
    assert all(row["terms_url"] and row["terms_reviewed"] and row["licences"] for row in rows.values())
