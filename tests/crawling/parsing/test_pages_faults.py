"""Pages that were once read wrongly, each with its right value: the kinds they stand for have tests of their own.

The folder is not shipped; where it is not beside this checkout nothing is read.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture

FOLDER = Path(__file__).parents[3].parent / "shared" / "faults" / "pages"
PAGES = sorted(FOLDER.glob("[0-9]*.json"))
LICENCES = FOLDER / "licences.json"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_that_was_read_wrongly_gives_its_right_value(path):
    fault = json.loads(path.read_text("utf-8"))
    capture = Capture(
        source=fault["source"],
        kind=fault["kind"],
        task_key="k",
        url=fault["url"],
        status=200,
        headers={"content-type": fault["content_type"]},
        body=fault["body"].encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents, rejected = extract_documents([capture], SOURCES)
    assert documents.height == 1, rejected.to_dicts()
    (document,) = documents.to_dicts()
    reads = {
        **document,
        "tags": [tag["name"] for tag in document["tags"]],
        "licence": {entry["field"]: entry["licence"] for entry in document["licences"]}["*"],
    }
    assert {name: reads[name] for name in fault["expect"]} == fault["expect"]


@pytest.mark.skipif(not LICENCES.is_file(), reason="the folder is not beside this checkout")
def test_a_licence_statement_becomes_an_spdx_id_or_unknown():
    licences = pytest.importorskip("sourcing.store.licences")
    for statement, becomes in json.loads(LICENCES.read_text("utf-8")):
        assert licences.spdx_of(statement) == re.split("[ ,]", becomes)[0], statement
