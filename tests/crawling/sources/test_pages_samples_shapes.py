"""Pages in the shapes sites really send, with invented artists: each document says what a reader of the page would."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from justext.core import define_stoplist
from trafilatura import external

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing import prose as prose_module
from sourcing.crawling.parsing.html_page import read_html
from sourcing.crawling.sources import SOURCES, Capture

FIXTURES = Path(__file__).parents[1] / "fixtures"
LONG = "The record was made in a single week of November, with two microphones and no overdubs at all, in a boat shed. "


def documents_of(body, url="https://music.example/low-tide"):
    capture = Capture(
        source="schemaorg",
        kind="page",
        task_key="k",
        url=url,
        status=200,
        headers={"content-type": "text/html; charset=utf-8"},
        body=body if isinstance(body, bytes) else body.encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents, rejected = extract_documents([capture], SOURCES)
    assert rejected.is_empty()
    return {row["title"]: row for row in documents.to_dicts()}


def fixture(name):
    folder = FIXTURES / "schemaorg" / name
    return documents_of((folder / "input.html").read_bytes(), json.loads((folder / "meta.json").read_text())["url"])


def json_ld(*values):
    return "".join(f'<script type="application/ld+json">{json.dumps(value)}</script>' for value in values)


def test_songs_on_an_artists_page_carry_the_artist_their_album_and_their_length():
    found = fixture("artist_page_with_tracks_microdata")
    named = {title: (row["artist"], row["album"], row["duration_s"], row["language"]) for title, row in found.items()}
    assert named == {
        "Ebbe": ("Nordlicht Quartett", "Am Wasser", 341.0, "de"),
        "Flut": ("Nordlicht Quartett", "Am Wasser", 200.0, "de"),
    }
    assert [tag["name"] for tag in found["Flut"]["tags"]] == ["Kammermusik"]
    assert all(row["text"] is None for row in found.values())  # the page's words are about neither alone


def test_a_page_of_an_artists_concerts_is_about_the_artist():
    (row,) = fixture("artist_page_of_events").values()
    assert (row["title"], row["artist"], row["granularity"]) == ("Harbour & Kite", "Harbour & Kite", "artist")
    assert row["permalink"] == "https://tickets.example/artists/7-harbour-kite"
    assert row["lead"].startswith("Harbour & Kite are a duo from Leith")
    assert "Log in" not in row["text"] and "Lena Osk" not in row["text"]


def test_identifiers_are_found_wherever_a_page_puts_them():
    (row,) = fixture("recording_graph_identifiers").values()
    assert (row["isrcs"], row["mbid"]) == (["FRZ031400123"], "0f0e0d0c-1a2b-4c3d-8e4f-5a6b7c8d9e0f")
    assert (row["artist"], row["album"], row["year"]) == ("Harbour & Kite, Lena Osk", "Laisse de mer", 2019)
    assert (row["duration_s"], row["language"]) == (252.5, "fr")
    assert [tag["name"] for tag in row["tags"]] == ["Folk", "Chanson", "lent", "harmonium", "voix"]
    assert {entry["licence"] for entry in row["licences"]} == {"CC-BY-4.0"}


@pytest.mark.parametrize(
    ("root", "head", "body", "language"),
    [
        ('lang="en"', "", "", "en"),
        ('xmlns="http://www.w3.org/1999/xhtml" xml:lang="de"', "", "", "de"),
        ("", "", 'lang="zh-Hant"', "zh-Hant"),
        ("", '<meta property="og:locale" content="en_GB">', "", "en-GB"),
        ("", '<meta http-equiv="content-language" content="fr">', "", "fr"),
        ("", "", "", None),
    ],
)
def test_the_language_is_the_one_the_page_states(root, head, body, language):
    page = f"<html {root}><head><title>Low Tide</title>{head}</head><body {body}><p>{LONG * 4}</p></body></html>"
    assert read_html(page, "https://music.example/").language == language


def test_keywords_in_one_long_string_are_tags_all_the_same():
    words = [f"mood {number}" for number in range(80)]
    song = {"@type": "MusicRecording", "name": "Low Tide", "keywords": ", ".join(words)}
    (row,) = documents_of(json_ld(song)).values()
    assert [tag["name"] for tag in row["tags"]] == words


def test_a_heading_alone_is_no_description_of_what_it_names():
    song = {"@type": "MusicRecording", "name": "Low Tide", "byArtist": "Harbour & Kite"}
    (row,) = documents_of(f"{json_ld(song)}<h1>Low Tide</h1>").values()
    assert (row["lead"], row["text"]) == (None, None)


def test_json_between_comment_or_cdata_marks_is_read():
    song = json.dumps({"@type": "MusicRecording", "name": "Low Tide"})
    for before, after in (("<!--", "-->"), ("//<![CDATA[\n", "\n//]]>"), ("<![CDATA[", "]]>;"), ("\n", ";\n")):
        page = f'<script type="application/ld+json">{before}{song}{after}</script>'
        assert list(documents_of(page)) == ["Low Tide"]


def articles():
    paragraphs = "".join(f"<p>{number}. {LONG}</p>" for number in range(12))
    teasers = "".join(f'<div class="teaser"><a href="/{n}">Another record, number {n}</a></div>' for n in range(30))
    listing = "".join(f"<li><a href='/t/{n}'>Song {n}</a> by Harbour and Kite</li>" for n in range(40))
    return {
        "flat": paragraphs,
        "article": f"<nav>{listing}</nav><main><article><h1>Low Tide</h1>{paragraphs}</article></main>{teasers}",
        "divs": f"<div id=content><div>{paragraphs}</div></div><footer><p>All rights reserved.</p></footer>",
        "breaks": f"<div class=entry>{'<br><br>'.join([f'{n} {LONG}' for n in range(12)])}</div>",
        "short": f"<article><p>{LONG}</p></article>",
        "elsewhere": f"<article><p>{LONG * 3}</p></article><div>{paragraphs}</div>",
        "list": f"<h1>Songs</h1><ul>{listing}</ul><p>{LONG}</p>",
    }


@pytest.mark.parametrize("body", articles().values(), ids=articles().keys())
def test_the_quick_reading_of_prose_gives_what_the_thorough_one_gives(body):
    page = read_html(f"<html><head><title>Low Tide</title></head><body>{body}</body></html>", "https://music.example/")
    thorough, _ = prose_module._extracted(page.tree, fast=False)
    assert prose_module._most_of_it(page.tree) == thorough
    assert LONG.strip() in thorough


def test_lines_of_the_source_are_no_lines_of_the_page():
    words = "A slow piece number {} for piano\r\n   and cello,\n recorded<br>in a large hall\nin winter, by two people."
    paragraphs = "".join(f"<p>{words.format(number)}</p>\n" for number in range(6))
    page = read_html(f"<html><title>Low\nTide</title><body>{paragraphs}</body></html>", "https://music.example/")
    assert page.title == "Low Tide"
    assert page.prose().split("\n\n")[1:3] == [
        "A slow piece number 1 for piano and cello, recorded",
        "in a large hall in winter, by two people.",
    ]


def test_a_paragraph_that_is_repeated_is_kept_once():
    page = read_html(f"<html><body>{f'<p>{LONG * 3}</p>' * 9}</body></html>", "https://music.example/")
    assert page.prose().count(LONG.strip()) == 3


def test_a_page_of_structured_data_alone_is_not_searched_for_prose(monkeypatch):
    monkeypatch.setattr(prose_module, "_extracted", lambda *_, **__: pytest.fail("searched"))
    song = json_ld({"@type": "MusicRecording", "name": "Low Tide", "byArtist": "Harbour & Kite"})
    page = f"<html><head><title>Low Tide</title>{song}</head><body><script>x</script><div> </div></body></html>"
    (row,) = documents_of(page).values()
    assert (row["artist"], row["text"]) == ("Harbour & Kite", None)


def test_stop_words_are_hashed_once_for_all_pages():
    prose_module._options(fast=False)
    words = external.JT_STOPLIST
    assert hash(words) == hash(tuple(words)) == words._hash
    assert define_stoplist(words) == define_stoplist(tuple(words))
