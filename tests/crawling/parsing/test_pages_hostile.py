"""Hostile pages: whatever a site sends ends as a document or as one rejected row with a countable reason.

The sizes are such that anything worse than linear would take minutes of CPU time; the limit is there to end those.
"""

from __future__ import annotations

import importlib
import json
import random
import re
import unicodedata
from datetime import UTC, datetime

import pytest
from cpu import within_cpu
from hypothesis import given
from hypothesis import strategies as st

from sourcing.crawling.documents.extract import extract_documents
from sourcing.crawling.parsing import sentences
from sourcing.crawling.parsing import values as reading_module
from sourcing.crawling.parsing.html_page import read_html
from sourcing.crawling.parsing.values import clean, strip_html
from sourcing.crawling.policy.consent import SNIPPET_BYTES, decide
from sourcing.crawling.sources import SOURCES, Capture, Lead, resolved

SENTENCE = "A slow piece for piano and cello, recorded in a large hall in winter."
PROSE = f"<title>Low Tide</title>{f'<p>{SENTENCE}</p>' * 9}"
SONG = {"@type": "MusicRecording", "name": "Low Tide", "byArtist": {"@type": "MusicGroup", "name": "Harbour & Kite"}}
ALBUM = {"@id": "#a", "@type": "MusicAlbum", "name": "Low Tide", "byArtist": {"@id": "#a"}}
ITEM = '<div itemscope itemtype="https://schema.org/MusicRecording">'


@pytest.fixture(autouse=True)
def _no_endless_work():
    with within_cpu(20.0):
        yield


def json_ld(value):
    written = value if isinstance(value, str) else json.dumps(value)
    return f'<script type="application/ld+json">{written}</script>'


def described(words):
    return json_ld({**SONG, "description": words})


def extract(body, content_type="text/html", source="schemaorg", kind="page"):
    capture = Capture(
        source=source,
        kind=kind,
        task_key="k",
        url="https://music.example/low-tide",
        status=200,
        headers={"content-type": content_type},
        body=body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"),
        retrieved_at=datetime(2026, 11, 2, tzinfo=UTC),
    )
    documents, rejected = extract_documents([capture], SOURCES)
    return documents.to_dicts(), rejected.to_dicts()


