"""`match evaluate`: figures that follow from the pairs, intervals that are Wilson's, errors that name the line."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from sourcing.commands.invocation import Invocation
from sourcing.commands.match.run import evaluate
from sourcing.errors import InputError, UsageError
from sourcing.matching.evaluation import Judged, LabelledPair, Rate, rates, read_pairs

LOW_TIDE = {"title": "Low Tide", "artist": "Harbour & Kite"}


def measure(path, *flags):
    result = CliRunner().invoke(evaluate, [*flags, str(path)], obj=Invocation(path.parent, json=True))
    return json.loads(result.stdout)


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_precision_and_recall_are_counted():
    pair = {same: LabelledPair("n", "k", same, {}, {}) for same in (True, False)}
    bands = [(True, "accept"), (True, "review"), (True, "reject"), (False, "accept"), (False, "review")]
    judged = [Judged(pair[same], band, 0.0, []) for same, band in bands]
    assert [(rate.hits, rate.of) for rate in rates(judged)] == [(1, 2), (1, 3)]
    assert [(rate.hits, rate.of) for rate in rates(judged, frozenset({"accept", "review"}))] == [(2, 4), (2, 3)]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1.0), (81, 263, 0.255, 0.366)],
)
def test_intervals_are_wilsons(hits, of, low, high):
    assert Rate(hits, of).interval == pytest.approx((low, high), abs=1e-3)


def test_nothing_counted_has_no_value():
    assert Rate(0, 0).value is None
    assert Rate(0, 0).interval is None


def test_a_file_is_measured_by_kind_and_its_misses_are_listed(tmp_path):
    path = write(
        tmp_path / "pairs.jsonl",
        {"track": LOW_TIDE, "document": LOW_TIDE, "same": True, "kind": "plain"},
        {"track": LOW_TIDE, "document": {"title": "潮", "artist": "Kai"}, "same": True, "kind": "hard"},
        {"track": LOW_TIDE, "document": {**LOW_TIDE, "title": "Low Tide (Live)"}, "same": False, "kind": "hard"},
        {"track": LOW_TIDE, "document": LOW_TIDE | {"granularity": "release"}, "same": False, "split": "held-out"},
    )
    measured = measure(path)
    assert (measured["accept"]["precision"]["value"], measured["accept"]["recall"]["value"]) == (1.0, 0.5)
    assert measured["kinds"]["hard"]["accept"]["recall"]["hits"] == 0
    assert [(miss["document"], miss["band"]) for miss in measured["misses"]] == [("潮 ~ Kai", "reject")]


def test_misses_that_are_held_out_are_counted_but_not_listed_unless_asked_for(tmp_path):
    hidden = {"track": LOW_TIDE, "document": {"title": "潮", "artist": "Kai"}, "same": True, "split": "held-out"}
    path = write(tmp_path / "pairs.jsonl", hidden)
    assert (measure(path)["misses"], measure(path)["misses_not_listed"]) == ([], 1)
    assert len(measure(path, "--split", "held-out")["misses"]) == 1


def test_people_read_a_table_with_intervals(tmp_path):
    path = write(tmp_path / "pairs.jsonl", {"track": LOW_TIDE, "document": LOW_TIDE, "same": True})
    printed = CliRunner().invoke(evaluate, [str(path)], obj=Invocation(tmp_path), env={"COLUMNS": "160"}).stdout
    assert "1.00 (0.21-1.00) 1/1" in printed


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: lacks track, document or same"),
        ('{"track": {"title": "a", "artist": "b"}, "document": {}, "same": 1}', "line 2: lacks"),
        ('{"track": {"title": "a"}, "document": {}, "same": true}', "line 2: its track has no title or no artist"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, finding):
    path = write(tmp_path / "pairs.jsonl", {"track": LOW_TIDE, "document": LOW_TIDE, "same": True})
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line)
    with pytest.raises(InputError, match=finding):
        read_pairs(path)


def test_an_empty_file_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no pairs"):
        read_pairs(write(tmp_path / "empty.jsonl"))
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")


def test_a_file_and_the_verdicts_at_once_are_refused(tmp_path):
    with pytest.raises(UsageError, match="both FILE and --verdicts"):
        CliRunner().invoke(evaluate, ["x", "--verdicts"], obj=Invocation(tmp_path), catch_exceptions=False)
