"""Answers captured from the real services: each becomes the document that a reader of the page would write down.

The files are not shipped. Every one of them is in `SAID`, or in `UNASKED` with why no source asks for its like.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture

SAMPLES = Path(__file__).parents[3].parent / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the captured samples are not beside this checkout")

SCHEMAORG, DISCOGS, CC0, WIKI = ("schemaorg", "page"), "discogs", "CC0-1.0", ("wikipedia", "wikitext")
ADAMS = "Douglas Noel Adams (11 March 1952 – 11 May 2001) was an English author, scriptwriter, essayist, humorist,"
#: file → source and kind it is an answer for, and what its documents say; tags in order, "" for a field not stated.
SAID = {
    "discogs/master_4242.json": (
        (DISCOGS, "master"),
        {"granularity": "release", "title": "City Of Islands", "artist": "The Persuader", "year": 1998, "text": None},
        ["Electronic", "Deep House", "Tech House"],
        {"title": CC0, "*": CC0},
    ),
    "discogs/release_1.json": (
        (DISCOGS, "release"),
        {"granularity": "release", "title": "Stockholm", "artist": "The Persuader", "album": "Stockholm", "year": 1999,
         "lead": "Recorded at the Globe studio in Stockholm. The titles are the names of Stockholm's districts."},
        ["Electronic", "Deep House"],
        {"title": CC0, "tags": CC0, "text": "unknown"},
    ),
    "discogs/release_2.json": (
        (DISCOGS, "release"),
        {"title": "Knockin' Boots Vol 2 Of 2", "artist": "Mr. James Barth & A.D.", "year": 1998,
         "text": "All joints recorded in NYC (Dec.97)."},
        ["Electronic", "Broken Beat", "Techno", "Tech House"],
        {"title": CC0, "text": "unknown"},
    ),
    "discogs/release_3.json": (
        (DISCOGS, "release"),
        {"title": "Profound Sounds Vol. 1", "artist": "Josh Wink", "year": 1999, "text": '1: Track title is given as'},
        ["Electronic", "Techno", "Tech House"],
        {"title": CC0, "text": "unknown"},
    ),
    "discogs/release_3329867.json": (
        (DISCOGS, "release"),
        {"title": "Darwinia Soundtrack", "artist": "Trash80 & Dma-Sc", "year": 2005, "text": None},
        ["Electronic", "Modern Classical", "Chiptune", "Breaks", "Ambient"],
        {"title": CC0, "tags": CC0},
    ),
    "discogs/release_79.json": (
        (DISCOGS, "release"),
        {"title": "City Of Islands", "artist": "The Persuader", "year": 1998,
         "text": "Recorded at the Globe Studio, Stockholm."},
        ["Electronic", "Deep House", "Tech House"],
        {"title": CC0, "text": "unknown"},
    ),
    "lastfm/track_get_info.xml": (
        ("lastfm", "track"),
        {"granularity": "recording", "title": "Believe", "artist": "Cher", "album": "Believe", "duration_s": 222.0,
         "permalink": "http://www.last.fm/music/Cher/_/Believe",
         "lead": '"Believe" is a Grammy Award winning global number one, Multi-Platinum Dance Song',
         "text": '"Believe" is a Grammy Award winning global number one'},
        ["pop", "dance", "90s", "cher"],
        {},
    ),
    "lastfm/track_get_info_force_array.xml": (
        ("lastfm", "track"),
        {"granularity": "recording", "title": "Believe", "artist": "Cher", "album": "Believe", "duration_s": 222.0},
        ["pop"],
        {},
    ),
    "lastfm/track_get_top_tags.xml": (
        ("lastfm", "toptags"),
        {"granularity": "recording", "title": "Paranoid Android", "artist": "Radiohead"},
        [("alternative", 100), ("alternative rock", 77)],
        {},
    ),
    "wikipedia/parse_infobox.json": (
        WIKI,
        {"granularity": "release", "title": "Blue Train", "artist": "John Coltrane", "year": 1958, "duration_s": 2570.0,
         "language": "en"},
        ["Hard bop"],
        {"*": "CC-BY-SA-4.0"},
    ),
    "wikipedia/query.json": (
        ("wikipedia", "page"),
        {"granularity": "page", "title": "Douglas Adams", "artist": None, "language": "en", "lead": ADAMS},
        [],
        {"text": "CC-BY-SA-4.0"},
    ),
    "wikipedia/redirect.json": (
        ("wikipedia", "page"),
        {"granularity": "page", "title": "Douglas Adams", "artist": None, "language": "en", "lead": ADAMS,
         "permalink": "https://en.wikipedia.org/w/index.php?title=Douglas_Adams&oldid=810162769"},
        [],
        {"text": "CC-BY-SA-4.0"},
    ),
    "wikipedia_wikitext/Tour-EP-(Band-of-Horses-EP).wikitext.txt": (
        WIKI,
        {"granularity": "release", "title": "Tour EP", "artist": "Band of Horses", "year": 2005, "duration_s": 1405.0},
        ["Indie rock"],
        {"*": "CC-BY-SA-4.0"},
    ),
    "schemaorg/elysianfields.html": (
        SCHEMAORG,
        {"granularity": "artist", "title": "Elysian Fields", "artist": "Elysian Fields", "language": "en",
         "permalink": "http://www.songkick.com/artists/236156-elysian-fields", "album": None, "year": None},
        [],
        {},
    ),
}  # fmt: skip
SEVERAL = {
    "schemaorg/MusicRecording.001.html": (
        SCHEMAORG,
        {
            "Rope": ("Foo Fighters", "Wasting Light", None, 245.0, [], "unknown"),
            "Everlong": ("Foo Fighters", "The Color And The Shape", None, 393.0, [], "unknown"),
        },
    ),
    "jamendo/tracks_include_musicinfo.json": (
        ("jamendo", "track"),
        {
            "mañana será tarde": (
                "fankel", "mañana será tarde", 2021, 272.0,
                ["rock", "bass", "guitar", "groovy", "happy", "instrumental", "electric", "fast"], "CC-BY-NC-ND-3.0",
            ),
            "Queensland [ High Energy Funk Instrumental ]": (
                "Lofi Lopez", "Queensland [ High Energy Funk Instrumental ]", 2021, 147.0,
                ["funk", "groovy", "neutral", "instrumental", "electric", "fast"], "CC-BY-NC-ND-3.0",
            ),
        },
    ),
}  # fmt: skip
#: file → as what it is read, and why it is no document
NONE = {
    "wikipedia/disambiguation.json": (("wikipedia", "page"), "disambiguation"),
    "wikipedia/parse_62.json": (WIKI, None),  # an article about a chemical: no infobox about music
    "wikipedia/parse_91.json": (WIKI, None),  # about an animal
    "wikipedia/wikidata.json": (("wikidata", "entity"), None),  # about a writer, who leads to no page about music
    "wikipedia_wikitext/Antique-(band).wikitext.txt": (WIKI, None),  # facts are read of recordings and releases
    "wikipedia_wikitext/Damphu-drum.wikitext.txt": (WIKI, None),
    "wikipedia_wikitext/Neil-McLean-(saxophonist).wikitext.txt": (WIKI, None),
}
UNASKED = {
    "discogs/artist_1.json": "artists are not asked for",
    "lastfm/album_get_info.xml": "albums are not asked for",
    "lastfm/album_get_top_tags.xml": "albums are not asked for",
    "lastfm/artist_get_info.xml": "artists are not asked for",
    "lastfm/track_get_tags.xml": "one user's tags",
    "lastfm/track_search.xml": "Last.fm is asked by artist and title",
    "wikipedia/rest_html.html": "the action API is asked, not the REST API",
    "wikipedia/rest_lead.json": "the action API is asked, not the REST API",
    "wikipedia/rest_summary.json": "the action API is asked, not the REST API",
    "schemaorg/MusicRecording.001.json": "what another library extracts from the page",
    "schemaorg/elysianfields.json": "what another library extracts from the page",
}


def as_json(element):
    """Last.fm's JSON of its XML: attributes under "@attr", repeated elements as a list, text alone as text."""
    value = {}
    for child in element:
        held = as_json(child)
        if child.tag in value:
            value[child.tag] = [*(v if isinstance(v := value[child.tag], list) else [v]), held]
        else:
            value[child.tag] = held
    if element.attrib:
        value["@attr"] = dict(element.attrib)
    text = (element.text or "").strip()
    return {**value, "#text": text} if value and text else value or text


