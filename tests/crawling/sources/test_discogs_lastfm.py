"""Discogs and Last.fm beyond their fixtures: seeds, references from elsewhere, and keys."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from sourcing.crawling.sources import SOURCES, Lead, PageError, resolved

DISCOGS, LASTFM = SOURCES["discogs"], SOURCES["lastfm"]
TRACK = {"track_id": "t1", "title": "Low\n Tide", "artist": "Harbour & Kite", "mbid": "x", "isrc": "GBAAA1400001"}


def asked(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_seeds_ask_by_artist_and_title():
    (search,) = DISCOGS.tasks(TRACK, DISCOGS)
    assert search.kind == "search" and search.track_id == "t1"
    words = {"artist": "Harbour & Kite", "track": "Low Tide"}
    assert asked(search.url) == {"type": "release", "per_page": "10", **words}
    (info,) = LASTFM.tasks(TRACK, LASTFM)
    assert info.kind == "track" and info.track_id == "t1"
    assert asked(info.url) == {"method": "track.getInfo", "autocorrect": "1", "format": "json", **words}


@pytest.mark.parametrize(
    ("ref", "artist", "title"),
    [
        ("Harbour+%26+Kite/_/Low+Tide", "Harbour & Kite", "Low Tide"),
        ("Harbour+&+Kite/_/Low+Tide", "Harbour & Kite", "Low Tide"),
        ("%E3%81%8B/_/1%2B1", "か", "1+1"),
        ("A/_/B/_/C", "A", "B/_/C"),
    ],
)
def test_a_reference_from_wikidata_is_asked_for_by_the_names_in_it(ref: str, artist: str, title: str):
    (task,) = resolved([Lead("lastfm", "track", ref)], SOURCES)
    assert task.kind == "track" and asked(task.url)["artist"] == artist and asked(task.url)["track"] == title


@pytest.mark.parametrize("ref", ["Harbour+%26+Kite", "Harbour/Slack+Water", "Harbour/_/", ""])
def test_a_reference_to_no_track_is_refused_before_it_costs_a_request(ref: str):
    with pytest.raises(PageError, match="reference_unreadable"):
        LASTFM.ask("track", ref)


def test_discogs_records_are_asked_for_by_id():
    tasks = list(resolved([Lead("discogs", "master", "4711"), Lead("discogs", "release", "1/../2")], SOURCES))
    assert [task.url for task in tasks] == [
        "https://api.discogs.com/masters/4711",
        "https://api.discogs.com/releases/1%2F..%2F2",
    ]


def test_keys_travel_as_each_site_wants_them_and_to_its_own_host_only():
    environment = {"DISCOGS_TOKEN": "d1", "LASTFM_API_KEY": "l 1"}
    url, headers = DISCOGS.signed("https://api.discogs.com/releases/1", environment)
    assert url == "https://api.discogs.com/releases/1" and headers["Authorization"] == "Discogs token=d1"
    url, headers = LASTFM.signed("https://ws.audioscrobbler.com/2.0/?method=track.getInfo", environment)
    assert url.endswith("&api_key=l%201") and "Authorization" not in headers
    for source in (DISCOGS, LASTFM):
        url, headers = source.signed("https://example.org/x", environment)
        assert (url, headers) == ("https://example.org/x", dict(source.headers))
