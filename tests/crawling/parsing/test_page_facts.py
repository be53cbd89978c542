"""Facts of pages whose right values were written down before they were read.

Reading was mended by the half called "mended"; the other shows what mending by examples is worth elsewhere. Several
right values are alternatives: a song of two performers may be credited to the first.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.sources import SOURCES, Capture
from sourcing.crawling.wiki.lead_sentences import name_in_title, split_title
from sourcing.store.licences import UNKNOWN, spdx_of

FOLDER = Path(__file__).parents[1] / "page_facts"


def examples(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def read(source: str, kind: str, url: str, body: str) -> dict[str, Any] | None:
    """The document of one answer, with its tags' names and the licence of its facts."""
    capture = Capture(
        source=source,
        kind=kind,
        task_key="k",
        url=url,
        status=200,
        headers={"content-type": "text/html; charset=utf-8" if source != "wikipedia" else "application/json"},
        body=body.encode("utf-8", "replace"),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents = extract_documents([capture], SOURCES)[0].to_dicts()
    if not documents:
        return None
    licences = {entry["field"]: entry["licence"] for entry in documents[0]["licences"]}
    return {**documents[0], "tags": [tag["name"] for tag in documents[0]["tags"]], "licence": licences["*"]}


def opening(example: Mapping[str, Any]) -> dict[str, Any]:
    page = {"pageid": 1, "title": example["title"], "extract": example["text"], "pagelanguage": example["language"]}
    url = f"https://{example['language']}.wikipedia.org/w/api.php?titles=x"
    document = read("wikipedia", "page", url, json.dumps({"query": {"pages": [page]}}))
    assert document is not None
    return document


def infobox(example: Mapping[str, Any]) -> dict[str, Any]:
    article = {"title": "Low Tide", "pageid": 7, "wikitext": example["wikitext"]}
    url = f"https://{example['language']}.wikipedia.org/w/api.php?action=parse&page=x"
    nothing = {**dict.fromkeys(example["facts"]), "tags": []}
    return read("wikipedia", "wikitext", url, json.dumps({"parse": article})) or nothing


def readings() -> list[tuple[str, str, Any, list[Any], str]]:
    """(half, field, value read, right values, where) of all examples."""
    rows = []
    for example in examples("openings.jsonl"):
        document = opening(example)
        rows += [
            (example["half"], f"opening {field}", document[field], example[field], example["text"])
            for field in ("granularity", "artist", "year")
        ]
    for example in examples("infoboxes.jsonl"):
        document = infobox(example)
        rows += [
            (example["half"], f"infobox {field}", document[field], [value], example["wikitext"])
            for field, value in example["facts"].items()
        ]
    for example in examples("licences.jsonl"):
        statement = example["statement"]
        rows.append((example["half"], "licence statement", spdx_of(statement), example["becomes"], statement))
    for example in examples("pages.jsonl"):
        document = read(example["source"], "page", example["url"], example["html"]) or {}
        for field, value in example["facts"].items():
            text = str(document.get("text") or "")
            value_read = {"nodoc": not text, "startswith": text[: len(str(value))]}.get(field, document.get(field))
            rows.append((example["half"], f"page {field}", value_read, [value], example["html"]))
    return rows


def test_facts_of_pages_are_right_or_left_empty(capsys):
    counts: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    wrong = []
    for half, field, value, right, where in readings():
        empty = value in (None, "page", UNKNOWN, [])
        verdict = "right" if value in right else "empty" if empty else "wrong"
        counts[half, field][verdict] += 1
        if verdict == "wrong":
            wrong.append((half, field, value, right, where[:200]))
    with capsys.disabled():
        print(f"\n{'half':9} {'field':20} {'right':>6} {'empty':>6} {'wrong':>6}")
        for (half, field), found in sorted(counts.items()):
            print(f"{half:9} {field:20} {found['right']:6} {found['empty']:6} {found['wrong']:6}")
    assert not wrong
    empty_share = sum(found["empty"] for found in counts.values()) / sum(found.total() for found in counts.values())
    assert empty_share < 0.08


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Marea (canción)", "Marea"),
        ("Marea (canción de Lola Ríos)", "Marea"),
        ("Ondes (album de Marée Haute)", "Ondes"),
        ("Ondes (chanson d’Ana Cruz)", "Ondes"),
        ("Ondas (álbum de 1999)", "Ondas"),
        ("灯 (波止場の曲)", "灯"),
        ("港 (アルバム)", "港"),
        ("Llévame (Baila)", "Llévame (Baila)"),
        ("Tide (de la mer)", "Tide (de la mer)"),
        ("作曲 (編曲)", "作曲 (編曲)"),
    ],
)
def test_the_bracket_behind_a_title_is_known_in_each_language_that_is_read(title, name):
    assert split_title(title)[0] == name


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Marée Haute (groupe)", "Marée Haute"),
        ("波止場 (バンド)", "波止場"),
        ("Kite (musicista)", "Kite"),
        ("Sunn O)))", "Sunn O)))"),
        ("(Kite)", "(Kite)"),
        ("Why (?)", "Why (?)"),
    ],
)
def test_a_performer_is_called_by_their_name_without_the_bracket_that_tells_namesakes_apart(title, name):
    assert name_in_title(title) == name