READ = {
    "prose_behind_200_divs": "<div>" * 200 + PROSE,
    "comments": "<!--a-->" * 15_000 + PROSE,
    "attribute_of_a_megabyte": f'<p><img src="data:{"A" * 1_000_000}">{PROSE}',
    "script_of_two_megabytes": f"<script>{'a = 1; ' * 300_000}</script>{PROSE}",
    "script_full_of_tags": f"<script>{'<b>' * 500_000}</script>{PROSE}",
    "title_of_a_megabyte": f"<title>{'é' * 200_000}</title>{PROSE}",
    "title_of_entities": f"<title>&{'amp;' * 200_000}</title>{PROSE}",
    "every_control_character": "".join(map(chr, range(32))) * 100 + PROSE,
    "NULs_between_all_letters": PROSE.encode("utf-16-be"),
    "surrogate_bytes": b"<title>\xed\xa0\x80 Low Tide</title>" + PROSE.encode(),
    "named_by_entities": described("&" + "amp;" * 300_000),
    "ampersands": described("&" * 300_000),
    "angles": described("<" * 300_000),
    "tags_never_closed": described("<a " * 4_900),
    "tags_closed_all_at_once": described("<a x='" * 4_900 + ">" * 4_900),
    "declarations": described("<![CDATA[" * 4_900),
    "nested_fragment": described("<div>" * 4_900 + SENTENCE),
    "mojibake_of_mojibake": described("ÃƒÆ’Ã†â€™" * 20_000),
    "blank_lines": described(" \n" * 300_000 + "é"),
    "full_stops": described("." * 300_000),
    "marks_on_one_letter": described("a" + "\u0301\u0323" * 100_000),
    "a_hundred_thousand_songs": json_ld([{**SONG, "name": f"Tide {n}"} for n in range(100_000)]),
    "one_song_thirty_thousand_times": json_ld([SONG] * 30_000),
    "one_title_by_all": json_ld([{**SONG, "byArtist": f"Artist {n}"} for n in range(50_000)]),
    "references_in_circles": json_ld([{**ALBUM, "track": [{"@id": "#a"}, {"@id": "#b"}]}, {"@id": "#b", "c": ALBUM}]),
    "one_node_referred_to_from_everywhere": json_ld(
        {"@graph": [{**SONG, "@id": "#s", "description": "x" * 50_000}, {**ALBUM, "track": [{"@id": "#s"}] * 50_000}]}
    ),
    "half_a_million_genres": json_ld({**SONG, "genre": ["slow"] * 500_000}),
    "keywords_of_megabytes": json_ld({**SONG, "keywords": "slow, " * 500_000}),
    "endless_duration_and_code": json_ld({**SONG, "duration": f"PT{'9' * 999_999}S", "isrcCode": "A" * 999_999}),
    "numbers_beyond_numbers": json_ld('{"@type": "MusicRecording", "name": "x", "datePublished": 1e999, "n": NaN}'),
    "addresses_that_are_none": json_ld({**SONG, "url": "http://[", "@id": "http://["})
    + '<link rel="canonical" href="http://[">',
    "microdata_address_that_is_none": f'{ITEM}<b itemprop=name>x</b><a itemprop=url href="http://[">a</a></div>',
    "half_surrogates": json_ld(
        '{"@type": "MusicRecording", "name": "x \\ud800", "url": "\\ud800", "license": "\\ud800"}'
    ),
    "items_in_items": f"{ITEM}<b itemprop=name>Low Tide</b>" * 200,
    "itemref_to_itself": f'<div id=a itemref="a a" {ITEM[5:]}<b itemprop=name itemref=a>Low Tide</b></div>',
    "types_that_are_no_names": json_ld('{"@type": ["MusicRecording", ' + "[" * 900 + "]" * 900 + '], "name": "x"}'),
}
REJECTED = {
    "page_too_large": {
        "ten_megabytes_of_angles": "<" * 10_000_000,
        "ten_megabytes_of_scripts": "<script" * 1_400_000,
        "scripts_that_promise_json": "<script type=ld+json>" * 400_000,
        "a_million_tags": "<b>x</b>" * 1_000_000,
        "a_million_nested_divs": "<div>" * 1_000_000,
        "attributes_without_number": "<p " + " ".join(f"a{n}" for n in range(200_000)) + ">",
        "nothing_but_links": "<p>" + "<a href=x>a link to something</a> " * 9_000,
    },
    "microdata_broken": {"properties_without_number": f"{ITEM}<meta itemprop=name content=x></div>" * 4_500},
    "json_ld_broken": {
        "json_a_hundred_thousand_deep": json_ld("[" * 100_000),
        "objects_a_hundred_thousand_deep": json_ld('{"a":' * 100_000),
        "a_number_of_ten_thousand_digits": json_ld("9" * 10_000),
    },
    "nothing_to_read": {
        "a_name_nine_hundred_deep": json_ld(
            '{"@type": "MusicRecording", "name": ' + "[" * 900 + '"x"' + "]" * 900 + "}"
        ),
        "nothing_but_zeros": bytes(1_000_000),
        "nested_beyond_what_parsers_follow": "<div>" * 9_000 + PROSE,
    },
    "body_binary": {
        "a_pdf": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        "noise": random.Random(1).randbytes(300_000),
    },
}


@pytest.mark.parametrize("body", READ.values(), ids=READ.keys())
def test_a_strange_page_is_still_read(body):
    documents, rejected = extract(body)
    assert documents
    assert rejected == []
    for document in documents:
        written = json.dumps(document, default=str, ensure_ascii=False)
        assert not re.search("[\ud800-\udfff\x00]", written)


