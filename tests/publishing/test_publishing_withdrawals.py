"""Before a version is published consent is looked at again: what was taken back goes, and is said to have gone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from publishing_rows import THEN, description, document, frames, track

from sourcing.errors import DatasetError
from sourcing.publishing.publish import PublishOptions, PublishResult, WorkspaceTables, publish
from sourcing.publishing.withdrawals import consent_age
from sourcing.settings import PublishSettings
from sourcing.store.workspace import rejected_frame

NOW = datetime(2026, 4, 1, tzinfo=UTC)
URL = "https://example.org/d"
WORDS = "the lantern hums"
REFUSAL = {
    "stage": "extract",
    "key": URL,
    "reason": "consent_denied",
    "finding": "the site or page says no: tdm-reservation: 1",
    "row": None,
}


def _publish(
    root: Path, documents: list[dict[str, Any]], rejected: list[dict[str, Any]] | None = None, **of: Any
) -> PublishResult:
    rows = [
        description("own", "a", text="fiddle"),
        description("s", "a", WORDS, origin="scraped", doc_ids=["d"], licences=["CC-BY-SA-4.0"]),
        description("both", "a", WORDS + " twice", origin="mined", doc_ids=["e", "d"], licences=["CC-BY-SA-4.0"]),
        description("other", "a", "brass", origin="scraped", doc_ids=["e"], licences=["CC-BY-SA-4.0"]),
    ]
    tables = frames([track("a")], documents, of.pop("rows", rows))
    tables["rejected_rows"] = rejected_frame(rejected or [])
    options = PublishOptions(**of)
    return publish(WorkspaceTables(**tables), "mine", options, root=root, settings=PublishSettings(), now=NOW)


BOTH = [document("d", f"A song: {WORDS}."), document("e")]


def _reasons(done: PublishResult) -> dict[str, tuple[str, str]]:
    rows = pl.read_parquet(done.version.path / "quarantine.parquet").filter(stage="publish")
    return {key: (reason, finding) for key, reason, finding in rows.select("key", "reason", "finding").iter_rows()}


def _written(done: PublishResult) -> str:
    """All that a reader of the version could find, as text."""
    shards = [str(pl.read_parquet(path).to_dicts()) for path in done.version.path.rglob("*.parquet")]
    return "".join(shards) + "".join(
        path.read_text(encoding="utf-8") for path in done.version.path.rglob("*.*") if path.suffix in (".json", ".md")
    )


@pytest.mark.parametrize("row_is_left", [True, False])
def test_what_draws_on_a_document_taken_back_is_out_of_the_next_version(tmp_path: Path, row_is_left: bool) -> None:
    first = _publish(tmp_path, BOTH)
    assert WORDS in _written(first)
    before = {path: path.read_bytes() for path in first.version.path.rglob("*") if path.is_file()}

    denied = document("d", f"A song: {WORDS}.", consent="deny", consent_evidence=["tdm-reservation: 1"])
    documents = [denied, BOTH[1]] if row_is_left else BOTH[1:]
    second = _publish(tmp_path, documents, [REFUSAL])

    assert second.version.version == "0.2.0"
    assert sorted(second.version.scan("descriptions").collect()["description_id"]) == ["other", "own"]
    assert second.version.scan("documents").collect()["doc_id"].to_list() == ["e"]
    assert WORDS not in _written(second)
    reasons = _reasons(second)
    assert {key: reason for key, (reason, _) in reasons.items()} == dict.fromkeys(
        ("d", "s", "both"), "consent_withdrawn"
    )
    assert all("tdm-reservation: 1" in finding for _, finding in reasons.values())

    first.version.verify()
    assert {path: path.read_bytes() for path in first.version.path.rglob("*") if path.is_file()} == before
    second.version.verify()


def test_changes_manifest_and_card_say_what_was_taken_back(tmp_path: Path) -> None:
    first = _publish(tmp_path, BOTH)
    assert json.loads((first.version.path / "CHANGES.json").read_text(encoding="utf-8"))["parent"] is None
    second = _publish(tmp_path, BOTH[1:], [REFUSAL])
    changes = json.loads((second.version.path / "CHANGES.json").read_text(encoding="utf-8"))
    assert changes == {
        "parent": "0.1.0",
        "rows": {
            "descriptions": {"added": 0, "removed": 2, "kept": 2},
            "tracks": {"added": 0, "removed": 0, "kept": 1},
            "documents": {"added": 0, "removed": 1, "kept": 1},
        },
        "withdrawn": [{"doc_id": "d", "url": URL, "finding": REFUSAL["finding"]}],
    }
    assert second.version.manifest["withdrawn_documents"] == 1
    assert "Documents of 0.1.0 that their sites took back: 1, left out" in (
        second.version.path / "README.md"
    ).read_text(encoding="utf-8")


def test_a_document_taken_back_is_told_of_after_its_descriptions_were_rebuilt_without_it(tmp_path: Path) -> None:
    _publish(tmp_path, BOTH)
    second = _publish(tmp_path, BOTH[1:], [REFUSAL], rows=[description("own", "a", text="fiddle")])
    assert [each["doc_id"] for each in second.changes["withdrawn"]] == ["d"]
    assert _reasons(second)["d"][0] == "consent_withdrawn"


def test_a_stale_description_stays_out_of_every_later_version_with_the_reason(tmp_path: Path) -> None:
    _publish(tmp_path, BOTH)
    _publish(tmp_path, BOTH[1:], [REFUSAL])
    third = _publish(tmp_path, BOTH[1:], [REFUSAL], version="0.3.0")
    assert _reasons(third)["s"][0] == "consent_withdrawn"
    assert third.changes["withdrawn"] == []  # said once, in the version that left it out


def test_a_document_gone_without_a_no_takes_its_descriptions_along_under_another_name(tmp_path: Path) -> None:
    _publish(tmp_path, BOTH)
    second = _publish(tmp_path, BOTH[1:])
    assert WORDS not in _written(second)
    reason, finding = _reasons(second)["s"]
    assert reason == "document_gone"
    assert "published with 0.1.0" in finding
    assert second.changes["withdrawn"] == []


def test_a_document_given_back_returns(tmp_path: Path) -> None:
    first = _publish(tmp_path, BOTH)
    _publish(tmp_path, BOTH[1:], [REFUSAL])
    third = _publish(tmp_path, BOTH)
    assert third.version.manifest["logical_hash"] == first.version.manifest["logical_hash"]
    assert (third.version.version, _reasons(third)) == ("0.3.0", {})


def test_nothing_left_to_publish_names_the_withdrawals(tmp_path: Path) -> None:
    rows = [description("s", "a", WORDS, origin="scraped", doc_ids=["d"], licences=["CC-BY-SA-4.0"])]
    _publish(tmp_path, BOTH[:1], rows=rows)
    with pytest.raises(DatasetError, match="consent_withdrawn 2"):
        _publish(tmp_path, [], [REFUSAL], rows=rows)


def test_the_age_of_consent_is_counted_in_days_against_the_limit(tmp_path: Path) -> None:
    asked = pl.Series([THEN, THEN + timedelta(days=1), THEN + timedelta(days=29)], dtype=pl.Datetime("us", "UTC"))
    age = consent_age(asked, THEN + timedelta(days=30, hours=5), 29)
    assert age == {"oldest_days": 30, "documents_older": 1, "max_age_days": 29}
    assert consent_age(asked.clear(), NOW, 30)["documents_older"] == 0
    assert _publish(tmp_path, BOTH).consent["oldest_days"] == 30
