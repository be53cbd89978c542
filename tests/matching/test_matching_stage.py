"""The matching stage as a whole: identifiers, ties, reasons, order."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from matching_rows import DEFAULTS, documents_of, tracks_of

from sourcing.matching import match_documents
from sourcing.matching.names import fold, read_artist, read_title

MBID = "11111111-1111-4111-8111-111111111111"


def match(documents, tracks, thresholds=DEFAULTS, **options):
    return match_documents(documents_of(documents), tracks_of(tracks), thresholds, **options)


def bands(matches):
    return {(row["track_id"], row["doc_id"]): row["band"] for row in matches.to_dicts()}


def test_an_equal_mbid_is_certain_whatever_the_titles_say():
    matches = match(
        [{"title": "Anders", "artist": "B", "mbid": MBID}], [{"title": "Other", "artist": "A", "mbid": MBID}]
    )
    assert matches.select("score", "band", "method").rows() == [(1.0, "accept", "mbid")]


def test_an_equal_isrc_is_certain():
    document = {"title": "Low Tide", "artist": "Harbour & Kite", "isrcs": ["GBAAA0000001", "GBAAA0000002"]}
    matches = match([document], [{"title": "Low tide!", "artist": "H. & K.", "isrc": "GBAAA0000002"}])
    assert matches.select("score", "band", "method", "reasons").rows() == [
        (1.0, "accept", "isrc", ["ISRC GBAAA0000002 equal"])
    ]


def test_a_merged_mbid_still_fits_the_track_that_asked_for_it():
    track = {"title": "Heroes", "artist": "David Bowie", "mbid": MBID}
    document = {"title": "Heroes", "artist": "David Bowie", "mbid": MBID.replace("1", "2"), "lead_track_id": "t000"}
    assert bands(match([document], [track])) == {("t000", "d000"): "accept"}


def test_two_catalogue_entries_nothing_tells_apart_are_both_accepted():
    twice = [{"title": "Low Tide", "artist": "Harbour & Kite"}] * 2
    assert set(bands(match([{"title": "Low Tide", "artist": "Harbour & Kite"}], twice)).values()) == {"accept"}


def test_a_tie_between_tracks_of_other_lengths_goes_to_review():
    lengths = [{"title": "Low Tide", "artist": "Harbour & Kite", "duration_s": s} for s in (180.0, 240.0)]
    matches = match([{"title": "Low Tide", "artist": "Harbour & Kite"}], lengths)
    assert set(bands(matches).values()) == {"review"}
    assert matches["reasons"][0][0] == "fits 2 tracks equally well"


def test_the_length_decides_where_the_document_states_it():
    lengths = [{"title": "Low Tide", "artist": "Harbour & Kite", "duration_s": s} for s in (180.0, 240.0)]
    matches = match([{"title": "Low Tide", "artist": "Harbour & Kite", "duration_s": 241.0}], lengths)
    assert bands(matches) == {("t000", "d000"): "reject", ("t001", "d000"): "accept"}
    assert matches["reasons"][0][0] == "duration off by 61 s"


def test_a_better_fit_sends_the_other_track_to_review():
    tracks = [{"title": "Low Tide", "artist": "Harbour & Kite"}, {"title": "Low Tides", "artist": "Harbour & Kite"}]
    matches = match([{"title": "Low Tide", "artist": "Harbour & Kite"}], tracks)
    assert bands(matches) == {("t000", "d000"): "accept", ("t001", "d000"): "review"}


def test_an_exact_id_leaves_no_room_for_a_namesake():
    tracks = [
        {"title": "Low Tide", "artist": "Harbour & Kite", "mbid": MBID},
        {"title": "Low Tide", "artist": "Harbour & Kite"},
    ]
    matches = match([{"title": "Low Tide", "artist": "Harbour & Kite", "mbid": MBID}], tracks)
    assert bands(matches) == {("t000", "d000"): "accept", ("t001", "d000"): "review"}


def test_reasons_are_sentences_a_person_can_check():
    matches = match(
        [{"title": "Low Tide (Live)", "artist": "Harbour & Kite", "duration_s": 300.0}],
        [{"title": "Low Tide", "artist": "Harbour and Kite", "duration_s": 250.0}],
    )
    assert matches["reasons"].to_list() == [
        ["duration off by 50 s", "version word 'live' on one side only", "title equal", "artist equal"]
    ]


def test_a_page_a_crawl_led_to_is_reported_even_when_it_is_about_something_else():
    document = {"title": "Bristol", "lead": "Bristol is a city.", "granularity": "page", "lead_track_id": "t000"}
    track = {"title": "Low Tide", "artist": "Harbour & Kite"}
    assert bands(match([document], [track])) == {("t000", "d000"): "reject"}
    assert match([{**document, "lead_track_id": None}], [track]).is_empty()


def test_rows_come_sorted_and_the_same_whatever_the_order_of_the_input():
    documents = documents_of([{"title": f"Song {n}", "artist": f"Band {n % 3}"} for n in range(12)])
    tracks = tracks_of([{"title": f"Song {n}", "artist": f"Band {n % 3}"} for n in range(12)])
    once = match_documents(documents, tracks, DEFAULTS)
    again = match_documents(documents.reverse(), tracks.reverse(), DEFAULTS)
    assert once.equals(again)
    assert once.equals(once.sort("track_id", "doc_id"))
    assert once.filter(pl.col("band") == "accept").height == 12


def test_no_documents_give_an_empty_table_of_the_right_shape():
    assert match([], [{"title": "a", "artist": "b"}]).columns == [
        "track_id",
        "doc_id",
        "score",
        "band",
        "method",
        "reasons",
    ]
    assert match([{"title": "a", "artist": "b"}], []).is_empty()


@pytest.mark.parametrize("thresholds", [(0.95, 0.5), (0.8, 0.8), (0.5, 0.9)])
def test_bands_follow_the_settings(thresholds):
    accept, review = thresholds
    matches = match(
        [
            {"title": "Low Tide", "artist": "Harbour & Kites"},
            {"title": "Low Tide", "artist": "Harbour & Kite", "doc_id": "e"},
        ],
        [{"title": "Low Tide", "artist": "Harbour & Kite"}],
        thresholds=replace(DEFAULTS, accept_score=accept, review_score=review),
    )
    for row in matches.to_dicts():
        assert row["band"] == ("accept" if row["score"] >= accept else "review" if row["score"] >= review else "reject")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Beyoncé", "BEYONCE"),
        ("Guns N’ Roses", "Guns N' Roses"),
        ("ＡＢＣ", "abc"),
        ("Earth, Wind & Fire", "Earth Wind and Fire"),
        ("Кино", "kino"),
    ],
)
def test_folding_forgets_how_a_name_is_typed(one, other):
    assert fold(one) == fold(other) != ""


def test_a_title_is_taken_apart():
    title = read_title("Sunday (I Mean It) [feat. Ana Cruz] - Live at Leeds, 1970 (2005 Remaster)")
    assert (title.short, title.aside, title.full) == ("sunday", "i mean it", "sunday i mean it")
    assert title.versions == {"live"}
    assert title.version_words == {"leeds", "1970"}


def test_a_credit_is_taken_apart():
    artist = read_artist("The Weeknd & Daft Punk feat. Ana Cruz")
    assert (artist.whole, artist.names) == ("weeknd and daft punk", ("weeknd", "daft punk", "ana cruz"))


@pytest.mark.parametrize(
    "title", ["(", "()", "(Live)", "- Live", "feat. X", "...", "🎵", "\u200b", "a" * 5000, "((((((x"]
)
def test_odd_titles_still_have_a_folded_form(title):
    read_title(title)
    read_artist(title)
    match([{"title": title, "artist": title}], [{"title": title, "artist": title}])


def test_tracks_of_nobody_need_the_same_title_or_length_to_be_looked_at_and_both_to_be_accepted():
    tracks = [{"title": "Wassail of the Grey Harbour", "artist": "Various Artists", "duration_s": 231.0}]
    documents = [
        {"title": "Wassail of the Grey Harbour", "artist": "Various Artists", "duration_s": 231.4},
        {"title": "Wassail of the Grey Harbour", "artist": "Various Artists"},
        {"title": "Wassail of the Great Harbour", "artist": "Various Artists"},
    ]
    matches = match(documents, tracks)
    assert matches.sort("doc_id")["band"].to_list() == ["accept", "review", "reject"]


def test_two_different_guests_are_left_to_a_person_and_one_guest_left_out_is_not():
    document = {"title": "Low Tide (feat. Ida Brandt)", "artist": "Nine Lamps"}
    assert bands(match([document], [{"title": "Low Tide", "artist": "Nine Lamps feat. Otto"}])) == {
        ("t000", "d000"): "review"
    }
    for artist in ("Nine Lamps", "Nine Lamps feat. Ida Brandt & Otto"):
        assert bands(match([document], [{"title": "Low Tide", "artist": artist}])) == {("t000", "d000"): "accept"}