@pytest.mark.parametrize(
    ("reason", "body"),
    [(reason, body) for reason, bodies in REJECTED.items() for body in bodies.values()],
    ids=[name for bodies in REJECTED.values() for name in bodies],
)
def test_a_page_that_cannot_be_read_is_one_rejected_row(reason, body):
    documents, rejected = extract(body)
    assert documents == []
    assert [row["reason"] for row in rejected] == [reason]
    assert len(rejected[0]["finding"]) < 1000


@pytest.mark.parametrize("control", [*map(chr, range(1, 32)), "\x7f", "\ufffe", "\U000e0041"])
def test_no_control_character_costs_a_page_its_words(control):
    body = PROSE.replace("slow", f"sl{control}ow").replace("Tide", f"Ti{control}de", 1)
    (document,), _ = extract(control + body, "text/html; charset=utf-8")
    gap = " " if control in "\t\n\r\x0b\x0c" else ""
    assert " ".join(document["text"].split()).startswith(SENTENCE.replace("slow", f"sl{gap}ow"))
    assert " ".join(document["title"].split()) == f"Low Ti{gap}de"


def test_html_sent_as_json_is_refused_by_pages_and_records_alike():
    (_, page), (_, record) = (
        extract(PROSE, "application/json"),
        extract(PROSE, "application/json", "musicbrainz", "recording"),
    )
    assert [row["reason"] for row in page + record] == ["not_html", "body_not_json"]


@pytest.mark.parametrize("body", ["[" * 100_000, '{"id":' * 100_000, '{"length":' + "9" * 1_000_000 + "}"])
def test_a_record_that_no_parser_follows_is_not_json(body):
    _, rejected = extract(body, "application/json", "musicbrainz", "recording")
    assert [row["reason"] for row in rejected] == ["body_not_json"]


TEXTS = {
    "ja": "静かな海の歌。ピアノとチェロのゆっくりした曲で、冬のホールで録音された。",
    "zh": "一首安静的海之歌。钢琴与大提琴的慢板，冬天在大厅里录制，混响很长。",
    "ru": "Медленная пьеса для фортепиано и виолончели, записанная зимой в большом зале.",
    "fr": "Une pièce lente pour piano et violoncelle, enregistrée l’été à l’abbaye.",
}


def in_charset(language, charset):
    return f"<title>{TEXTS[language][:6]}</title>{f'<p>{TEXTS[language]}</p>' * 9}".encode(charset)


@pytest.mark.parametrize(
    ("language", "charset"),
    [
        *(("ja", charset) for charset in ("shift_jis", "euc_jp", "iso-2022-jp", "utf-16", "utf-16-le", "utf-8")),
        *(("zh", charset) for charset in ("gb18030", "gb2312", "gbk", "utf-16-be", "utf-8-sig")),
        *(("ru", charset) for charset in ("koi8-r", "windows-1251", "iso-8859-5", "utf-8")),
        *(("fr", charset) for charset in ("windows-1252", "utf-8")),
    ],
)
def test_a_page_in_the_charset_it_declares_is_read(language, charset):
    (document,), _ = extract(in_charset(language, charset), f"text/html; charset={charset}")
    assert TEXTS[language] in document["text"]


@pytest.mark.parametrize(
    ("language", "charset", "declared"),
    [
        ("fr", "windows-1252", "utf-8"),
        ("fr", "utf-8", "iso-8859-1"),
        ("fr", "windows-1252", ""),
        ("ru", "utf-8", "windows-1251"),
        ("ja", "utf-16-le", ""),
        ("zh", "utf-16-be", "utf-8"),
    ],
)
def test_a_charset_declared_wrongly_is_seen_through(language, charset, declared):
    (document,), _ = extract(in_charset(language, charset), f"text/html; charset={declared}")
    assert TEXTS[language] in document["text"]


