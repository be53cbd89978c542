"""Bandcamp pages as a reader takes them: a label is no artist, a town no tag, a catalogue number no title."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing.credits import parted_title, without_catalogue_number
from sourcing.crawling.sources import SOURCES, Capture

LABEL = {"@type": "MusicGroup", "name": "Odd Lot Records", "@id": "https://oddlot.bandcamp.com"}
BAND = {"@type": "MusicGroup", "name": "Harbour & Kite"}


def page(node, body="", url="https://oddlot.bandcamp.com/track/low-tide"):
    node = {"@type": "MusicRecording", "name": "Low Tide", **node}
    ld = f'<script type="application/ld+json">{json.dumps(node)}</script>'
    capture = Capture(
        source="bandcamp",
        kind="page",
        task_key="k",
        url=url,
        status=200,
        headers={"content-type": "text/html"},
        body=f"<html><head>{ld}</head><body>{body}</body></html>".encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    (document,) = extract_documents([capture], SOURCES)[0].to_dicts()
    return document


def tracks(*names):
    entries = [{"@type": "ListItem", "item": {"@type": "MusicRecording", "name": name}} for name in names]
    return {"@type": "ItemList", "itemListElement": entries}


ALBUM = {"@type": "MusicAlbum"}
SAMPLER = tracks("Lena Osk - Ebb", "Nordlicht - Flut", "The Owls - Slack", "Harbour & Kite - Low Tide")
CREDITS = [
    # (what the record says, artist, title)
    ({"name": "Lena Osk - Ebb", "byArtist": LABEL, "publisher": LABEL}, "Lena Osk", "Ebb"),
    ({"name": "Ebb", "byArtist": {"name": "Lena Osk"}, "publisher": LABEL}, "Lena Osk", "Ebb"),
    ({"name": "Ebb", "byArtist": LABEL, "publisher": LABEL}, None, "Ebb"),
    ({"name": "Lena Osk - Ebb", "byArtist": {"name": "Various Artists"}, "publisher": LABEL}, "Lena Osk", "Ebb"),
    ({"name": "Ebb", "byArtist": {"name": "V/A"}, "publisher": LABEL}, None, "Ebb"),
    ({"name": "Lena Osk – Ebb", "byArtist": {"name": "Various"}, "publisher": LABEL}, "Lena Osk", "Ebb"),
    ({"name": "Harbour & Kite - Low Tide", "byArtist": BAND, "publisher": BAND}, "Harbour & Kite", "Low Tide"),
    ({"name": "Ebb - Live in Leith", "byArtist": BAND, "publisher": BAND}, "Harbour & Kite", "Ebb - Live in Leith"),
    ({"name": "Act I - The Storm", "byArtist": BAND, "publisher": BAND}, "Harbour & Kite", "Act I - The Storm"),
    ({"name": "Jean-Luc", "byArtist": LABEL, "publisher": LABEL}, None, "Jean-Luc"),
    ({"name": "Ebb", "byArtist": [BAND, {"name": "Lena Osk"}], "publisher": BAND}, "Harbour & Kite, Lena Osk", "Ebb"),
    ({"name": "Ebb", "publisher": LABEL}, None, "Ebb"),
    ({**ALBUM, "name": "Tides", "byArtist": "Various Artists", "publisher": LABEL}, "Various Artists", "Tides"),
    ({**ALBUM, "name": "Tides", "byArtist": LABEL, "publisher": LABEL, "track": SAMPLER}, "Various Artists", "Tides"),
    ({**ALBUM, "name": "Lena Osk - Tides", "byArtist": LABEL, "publisher": LABEL}, "Lena Osk", "Tides"),
    (
        {"name": "Lena Osk - Ebb", "byArtist": "Kiel", "publisher": {"name": "Kiel", "description": "A net-label."}},
        "Lena Osk",
        "Ebb",
    ),
    (
        {**ALBUM, "name": "Tides", "byArtist": {"name": "Kiel"}, "publisher": {"name": "Kiel"}, "track": SAMPLER},
        "Various Artists",
        "Tides",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("node", "artist", "title"), CREDITS)
def test_a_label_is_no_artist(node, artist, title):
    document = page(node)
    assert (document["artist"], document["title"]) == (artist, title)
    assert document["title_raw"] == node["name"]


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("[OLR-001] Low Tide", "Low Tide"),
        ("Low Tide [CAT123]", "Low Tide"),
        ("Low Tide (OLR007)", "Low Tide"),
        ("OLR012: Low Tide", "Low Tide"),
        ("OLR-012 - Low Tide", "Low Tide"),
        ("Low Tide - OLR012", "Low Tide"),
        ("Low Tide EP [OLR 021]", "Low Tide EP"),
        ("[OLRLP05] Low Tide", "Low Tide"),
        ("Low Tide [OLR-D04CD]", "Low Tide"),
        ("Low Tide [2012]", "Low Tide [2012]"),
        ("Low Tide (Part 2)", "Low Tide (Part 2)"),
        ("Low Tide [LIVE 2012]", "Low Tide [LIVE 2012]"),
        ("Partita (BWV 1001)", "Partita (BWV 1001)"),
        ("Low Tide (VOL 2)", "Low Tide (VOL 2)"),
        ("Low Tide [Remix]", "Low Tide [Remix]"),
        ("UB40", "UB40"),
        ("[OLR001]", "[OLR001]"),
        ("MC900 - Low Tide", "MC900 - Low Tide"),
        ("B2 - Slow", "B2 - Slow"),
    ],
)
def test_a_catalogue_number_is_no_part_of_a_title(title, plain):
    assert without_catalogue_number(title) == plain


@pytest.mark.parametrize(
    ("title", "artist"),
    [
        ("Lena Osk - Ebb", "Lena Osk"),
        ("Ebb - Live", None),
        ("Ebb - Lena Osk Remix", None),
        ("Ebb - Pt. 2", None),
        ("Ebb-Flut", None),
        ("Ebb -", None),
        (" - " * 200, None),
    ],
)
def test_a_version_behind_a_dash_makes_no_artist_of_what_precedes_it(title, artist):
    assert parted_title(title)[0] == artist


@pytest.mark.parametrize(
    ("keywords", "place", "body", "tags"),
    [
        (["Ambient", "dub", "Berlin"], "Berlin, Germany", "", ["Ambient", "dub"]),
        (["folk", "slow", "Portland, Oregon"], "Portland, Oregon", "", ["folk", "slow"]),
        (["folk", "slow", "Portland, Oregon"], None, "", ["folk", "slow"]),
        ("folk, slow, Portland, Oregon", "Portland, Oregon", "", ["folk", "slow"]),
        (["folk", "oregon", "portland"], "Portland, Oregon", "", ["folk"]),
        (["Electronic", "ambient", "drone", "Berlin"], None, "", ["Electronic", "ambient", "drone"]),
        (["folk", "Leith"], None, '<span class="location secondaryText">Leith, UK</span>', ["folk"]),
        (["Electronic", "ambient", "IDM"], None, "", ["Electronic", "ambient", "IDM"]),
        (["Jazz", "Fusion", "Berlin"], None, "", ["Jazz", "Fusion", "Berlin"]),
        (["berlin school", "Berlin"], "Berlin", "", ["berlin school"]),
        (["Ambient"], None, "", ["Ambient"]),
        ([], "Berlin", "", []),
    ],
)
def test_a_town_is_no_tag(keywords, place, body, tags):
    where = {"foundingLocation": {"@type": "Place", "name": place} if place else None}
    document = page({"keywords": keywords, "byArtist": BAND, "publisher": {**BAND, **where}}, body)
    assert [tag["name"] for tag in document["tags"]] == tags


BUTTON = (
    '<div id="license" class="info license"><a class="cc-icons" rel="license" href="{}">some rights reserved</a></div>'
)


def licence_name(name):
    return {"additionalProperty": [{"@type": "PropertyValue", "name": "license_name", "value": name}]}


@pytest.mark.parametrize(
    ("node", "body", "licence"),
    [
        ({}, BUTTON.format("https://creativecommons.org/licenses/by/4.0/"), "CC-BY-4.0"),
        (
            licence_name("attribution"),
            BUTTON.format("http://creativecommons.org/licenses/by-nc-nd/3.0/"),
            "CC-BY-NC-ND-3.0",
        ),
        (licence_name("attribution"), "", "unknown"),
        (licence_name("all_rights_reserved"), BUTTON.format("https://creativecommons.org/licenses/by/4.0/"), "unknown"),
        ({"license": "https://creativecommons.org/publicdomain/zero/1.0/"}, "", "CC0-1.0"),
        ({}, "", "unknown"),
        (
            {},
            '<aside><a rel="license" href="https://creativecommons.org/licenses/by/4.0/">a sample</a></aside>',
            "unknown",
        ),
    ],
)
def test_the_licence_is_the_one_the_page_states(node, body, licence):
    document = page(node, body)
    assert {entry["licence"] for entry in document["licences"]} == {licence}


def test_a_licence_that_cannot_be_named_is_kept_as_evidence():
    assert page(licence_name("attribution"))["consent_evidence"] == ["licence: attribution"]


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ("Slow drums.\nIncludes unlimited streaming of Low Tide via the free Bandcamp app, plus high-quality "
         "download in MP3, FLAC and more.\n€7 EUR or more", "Slow drums."),
        ("Pre-order of Low Tide. You get 1 track now.\nSlow drums.", "Slow drums."),
        ("Slow drums.\nShips out within 3 days\nEdition of 100", "Slow drums."),
        ("name your price", None),
        ("Buy Digital Album\nSlow drums, and no bass.", "Slow drums, and no bass."),
        ("Slow drums.<br>Soft <em>bells</em>, (far off).", "Slow drums. Soft bells, (far off)."),
        ("The harbour lets me go\nSlow drums.", "Slow drums."),
        ("They take $5 at the door and play until late.", "They take $5 at the door and play until late."),
        ("Includes a choir that nobody asked for.", "Includes a choir that nobody asked for."),
    ],
)  # fmt: skip
def test_what_the_shop_says_and_what_is_sung_is_no_text(description, text):
    sung = {"recordingOf": {"lyrics": {"text": "The harbour lets me go\nand I let it"}}}
    assert page({"description": description, "creditText": "Mixed by J. Doe", **sung})["text"] == text


@pytest.mark.parametrize(
    ("published", "year"), [("14 Sep 2013 00:00:00 GMT", 2013), ("01 Jan 9999", None), ("soon", None)]
)
def test_a_year_of_the_far_future_is_none(published, year):
    assert page({"datePublished": published})["year"] == year
