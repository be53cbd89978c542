"""Open-licence sources and those behind an acknowledgement: whose words are kept, whose are not, who is asked."""

from __future__ import annotations

import dataclasses
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from sourcing.crawling.parsing.search_hits import asked_in, names_phrase, plausible, words
from sourcing.crawling.parsing.values import duration_s
from sourcing.crawling.redaction import strip_secrets
from sourcing.crawling.sources import (
    SOURCES,
    Capture,
    PageError,
    ccmixter,
    effective,
    enabled,
    internetarchive,
    jamendo,
    reddit,
    why_off,
)
from sourcing.settings import SourceSettings

FIXTURES = Path(__file__).parents[1] / "fixtures"
OPEN = ("ccmixter", "internetarchive", "jamendo")
ACKNOWLEDGED = {"genius": "GENIUS_ACCESS_TOKEN", "reddit": "REDDIT_ACCESS_TOKEN", "bandcamp": None}
READABLE = sorted(
    path
    for source in (*OPEN, *ACKNOWLEDGED)
    for path in FIXTURES.glob(f"{source}/*/input.json")
    if not path.parent.name.startswith("malformed")
)
TRACK = {"track_id": "t1", "title": "Low Tide", "artist": "Harbour & Kite", "album": "Tidal Studies"}


def page(source: str, kind: str, body: object, url: str = "https://x.example/", status: int = 200):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    capture = Capture(source, kind, "key", url, status, {}, raw, datetime(2026, 11, 2, tzinfo=UTC))
    return SOURCES[source].page_for(kind)(capture, SOURCES[source])


def documents_of(*sources: str):
    for source in sources:
        for case in sorted(FIXTURES.glob(f"{source}/*/expected.json")):
            for document in json.loads(case.read_text("utf-8")).get("documents", []):
                yield source, document


def test_what_a_licence_forbids_to_change_is_kept_as_facts_and_tags_only():
    unchangeable = [document for _, document in documents_of(*OPEN) if "-ND" in document["licences"].get("*", "")]
    assert {document["title"] for document in unchangeable} >= {"Pilot Light", "Bells & Whistles", "Lanterne"}
    assert not any(document.get("text") or document.get("lead") for document in unchangeable)
    assert any(document["tags"] for document in unchangeable)


def test_jamendo_gives_no_prose_at_all():
    assert not any(document.get("text") for _, document in documents_of("jamendo"))


def test_ccmixter_and_the_archive_admit_nothing_without_a_licence():
    assert all(document["licences"]["*"] for _, document in documents_of("ccmixter", "internetarchive"))


def test_no_lyric_of_a_page_reaches_a_document():
    """Genius quotes them, Bandcamp prints them, Reddit cites them: all three fixtures hold this line."""
    sung = "harbour lets me go"
    for source in ACKNOWLEDGED:
        assert any(sung in path.read_text("utf-8") for path in FIXTURES.glob(f"{source}/*/input.*"))
    assert not any(sung in json.dumps(document).casefold() for _, document in documents_of(*ACKNOWLEDGED))


@pytest.mark.parametrize(("name", "variable"), ACKNOWLEDGED.items())
def test_a_source_with_unclear_terms_is_asked_only_by_someone_who_answers_for_it(name, variable, monkeypatch):
    source, acknowledged = SOURCES[name], SourceSettings(enabled=True, acknowledged="J. Doe, 2026-11-22")
    if variable:
        monkeypatch.delenv(variable, raising=False)
        assert variable in why_off(source, acknowledged)
        monkeypatch.setenv(variable, "secret")
    assert source.acknowledgement in why_off(source, SourceSettings(enabled=True))
    assert not enabled(source, None)
    assert enabled(source, acknowledged)


def test_bandcamp_is_never_searched():
    assert list(SOURCES["bandcamp"].tasks(TRACK, SOURCES["bandcamp"])) == []


