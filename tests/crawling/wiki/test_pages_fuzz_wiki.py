"""Answers of encyclopedic sources gone wrong: each is documents or a rejected row with a reason, never an exception."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture, PageError, resolved
from tests.support.mutated_json import ODD_BODIES, mutated_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
NAMES = ("discogs", "internetarchive", "musicbrainz", "wikidata", "wikipedia")
CASES = sorted(path for name in NAMES for path in FIXTURES.glob(f"{name}/*/input.json") if "malformed" not in str(path))


def answer_of(case: Path, body: bytes) -> Capture:
    meta = json.loads((case.parent / "meta.json").read_text("utf-8"))
    return Capture(
        source=case.parent.parent.name,
        kind=meta["kind"],
        task_key="k",
        url=meta["url"],
        status=200,
        headers={"content-type": meta.get("headers", {}).get("content-type", "application/json")},
        body=body,
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )


def reads_to_an_end(capture: Capture) -> None:
    documents, rejected = extract_documents([capture], SOURCES)
    reasons = set(rejected["reason"])
    assert "page_object_failed" not in reasons, rejected["finding"].to_list()
    assert "document_invalid" not in reasons, rejected["finding"].to_list()
    json.dumps(
        [documents.drop("retrieved_at", "consent_at").to_dicts(), rejected.to_dicts()], ensure_ascii=False
    ).encode()
    page = SOURCES[capture.source].page_for(capture.kind)(capture, SOURCES[capture.source])
    try:
        for task in resolved(page.follow(), SOURCES):
            task.url.encode("utf-8")
    except PageError:
        pass  # the answer is refused with a reason


def ids(case: Path) -> str:
    return f"{case.parent.parent.name}-{case.parent.name}"


@pytest.mark.parametrize("case", CASES, ids=ids)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_answer_gone_wrong_is_read_to_an_end(case, data):
    answer = json.loads(case.read_bytes())
    reads_to_an_end(answer_of(case, data.draw(mutated_json(answer))))


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_a_body_that_is_no_answer_is_a_rejected_row(case):
    for body in ODD_BODIES:
        reads_to_an_end(answer_of(case, body))
