"""What every source promises, and what each fixture page says.

A fixture is a folder `fixtures/<source>/<case>/` with the response, `meta.json` and `expected.json`; after a change
that is meant, `CROSSMUSIM_RECORD_FIXTURES=1 pytest tests/crawling/sources/test_promises.py` writes what is read now.
"""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.source import SHIP_CLASSES
from sourcing.crawling.sources import SOURCES, Capture, Key, PageError, Source, effective, enabled, resolved, why_off
from sourcing.settings import SourceSettings

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = sorted(path.parent for path in FIXTURES.glob("*/*/meta.json"))
IDS = [f"{case.parent.name}-{case.name}" for case in CASES]
WORDS = ("title", "artist", "album", "tags", "lead", "text")


def capture_of(case: Path) -> Capture:
    meta = json.loads((case / "meta.json").read_text("utf-8"))
    (body,) = case.glob("input.*")
    return Capture(
        source=case.parent.name,
        kind=meta["kind"],
        task_key=meta.get("task_key", "key"),
        url=meta["url"],
        status=meta.get("status", 200),
        headers=meta.get("headers", {}),
        body=body.read_bytes(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
        track_id=meta.get("track_id"),
    )


def reading(capture: Capture) -> dict[str, object]:
    source = SOURCES[capture.source]
    try:
        page = source.page_for(capture.kind)(capture, source)
        documents = page.documents()
        follow = [
            {"source": task.source, "kind": task.kind, "url": task.url} for task in resolved(page.follow(), SOURCES)
        ]
        return {"documents": documents, "follow": follow, "refused": [error.reason for error in page.refused]}
    except PageError as error:
        return {"rejected": error.reason}


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_fixture_reads_as_expected(case):
    found = json.loads(json.dumps(reading(capture_of(case))))
    expected = case / "expected.json"
    if os.environ.get("CROSSMUSIM_RECORD_FIXTURES"):
        expected.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    assert found == json.loads(expected.read_text("utf-8"))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_fixture_becomes_valid_documents_or_a_reason(case):
    documents, rejected = extract_documents([capture_of(case)], SOURCES)
    found = reading(capture_of(case))
    assert documents.height == len(found.get("documents", []))
    if case.name.startswith("malformed"):
        assert documents.is_empty()
        assert rejected["reason"].to_list() == [found["rejected"]]
        assert rejected["key"].to_list() == [capture_of(case).url]
    for row in documents.to_dicts():
        fields = {entry["field"] for entry in row["licences"]}
        assert fields == {column for column in WORDS if row[column]} | {"*"}
        assert all(entry["licence"] and entry["attribution"] for entry in row["licences"])


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_source_declares_its_terms(source: Source):
    assert source.name in SOURCES
    assert source.ship_class in SHIP_CLASSES
    assert source.ship_class != "B" or source.key
    assert (source.ship_class == "C") == bool(source.acknowledgement)
    assert (source.ship_class == "import") <= bool(source.read_dump)
    assert 0 < source.rate_per_s <= 5
    assert source.concurrency >= 1
    assert "*" in source.licences or set(WORDS) <= set(source.licences)
    assert "{permalink}" in source.attribution
    assert source.terms_url.startswith("https://")
    assert date(2026, 1, 1) <= source.terms_reviewed <= date(2030, 1, 1)
    assert not source.base_url.endswith("/")
    kinds = [page.kind for page in source.pages]
    assert len(set(kinds)) == len(kinds) > 0


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_ships_fixtures_good_and_malformed(name):
    cases = [case.name for case in CASES if case.parent.name == name]
    assert sum(not case.startswith("malformed") for case in cases) >= 3
    assert any(case.startswith("malformed") for case in cases)
    assert {capture_of(case).kind for case in CASES if case.parent.name == name} == {
        page.kind for page in SOURCES[name].pages
    }


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_seeds_and_follow_ups_stay_on_the_sources_host(source: Source):
    moved = effective(source, SourceSettings(base_url="http://127.0.0.1:9/"))
    track = {"track_id": "t1", "title": 'A "B" & C/D?', "artist": "É (x) \\ y", "mbid": None, "isrc": None}
    seeds = list(moved.tasks(track, moved))
    follow = []
    for case in CASES:
        if case.parent.name == source.name and not case.name.startswith("malformed"):
            capture = capture_of(case)
            home = "127.0.0.1:9" if source.base_url else urlsplit(capture.url).netloc  # no host of its own: the page's
            tasks = resolved(moved.page_for(capture.kind)(capture, moved).follow(), {source.name: moved})
            follow += [(task, home) for task in tasks]
    for task, home in [*((seed, "127.0.0.1:9") for seed in seeds), *follow]:
        assert task.url.startswith((f"http://{home}/", f"https://{home}/"))
        assert task.url.isascii() and " " not in task.url
        assert task.source == source.name
        assert moved.page_for(task.kind)


def test_settings_override_the_declaration_and_nothing_else():
    declared = SOURCES["musicbrainz"]
    changed = effective(declared, SourceSettings(rate_per_s=9, concurrency=4, daily_cap=0, base_url="http://x/"))
    assert (changed.rate_per_s, changed.concurrency, changed.daily_cap, changed.base_url) == (9, 4, 0, "http://x")
    assert effective(declared, None) is declared
    assert effective(declared, SourceSettings()) == declared


def test_class_decides_who_is_asked_without_a_word(monkeypatch):
    a = SOURCES["wikipedia"]
    b = dataclasses.replace(a, ship_class="B", key=Key("CROSSMUSIM_TEST_KEY", parameter="key"))
    c = dataclasses.replace(a, ship_class="C", acknowledgement="its terms")
    on, off = SourceSettings(enabled=True), SourceSettings(enabled=False)
    monkeypatch.delenv("CROSSMUSIM_TEST_KEY", raising=False)
    assert [enabled(source, None) for source in (a, b, c)] == [True, False, False]
    assert [enabled(source, on) for source in (a, b, c)] == [True, False, False]
    assert enabled(c, SourceSettings(enabled=True, acknowledged="J. Doe, 2026-11-22"))
    assert "J. Doe" not in why_off(c, None) and "its terms" in why_off(c, None)
    assert [enabled(source, off) for source in (a, b, c)] == [False, False, False]
    monkeypatch.setenv("CROSSMUSIM_TEST_KEY", "k")
    assert enabled(b, None)