@pytest.mark.parametrize(
    ("statement", "becomes"),
    [
        ("Not under CC BY 4.0", UNKNOWN),
        ("Never released under https://creativecommons.org/licenses/by/4.0/", UNKNOWN),
        ("Nicht mehr unter CC BY-SA 4.0", UNKNOWN),
        ("The text, except photos (CC BY 4.0)", "CC-BY-4.0"),
        ("You may not sell this. CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("Not for sale: CC BY-NC 4.0", "CC-BY-NC-4.0"),
        ("CC BY\u2011SA 4.0", "CC-BY-SA-4.0"),
    ],
)
def test_a_licence_that_is_denied_is_none(statement, becomes):
    assert spdx_of(statement) == becomes


MBID = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("credit", "artist"),
    [
        ("Various Artists", None),
        ("various", None),
        ("[unknown]", None),
        ("[no artist]", None),
        ("Unknown Artist", None),
        ("Unbekannter Künstler", None),
        ("[spunge]", "[spunge]"),
        ("Unknown Mortals", "Unknown Mortals"),
        ("Diverse", "Diverse"),
        ("Various Cruelties", "Various Cruelties"),
    ],
)
def test_what_stands_where_nobody_is_named_is_no_performer(credit, artist):
    body = {"id": MBID, "title": "Low Tide", "artist-credit": [{"name": credit, "joinphrase": ""}]}
    document = read("musicbrainz", "recording", f"https://musicbrainz.org/ws/2/recording/{MBID}", json.dumps(body))
    assert document is not None
    assert document["artist"] == artist


def test_tapers_marks_of_songs_that_run_on_are_no_part_of_a_title():
    files = [
        {"name": f"t{n}.flac", "source": "original", "format": "Flac", "title": title, "track": str(n)}
        for n, title in enumerate(("Low Tide >", "Ebb ->", "Kite*", "F**k It"), 1)
    ]
    metadata = {"identifier": "x", "title": "Live", "creator": "Harbour", "mediatype": "etree", "licenseurl": "CC0-1.0"}
    capture = Capture(
        source="internetarchive",
        kind="item",
        task_key="k",
        url="https://archive.org/metadata/x",
        status=200,
        headers={},
        body=json.dumps({"metadata": metadata, "files": files}).encode(),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents = extract_documents([capture], SOURCES)[0]
    titles = set(documents.filter(documents["granularity"] == "recording")["title"])
    assert titles == {"Low Tide", "Ebb", "Kite", "F**k It"}


def test_the_names_of_artist_and_label_are_no_tags():
    node = {
        "@type": "MusicRecording",
        "name": "Low Tide",
        "byArtist": {"name": "Harbour"},
        "publisher": {"name": "Quay Records"},
        "keywords": ["ambient", "harbour", "Quay Records", "drone"],
    }
    html = f'<html><script type="application/ld+json">{json.dumps(node)}</script></html>'
    document = read("bandcamp", "page", "https://a.bandcamp.com/track/x", html)
    assert document is not None
    assert document["tags"] == ["ambient", "drone"]


def test_the_prose_of_an_album_page_with_one_track_is_not_said_of_the_track():
    track = {"@type": "MusicRecording", "name": "One", "byArtist": {"name": "Kite"}}
    album = {"@type": "MusicAlbum", "name": "Ebb", "track": track}
    words = "<p>Recorded over one winter in a boat house, the record drifts from bowed guitar to tape loops.</p>" * 4
    script = f'<script type="application/ld+json">{json.dumps(album)}</script>'
    document = read("schemaorg", "page", "https://m.example/a", f"<html>{script}<article>{words}</article></html>")
    assert document is not None
    assert (document["title"], document["text"]) == ("One", None)
