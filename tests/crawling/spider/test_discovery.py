"""From a title and an artist to the right pages: every hop is read by the source's own page object."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import pytest

from sourcing.crawling.sources import (
    SOURCES,
    Capture,
    Lead,
    Source,
    TaskSpec,
    listenbrainz,
    musicbrainz,
    resolved,
    wikidata,
    wikipedia,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"
MBID = "00000001-1a2b-4c3d-8e4f-5a6b7c8d9e0f"
ROW = {"track_id": "t1", "title": "Low Tide", "artist": "Harbour & Kite", "mbid": None, "isrc": None, "language": None}
#: What the invented web answers: a piece of the (unquoted) address → the fixture that lies there.
WEB = {
    'musicbrainz.org/ws/2/recording?query=recording:"Low Tide"': "musicbrainz/search_hits",
    f"musicbrainz.org/ws/2/recording/{MBID}": "musicbrainz/recording_full",
    f"api.listenbrainz.org/1/metadata/recording/?recording_mbids={MBID}": "listenbrainz/recording_full",
    f"haswbstatement:P4404={MBID}": "wikidata/search_by_mbid",
    "Special:EntityData/Q900001.json": "wikidata/entity_song",
    "wbgetentities&ids=Q900001|": "wikidata/labels_song",
    "en.wikipedia.org/w/api.php?action=query&prop=extracts": "wikipedia/song",
    "zh.wikipedia.org/w/api.php?action=query&prop=extracts": "wikipedia/song_zh_hans",
    "en.wikipedia.org/w/api.php?action=parse": "wikipedia/infobox_song_en",
    "zh.wikipedia.org/w/api.php?action=parse": "wikipedia/infobox_single_zh",
}


def page_of(source: Source, kind: str, body: bytes, url: str = ""):
    capture = Capture(source.name, kind, "key", url, 200, {}, body, datetime(2026, 11, 2, tzinfo=UTC), "t1")
    return source.page_for(kind)(capture, source)


def fixture(name: str) -> bytes:
    return (FIXTURES / name / "input.json").read_bytes()


def walk(seeds: list[TaskSpec], sources: Mapping[str, Source]) -> tuple[dict[str, TaskSpec], dict, dict[str, str]]:
    """Tasks by URL, documents by source and record, and which URL led to each; asks what `WEB` knows."""
    tasks = {task.url: task for task in seeds}
    todo, documents, led_by = deque(seeds), {}, {}
    while todo:
        task = todo.popleft()
        body = next((name for piece, name in WEB.items() if piece in unquote(task.url)), None)
        if body is None:
            continue  # a page this small web does not have
        page = page_of(sources[task.source], task.kind, fixture(body), task.url)
        documents |= {(task.source, row["record_id"]): row for row in page.documents()}
        for further in resolved(page.follow(), sources):
            assert further.priority > 0
            if further.url not in tasks:
                tasks[further.url], led_by[further.url] = further, task.url
                todo.append(further)
    return tasks, documents, led_by


def test_a_title_and_an_artist_lead_to_two_articles_a_master_and_a_lastfm_track():
    tasks, documents, led_by = walk(list(musicbrainz.tasks(ROW, musicbrainz.SOURCE)), SOURCES)

    found = {(task.source, task.kind) for task in tasks.values()}
    assert {("discogs", "master"), ("lastfm", "track"), ("listenbrainz", "recording")} <= found
    assert any(task.source == "discogs" and "424242" in task.url for task in tasks.values())
    assert any(task.source == "lastfm" and "Low%20Tide" in task.url for task in tasks.values())
    assert documents["wikipedia", "en:101"]["artist"] == "Harbour & Kite featuring Ana Cruz"
    assert documents["wikipedia", "zh-Hans:201"]["artist"] == "Harbour & Kite"
    assert documents["wikipedia", "zh:201:infobox"]["duration_s"] == 214
    assert documents["wikidata", "Q900001:zh"]["title"] == "退潮"
    assert documents["listenbrainz", MBID]["tags"][0] == {"name": "ambient", "count": 4}

    article = next(url for url in tasks if "zh.wikipedia" in url and "extracts" in url)
    hops = []
    while article is not None:
        hops.append((tasks[article].source, tasks[article].kind))
        article = led_by.get(article)
    assert hops[::-1] == [
        ("musicbrainz", "search"),
        ("musicbrainz", "recording"),
        ("wikidata", "mbid"),
        ("wikidata", "entity"),
        ("wikipedia", "page"),
    ]


def test_a_wikipedia_article_alone_leads_to_the_same_places():
    seeds = [wikipedia.SOURCE.ask("page", "en:Low Tide (Harbour & Kite song)", track_id="t1")]
    tasks, documents, _ = walk(seeds, SOURCES)
    assert {("discogs", "master"), ("lastfm", "track")} <= {(task.source, task.kind) for task in tasks.values()}
    assert ("wikipedia", "zh-Hans:201") in documents
    assert ("musicbrainz", MBID) in documents


def test_a_lead_to_a_source_that_is_off_leads_nowhere():
    on = {name: SOURCES[name] for name in ("musicbrainz", "wikidata")}
    tasks, _, _ = walk(list(musicbrainz.tasks(ROW, musicbrainz.SOURCE)), on)
    assert {task.source for task in tasks.values()} == {"musicbrainz", "wikidata"}


@pytest.mark.parametrize(
    ("known", "kinds"),
    [
        ({}, {"musicbrainz": ["search"], "wikidata": [], "listenbrainz": []}),
        ({"isrc": "GBAAA1400001"}, {"musicbrainz": ["isrc"], "wikidata": ["isrc"], "listenbrainz": []}),
        (
            {"isrc": "GBAAA1400001", "mbid": MBID},
            {"musicbrainz": ["recording"], "wikidata": ["mbid"], "listenbrainz": ["recording"]},
        ),
    ],
)
def test_an_exact_identifier_goes_before_a_search(known, kinds):
    row = {**ROW, **known}
    for source in (musicbrainz.SOURCE, wikidata.SOURCE, listenbrainz.SOURCE):
        seeds = list(source.tasks(row, source))
        assert [seed.kind for seed in seeds] == kinds[source.name]
        assert all(seed.track_id == "t1" for seed in seeds)


@pytest.mark.parametrize(
    ("address", "lead"),
    [
        ("https://www.wikidata.org/wiki/Q42", Lead("wikidata", "entity", "Q42")),
        ("http://zh.wikipedia.org/wiki/%E9%80%80%E6%BD%AE_(x)?a=b", Lead("wikipedia", "page", "zh:退潮 (x)")),
        ("https://www.discogs.com/master/424242", Lead("discogs", "master", "424242")),
        ("https://www.discogs.com/release/515151-Harbour-Kite-Low-Tide", Lead("discogs", "release", "515151")),
        ("https://www.discogs.com/artist/1", None),
        ("https://www.last.fm/music/Harbour+&+Kite/_/Low+Tide", Lead("lastfm", "track", "Harbour+&+Kite/_/Low+Tide")),
        ("https://www.last.fm/music/Harbour+&+Kite", None),
        (
            "https://kite.bandcamp.com/track/low-tide",
            Lead("bandcamp", "page", "https://kite.bandcamp.com/track/low-tide"),
        ),
        ("https://www.jamendo.com/track/12345/low-tide", Lead("jamendo", "track", "12345")),
        ("https://archive.org/details/low-tide_2014", Lead("internetarchive", "item", "low-tide_2014")),
        ("https://ccmixter.org/files/kite/4242", Lead("ccmixter", "upload", "4242")),
        ("https://notwikidata.org/wiki/Q42", None),
        ("https://www.wikidata.org/wiki/Q42/history", None),
        ("https://evil.example/https://www.wikidata.org/wiki/Q42", None),
        ("https://www.youtube.com/watch?v=x", None),
    ],
)
def test_an_address_on_a_recording_leads_on_where_it_names_a_record(address, lead):
    body = b'{"id": "%s", "title": "x", "relations": [{"url": {"resource": "%s"}}]}' % (MBID.encode(), address.encode())
    follow = list(page_of(musicbrainz.SOURCE, "recording", body).follow())
    assert follow[:2] == [Lead("listenbrainz", "recording", MBID), Lead("wikidata", "mbid", MBID)]
    assert follow[2:] == ([lead] if lead else [])
    for task in resolved(follow, SOURCES):  # every lead is one its source can be asked by
        assert SOURCES[task.source].page_for(task.kind)


def test_an_item_that_many_have_sung_leads_to_none_of_their_recordings():
    leads = list(page_of(wikidata.SOURCE, "entity", fixture("wikidata/entity_redirected")).follow())
    assert not [lead for lead in leads if lead.source == "musicbrainz"]


def test_an_item_of_an_artist_leads_nowhere():
    assert list(page_of(wikidata.SOURCE, "entity", fixture("wikidata/entity_band")).follow()) == []


def test_an_item_is_a_document_once():
    """Either at once or with the names it needs: never a poor one that a later crawl could put over a rich one."""
    for case, at_once in (("entity_song", False), ("entity_album", True)):
        page = page_of(wikidata.SOURCE, "entity", fixture(f"wikidata/{case}"))
        led = [lead for lead in page.follow() if isinstance(lead, TaskSpec)]
        assert (bool(page.documents()), [task.kind for task in led]) == (at_once, [] if at_once else ["labels"])


def test_languages_of_wikidata_are_those_of_wikipedia():
    assert wikidata.SOURCE.languages == wikipedia.SOURCE.languages


def hosts(row: Mapping[str, object], source: Source) -> list[str]:
    return [task.url.split("/")[2] for task in source.tasks(row, source)]


def test_every_edition_is_searched_once_and_the_tracks_own_as_well():
    source = replace(wikipedia.SOURCE, languages=("en", "zh", "zh-hant"))
    assert hosts(ROW, source) == ["en.wikipedia.org", "zh.wikipedia.org"]
    assert hosts({**ROW, "language": "de-AT"}, source) == ["en.wikipedia.org", "zh.wikipedia.org", "de.wikipedia.org"]
    assert hosts({**ROW, "language": "zh-Hant"}, source) == ["en.wikipedia.org", "zh.wikipedia.org"]
    assert hosts({**ROW, "language": "und"}, source) == ["en.wikipedia.org", "zh.wikipedia.org"]


def test_a_host_of_ones_own_is_asked_once():
    source = replace(wikipedia.SOURCE, base_url="http://127.0.0.1:9/wikipedia")
    assert len(list(source.tasks(ROW, source))) == 1
    assert source.ask("page", "en:Low Tide").url == source.ask("page", "zh:Low Tide").url


def test_an_edition_in_the_path_of_ones_own_host_leads_to_its_own_infobox():
    source = replace(wikipedia.SOURCE, base_url="http://127.0.0.1:9/wp-{language}")
    asked = source.ask("page", "zh:退潮").url
    leads = page_of(source, "page", fixture("wikipedia/song_zh_hans"), asked).follow()
    infoboxes = [task.url for task in resolved(leads, {"wikipedia": source}) if task.kind == "wikitext"]
    assert [url.split("/")[3] for url in infoboxes] == ["wp-zh"]


def test_each_way_of_writing_chinese_is_an_article_of_its_own_and_the_infobox_is_shared():
    source = replace(wikipedia.SOURCE, languages=("zh-hans", "en", "zh-hant"))
    url = next(task.url for task in source.tasks({**ROW, "title": "退潮"}, source) if "zh." in task.url)
    body = '{"query": {"search": [{"title": "退潮 (歌曲)"}]}}'.encode()
    leads = list(page_of(source, "search", body, url).follow())
    assert [lead.ref for lead in leads] == ["zh-hans:退潮 (歌曲)", "zh-hant:退潮 (歌曲)"]

    articles = list(resolved(leads, {"wikipedia": source}))
    pages = [page_of(source, "page", fixture("wikipedia/song_zh_hans"), task.url) for task in articles]
    rows = [page.documents()[0] for page in pages]
    assert [(row["language"], row["record_id"]) for row in rows] == [
        ("zh-Hans", "zh-Hans:201"),
        ("zh-Hant", "zh-Hant:201"),
    ]
    infoboxes = {task.url for page in pages for task in resolved(page.follow(), {"wikipedia": source})}
    assert len(infoboxes) == 1
    assert "variant" not in infoboxes.pop()


@pytest.mark.parametrize(
    ("ref", "host", "title"),
    [
        ("Low Tide", "en.wikipedia.org", "Low%20Tide"),
        ("de:Nachtfähre", "de.wikipedia.org", "Nachtf%C3%A4hre"),
        ("zh-hant:退潮", "zh.wikipedia.org", "%E9%80%80%E6%BD%AE"),
        ("zh-yue:退潮", "zh-yue.wikipedia.org", "%E9%80%80%E6%BD%AE"),
        ("Re: Stacks", "en.wikipedia.org", "Re%3A%20Stacks"),
        ("en:Re: Stacks", "en.wikipedia.org", "Re%3A%20Stacks"),
    ],
)
def test_a_reference_names_an_edition_and_a_title(ref, host, title):
    url = wikipedia.SOURCE.ask("page", ref).url
    assert url.startswith(f"https://{host}/w/api.php?")
    assert f"&titles={title}&" in url
    assert ("&variant=zh-hant&" in url) == ref.startswith("zh-hant")


def test_hits_called_like_the_track_come_first_and_only_a_few_are_followed():
    source = wikipedia.SOURCE
    url = next(iter(source.tasks({**ROW, "title": "Low  tide", "artist": "Harbour"}, source))).url
    titles = ["Harbour", "Tides", "Low Tide (Harbour & Kite song)", "Sea", "Low tide"]
    body = json.dumps({"query": {"search": [{"title": title} for title in titles]}})
    leads = list(page_of(source, "search", body.encode(), url).follow())
    assert [lead.ref for lead in leads] == ["en:Low Tide (Harbour & Kite song)", "en:Low tide", "en:Harbour"]


def test_a_refused_article_leads_nowhere_and_is_refused_once():
    page = page_of(
        wikipedia.SOURCE, "page", fixture("wikipedia/song").replace(b'"pages": [', b'"pages": [{"missing": true},')
    )
    assert len(page.documents()) == 1
    assert {lead.source for lead in page.follow()} == {"wikipedia", "wikidata"}
    assert [error.reason for error in page.refused] == ["page_missing"]
