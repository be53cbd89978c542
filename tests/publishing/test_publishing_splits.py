"""Splits: no artist, no group and no recording on two sides; the same rows give the same split."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest
from publishing_rows import frames, track

from sourcing.errors import UsageError
from sourcing.publishing.splits import artist_credits, cluster_tracks, split_tracks

FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.2}


def _tracks(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return frames(rows, [], [])["tracks"]


@pytest.mark.parametrize(
    ("artist", "title", "main", "guests"),
    [
        ("Ada Loom feat. Björk", "", ["ada loom"], ["bjork"]),
        ("ADA LOOM (ft. The Weavers)", "", ["ada loom"], ["weavers"]),
        ("Ada Loom & Bo Reed, Cy Twill", "", ["ada loom", "bo reed", "cy twill"], []),
        ("Ada Loom", "Thread (feat. Bo Reed) [live]", ["ada loom"], ["bo reed"]),
        ("Ada Loom x Bo Reed", "", ["ada loom", "bo reed"], []),
        (
            "Ada Loom & Bo Reed featuring Cy Twill, Di Moor & Ed",
            "",
            ["ada loom", "bo reed"],
            ["cy twill", "di moor", "ed"],
        ),
        ("Ada Loom (with Bo Reed) & Cy Twill", "", ["ada loom", "cy twill"], ["bo reed"]),
        ("Ada Loom w/ Bo Reed", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom feat. Ada Loom", "", ["ada loom"], []),
        ("feat. Bo Reed", "", ["feat bo reed"], []),
        ("Daft", "Feature film", ["daft"], []),
        ("unknown (FreeCol)", "", ["unknown freecol"], []),
        ("Sandy Feather", "With and Without", ["sandy feather"], []),
        ("!!!", "", ["!!!"], []),
        ("&", "", ["&"], []),
        ("The The", "", ["the"], []),
        ("ケンイシイ", "", ["ケンイシイ"], []),
        ("Ada Loom con Bo Reed", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom mit Bo Reed und Cy Twill", "", ["ada loom"], ["bo reed", "cy twill"]),
        ("Ada Loom avec Bo Reed", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom part. Bo Reed", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom フィーチャリング ケンイシイ", "", ["ada loom"], ["ケンイシイ"]),
        ("Ada Loom（feat. Bo Reed）", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom f/ Bo Reed", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom (prod. by Bo Reed)", "", ["ada loom"], ["bo reed"]),
        ("Ada Loom y Bo Reed", "", ["ada loom", "bo reed"], []),
        ("周杰伦、费玉清", "", ["周杰伦", "费玉清"], []),
        ("Ada Loom meets Bo Reed", "", ["ada loom", "bo reed"], []),
        ("Ada Loom (2)", "", ["ada loom"], []),
        ("Ada Loom", "Thread feat. Bo Reed - Radio Edit", ["ada loom"], ["bo reed"]),
        ("Ada Loom", "Thread (Remix ft. Bo Reed)", ["ada loom"], ["bo reed"]),
        ("Ada Loom", "A 100 ft drop", ["ada loom"], []),
        ("Various Artists", "", [], []),
        ("V.A. feat. Bo Reed", "", [], ["bo reed"]),
    ],
)
def test_credits_are_parted_and_folded(artist: str, title: str, main: list[str], guests: list[str]) -> None:
    assert artist_credits(artist, title) == (main, guests)


def test_a_guest_joins_no_cluster_and_main_artists_of_one_credit_do() -> None:
    rows = [track("a", "Ada"), track("b", "Bo"), track("c", "Ada feat. Bo"), track("d", "Cy"), track("e", "Cy & Di")]
    clusters = cluster_tracks(_tracks([*rows, track("f", "Di")]))
    assert clusters["a"] == clusters["c"] != clusters["b"]
    assert clusters["d"] == clusters["e"] == clusters["f"]


def test_tracks_of_various_artists_have_nobody_in_common() -> None:
    rows = [track(f"t{index}", "Various Artists") for index in range(10)]
    assert len(set(cluster_tracks(_tracks(rows)).values())) == 10
    assert split_tracks(_tracks(rows), salt="s", **FRACTIONS).rows["split"].n_unique() == 3


def test_guests_do_not_chain_a_catalogue_into_one_cluster() -> None:
    chance = random.Random(5)
    rows = [
        track(
            f"t{index}",
            f"rapper {index % 40} feat. rapper {chance.randrange(40)}" if index % 9 else f"rapper {index % 40}",
        )
        for index in range(187)
    ]
    splits = split_tracks(_tracks(rows), salt="s", **FRACTIONS)
    assert splits.largest is not None
    assert splits.largest.tracks <= 5
    shares = {name: count / 187 for name, count in splits.rows["split"].value_counts().iter_rows()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.03)
    assert splits.leaks


def test_few_guests_are_kept_on_one_side() -> None:
    rows = [track(f"t{index}", f"artist {index % 50}") for index in range(200)]
    rows += [track(f"g{index}", f"artist {index} feat. artist {index + 25}") for index in range(25)]
    for salt in "abcdef":
        assert not split_tracks(_tracks(rows), salt=salt, **FRACTIONS).leaks


def test_the_largest_cluster_is_told_with_what_joined_it() -> None:
    rows = [track(f"t{index}", "Ada") for index in range(5)] + [
        track("b", "Ada & Bo"),
        track("c", "Bo"),
        track("d", "Cy"),
    ]
    assert split_tracks(_tracks(rows), salt="s", **FRACTIONS).largest == (
        "artist:ada",
        7,
        ["artist:ada", "artist:bo"],
    )
    alone = [track(f"t{index}", "Ada") for index in range(5)]
    assert split_tracks(_tracks(alone), salt="s", **FRACTIONS).largest == ("artist:ada", 5, [])


def test_one_recording_under_two_artists_is_one_cluster() -> None:
    rows = [
        track("a", "Ada", isrc="GBAYE0000001"),
        track("b", "Bo", isrc="GBAYE0000001"),
        track("c", "Cy", audio="x.ogg"),
    ]
    clusters = cluster_tracks(_tracks([*rows, track("d", "Di", audio="x.ogg")]))
    assert clusters["a"] == clusters["b"]
    assert clusters["c"] == clusters["d"] != clusters["a"]


def test_a_given_group_holds_in_place_of_the_artist() -> None:
    rows = [track("a", "Ada", group_id="1"), track("b", "Ada", group_id="2"), track("c", "Bo", group_id="1")]
    clusters = cluster_tracks(_tracks(rows))
    assert clusters["a"] == clusters["c"] != clusters["b"]


def test_an_artist_binds_again_where_one_of_their_tracks_has_no_group() -> None:
    rows = [track("a", "Ada", group_id="1"), track("b", "Ada", group_id="2"), track("c", "Ada")]
    assert len(set(cluster_tracks(_tracks(rows)).values())) == 1


@pytest.mark.parametrize("seed", range(25))
def test_no_main_artist_and_no_recording_straddles_and_every_guest_that_does_is_told(seed: int) -> None:
    chance = random.Random(seed)
    names = [f"artist {index}" for index in range(chance.randint(2, 40))]
    rows = []
    for index in range(chance.randint(1, 120)):
        artist = chance.choice([" feat. ", " & ", ", "]).join(chance.sample(names, chance.choice([1, 1, 1, 2])))
        isrc = f"GBAYE{chance.randint(0, 300):07d}" if chance.random() < 0.2 else None
        rows.append(track(f"t{index}", artist, isrc=isrc))
    tracks = _tracks(rows)
    splits = split_tracks(tracks, salt="s", **FRACTIONS)
    shuffled = split_tracks(tracks.sample(fraction=1, shuffle=True, seed=seed), salt="s", **FRACTIONS)
    assert splits.rows.equals(shuffled.rows)
    assert splits[1:] == shuffled[1:]
    assert splits.rows["track_id"].to_list() == sorted(row["track_id"] for row in rows)
    side = dict(splits.rows.select("track_id", "split").iter_rows())
    straddling = set()
    for one in rows:  # the plain quadratic look, with none of the clustering code
        for other in rows:
            apart = side[one["track_id"]] != side[other["track_id"]]
            assert not (apart and one["isrc"] and one["isrc"] == other["isrc"])
            main, others = (row["artist"].split(" feat. ")[0].replace(" & ", ", ").split(", ") for row in (one, other))
            assert not (apart and set(main) & set(others))
            heard, heard_too = (
                row["artist"].replace(" feat. ", ", ").replace(" & ", ", ").split(", ") for row in (one, other)
            )
            straddling |= set(heard) & set(heard_too) if apart else set()
    assert [leak.artist for leak in splits.leaks] == sorted(straddling)
    groups = splits.rows["group"].n_unique()
    assert splits.rows["split"].n_unique() == {1: 1, 2: 2}.get(groups, 3)


def test_shares_come_out_near_the_fractions() -> None:
    rows = [track(f"t{i}", f"artist {i // 5}") for i in range(1000)]
    split = split_tracks(_tracks(rows), salt="s", **FRACTIONS).rows
    shares = {name: count / 1000 for name, count in split["split"].value_counts().iter_rows()}
    assert shares == pytest.approx({"train": 0.7, "validation": 0.1, "test": 0.2}, abs=0.006)


def test_one_huge_artist_stays_in_train() -> None:
    rows = [track(f"h{i}", "Huge") for i in range(60)] + [track(f"t{i}", f"artist {i}") for i in range(40)]
    for salt in "abcdefgh":
        split = split_tracks(_tracks(rows), salt=salt, **FRACTIONS).rows
        huge = split.filter(pl.col("track_id").str.starts_with("h"))
        assert set(huge["split"]) == {"train"}


def test_the_salt_moves_tracks_and_a_fraction_of_zero_makes_no_split() -> None:
    tracks = _tracks([track(f"t{i}", f"artist {i}") for i in range(50)])
    one = split_tracks(tracks, salt="a", **FRACTIONS).rows
    other = split_tracks(tracks, salt="b", **FRACTIONS).rows
    assert not one.equals(other)
    none = split_tracks(tracks, salt="a", validation_fraction=0.0, test_fraction=0.2).rows
    assert set(none["split"]) == {"train", "test"}


def test_fractions_that_leave_no_train_are_refused() -> None:
    with pytest.raises(UsageError, match="sum is below 1"):
        split_tracks(_tracks([track("a")]), salt="a", validation_fraction=0.5, test_fraction=0.5)