@pytest.mark.parametrize("name", ["jamendo", "genius", "reddit"])
def test_a_key_goes_to_its_own_host_and_into_no_task(name):
    source = SOURCES[name]
    (seed,) = source.tasks(TRACK, source)
    environment = {source.key.env: "s3cret key"}
    url, headers = source.signed(seed.url, environment)
    assert "s3cret" in url + str(headers) and "s3cret" not in seed.url
    assert strip_secrets(url) == seed.url
    assert "s3cret" not in str(source.signed("https://elsewhere.example/", environment))
    if source.key.header:
        assert headers["Authorization"] == "Bearer s3cret key" and url == seed.url


@pytest.mark.parametrize("name", ["ccmixter", "internetarchive", "jamendo", "genius", "reddit"])
def test_a_strange_reference_stays_on_the_sources_host(name):
    source = effective(SOURCES[name], SourceSettings(base_url="http://127.0.0.1:9"))
    for kind in source.asks:
        task = source.ask(kind, "é /../?q=1#x&client_id=2")
        assert task.url.startswith("http://127.0.0.1:9/") and urlsplit(task.url).fragment == ""
        assert task.url.isascii() and "client_id=2" not in task.url and "/../" not in task.url


def test_bandcamp_pages_are_named_by_their_full_address():
    source = SOURCES["bandcamp"]
    task = source.ask("page", "http://OddLot.bandcamp.com/track/bells?from=x#y")
    assert task.url == "https://oddlot.bandcamp.com/track/bells"
    moved = dataclasses.replace(source, base_url="http://127.0.0.1:9")
    assert moved.ask("page", task.url).url == "http://127.0.0.1:9/track/bells"
    for ref in ("https://example.org/track/bells", "https://oddlot.bandcamp.com/merch", "oddlot", "https://[x/track/y"):
        with pytest.raises(PageError, match="not_a_bandcamp_page"):
            source.ask("page", ref)


def test_the_archive_is_asked_for_the_title_or_the_album_of_the_artist():
    source = SOURCES["internetarchive"]
    (seed,) = source.tasks({**TRACK, "title": 'Low "Tide" \\ II'}, source)
    query = parse_qs(urlsplit(seed.url).query)
    assert query["q"] == [
        '(title:("Low Tide II") OR description:("Low Tide II") OR title:("Tidal Studies"))'
        ' AND creator:("Harbour & Kite") AND mediatype:(audio)'
    ]
    assert "licenseurl" in query["fl[]"]
    (without_album,) = source.tasks({**TRACK, "album": None}, source)
    assert '""' not in parse_qs(urlsplit(without_album.url).query)["q"][0]


def test_jamendo_repeats_no_client_id_in_what_it_says_of_an_error():
    refusal = {"headers": {"status": "failed", "code": 5, "error_message": "client id 0a1b2c3d is unknown"}}
    with pytest.raises(PageError) as error:
        page("jamendo", "search", refusal).documents()
    assert error.value.reason == "api_error_5" and "0a1b2c3d" not in error.value.finding


def test_a_refusal_is_read_from_jamendos_headers_and_not_from_the_http_status():
    rows = [{"id": "1", "name": "Lanterne"}]
    for headers, good in (({"status": "success", "code": 0}, True), ({"status": "failed", "code": 0}, False)):
        answer = page("jamendo", "track", {"headers": headers, "results": rows})
        if good:
            assert [document["title"] for document in answer.documents()] == ["Lanterne"]
        else:
            with pytest.raises(PageError, match="api_error_0"):
                answer.documents()


def test_ccmixter_is_not_asked_for_the_format_that_repeats_its_body_in_a_header():
    """Seen in its source: f=json sends all of the answer as X-JSON too, and the crawl reads no header over 16 kB."""
    source = SOURCES["ccmixter"]
    urls = [*(seed.url for seed in source.tasks(TRACK, source)), source.ask("upload", "7").url]
    assert [parse_qs(urlsplit(url).query)["f"] for url in urls] == [["js"], ["js"]]


