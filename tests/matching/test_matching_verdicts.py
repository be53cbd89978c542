"""Verdicts: the log outlives crashes, the last word wins, and a run obeys it."""

from __future__ import annotations

import pytest
from matching_rows import DEFAULTS, documents_of, tracks_of

from sourcing.errors import InputError
from sourcing.matching import match_documents
from sourcing.matching.verdicts import Verdict, VerdictLog, last_words


def said(verdict, track_id="t000", doc_id="d000", reviewer="ana"):
    return Verdict(track_id, doc_id, verdict, reviewer, "2026-01-01T00:00:00+00:00", 0.8, ("title 0.80",))


def matched(documents, tracks, *verdicts):
    found = match_documents(documents_of(documents), tracks_of(tracks), DEFAULTS, verdicts=last_words(verdicts))
    return {(row["track_id"], row["doc_id"]): (row["band"], row["reasons"][0]) for row in found.to_dicts()}


def test_what_was_appended_is_read_back_in_order(tmp_path):
    log = VerdictLog(tmp_path / "matches" / "verdicts.jsonl")
    given = [said("accept"), said("undo"), said("reject", doc_id="d001")]
    for verdict in given:
        log.append(verdict)
    assert log.read() == (given, "")


def test_a_torn_last_line_is_told_and_the_next_verdict_starts_a_line_of_its_own(tmp_path):
    log = VerdictLog(tmp_path / "verdicts.jsonl")
    log.append(said("accept"))
    log.append(said("reject", doc_id="d001"))
    log.path.write_bytes(log.path.read_bytes()[:-30])
    verdicts, torn = log.read()
    assert verdicts == [said("accept")]
    assert "line 2 was cut off" in torn
    log.append(said("accept", doc_id="d002"))
    assert log.read()[0] == [said("accept"), said("accept", doc_id="d002")]


def test_a_last_line_that_lost_only_its_newline_is_kept(tmp_path):
    log = VerdictLog(tmp_path / "verdicts.jsonl")
    log.append(said("accept"))
    log.path.write_bytes(log.path.read_bytes()[:-1])
    log.append(said("reject", doc_id="d001"))
    assert log.read() == ([said("accept"), said("reject", doc_id="d001")], "")


def test_a_whole_line_that_is_no_verdict_is_refused(tmp_path):
    log = VerdictLog(tmp_path / "verdicts.jsonl")
    log.append(said("maybe"))
    with pytest.raises(InputError, match="line 1: no verdict"):
        log.read()


def test_an_undone_verdict_gives_way_to_the_one_before_it():
    first, second = said("reject"), said("accept", reviewer="leo")
    assert last_words([first, second]) == {("t000", "d000"): second}
    assert last_words([first, second, said("undo")]) == {("t000", "d000"): first}
    assert last_words([first, said("undo"), said("undo")]) == {}


LOW_TIDE = {"title": "Low Tide", "artist": "Harbour & Kite"}


def test_a_verdict_wins_over_the_score_either_way():
    assert matched([LOW_TIDE], [LOW_TIDE], said("reject")) == {
        ("t000", "d000"): ("reject", "reviewed: reject by ana"),
    }
    live = {"title": "Low Tide (Live)", "artist": "Harbour & Kite"}
    assert matched([live], [LOW_TIDE])["t000", "d000"][0] == "reject"
    assert matched([live], [LOW_TIDE], said("accept"))["t000", "d000"] == ("accept", "reviewed: accept by ana")


def test_a_verdict_wins_over_an_equal_id():
    track = {**LOW_TIDE, "isrc": "GBAAA0000001"}
    document = {**LOW_TIDE, "isrcs": ["GBAAA0000001"]}
    assert matched([document], [track], said("reject"))["t000", "d000"][0] == "reject"


def test_an_accepted_pair_stays_when_no_score_brings_it_together_any_more():
    document = {"title": "月亮代表我的心", "artist": "鄧麗君"}
    track = {"title": "The Moon Represents My Heart", "artist": "Teresa Teng"}
    assert matched([document], [track]) == {}
    assert matched([document], [track], said("accept"))["t000", "d000"] == ("accept", "reviewed: accept by ana")


def test_a_document_given_to_one_track_leaves_the_others_to_review():
    tracks = [LOW_TIDE, {"title": "Low Tides", "artist": "Harbour & Kite"}]
    assert matched([LOW_TIDE], tracks)["t000", "d000"][0] == "accept"
    found = matched([LOW_TIDE], tracks, said("accept", track_id="t001"))
    assert found["t001", "d000"][0] == "accept"
    assert found["t000", "d000"] == ("review", "a person gave it to track t001")


def test_a_rejected_leader_leaves_its_place_to_the_next():
    tracks = [LOW_TIDE, {"title": "Low Tides", "artist": "Harbour & Kite"}]
    found = matched([LOW_TIDE], tracks, said("reject"))
    assert found["t000", "d000"][0] == "reject"
    assert found["t001", "d000"][0] == "accept"


def test_verdicts_about_what_is_gone_change_nothing():
    assert matched([LOW_TIDE], [LOW_TIDE], said("accept", track_id="gone"), said("reject", doc_id="gone")) == matched(
        [LOW_TIDE], [LOW_TIDE]
    )
