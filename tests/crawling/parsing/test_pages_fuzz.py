"""Answers of every source gone wrong: each is documents or a rejected row with a reason, never an exception.

JSON answers are changed as a whole, pages in their JSON-LD, rows of data sets as the row that their page object reads.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture, PageError, resolved
from tests.support.mutated_json import ODD_BODIES, ODD_VALUES, mutated_json

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = sorted(path for path in FIXTURES.glob("*/*/input.*") if path.suffix in (".json", ".html"))
SOUND = [path for path in CASES if not path.parent.name.startswith("malformed")]
JSON_LD = re.compile(rb'(<script type="application/ld\+json">)(.*?)(</script>)', re.DOTALL)


def ids(case: Path) -> str:
    return f"{case.parent.parent.name}-{case.parent.name}"


def capture_of(case: Path, body: bytes, n: int = 0) -> Capture:
    meta = json.loads((case.parent / "meta.json").read_text("utf-8"))
    return Capture(
        source=case.parent.parent.name,
        kind=meta["kind"],
        task_key="k",
        url=f"{meta['url']}{'&' if '?' in meta['url'] else '?'}n={n}",
        status=200,
        headers=meta.get("headers", {}),
        body=body,
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )


def read_to_an_end(captures: list[Capture]) -> None:
    documents, rejected = extract_documents(captures, SOURCES)
    odd = rejected.filter(rejected["reason"] == "page_object_failed")
    assert odd.is_empty(), odd.select("finding", "row").rows()
    rows = [documents.drop("retrieved_at", "consent_at").to_dicts(), rejected.to_dicts()]
    json.dumps(rows, ensure_ascii=False).encode()
    for capture in captures:
        page = SOURCES[capture.source].page_for(capture.kind)(capture, SOURCES[capture.source])
        try:
            for task in resolved(page.follow(), SOURCES):
                task.url.encode("utf-8")
        except PageError as error:
            assert error.reason


def mutated_page(draw: st.DrawFn, page: bytes) -> bytes:
    """The page with one of its blocks of JSON-LD gone wrong; without such a block, with a song put into it."""
    blocks = list(JSON_LD.finditer(page))
    song = {"@type": "MusicRecording", "name": "Low Tide", "byArtist": [{"name": "A"}], "license": "x", "duration": "x"}
    block = draw(st.sampled_from(blocks)) if blocks else None
    try:
        answer = json.loads(block[2], strict=False) if block else song
    except ValueError:
        answer = song
    at = block.span(2) if block else (len(page), len(page))
    body = draw(mutated_json(answer)).replace(b"</", b"<\\/")
    around = (b"", b"") if block else (b'<script type="application/ld+json">', b"</script>")
    return page[: at[0]] + around[0] + body + around[1] + page[at[1] :]


@pytest.mark.parametrize("case", SOUND, ids=ids)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_an_answer_gone_wrong_is_read_to_an_end(case: Path, data: st.DataObject) -> None:
    page = case.read_bytes()
    if case.suffix == ".html":
        bodies = st.composite(mutated_page)(page)
    else:
        bodies = mutated_json(json.loads(page.decode("utf-8-sig").replace(": 092", ": 92")))  # ccMixter's numbers
    read_to_an_end(
        [capture_of(case, body, n) for n, body in enumerate(data.draw(st.lists(bodies, min_size=6, max_size=6)))]
    )


@pytest.mark.parametrize("source", SOURCES)
def test_a_body_that_is_no_answer_is_a_rejected_row(source: str) -> None:
    case = next(path for path in SOUND if path.parent.parent.name == source)
    read_to_an_end([capture_of(case, body, n) for n, body in enumerate(ODD_BODIES)])


@pytest.mark.parametrize("case", [path for path in SOUND if path.suffix == ".json"], ids=ids)
def test_each_field_of_a_record_may_be_anything(case: Path) -> None:
    answer = json.loads(case.read_text("utf-8-sig").replace(": 092", ": 92"))
    record = answer[0] if isinstance(answer, list) and answer else answer
    while isinstance(record, dict) and len(record) == 1:
        record = next(iter(record.values()))
    bodies = []
    for key in list(record)[:20] if isinstance(record, dict) else []:
        for odd in ODD_VALUES[:-2]:
            kept, record[key] = record[key], odd
            bodies.append(json.dumps(answer).encode())
            record[key] = kept
    read_to_an_end([capture_of(case, body, n) for n, body in enumerate(bodies)])