@pytest.mark.parametrize("case", READABLE, ids=lambda path: f"{path.parts[-3]}-{path.parts[-2]}")
def test_an_answer_with_anything_in_any_place_ends_as_documents_or_a_reason(case):
    name, meta = case.parts[-3], json.loads(case.with_name("meta.json").read_text("utf-8"))
    answer = json.loads(case.read_text("utf-8-sig").replace(": 092", ": 92"))
    draw = random.Random(len(case.parent.name))
    for _ in range(25):
        body = changed(answer, draw)
        for step in ("documents", "follow"):
            try:
                list(getattr(page(name, meta["kind"], body, meta["url"]), step)())
            except PageError as error:
                assert error.reason and error.finding


def changed(value, draw: random.Random):
    """The value with one thing in it replaced by another kind of thing."""
    inside = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    if not inside or draw.random() < 0.15:
        return draw.choice([None, True, 0, -1.5, "", "\ud800", "<b>&", [], [None], {}, {"a": [1]}, 10**40, "9" * 5000])
    at = draw.choice(inside)
    value = value.copy()
    value[at] = changed(value[at], draw)
    return value


# Which hits are plausible


def test_a_search_is_ranked_by_what_its_own_address_asks_for():
    url = "https://x.example/?q=Low%20Tide&artist_name=Harbour+%26+Kite&q=II"
    assert asked_in(url, "q", "artist_name", "absent") == "Low Tide II Harbour & Kite"


@pytest.mark.parametrize(
    ("asked", "names", "kept"),
    [
        ("Low Tide Harbour & Kite", ["Low Tide (Remix) Harbour & Kite", "LOW TIDE Harbour and Kite"], [1, 0]),
        ("Low Tide Harbour & Kite", ["Low Tide Someone Else", "High Tide Harbour"], []),
        ("Low Tide (feat. Ana Cruz) Kite", ["Low Tide Kite, Ana Cruz", "Low Tide Kite"], [0, 1]),
        ("Déjà Vu Beyoncé", ["Deja vu Beyonce", "Deja vu Beyonce"], [0, 1]),
        ("Don't Go Yazoo", ["Dont Go Yazoo", "Don’t Go Yazoo"], [0, 1]),
        ("晴天 周杰倫", ["晴天 周杰伦", "周杰倫"], [0, 1]),
        ("봄날 방탄소년단", ["봄날 방탄소년단 BTS"], [0]),
        ("The The", ["Infected The The", "A The", "Them"], [0, 1]),
        ("!!!", ["Anything", "else"], [0, 1]),
    ],
)
def test_plausible_hits_hold_most_of_the_words_asked_for(asked, names, kept):
    assert plausible(asked, [(name, number) for number, name in enumerate(names)], limit=3) == kept


def test_plausible_hits_are_few():
    same = [("Low Tide Kite", number) for number in range(9)]
    assert plausible("Low Tide Kite", same, limit=2) == [0, 1]
    assert plausible("Low Tide Kite", [("x", 0), ("low", 1)], limit=2, least_share=0.0) == [1, 0]


def test_a_phrase_is_named_word_by_word():
    assert names_phrase("I adore Low-Tide, really", "low tide")
    assert not names_phrase("allow tides", "low tide")
    assert not names_phrase("anything", "…")
    assert words("L’été – 晴天!") == ["lete", "晴", "天"]


# What is odd about each source


def without_leading_zeros(text: str) -> str:
    """The stupid way: letter by letter, knowing whether one is inside a string."""
    out, inside, skip = "", False, False
    for at, letter in enumerate(text):
        if inside:
            inside, skip = skip or letter != '"', letter == "\\" and not skip
        elif letter == '"':
            inside = True
        elif letter == "0" and text[at + 1 : at + 2].isdigit():
            before = out[-1:]
            if not (before.isalnum() or before in ("_", ".")) or before == "":
                continue
        out += letter
    return out


