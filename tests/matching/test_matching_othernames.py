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
    matches = match_documents(documents_of(documents), tracks_of(tracks), **DEFAULTS, **options)
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
