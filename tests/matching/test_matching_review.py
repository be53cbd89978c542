"""`match review` on a workspace, its keys read from a pipe."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from matching_rows import documents_of, tracks_of

from sourcing.commands.invocation import Invocation
from sourcing.commands.match.review import review
from sourcing.commands.match.run import evaluate, run
from sourcing.errors import InputError, UsageError
from sourcing.matching.verdicts import VERDICTS_FILE, VerdictLog
from sourcing.store.schemas import Document, Match, Track
from sourcing.store.workspace import Workspace

TITLES = ("Low Tide", "Night Ferry", "Paper Lanterns")


@pytest.fixture
def workspace(tmp_path):
    """Three release records, which say no more than that a single of that name exists: all in review."""
    workspace = Workspace(tmp_path)
    workspace.write(Track, tracks_of([{"title": title, "artist": "Harbour & Kite"} for title in TITLES]))
    releases = [{"title": title, "artist": "Harbour & Kite", "granularity": "release"} for title in TITLES]
    workspace.write(Document, documents_of(releases))
    match(workspace)
    return workspace


def match(workspace):
    CliRunner().invoke(run, obj=Invocation(workspace.root), catch_exceptions=False)
    return dict(zip(*(workspace.read(Match)[name].to_list() for name in ("track_id", "band")), strict=True))


def sit(workspace, keys, *flags, as_json=True):
    return CliRunner().invoke(
        review,
        ["--reviewer", "ana", *flags],
        obj=Invocation(workspace.root, json=as_json),
        input="".join(f"{key}\n" for key in keys),
        catch_exceptions=False,
    )


def log(workspace):
    return VerdictLog(workspace.root / VERDICTS_FILE).read()[0]


def test_verdicts_are_logged_with_who_said_them_of_what_and_win_at_the_next_run(workspace):
    result = sit(workspace, "ars")
    assert json.loads(result.stdout) == {"accept": 1, "reject": 1, "skip": 1, "undo": 0, "left": 1, "finished": True}
    assert "1 of 3" in result.stderr and "3 of 3" in result.stderr
    first = log(workspace)[0]
    assert (first.pair, first.verdict, first.reviewer, first.score) == (("t000", "d000"), "accept", "ana", 0.825)
    assert first.reasons[-1] == "about a release, not a recording"
    assert match(workspace) == {"t000": "accept", "t001": "reject", "t002": "review"}
    assert workspace.read(Match)["reasons"][0][0] == "reviewed: accept by ana"


def test_a_second_sitting_asks_only_what_is_left(workspace):
    sit(workspace, "aq")
    result = sit(workspace, "r")
    assert "1 of 2" in result.stderr
    assert [verdict.pair for verdict in log(workspace)] == [("t000", "d000"), ("t001", "d001")]


def test_verdicts_survive_a_rebuilt_match_table(workspace):
    sit(workspace, "rrr")
    workspace.table_path(Match).unlink()
    assert set(match(workspace).values()) == {"reject"}


def test_undo_goes_back_a_pair_and_is_itself_recorded(workspace):
    result = sit(workspace, "auraa")
    assert [verdict.verdict for verdict in log(workspace)] == ["accept", "undo", "reject", "accept", "accept"]
    counts = json.loads(result.stdout)
    assert (counts["accept"], counts["reject"], counts["undo"], counts["left"]) == (2, 1, 1, 0)
    assert match(workspace) == {"t000": "reject", "t001": "accept", "t002": "accept"}


def test_undo_reaches_back_into_an_earlier_sitting(workspace):
    sit(workspace, "aq")
    match(workspace)
    sit(workspace, "urq")
    assert [(v.pair[0], v.verdict) for v in log(workspace)] == [
        ("t000", "accept"),
        ("t000", "undo"),
        ("t000", "reject"),
    ]


def test_undo_after_a_skip_takes_back_the_skip_and_no_verdict(workspace):
    counts = json.loads(sit(workspace, "rsuaq").stdout)
    assert [(v.pair[0], v.verdict) for v in log(workspace)] == [("t000", "reject"), ("t001", "accept")]
    assert (counts["skip"], counts["undo"]) == (0, 0)


def test_undo_after_an_undone_skip_reaches_the_verdict_before_it(workspace):
    sit(workspace, "rq")
    sit(workspace, "suuaq")
    assert [(v.pair[0], v.verdict) for v in log(workspace)] == [
        ("t000", "reject"),
        ("t000", "undo"),
        ("t000", "accept"),
    ]


def test_undo_with_nothing_given_says_so(workspace):
    assert "no verdict to undo" in sit(workspace, "uq").stderr
    assert log(workspace) == []


def test_an_unknown_key_decides_nothing(workspace):
    assert "'x' is no key here" in sit(workspace, "xq").stderr
    assert log(workspace) == []


def test_the_end_of_input_is_a_quit(workspace):
    assert json.loads(sit(workspace, "a").stdout)["finished"] is False
    assert len(log(workspace)) == 1


def test_the_pair_is_shown_side_by_side_with_its_reasons(workspace):
    shown = sit(workspace, "q", as_json=False).stderr
    assert "Low Tide" in shown and "https://example.org/0" in shown
    assert "about a release, not a recording" in shown
    assert "a accept  r reject" in shown


def test_the_list_asks_nothing(workspace):
    sit(workspace, "aq")
    listed = json.loads(sit(workspace, "", "--list").stdout)
    assert [pair["track_id"] for pair in listed["waiting"]] == ["t001", "t002"]
    assert [verdict["verdict"] for verdict in listed["verdicts"]] == ["accept"]


def test_somebody_must_decide(workspace):
    with pytest.raises(UsageError, match="--reviewer"):
        CliRunner(env={"USER": ""}).invoke(review, obj=Invocation(workspace.root), catch_exceptions=False)


def test_the_matching_is_measured_on_the_verdicts(workspace):
    sit(workspace, "ara")
    result = CliRunner().invoke(evaluate, ["--verdicts"], obj=Invocation(workspace.root, json=True))
    measured = json.loads(result.stdout)
    assert (measured["pairs"], measured["accept"]["recall"]["of"]) == (3, 2)
    assert measured["accept_or_review"]["precision"]["hits"] == 2
    assert list(measured["kinds"]) == ["test"]


def test_without_verdicts_there_is_nothing_to_measure(workspace):
    with pytest.raises(InputError, match="match review"):
        CliRunner().invoke(evaluate, ["--verdicts"], obj=Invocation(workspace.root), catch_exceptions=False)
