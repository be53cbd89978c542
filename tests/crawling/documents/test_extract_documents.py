"""Extraction: everything a document carries is filled in, the newest word counts, and no page stops the others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import permutations
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import document_id, extract_documents
from sourcing.crawling.parsing.values import clean
from sourcing.crawling.sources import SOURCES, Capture

SAMPLES = Path(__file__).parents[3].parent / "shared" / "samples"
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
MBID = "00000001-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the captured samples are not beside this checkout")


def recording(**changes):
    body = {"id": MBID, "title": "Low Tide", "artist-credit": [{"name": "Harbour & Kite"}], **changes}
    return Capture(
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


def later(days, **changes):
    return replace(recording(), retrieved_at=NOON + timedelta(days), **changes)


def revisit_of(capture, days):
    return later(days, form="revisit", status=304, body=b"", body_sha256=sha256(capture.body).hexdigest())


def denial(days):
    return later(days, form="denial", status=0, body=b"", consent="deny", consent_evidence=("robots.txt: Disallow",))


def test_a_page_found_unchanged_keeps_its_document():
    for order in permutations([recording(), revisit_of(recording(), 1), revisit_of(recording(), 2)]):
        (document,), rejected = extract(*order)
        assert (document["title"], rejected) == ("Low Tide", [])
        assert document["retrieved_at"] == NOON, "the words are those of the capture with a body"


def test_a_page_that_went_back_to_an_older_body_gives_the_older_document():
    old, new = recording(title="Low Tid"), replace(recording(), retrieved_at=NOON + timedelta(1))
    for order in permutations([old, new, revisit_of(old, 2)]):
        assert extract(*order)[0][0]["title"] == "Low Tid"
    for order in permutations([old, new, revisit_of(old, 2), revisit_of(new, 3)]):
        assert extract(*order)[0][0]["title"] == "Low Tide"
    lost = recording(title="never kept")
    assert extract(old, new, revisit_of(lost, 2))[0][0]["title"] == "Low Tide"


def test_a_page_fetched_after_a_revisit_counts_by_its_own_body():
    old, newer = recording(title="Low Tid"), later(3)
    assert extract(old, revisit_of(old, 2), newer)[0][0]["title"] == "Low Tide"


def test_a_later_no_without_an_answer_takes_the_document_away_and_a_later_yes_brings_it_back():
    for order in permutations([recording(), revisit_of(recording(), 1), denial(2)]):
        documents, (refused,) = extract(*order)
        assert documents == []
        assert (refused["reason"], refused["key"]) == ("consent_denied", recording().url)
        assert "robots.txt: Disallow" in refused["finding"]
    (document,), rejected = extract(recording(), denial(1), revisit_of(recording(), 2))
    assert (document["title"], rejected) == ("Low Tide", [])


def test_a_no_wins_over_a_yes_of_the_same_moment():
    for order in permutations([recording(), denial(0)]):
        assert extract(*order)[0] == []


def test_an_unchanged_page_that_was_never_read_is_told_of():
    _, (refused,) = extract(revisit_of(recording(), 1))
    assert refused["reason"] == "revisit_without_body"
    _, (refused,) = extract(recording(id=None), revisit_of(recording(id=None), 1))
    assert refused["reason"] == "not_a_recording"


def test_a_record_of_a_dump_is_read_by_the_page_object_of_its_kind():
    dumped = replace(recording(), form="resource", headers={"content-type": "application/json"})
    (document,), rejected = extract(dumped)
    assert (document["title"], rejected) == ("Low Tide", [])


def test_a_value_no_column_can_hold_costs_its_document_alone():
    class Careless(SOURCES["schemaorg"].pages[0]):
        def documents(self):
            good = {"record_id": "1", "granularity": "page", "title": "Sound"}
            return [good, {**good, "record_id": "2", "year": "MMIX"}, {**good, "record_id": "3", "mbid": "\ud83d"}]

    sources = {**SOURCES, "schemaorg": replace(SOURCES["schemaorg"], pages=(Careless,))}
    documents, rejected = extract_documents([page("<p>x</p>"), recording()], sources)
    assert sorted(documents["title"]) == ["Low Tide", "Sound"]
    assert rejected["reason"].to_list() == ["document_invalid"] * 2


def stupid_choice(captures):
    """What the docstring of `extract_documents` says, capture by capture: title by address, or why there is none."""
    outcome = {}
    for url in {capture.url for capture in captures}:
        mine = [capture for capture in captures if capture.url == url]
        newest = max(mine, key=lambda capture: (capture.retrieved_at, capture.consent != "allow"))
        sound = [capture for capture in mine if capture.body.startswith(b'{"id"') and capture.consent == "allow"]
        revisits = [capture for capture in mine if capture.form == "revisit"]
        by_time = attrgetter("retrieved_at")
        if newest.consent != "allow":
            outcome[url] = "consent_denied"
        elif not sound:
            tried = any(one.form == "response" and one.consent == "allow" for one in mine)
            outcome[url] = "body_empty" if tried else "revisit_without_body"
        else:
            chosen = max(sound, key=by_time)
            found = max(revisits, key=by_time, default=None)
            if found is not None and found.retrieved_at > chosen.retrieved_at:
                again = [one for one in sound if sha256(one.body).hexdigest() == found.body_sha256]
                chosen = max(again, key=by_time, default=chosen)
            outcome[url] = json.loads(chosen.body)["title"]
    return outcome


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from("rrrvvedn"), st.integers(0, 2)), max_size=12))
def test_the_capture_that_counts_is_the_one_a_stupid_loop_finds(steps):
    captures = []
    for day, (address, what, version) in enumerate(steps):
        url = f"https://m/{address}"
        body = recording(id=f"{address:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f", title=f"{address} {version}").body
        capture = later(day, url=url, body=body)
        if what == "v":
            capture = replace(revisit_of(capture, day), url=url)
        elif what == "n":
            capture = replace(denial(day), url=url)
        elif what == "e":
            capture = replace(capture, body=b"")
        elif what == "d":
            capture = replace(capture, consent="deny")
        captures.append(replace(capture, task_key=url))
    documents, rejected = extract(*captures)
    found = {row["url"]: row["title"] for row in documents} | {row["key"]: row["reason"] for row in rejected}
    assert found == stupid_choice(captures)


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