def test_numbers_with_leading_zeros_are_read_and_strings_left_alone():
    draw = random.Random(7)
    for _ in range(2000):
        text = "".join(draw.choice('00012."\\ ,:-ab') for _ in range(draw.randrange(14)))
        assert ccmixter._without_leading_zeros(text) == without_leading_zeros(text), text
    (upload,) = json.loads(
        ccmixter._without_leading_zeros('[{"bpm": 092, "x": 0.5, "y": -007, "s": "at 007, \\" 01"}]')
    )
    assert upload == {"bpm": 92, "x": 0.5, "y": -7, "s": 'at 007, " 01'}


def test_a_body_of_nothing_but_quotes_is_refused_without_going_over_it_again_and_again():
    for body in (b'["' + b'\\"' * 500_000, b'"' * 500_001, b"0" * 500_000 + b"x", b"[" * 200_000):
        with pytest.raises(PageError, match="body_not_json"):
            page("ccmixter", "upload", body).documents()


@pytest.mark.parametrize(
    ("length", "seconds"),
    [
        ("245.12", 245.12),
        ("245", 245.0),
        ("04:05", 245.0),
        ("1:00:05", 3605.0),
        ("0", None),
        ("long", None),
        (None, None),
    ],
)
def test_the_archive_writes_lengths_as_seconds_or_as_a_clock(length, seconds):
    assert internetarchive._length_s({"length": length}) == seconds


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("P00H04M05S", 245.0), ("P01H00M00S", 3600.0), ("PT4M5S", 245.0), ("soon", None), (7, None)],
)
def test_bandcamps_durations_lack_their_t(written, seconds):
    assert duration_s(written) == seconds


@pytest.mark.parametrize(
    ("heading", "artist", "title", "title_raw"),
    [
        ("Harbour & Kite -- Low Tide [ambient] (2014)", "Harbour & Kite", "Low Tide", "Low Tide"),
        ("Odd Lot — Bells - Part One [toy piano]", "Odd Lot", "Bells - Part One", "Bells - Part One"),
        ("Jean-Luc Bar - Été [dub/folk] (1998) live", "Jean-Luc Bar", "Été", "Été live"),
        ("Why I love Low Tide - a long post", None, None, "Why I love Low Tide - a long post"),
        ("Low Tide [discussion]", None, None, "Low Tide [discussion]"),
        ("a - " * 90 + "[b", None, None, "a - " * 90 + "[b"),
    ],
)
def test_only_a_music_post_says_who_plays_what(heading, artist, title, title_raw):
    post = {"id": "a1", "title": heading, "selftext": "Some words."}
    row = reddit._document(post)
    assert (row.get("artist"), row["title"] if artist else None) == (artist, title)
    assert row["title_raw"] == title_raw
    assert row["granularity"] == ("recording" if artist else "page")


@pytest.mark.parametrize(
    ("markdown", "prose"),
    [
        ("**Bold**, *soft* and ~~gone~~, 2*3*4, snake_case_name", "Bold, soft and gone, 2*3*4, snake_case_name"),
        ("See [the bass](https://e.org/a_(b)) and ![x](y).", "See the bass and x."),
        ("> sung words\nMine.\n&gt; more\n\n# Head\n- one\n- two", "Mine.\n\none\ntwo"),
        ("[removed]", None),
        ("https://e.org/only", None),
    ],
)
def test_a_post_becomes_prose_without_its_marks_and_quotations(markdown, prose):
    assert reddit._prose(markdown) == prose


def test_jamendos_closed_fields_become_words():
    info = {"vocalinstrumental": "vocal", "gender": "male", "speed": "medium", "lang": "pt", "acousticelectric": ""}
    assert [tag["name"] for tag in jamendo._tags(info)] == ["vocal", "medium tempo", "male vocals", "Portuguese lyrics"]
    assert jamendo._tags({"tags": {"genres": "rock", "vartags": [None, 7]}}) == [{"name": "rock", "count": None}]
    assert jamendo._tags(None) == []
