"""The demo's site answers in the shapes of its three sources, and says in its log what it answered."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import pytest

from sourcing.crawling.source import Capture, PageError
from sourcing.crawling.sources import musicbrainz, resolved, schemaorg, wikipedia
from sourcing.demo.site import DemoSite, answer
from sourcing.demo.web import Web, build_web, review_urls
from sourcing.demo.world import World, build_world


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(0, 300)


@pytest.fixture(scope="module")
def web(world: World) -> Web:
    return build_web(world)


def read(module, web: Web, task, base: str):
    """Documents and further tasks of a task, by the source's own page object."""
    parts = urlsplit(task.url)
    status, kind, text = answer(web, f"{parts.path}?{parts.query}" if parts.query else parts.path)
    capture = Capture(
        module.NAME, task.kind, "key", task.url, status, {"content-type": kind}, text.encode(), datetime.now(UTC)
    )
    source = replace(module.SOURCE, base_url=base)
    page = source.page_for(task.kind)(capture, source)
    return page.documents(), list(resolved(page.follow(), {module.NAME: source}))


def follow_all(module, web: Web, row: dict, base: str) -> list[dict]:
    todo, documents = list(module.SOURCE.tasks(row, replace(module.SOURCE, base_url=base))), []
    while todo:
        answers, further = read(module, web, todo.pop(), base)
        documents += answers
        todo += further
    return documents


def test_musicbrainz_finds_a_recording_by_mbid_isrc_and_search_alike(world: World, web: Web) -> None:
    track = next(t for t in world.tracks if t.mbid in web.recordings and t.language == "en")
    base = "http://127.0.0.1:1/musicbrainz"
    row = {"track_id": track.track_id, "title": track.title, "artist": track.artist, "mbid": None, "isrc": None}
    by_mbid = follow_all(musicbrainz, web, {**row, "mbid": track.mbid}, base)
    by_isrc = follow_all(musicbrainz, web, {**row, "isrc": track.isrc}, base)
    by_search = follow_all(musicbrainz, web, row, base)
    for document in (by_mbid[0], by_isrc[0], next(d for d in by_search if d["mbid"] == track.mbid)):
        assert (document["title"], document["artist"], document["album"]) == (track.title, track.artist, track.album)
        assert document["isrcs"] == [track.isrc]
        assert track.style_tag in [tag["name"] for tag in document["tags"]]
        assert abs(document["duration_s"] - 12) < 1


def test_a_live_version_answers_the_same_search(world: World, web: Web) -> None:
    track = next(t for t in world.tracks if t.number % 12 == 5 and t.mbid in web.recordings and t.language == "en")
    row = {"track_id": track.track_id, "title": track.title, "artist": track.artist}
    documents = follow_all(musicbrainz, web, row, "http://127.0.0.1:1/musicbrainz")
    assert f"{track.title} (Live)" in {document["title"] for document in documents}


def test_search_scores_run_to_a_hundred_and_inc_limits_a_lookup(web: Web) -> None:
    mbid, record = next(iter(web.recordings.items()))
    query = quote(f'recording:"{record["title"]}" AND artist:"{record["artist-credit"][0]["name"]}"')
    hits = json.loads(answer(web, f"/musicbrainz/ws/2/recording?query={query}&limit=3&fmt=json")[2])["recordings"]
    assert hits[0]["score"] == 100
    assert len(hits) <= 3
    bare = json.loads(answer(web, f"/musicbrainz/ws/2/recording/{mbid}?fmt=json")[2])
    assert "tags" not in bare and "artist-credit" not in bare


def test_an_unknown_recording_is_a_404_in_json(web: Web) -> None:
    status, kind, text = answer(web, "/musicbrainz/ws/2/recording/00000000-0000-4000-8000-000000000000?fmt=json")
    assert status == 404
    assert kind.startswith("application/json")
    assert json.loads(text)["error"] == "Not Found"


def test_wikipedia_finds_the_articles_of_tracks_with_their_artists(world: World, web: Web) -> None:
    right = tried = 0
    for track in world.tracks:
        if track.title in web.articles and track.artist in web.articles[track.title]["extract"].split(".")[0]:
            row = {"track_id": track.track_id, "title": track.title, "artist": track.artist}
            documents = follow_all(wikipedia, web, row, "http://127.0.0.1:1/wikipedia")
            tried += 1
            right += any(d["title"] == track.title and d["artist"] == track.artist and d["text"] for d in documents)
    assert tried > 100
    assert right == tried


def test_wikipedia_has_redirects_missing_pages_and_pages_of_the_wrong_thing(web: Web) -> None:
    redirect, title = next(iter(web.redirects.items()))
    url = "/wikipedia/w/api.php?action=query&prop=extracts%7Cinfo&explaintext=1&redirects=1&titles="
    result = json.loads(answer(web, url + quote(redirect))[2])["query"]
    assert result["redirects"] == [{"from": redirect, "to": title}]
    assert "extract" in result["pages"][0] and "pageprops" not in result["pages"][0]
    assert json.loads(answer(web, url + "Nowhere")[2])["query"]["pages"] == [
        {"ns": 0, "title": "Nowhere", "missing": True}
    ]
    assert any("village" in page["extract"].split(".")[0] for page in web.articles.values())
    assert any("disambiguation" in page["pageprops"] for page in web.articles.values())


def test_review_pages_read_as_recordings_and_the_spoiled_ones_as_they_should(web: Web) -> None:
    base = "http://127.0.0.1:1/reviews"
    good = [
        path for path in web.pages if path not in ("torn-json-ld.html", "not-for-models.html", "private/draft.html")
    ]
    assert len(good) > 40
    for path in good[:10]:
        documents, _ = read(schemaorg, web, musicbrainz.TaskSpec("schemaorg", f"{base}/{path}", "page"), base)
        assert documents[0]["granularity"] == "recording"
        assert documents[0]["title"] and documents[0]["artist"] and len(documents[0]["text"]) > 150
    torn, _ = read(schemaorg, web, musicbrainz.TaskSpec("schemaorg", f"{base}/torn-json-ld.html", "page"), base)
    assert torn[0]["text"]
    with pytest.raises(PageError, match="404"):
        read(schemaorg, web, musicbrainz.TaskSpec("schemaorg", f"{base}/{web.dead[0]}", "page"), base)
    assert 'content="noai' in web.pages["not-for-models.html"]
    assert "Disallow: /reviews/private/" in answer(web, "/robots.txt")[2]


def test_the_web_is_the_same_for_the_same_world(world: World, web: Web) -> None:
    assert build_web(world) == web
    assert review_urls(web, "http://h")[0].startswith("http://h/")


def test_requests_are_logged_once_answered_over_one_kept_connection(web: Web, tmp_path) -> None:
    log = tmp_path / "site" / "requests.jsonl"
    with DemoSite(web, log) as site:
        connection = http.client.HTTPConnection("127.0.0.1", site.port)
        for path in ("/robots.txt", "/reviews/taken-down.html"):
            connection.request("GET", path)
            assert connection.getresponse().read()
        connection.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["path"], line["status"], line["answered"]) for line in lines] == [
        ("/robots.txt", 200, True),
        ("/reviews/taken-down.html", 404, True),
    ]
