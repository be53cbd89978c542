"""The labelled pairs that come with crossmusim: what is accepted is right, and what is right is accepted."""

from __future__ import annotations

from collections import Counter
from functools import cache, partial

import pytest
from matching_rows import DEFAULTS

from sourcing.matching import match_one
from sourcing.matching.evaluation import SHIPPED_PAIRS, judge, rates, read_pairs

PAIRS = read_pairs(SHIPPED_PAIRS)
#: Pairs that a person must decide, whichever way.
ONLY_A_PERSON = {
    "which live it is, is not said",
    "length a little off",
    "six seconds: only a person can tell",
    "village that mentions the artist",
    "film scored by the artist",
    "plain page naming the artist only in passing",
    "various artists, both sides, nothing else known",
    "unknown artist",
}


@cache
def judged():
    return judge(PAIRS, partial(match_one, thresholds=DEFAULTS))


def test_the_set_is_large_and_every_kind_of_hardness_is_in_it():
    kinds = Counter(pair.kind for pair in PAIRS)
    assert len(PAIRS) >= 500
    assert {"cover", "live", "namesake", "classical", "cjk", "cyrillic", "page", "various"} <= kinds.keys()
    assert len({(str(pair.track), str(pair.document)) for pair in PAIRS}) == len(PAIRS)
    assert 0.2 < sum(pair.split == "held-out" for pair in PAIRS) / len(PAIRS) < 0.4


@pytest.mark.parametrize(("split", "precision", "recall"), [("tuned", 0.99, 0.92), ("held-out", 0.92, 0.84)])
def test_precision_and_recall_of_what_is_accepted(split, precision, recall):
    found = rates([one for one in judged() if one.pair.split == split])
    assert found[0].value >= precision
    assert found[1].value >= recall


def test_no_cover_and_no_namesake_is_accepted():
    assert not [one.pair.name for one in judged() if one.band == "accept" and one.pair.kind in ("cover", "namesake")]


@pytest.mark.parametrize("name", sorted(ONLY_A_PERSON))
def test_pairs_only_a_person_can_judge_go_to_review(name):
    assert [one.band for one in judged() if one.pair.name == name] == ["review"]
