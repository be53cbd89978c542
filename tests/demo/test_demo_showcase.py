"""Examples are chosen by the rule that stands beside them, and what is called true is true of the sound."""

from __future__ import annotations

import pytest

from sourcing.demo import prose
from sourcing.demo.report.showcase import aspect_truth, choose, model_record
from sourcing.demo.word_lists import phrases, word_list
from sourcing.demo.world import World, build_world
from sourcing.store import Workspace
from sourcing.store.schemas import Description
from sourcing.store.workspace import rejected_frame


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(0, 120)


def row(track, *texts: str) -> dict:
    aspects = [{"text": text, "facet": "other", "evidence": [], "agreement": None} for text in texts]
    return {"description_id": f"mined:{track.track_id}", "track_id": track.track_id, "aspects": aspects}


def test_what_the_prose_says_of_a_track_is_never_false_and_its_own_phrases_are_true(world: World) -> None:
    for track in world.tracks:
        text = prose.article(track, world.draw(f"truth:{track.number}"))
        names = (track.title, track.artist, track.album)
        sentences = [each for each in text.split(". ") if not any(name in each for name in names)]
        assert "false" not in {aspect_truth(sentence, track) for sentence in sentences}
        for attribute, value in track.audible.items():
            assert {aspect_truth(phrase, track) for phrase in phrases(attribute, value)} <= {"true"}


def test_an_instrument_that_does_not_play_is_false_and_empty_words_are_silent(world: World) -> None:
    for track in world.tracks:
        absent = [lead for lead in word_list("phrases")["lead"] if lead not in track.instruments]
        for lead in absent:
            assert {aspect_truth(phrase, track) for phrase in phrases("lead", lead)} == {"false"}, (track, lead)
        assert aspect_truth("harmony stays", track) == aspect_truth("four chords", track) == "silent"


def test_hits_are_the_truest_one_for_each_lead_and_the_miss_is_the_least_true(world: World) -> None:
    tracks = {track.track_id: track for track in world.tracks}
    by_lead = {track.spec.lead: track for track in world.tracks}
    piano, organ, guitar = by_lead["piano"], by_lead["organ"], by_lead["guitar"]
    other_piano = next(track for track in world.tracks if track.spec.lead == "piano" and track is not piano)
    rows = [
        row(guitar, "four chords", "harmony stays"),
        row(organ, "organ", "four chords"),
        row(other_piano, "piano"),
        row(piano, "piano", "grand piano"),
    ]
    picks = [(kind, pick["track_id"]) for kind, pick in choose(rows, tracks)]
    assert picks == [("hit", piano.track_id), ("hit", organ.track_id), ("miss", guitar.track_id)]
    assert [kind for kind, _ in choose(rows[2:], tracks)] == ["hit"], "all are true: there is no miss"
    assert choose([], tracks) == []


def test_the_record_counts_all_replies_and_only_what_the_model_claimed(world: World, tmp_path) -> None:
    workspace = Workspace(tmp_path)
    refusals = [("a" * 64, "prompt_echo"), ("b" * 64, "prompt_echo"), ("trk0001 wikipedia:1", "aspect_is_junk")]
    workspace.write_rejected(
        "describe",
        rejected_frame(
            [{"stage": "describe", "key": key, "reason": reason, "finding": key[:1]} for key, reason in refusals]
        ),
    )
    workspace.write(Description, Description.create_empty())
    record = model_record(workspace, world, 28)
    assert (record.replies, record.descriptions) == (28, 0)
    assert record.refused == {"prompt_echo": 2}
    assert record.findings == {"prompt_echo": "a"}
