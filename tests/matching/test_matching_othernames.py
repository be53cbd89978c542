"""Other names of an artist are learned from ids and verdicts, and only where it is sure who is who."""

from __future__ import annotations

from matching_rows import DEFAULTS, documents_of, tracks_of

from sourcing.matching import match_documents
from sourcing.matching.verdicts import Verdict

ISRC = "TWAAA0000001"
TRACKS = [
    {"title": "晴天", "artist": "Jay Chou", "isrc": ISRC},
    {"title": "稻香", "artist": "Jay Chou"},
    {"title": "稻香", "artist": "Eason Chan"},
]
SECOND = {"title": "稻香", "artist": "周杰倫"}


def accepted(documents, tracks=TRACKS, **options):
    matches = match_documents(documents_of(documents), tracks_of(tracks), DEFAULTS, **options)
    return set(matches.filter(band="accept").select("track_id", "doc_id").rows())


def test_an_equal_isrc_teaches_the_artists_other_name():
    assert accepted([SECOND]) == set()
    first = {"title": "晴天", "artist": "周杰倫", "isrcs": [ISRC]}
    assert accepted([first, SECOND]) == {("t000", "d000"), ("t001", "d001")}
    assert accepted([first, {**SECOND, "artist": "周杰伦"}]) == {("t000", "d000"), ("t001", "d001")}


def test_an_equal_isrc_of_another_title_teaches_nothing():
    first = {"title": "雨天", "artist": "周杰倫", "isrcs": [ISRC]}
    assert accepted([first, SECOND]) == {("t000", "d000")}


def test_a_credit_of_several_names_teaches_nothing():
    first = {"title": "晴天", "artist": "周杰倫 & 楊瑞代", "isrcs": [ISRC]}
    assert accepted([first, SECOND]) == {("t000", "d000")}


def test_various_artists_are_nobodys_other_name():
    first = {"title": "晴天", "artist": "Various Artists", "isrcs": [ISRC]}
    assert accepted([first, {**SECOND, "artist": "Various Artists"}]) == {("t000", "d000")}


def test_an_accepting_verdict_teaches_too():
    pair = ("t000", "d000")
    verdict = Verdict(*pair, "accept", "ana", "2026-01-01T00:00:00+00:00", 0.5)
    first = {"title": "晴天", "artist": "周杰倫"}
    assert accepted([first, SECOND], verdicts={pair: verdict}) == {("t000", "d000"), ("t001", "d001")}


UE_O_MUITE = [{"title": "上を向いて歩こう", "artist": "坂本九"}]
STATING = {
    "title": "上を向いて歩こう",
    "artist": "坂本九",
    "other_titles": ["Ue o Muite Arukō", "Sukiyaki"],
    "other_artists": ["Kyu Sakamoto", "Sakamoto, Kyū"],
}


def test_aliases_that_a_document_states_lead_other_documents_to_the_track():
    romanised = {"title": "Ue o Muite Arukō", "artist": "Kyu Sakamoto"}
    english = {"title": "Sukiyaki", "artist": "Kyu Sakamoto"}
    assert accepted([romanised, english], UE_O_MUITE) == set()
    assert accepted([STATING, romanised, english], UE_O_MUITE) == {("t000", "d000"), ("t000", "d001"), ("t000", "d002")}


def test_a_document_is_found_by_its_own_aliases_whichever_way_the_track_is_written():
    assert accepted([STATING], [{"title": "Sukiyaki", "artist": "Kyu Sakamoto"}]) == {("t000", "d000")}


def test_a_name_of_signs_is_found_through_its_alias():
    tracks = [{"title": "Me and Giuliani", "artist": "!!!"}, {"title": "Must Be the Moon", "artist": "!!!"}]
    stating = {"title": "Must Be the Moon", "artist": "!!!", "other_artists": ["Chk Chk Chk"]}
    spelled = {"title": "Me and Giuliani", "artist": "Chk Chk Chk"}
    assert accepted([spelled], tracks) == set()
    assert accepted([stating, spelled], tracks) == {("t001", "d000"), ("t000", "d001")}


def test_aliases_of_a_credit_of_several_name_nobody():
    stating = {**STATING, "artist": "坂本九 & 平井堅"}
    assert accepted([stating, {"title": "Sukiyaki", "artist": "Kyu Sakamoto"}], UE_O_MUITE) <= {("t000", "d000")}


def test_an_alias_of_one_title_is_none_of_another_by_that_artist():
    other = [{"title": "見上げてごらん夜の星を", "artist": "坂本九"}]
    assert accepted([STATING, {"title": "Sukiyaki", "artist": "Kyu Sakamoto"}], other) == set()


def test_aliases_are_found_among_many_tracks_of_one_artist():
    many = [{"title": f"曲{number}番", "artist": "坂本九"} for number in range(40)]
    sukiyaki = {"title": "Sukiyaki", "artist": "Kyu Sakamoto"}
    assert accepted([STATING, sukiyaki], [*UE_O_MUITE, *many]) == {("t000", "d000"), ("t000", "d001")}
