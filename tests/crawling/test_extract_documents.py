"""Extraction: everything a document carries is filled in, the newest word counts, and no page stops the others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sourcing.crawling.extract import document_id, extract_documents
from sourcing.crawling.sources import SOURCES, Captured
from sourcing.crawling.sources.reading import clean

SAMPLES = Path(__file__).parents[2].parent / "shared" / "samples"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MBID = "00000001-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the captured samples are not beside this checkout")


def recording(**changes):
    body = {"id": MBID, "title": "Low Tide", "artist-credit": [{"name": "Harbour & Kite"}], **changes}
    return Captured(
        source="musicbrainz",
        kind="recording",
        task_key="k",
        url="https://musicbrainz.org/ws/2/recording/1",
        status=200,
        headers={},
        body=json.dumps(body).encode(),
        retrieved_at=NOON,
        track_id="t1",
        consent="allow",
        consent_evidence=("robots: allow",),
    )


def page(body, url="https://music.example/a", **changes):
    body = body.encode() if isinstance(body, str) else body
    capture = replace(recording(), source="schemaorg", kind="page", url=url, body=body)
    return replace(capture, **changes)


def extract(*captures):
    documents, rejected = extract_documents(captures, SOURCES)
    return documents.to_dicts(), rejected.to_dicts()


def test_a_document_carries_where_it_comes_from():
    (document,), rejected = extract(recording(tags=[{"name": "slow", "count": 2}]))
    assert rejected == []
    assert document["doc_id"] == document_id("musicbrainz", MBID)
    assert document["url"] == "https://musicbrainz.org/ws/2/recording/1"
    assert document["retrieved_at"] == NOON
    assert len(document["content_sha256"]) == 64
    assert document["lead_track_id"] == "t1"
    assert document["consent_evidence"] == ["robots: allow"]
    attribution = f"MusicBrainz, https://musicbrainz.org/recording/{MBID}"
    assert document["licences"] == [
        {"field": field, "licence": licence, "attribution": attribution}
        for field, licence in {
            "title": "CC0-1.0",
            "artist": "CC0-1.0",
            "tags": "CC-BY-NC-SA-3.0",
            "*": "CC0-1.0",
        }.items()
    ]


def test_a_licence_the_page_states_goes_before_the_declared_one():
    prose = "<p>" + "A long slow song with brushed drums and a vibraphone, recorded by the sea. " * 8 + "</p>"
    head = '<link rel="license" href="https://creativecommons.org/licenses/by-sa/3.0/deed.en">'
    (document,), _ = extract(page(f"<html><head><title>Low Tide</title>{head}</head><body>{prose}</body></html>"))
    assert {entry["licence"] for entry in document["licences"]} == {"CC-BY-SA-3.0"}


def test_the_newest_capture_of_a_record_stays_and_earlier_ones_are_no_rejections():
    old, new = recording(title="Low Tid"), replace(recording(), retrieved_at=NOON + timedelta(days=1))
    for order in ((old, new), (new, old)):
        (document,), rejected = extract(*order)
        assert (document["title"], rejected) == ("Low Tide", [])


def test_one_record_under_two_addresses_is_one_document():
    (document,), rejected = extract(
        recording(), replace(recording(title="Low Tide!"), url="https://other", retrieved_at=NOON + timedelta(1))
    )
    assert (document["title"], rejected) == ("Low Tide!", [])


def test_a_failed_attempt_is_no_rejection_once_the_page_was_read():
    busy = replace(recording(), status=503, body=b"busy", retrieved_at=NOON - timedelta(hours=1))
    documents, rejected = extract(busy, recording())
    assert (len(documents), rejected) == (1, [])
    documents, rejected = extract(busy)
    assert (documents, rejected[0]["reason"]) == ([], "status_503")


def test_a_site_that_says_no_gives_no_document_also_when_it_said_yes_before():
    denied = replace(
        recording(), consent="deny", consent_evidence=("tdm-reservation: 1",), retrieved_at=NOON + timedelta(1)
    )
    documents, rejected = extract(recording(), denied)
    assert documents == []
    assert rejected[0]["reason"] == "consent_denied"
    assert "tdm-reservation: 1" in rejected[0]["finding"]


def test_order_of_captures_does_not_matter():
    captures = [recording(id=f"{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f") for n in range(9)]
    captures = [replace(capture, url=f"https://m/{n}") for n, capture in enumerate(captures)]
    forward, _ = extract(*captures)
    backward, _ = extract(*reversed(captures))
    assert forward == backward == sorted(forward, key=lambda row: row["doc_id"])
    assert len(forward) == 9


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_text_is_left_alone_just_as_the_mender_would(text: str) -> None:
    plain = text.replace("&", "").replace("\x1b", "")
    by_ftfy = clean(f"é\n{plain}")  # one letter beyond ASCII sends the whole text through ftfy
    assert by_ftfy == clean(f"e\n{plain}").replace("e", "é", 1)


def test_mojibake_controls_and_decomposed_letters_are_mended():
    (document,), _ = extract(recording(title="CafÃ©\x00 del\x1f Sol e\u0301 \ud83d"))
    assert document["title"] == "Café del Sol é \ufffd"


def test_an_unknown_source_or_kind_is_a_reason():
    _, rejected = extract(replace(recording(), source="nobody"), replace(recording(), kind="odd", url="https://m/2"))
    assert sorted(row["reason"] for row in rejected) == ["kind_unknown", "source_unknown"]


def test_a_page_object_that_fails_costs_its_page_alone():
    class Mistaken(SOURCES["schemaorg"].pages[0]):
        def documents(self):
            return [{}["granularity"]]

    sources = {**SOURCES, "schemaorg": replace(SOURCES["schemaorg"], pages=(Mistaken,))}
    documents, rejected = extract_documents([page("<p>x</p>"), recording()], sources)
    assert documents.height == 1
    assert rejected.to_dicts()[0]["reason"] == "page_object_failed"


def test_nothing_captured_gives_empty_tables():
    assert extract() == ([], [])


HOSTILE = {
    "nothing": b"",
    "controls": bytes(range(32)) * 50,
    "unclosed": b"<html><body>" + b"<div>" * 20_000 + b"deep",
    "a million tags": b"<p>a</p>" * 1_000_000,
    "scripts without end": b'<script type="application/ld+json">{"a":' * 20_000,
    "deep json": b'<script type="application/ld+json">' + b'{"a":' * 100_000 + b"</script>",
    "circle of references": (
        b'<script type="application/ld+json">{"@graph":['
        b'{"@id":"a","@type":"MusicGroup","name":"A","track":[{"@id":"a"},{"@id":"b"}],"x":[{"@id":"b"},{"@id":"b"}]},'
        b'{"@id":"b","y":[{"@id":"a"},{"@id":"a"},{"@id":"b"}],"z":1}]}</script>'
    ),
    "ten thousand recordings": (
        b'<script type="application/ld+json">['
        + b",".join(b'{"@type":"MusicRecording","name":"S%d"}' % n for n in range(10_000))
        + b"]</script>"
    ),
    "odd values": (
        b'<script type="application/ld+json">{"@type":"MusicRecording","name":{"name":{"name":[]}},'
        b'"byArtist":[null,3,{}]}</script>'
        b'<script type="application/ld+json">{"@type":["MusicRecording",null],"name":["Low Tide",1],'
        b'"duration":{"a":1},"genre":[1,null,{"name":"x"}],"isrcCode":5,"license":[{"url":[1]}],"keywords":true,'
        b'"datePublished":{"y":2},"inAlbum":[[]],"url":["a"],"inLanguage":{"name":"en"}}</script>'
    ),
    "another charset": "<title>Низкая вода</title><p>Медленная песня.</p>".encode("utf-16"),
    "foreign canonical": b'<link rel="canonical" href="https://bank.example/"><p>'
    + b"Slow song by the sea. " * 40
    + b"</p>",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_page_ends_as_documents_or_a_reason(body):
    documents, rejected = extract(page(body), recording())
    mine = [row for row in documents if row["source"] == "schemaorg"]
    assert len(documents) == len(mine) + 1, "the sound record beside it is still there"
    assert bool(mine) != bool(rejected)
    assert all(row["reason"] != "page_object_failed" for row in rejected)
    assert all(row["permalink"].startswith("https://music.example/") for row in mine)
    assert len(mine) <= 500


@needs_samples
def test_captured_microdata_gives_the_fields_a_reader_names():
    body = (SAMPLES / "schemaorg" / "MusicRecording.001.html").read_bytes()
    documents, rejected = extract(page(body))
    assert rejected == []
    fields = ("granularity", "title", "artist", "album", "duration_s")
    assert sorted(tuple(row[field] for field in fields) for row in documents) == [
        ("recording", "Everlong", "Foo Fighters", "The Color And The Shape", 393.0),
        ("recording", "Rope", "Foo Fighters", "Wasting Light", 245.0),
    ]


@needs_samples
def test_a_captured_artist_page_is_about_an_artist():
    (document,), _ = extract(page((SAMPLES / "schemaorg" / "elysianfields.html").read_bytes()))
    assert (document["granularity"], document["artist"], document["language"]) == ("artist", "Elysian Fields", "en")


@needs_samples
def test_captured_wikipedia_answers_are_told_apart():
    def read(name):
        body = (SAMPLES / "wikipedia" / name).read_bytes()
        capture = replace(
            recording(), source="wikipedia", kind="page", url=f"https://en.wikipedia.org/{name}", body=body
        )
        return extract(capture)

    (document,), _ = read("redirect.json")
    assert document["title"] == "Douglas Adams"
    assert document["granularity"] == "page"
    assert document["permalink"].endswith("title=Douglas_Adams&oldid=810162769")
    assert document["text"].startswith("Douglas Noel Adams")
    assert [row["reason"] for row in read("disambiguation.json")[1]] == ["disambiguation"]
    assert [row["reason"] for row in read("parse_infobox.json")[1]] == ["query_missing"]