@pytest.mark.parametrize(("language", "charset"), [("ja", "shift_jis"), ("zh", "gb18030"), ("ru", "koi8-r")])
@pytest.mark.parametrize("declared", ["", "utf-8", "iso-8859-1", "punycode", "no such thing"])
def test_text_in_a_charset_nobody_names_is_refused_rather_than_read_as_western(language, charset, declared):
    documents, rejected = extract(in_charset(language, charset), f"text/html; charset={declared}")
    assert (documents, [row["reason"] for row in rejected]) == ([], ["charset_unknown"])


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7", "unicode_escape", "base64", "rot13", "zlib", "mbcs"])
def test_codecs_that_are_no_charsets_are_not_tried(charset):
    body = f"<p>{SENTENCE}</p>".encode() * 2_000 + b"\xe9a-" * 50_000
    (document,), _ = extract(body, f"text/html; charset={charset}")
    assert document["text"].startswith(SENTENCE)


@pytest.mark.parametrize(("language", "charset"), [("ja", "utf-8"), ("zh", "gb18030"), ("ru", "utf-8")])
def test_one_bad_byte_does_not_cost_a_page(language, charset):
    (document,), _ = extract(in_charset(language, charset) + b"\xff", f"text/html; charset={charset}")
    assert TEXTS[language] in document["text"]


def test_what_no_reader_sees_is_not_passed_on_to_a_model():
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey")
    (document,), _ = extract(
        json_ld({**SONG, "name": "Low \u202eediT\u202c", "description": f"a\u200bb\u2066c{hidden}"})
    )
    assert (document["title"], document["text"]) == ("Low ediT", "abc")


def patterns():
    names = "values", "html_page", "prose", "music_items", "charsets", "sitemaps", "fragments"
    paths = [*(f"parsing.{name}" for name in names), "sources.schemaorg"]
    for module in (importlib.import_module(f"sourcing.crawling.{path}") for path in paths):
        for name, value in vars(module).items():
            for pattern in value.values() if isinstance(value, dict) else [value]:
                if isinstance(pattern, re.Pattern):
                    yield pytest.param(pattern, id=f"{module.__name__.rsplit('.')[-1]}-{name}")


PUMPS = (
    *("<", "<script", "<script>", "</script", "<!--", "-->", "<![CDATA[", "<a ", "<a x='", "charset", "charset= ", "="),
    *('"', "'", "a=", "&", "&amp;", " ", "\n", " \n", "a", "a ", "-", "1", "9T", ".", '."', "é", "\u0301", "★", "://"),
    *("http://", "US", "(", "[", "\x80", "\xff", "、", "/", "%", "\x00", "0f0e-"),
)


