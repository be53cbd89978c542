"""Structured data in every form sites write it in: what a reader of the page would name, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing.values import duration_s
from sourcing.crawling.sources import SOURCES, Capture

URL = "https://music.example/low-tide"
SENTENCE = "A slow piece for piano and cello, recorded in a large hall in winter, by two people who hardly speak. "
PROSE = f"<article><p>{SENTENCE * 3}</p></article>"
SONG = {"@type": "MusicRecording", "name": "Low Tide", "byArtist": {"@type": "MusicGroup", "name": "Harbour & Kite"}}
OTHER = {"@type": "MusicRecording", "name": "Night Ferry", "byArtist": {"name": "Lena Osk"}}


def read(*nodes, head="", body=""):
    blocks = "".join(
        f'<script type="application/ld+json">{node if isinstance(node, str) else json.dumps(node)}</script>'
        for node in nodes
    )
    capture = Capture(
        source="schemaorg",
        kind="page",
        task_key="k",
        url=URL,
        status=200,
        headers={"content-type": "text/html; charset=utf-8"},
        body=f"<html lang='en'><head><title>A page</title>{head}{blocks}</head><body>{body}</body></html>".encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    return {row["title"]: row for row in extract_documents([capture], SOURCES)[0].to_dicts()}


@pytest.mark.parametrize(
    "node",
    [
        SONG,
        [SONG],
        [[SONG]],
        {"@graph": [SONG]},
        {"@graph": SONG},
        {"@graph": {"@graph": [SONG]}},
        {**SONG, "@type": ["Product", "MusicRecording"]},
        {**SONG, "@type": "http://schema.org/MusicRecording"},
        {**SONG, "name": "Low&nbsp;Tide", "byArtist": "Harbour &amp; Kite"},
        {**SONG, "byArtist": [{"@type": "MusicGroup", "name": "Harbour & Kite"}]},
        {**SONG, "byArtist": ["Harbour & Kite", "Harbour & Kite"]},
        {**SONG, "name": {"@value": "Low Tide", "@language": "en"}},
        {"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "position": 1, "item": SONG}]},
        {"@type": "WebPage", "mainEntity": SONG},
        {
            "@graph": [
                {**SONG, "byArtist": {"@id": "#a"}},
                {"@id": "#a", "@type": "MusicGroup", "name": "Harbour & Kite"},
            ]
        },
    ],
)
def test_a_song_is_found_in_every_form(node):
    assert read(node)["Low Tide"]["artist"] == "Harbour & Kite"


def test_a_malformed_block_costs_no_other():
    found = read('{"@type": "MusicRecording", "name": "x",}', SONG, '{"a": ' * 5000, '{"@type": "MusicGroup"')
    assert list(found) == ["Low Tide"]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("PT3M45S", 225.0),
        ("PT0H3M45S", 225.0),
        ("P0DT0H3M45S", 225.0),
        ("P0Y0M0DT0H3M45.000S", 225.0),
        ("P00H03M45S", 225.0),
        ("PT225S", 225.0),
        ("3:45", 225.0),
        ("0:03:45", 225.0),
        (["PT3M45S"], 225.0),
        ({"@type": "Duration", "name": "PT3M45S"}, 225.0),
        ("PT0S", None),
        ("-PT3M45S", None),
        ("PT-3M", None),
        ("P1M", None),
        ("P", None),
        ("PT" + "9" * 400 + "S", None),
        (-225, None),
        ({"name": {}}, None),
        ("", None),
    ],
)
def test_a_duration_in_every_form(written, seconds):
    assert duration_s(written) == seconds


@pytest.mark.parametrize(
    ("published", "year"),
    [
        ("2014-03-07", 2014),
        ("2014-03-07T00:00:00+01:00", 2014),
        (2014, 2014),
        (["2014-03-07"], 2014),
        ("2028-01-01", 2028),  # announced
        ("2999-01-01", None),
        ("9999-12-31T23:59:59Z", None),
        ("0001-01-01", None),
        ("-2014", None),
        ({"y": 1}, None),
        (10**30, None),
        ("soon", None),
    ],
)
def test_a_year_in_every_form(published, year):
    assert read({**SONG, "datePublished": published})["Low Tide"]["year"] == year


@pytest.mark.parametrize(
    "nodes",
    [
        [{**SONG, "url": URL}, OTHER],
        [OTHER, {**SONG, "@id": URL}],
        [{**SONG, "mainEntityOfPage": {"@type": "WebPage", "@id": URL}}, OTHER],
        [{"@type": "WebPage", "mainEntity": {"@id": "#s"}}, {**SONG, "@id": "#s"}, OTHER],
        [{"@type": "WebPage", "mainEntity": SONG}, {"@type": "ItemList", "itemListElement": [{"item": OTHER}]}],
    ],
)
def test_of_several_songs_the_pages_own_has_its_prose(nodes):
    found = read(*nodes, body=PROSE)
    assert (found["Low Tide"]["text"] or "").startswith(SENTENCE.strip())
    assert found["Night Ferry"]["text"] is None


def test_prose_of_a_page_about_several_songs_is_about_none():
    assert {row["text"] for row in read(SONG, OTHER, body=PROSE).values()} == {None}


def test_addresses_that_are_none_name_no_main_song():
    odd = {"@type": "WebPage", "mainEntity": [["x"], {"@id": ["x"]}, {"name": {"a": 1}}]}
    nodes = [{**SONG, "@id": ["q"], "url": {"a": 1}, "mainEntityOfPage": [1]}, {**OTHER, "@id": {"q": 1}}]
    assert {row["text"] for row in read(odd, *nodes, body=PROSE).values()} == {None}


def test_an_album_is_what_a_page_of_its_songs_is_about():
    album = {
        "@type": "MusicAlbum",
        "name": "Slack Water",
        "url": URL,
        "byArtist": SONG["byArtist"],
        "track": [SONG, OTHER],
    }
    found = read(album, body=PROSE)
    assert {title: bool(row["text"]) for title, row in found.items()} == {
        "Slack Water": True,
        "Low Tide": False,
        "Night Ferry": False,
    }


def meta(**tags):
    return "".join(f'<meta property="{name.replace("_", ":")}" content="{value}">' for name, value in tags.items())


def test_open_graph_speaks_where_no_structured_data_does():
    tags = {
        "og_title": "Low Tide",
        "music_duration": "225",
        "music_release:date": "2014-03-07",
        "music_album": "Slack Water",
    }
    head = '<meta property="og:type" content="music.song">' + meta(**tags, music_musician="Harbour &amp; Kite")
    head += '<meta property="music:release_date" content="2014-03-07">'
    (row,) = read(head=head, body=PROSE).values()
    assert (row["granularity"], row["title"], row["artist"]) == ("recording", "Low Tide", "Harbour & Kite")
    assert (row["album"], row["duration_s"], row["year"]) == ("Slack Water", 225.0, 2014)
    assert row["text"].startswith(SENTENCE.strip())
    assert list(read(OTHER, head=head)) == ["Night Ferry"]


@pytest.mark.parametrize(
    "head",
    [
        meta(og_type="website", og_title="Low Tide"),
        meta(og_type="music.playlist", og_title="Low Tide"),
        meta(og_type="music.song"),
        meta(
            og_type="music.song",
            og_title="Low Tide",
            music_musician="https://music.example/artist/7",
            music_duration="-1",
        ),
    ],
)
def test_open_graph_without_a_song_or_with_addresses_alone_names_no_artist(head):
    (row,) = read(head=head, body=PROSE).values()
    assert (row["artist"], row["duration_s"]) == (None, None)