def answer(name):
    """The body as the service sends it to us, and its address."""
    path = SAMPLES / name
    if path.suffix == ".xml":
        body = json.dumps(as_json(ElementTree.parse(path).getroot())).encode()
    elif name.startswith("wikipedia_wikitext"):
        title = path.name.removesuffix(".wikitext.txt").replace("-", " ")
        body = json.dumps({"parse": {"title": title, "pageid": 1, "wikitext": path.read_text("utf-8")}}).encode()
    else:
        body = path.read_bytes()
    return body, f"https://en.wikipedia.org/{name}" if "wiki" in name else f"https://www.songkick.com/{name}"


def extract(name, source, kind):
    body, url = answer(name)
    capture = Capture(
        source=source,
        kind=kind,
        task_key="k",
        url=url,
        status=200,
        headers={"content-type": "text/html" if name.endswith("html") else "application/json"},
        body=body,
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents, rejected = extract_documents([capture], SOURCES)
    return documents.to_dicts(), [row["reason"] for row in rejected.to_dicts()]


def test_every_sample_is_accounted_for():
    files = {str(path.relative_to(SAMPLES)) for path in SAMPLES.rglob("*") if path.is_file()}
    wanted = {name for name in files if not name.endswith("SOURCES.txt")}
    assert wanted == {*SAID, *SEVERAL, *NONE, *UNASKED}


@pytest.mark.parametrize("name", SAID)
def test_a_sample_says_what_a_reader_would_name(name):
    asked, fields, tags, licences = SAID[name]
    (document,), rejected = extract(name, *asked)
    assert rejected == []
    for field, value in fields.items():
        if field in ("lead", "text") and value:
            assert document[field].startswith(value)
        else:
            assert document[field] == value, field
    named = [(tag["name"], tag["count"]) if tag["count"] else tag["name"] for tag in document["tags"]]
    assert named[: len(tags)] == tags
    assert bool(named) == bool(tags)
    stated = {entry["field"]: entry["licence"] for entry in document["licences"]}
    assert {field: stated[field] for field in licences} == licences
    assert "*" in stated


@pytest.mark.parametrize("name", SEVERAL)
def test_a_sample_about_several_recordings_says_so_of_each(name):
    asked, expected = SEVERAL[name]
    documents, rejected = extract(name, *asked)
    assert rejected == []
    assert {
        row["title"]: (
            *(row[field] for field in ("artist", "album", "year", "duration_s")),
            [tag["name"] for tag in row["tags"]],
            {entry["field"]: entry["licence"] for entry in row["licences"]}["title"],
        )
        for row in documents
    } == expected


@pytest.mark.parametrize("name", NONE)
def test_a_sample_that_is_about_no_recording_is_no_document(name):
    asked, reason = NONE[name]
    assert extract(name, *asked) == ([], [reason] if reason else [])