@pytest.mark.parametrize("pattern", list(patterns()))
def test_no_pattern_takes_more_than_linear_time(pattern):
    for pump in PUMPS:
        text = pump * (120_000 // len(pump)) + "\x01"
        with within_cpu(1.0):  # linear is a hundredth of it, and the cheapest of quadratic ones four times as much
            for _ in pattern.finditer(text.encode() if isinstance(pattern.pattern, bytes) else text):
                pass


@pytest.mark.parametrize("pattern", [r"\s+$", r"<[^>]*>", r"(?:a|\s)+="])
def test_a_pattern_that_takes_quadratic_time_is_found_out(pattern):
    with pytest.raises(pytest.fail.Exception, match="CPU time"):
        test_no_pattern_takes_more_than_linear_time(re.compile(pattern))


@pytest.mark.parametrize("pump", [*PUMPS, "<meta ", "<meta name=robots content=", "<meta a='", "<meta>"])
def test_the_search_for_consent_is_no_way_in_either(pump):
    assert decide({}, (pump * SNIPPET_BYTES)[:SNIPPET_BYTES]).decision == "allow"
    assert decide({"x-robots-tag": pump * 9_000, "content-usage": pump * 9_000}).decision == "allow"


@given(st.text("ab &;<\n\t\r\x0c\x00\x7f.é\u0301\u2028", max_size=40))
def test_text_that_is_taken_as_clean_is_what_cleaning_gives(text):
    def the_long_way(monkey: pytest.MonkeyPatch) -> str | None:
        monkey.setattr(reading_module, "_is_clean", lambda _: False)
        return clean(text)

    with pytest.MonkeyPatch.context() as monkey:
        slow = the_long_way(monkey)
    assert clean(text) == slow
    assert slow is None or clean(slow) == slow or "&" in slow  # entities are unescaped a bounded number of times


@given(st.text("a\u0301\u0323é★ ", max_size=200))
def test_marks_are_cut_only_beyond_thirty(text):
    kept, marks = "", 0
    for letter in text:
        marks = marks + 1 if unicodedata.combining(letter) else 0
        kept += letter if marks <= 30 else ""
    assert reading_module._MARKS.sub(reading_module._thirty_marks, text) == kept


@given(st.lists(st.sampled_from(["<script>", "</script>", "<style>", "</style >", "<p>a", "x<y", "<SCRIPT a=1>"])))
def test_scripts_are_left_out_wherever_they_close(parts):
    text = "".join(parts)
    kept, rest = "", text
    while opening := re.search("<(script|style)", rest, re.IGNORECASE):
        closing = re.search(f"</{opening[1]} ?>", rest[opening.end() :], re.IGNORECASE)
        kept += rest[: opening.start() if closing else opening.end()]
        rest = rest[opening.end() + (closing.end() if closing else 0) :]
    from sourcing.crawling.parsing.html_page import _without_scripts

    assert _without_scripts(text) == kept + rest


def test_a_long_fragment_is_stripped_as_a_short_one_is():
    fragment = "<p>Slow &amp; <b>quiet</b></p> "
    assert clean(strip_html(fragment * 3_000)) == " ".join(["Slow & quiet"] * 3_000)
    assert clean(strip_html(fragment * 3)) == " ".join(["Slow & quiet"] * 3)


@pytest.mark.parametrize("text", ["R&B", "Q&A", "deep house & R&B", "<p>soul, R&B</p>", "<b>x</b> R&B", "R&amp;B"])
def test_an_ampersand_in_a_last_word_stays(text):
    assert (clean(strip_html(text)) or "").endswith(("R&B", "Q&A"))


@given(st.text("a .!?…\"')」。", max_size=30))
def test_sentences_end_where_a_simple_pattern_ends_them(text):
    simple = re.finditer(r"[.!?]+[\"'”’»)\]]*(?=\s|$)|[。！？]+[」』”]*", text)
    assert [found.span() for found in sentences._END.finditer(text)] == [f.span() for f in simple]


def test_a_page_is_parsed_once(monkeypatch):
    import lxml.html

    calls = []
    parse = lxml.html.document_fromstring
    monkeypatch.setattr(lxml.html, "document_fromstring", lambda html, **k: calls.append(html) or parse(html, **k))
    prose = "".join(f"<p>Take {number}: {SENTENCE}</p>" for number in range(9))
    page = read_html(f"<html><body>{ITEM}<b itemprop=name>x</b></div>{prose}</body></html>", "https://music.example/")
    assert SENTENCE in page.prose()
    assert page.nodes[0]["name"] == "x"
    assert page.prose() == page.prose()  # reading it leaves the tree as it was
    assert len(calls) == 1


def test_a_reference_that_no_address_can_hold_costs_the_others_nothing():
    leads = [Lead("wikipedia", "page", "en:\ud83d"), Lead("wikipedia", "page", "en:Low Tide")]
    refused = []
    tasks = list(resolved(leads, SOURCES, lambda lead, why: refused.append((lead, why.reason))))
    assert ["Low" in task.url for task in tasks] == [True]
    assert refused == [(leads[0], "reference_unusable")]
