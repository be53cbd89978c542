"""The labelled pairs: what is accepted is right, and what is right is accepted."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from matching_rows import DEFAULTS, documents_of, tracks_of

from sourcing.matching import match_documents

PAIRS = [json.loads(line) for line in (Path(__file__).parent / "pairs.jsonl").read_text("utf-8").splitlines()]


@cache
def band(number):
    """The band of one pair held alone; a pair that no block brings together, or too far apart to keep, is a reject."""
    pair = PAIRS[number]
    matches = match_documents(documents_of([pair["document"]]), tracks_of([pair["track"]]), **DEFAULTS)
    return (matches["band"].to_list() or ["reject"])[0]


def test_precision_and_recall_of_what_is_accepted():
    accepted = {number for number in range(len(PAIRS)) if band(number) == "accept"}
    same = {number for number, pair in enumerate(PAIRS) if pair["same"]}
    assert len(PAIRS) >= 60
    assert len(accepted & same) / len(accepted) >= 0.97, [PAIRS[n]["name"] for n in accepted - same]
    assert len(accepted & same) / len(same) >= 0.90, [PAIRS[n]["name"] for n in same - accepted]


@pytest.mark.parametrize("number", [n for n, pair in enumerate(PAIRS) if pair.get("band")])
def test_pairs_only_a_person_can_judge_go_to_review(number):
    assert band(number) == PAIRS[number]["band"]
