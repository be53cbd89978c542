"""The invented world: equal seeds, equal worlds; prose that never contradicts the sound."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict

import pytest

from sourcing.demo import prose
from sourcing.demo.synth import DRUMS, EFFECTS, LEADS, MODES
from sourcing.demo.word_lists import phrases, word_list
from sourcing.demo.world import COLUMNS, World, build_world, catalogue_csv
from sourcing.errors import UsageError


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(0, 300)


def contradictions(text: str, track) -> list[str]:
    """Cue words in `text` for values the track does not have."""
    text = text.replace(track.title, "").replace(track.artist, "").lower()
    contradicted = []
    for attribute, values in word_list("phrases").items():
        own = track.instruments if attribute == "lead" else (track.audible[attribute],)
        for value in values:
            if value not in own:
                cues = (cue for cue in phrases(attribute, value, "cues") if re.search(rf"\b{cue}", text))
                contradicted += [f"{attribute}={value}: {cue}" for cue in cues]
    if re.search(r"\bslow\b", text) and "slow" not in track.spec.tempo:
        contradicted.append("slow")
    if re.search(r"\bfast\b", text) and "fast" not in track.spec.tempo:
        contradicted.append("fast")
    return contradicted


def test_equal_seeds_give_equal_worlds_and_others_differ(world: World) -> None:
    assert catalogue_csv(build_world(0, 300)) == catalogue_csv(world)
    assert build_world(0, 300).tracks == world.tracks
    assert build_world(1, 300).tracks != world.tracks


def test_a_smaller_world_is_the_beginning_of_a_larger_one_in_sound(world: World) -> None:
    assert [track.spec for track in build_world(0, 60).tracks] == [track.spec for track in world.tracks[:60]]


def test_a_world_too_small_to_learn_from_is_refused() -> None:
    with pytest.raises(UsageError, match="too few"):
        build_world(0, 5)


def test_there_are_tracks_and_artists_enough_and_every_style_has_three_artists(world: World) -> None:
    artists = defaultdict(set)
    for track in world.tracks:
        artists[track.style].add(track.artist)
    assert len(world.tracks) >= 240
    assert len(world.artists) >= 24
    assert len(artists) == 10
    assert min(map(len, artists.values())) >= 3
    assert {track.language for track in world.tracks} == {"en", "ru", "zh"}


def test_every_value_of_every_attribute_occurs_and_styles_vary_inside(world: World) -> None:
    assert {track.spec.lead for track in world.tracks} == set(LEADS)
    assert {track.spec.drums for track in world.tracks} == set(DRUMS)
    assert {track.spec.effect for track in world.tracks} == set(EFFECTS)
    assert {track.spec.mode for track in world.tracks} == set(MODES)
    for style in word_list("styles"):
        assert len({track.spec.lead for track in world.tracks if track.style == style}) >= 2


def test_names_are_ambiguous_on_purpose(world: World) -> None:
    owners = defaultdict(set)
    for track in world.tracks:
        owners[track.title].add(track.artist)
    assert sum(len(artists) > 1 for artists in owners.values()) >= 4
    assert any(track.title == track.artist for track in world.tracks)
    assert any(track.title in world.artists and track.title != track.artist for track in world.tracks)


def test_ids_are_unique(world: World) -> None:
    for name in ("track_id", "isrc", "mbid", "audio"):
        assert len({getattr(track, name) for track in world.tracks}) == len(world.tracks)


def test_the_catalogue_has_its_columns_some_ids_and_two_bad_rows(world: World) -> None:
    rows = list(csv.DictReader(io.StringIO(catalogue_csv(world))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(world.tracks) + 2
    good = rows[:-2]
    for column in ("isrc", "mbid", "tags"):
        assert 0.05 < sum(bool(row[column]) for row in good) / len(good) < 0.9
    assert all(re.fullmatch(r"[A-Z]{2}[A-Z0-9]{3}\d{7}", row["isrc"]) for row in good if row["isrc"])
    assert {part.split("=")[0] for part in good[0]["labels"].split(";")} >= {"style", "lead", "tempo"}
    assert rows[-2]["track_id"] == "7/8"
    assert rows[-1]["title"] == ""


def test_prose_names_the_lead_and_contradicts_nothing(world: World) -> None:
    for track in world.tracks:
        draw = world.draw(f"test:{track.number}")
        for text in (prose.article(track, draw), "\n".join(prose.review(track, draw)), prose.annotation(track, draw)):
            assert not contradictions(text, track), (track.spec, text)
            cues = phrases("lead", track.spec.lead, "cues")
            assert any(cue in text.lower() for cue in cues), (track.spec, text)
            assert not re.search(r"[{}]", text), "a slot was left unfilled"


def test_the_check_for_contradictions_finds_one(world: World) -> None:
    track = next(track for track in world.tracks if track.instruments == ("piano",))
    assert contradictions("It opens with a distorted electric guitar over brushed drums.", track)


def test_sentences_vary(world: World) -> None:
    for name in (*prose.ATTRIBUTES, "backing", "drums_none", "effect_dry", "opening", "lead_sentence", "noise"):
        assert len(set(word_list("sentences")[name])) >= 8, name
    leads = [prose.article(track, world.draw(f"a{track.number}")).split("\n")[0] for track in world.tracks]
    assert len(set(leads)) == len(leads)


def test_articles_and_reviews_differ_in_shape(world: World) -> None:
    track, draw = world.tracks[0], world.draw("shape")
    assert prose.article(track, draw).count("\n== ") == 2
    assert "==" not in "".join(prose.review(track, draw))


def test_tags_are_right_ones_junk_and_rarely_a_wrong_one(world: World) -> None:
    junk = set(word_list("names")["junk_tags"])
    wrong = with_junk = 0
    for track in world.tracks:
        tags = prose.tags(track, world.draw(f"tags:{track.number}"))
        names = [tag["name"] for tag in tags]
        assert names[0] and len(set(names)) == len(names)
        assert [tag["count"] for tag in tags] == sorted((tag["count"] for tag in tags), reverse=True)
        assert track.style_tag in names
        with_junk += bool(junk & set(names))
        wrong += bool(contradictions("; ".join(set(names) - junk), track))
    assert with_junk > len(world.tracks) / 3
    assert 0 < wrong < len(world.tracks) / 8
