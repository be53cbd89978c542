"""Facts out of wikis: infoboxes in three languages, and the claims of a Wikibase item."""

from __future__ import annotations

import pytest
from cpu import within_cpu

from sourcing.crawling.wiki.infobox import Infobox, read_infobox
from sourcing.crawling.wiki.wikibase import claims, duration_s, items, texts, year

NONE = Infobox("recording", None, None, None, None, None, ())


def infobox(**facts: object) -> Infobox:
    return Infobox(**{**NONE.__dict__, **facts})


@pytest.mark.parametrize(
    ("wikitext", "read"),
    [
        (
            "{{Infobox song|genre=[[Ambient music|Ambient]], drone<ref>{{cite|x}}</ref>}}",
            {"genres": ("Ambient", "drone")},
        ),
        (
            "{{infobox single|Genre=\n* [[Jangle pop]]\n* ''[[Folk]]''{{sfn|X|2004}}}}",
            {"genres": ("Jangle pop", "Folk")},
        ),
        ("{{Infobox song|genre={{hlist|Rock|[[Pop]]|rock}}}}", {"genres": ("Rock", "Pop")}),
        ("{{Infobox Single|類型=[[-{zh-hans:摇滚;zh-hant:搖滾}-]]、[[民谣]]}}", {"genres": ("摇滚", "民谣")}),
        ("{{Infobox Single|类型=-{R|民谣}-}}", {"genres": ("民谣",)}),
        ("{{Infobox song|genre=%s}}" % ("x" * 80), {}),
        (
            '{{Infobox song|artist={{lang|ja|[[灯台]]}}<br />[[B]]|name="[[X (song)|X]]"}}',
            {"artist": "灯台, B", "title": "X"},
        ),
        (
            "{{Infobox song|artist={{lang-ja|灯台}} [[File:a.jpg|20px]]|album=''[[Y]]''}}",
            {"artist": "灯台", "album": "Y"},
        ),
        ("{{Infobox song|artist=[https://example.org A&amp;B]{{unknown|C}}<!-- D -->}}", {"artist": "A&B"}),
        ("{{Infobox song|length={{Duration|m=3|s=5}}}}", {"duration_s": 185.0}),
        ("{{Infobox song|length={{duration|1|02|03}}}}", {"duration_s": 3723.0}),
        ("{{Infobox song|length=3:05 (album)<br>3:05 (single)}}", {"duration_s": 185.0}),
        ("{{Infobox song|length=3:05 (album)<br>4:10 (single)}}", {}),
        ("{{Infobox Single|時長=4分5秒}}", {"duration_s": 245.0}),
        ("{{Infobox song|released={{start date|2014|3|7}}}}", {"year": 2014}),
        ("{{Infobox song|released=7 March 2014 (2020 reissue)}}", {"year": 2014}),
        ("{{Infobox Song|Veröffentlichung=14.&nbsp;Juni 2013|Interpret=A}}", {"year": 2013, "artist": "A"}),
        (
            "{{Infobox album|name=Z|type=EP|length=41:20}}",
            {"granularity": "release", "title": "Z", "duration_s": 2480.0},
        ),
        ("{{專輯資訊框|名稱=燈塔|歌手=林一帆}}", {"granularity": "release", "title": "燈塔", "artist": "林一帆"}),
        ("{{Infobox album|type=single|artist=A}}", {"artist": "A"}),
        ("{{Infobox musical composition|composer=A}}", {}),
        ("{{Infobox song|length={{Duration|4:06}}}}", {"duration_s": 246.0}),
        ("{{Infobox song|length={{duration|1:02:03}}}}", {"duration_s": 3723.0}),
        ("{{Infobox song|length=48 min 36 sec}}", {"duration_s": 2916.0}),
        ("{{Infobox song|length=1 h 2 min}}", {"duration_s": 3720.0}),
        ("{{Infobox song|length=3′45″}}", {"duration_s": 225.0}),
        ("{{Infobox Song|Dauer=4 Minuten 6 Sekunden}}", {"duration_s": 246.0}),
        ("{{Infobox song|length=about 4 minutes}}", {}),
        ("{{Infobox song|released={{startdate|2005|3|21}}}}", {"year": 2005}),
        ("{{Infobox song|released={{Start date|df=y|2005|3|1}}}}", {"year": 2005}),
        ("{{Infobox song|released={{film date|1997|3|1|[[Hull]]}}}}", {"year": 1997}),
        ("{{Infobox song|genre={{Hlist-comma|[[Soul music|Soul]]|[[funk]]}}}}", {"genres": ("Soul", "funk")}),
        (
            '{{Infobox song|genre={{ubl|1=[[House]]|2=<small class="x">Techno</small>}}}}',
            {"genres": ("House", "Techno")},
        ),
        (
            '{{Infobox song|genre={{flatlist|\n* [[Rock music|rock]]<ref name="a">{{cite|x|y=1}}</ref>\n'
            "* {{nowrap|[[pop]]}}<ref name=b />\n}}}}",
            {"genres": ("rock", "pop")},
        ),
        ("{{Infobox song|genre=Rock/Punk{{•}}R&B/Soul, pop (early)}}", {"genres": ("Rock", "Punk", "R&B/Soul", "pop")}),
        ("{{Infobox song|artist=[[A]]<br>featuring [[B]]}}", {"artist": "A featuring B"}),
        ("{{Infobox song|artist=A &<br/>B|genre=<!-- x | y -->}}", {"artist": "A & B"}),
        (
            "{{Infobox Musique (œuvre)|charte=album|titre=X|artiste=[[Y]]|sorti={{date|3|mai|1997}}"
            "|durée={{Durée|m=43|s=2}}}}",
            {"granularity": "release", "title": "X", "artist": "Y", "year": 1997, "duration_s": 2582.0},
        ),
        ("{{Infobox Musique (œuvre)|titre=X}}", {"granularity": "page", "title": "X"}),
        (
            "{{Ficha de canción|nombre=X|artista=[[Y]]|lanzado={{fecha|3|5|1997}}|género=[[Pop]]|duración=3 min 5 s}}",
            {"title": "X", "artist": "Y", "year": 1997, "genres": ("Pop",), "duration_s": 185.0},
        ),
    ],
)
def test_an_infobox_says_what_a_reader_sees(wikitext, read):
    assert read_infobox(f"{{{{Short description|x}}}}\n{wikitext}\nProse.") == infobox(**read)


@pytest.mark.parametrize(
    "wikitext",
    [
        "",
        "Prose.",
        "{{Infobox musical artist|genre=Rock}}",
        "{{Infobox song contest|artist=A}}",
        "{{Infobox Musique (artiste)|genre=Rock}}",
        "{{Infobox song|genre=Rock",
    ],
)
def test_an_article_without_a_whole_music_infobox_has_none(wikitext):
    assert read_infobox(wikitext) is None


def test_wikitext_of_unending_brackets_is_read_to_an_end():
    assert read_infobox("{{Infobox song|artist=" + "{{a|" * 2000 + "[[" * 2000) is None
    assert read_infobox("{{Infobox song|genre=" + "{{hlist|" * 2000 + "}}" * 2000 + "}}") is not None
    assert read_infobox("{{Infobox song|artist=" + "[[a|" * 30 + "]]" * 30 + "}}") is not None


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "wikitext",
    [
        "{{" * 100_000,
        "[[" * 30 + "]]" * 30 + "{{Infobox song|artist=" + "[[" * 30 + "A" + "]]" * 30 + "}}",
        "{{Infobox song|artist=" + "{{a|" * 3000 + "}}" * 3000 + "}}",
        "{{[[" * 20 + "}}]]" * 40_000,
        "{{Infobox song|" + "|" * 190_000 + "}}",
        "{{Infobox song|length=" + "1 h 1 " * 30_000 + "}}",
        "{{Infobox song|genre=" + "<" * 190_000 + "}}",
        "<ref>" * 40_000,
        "{{Infobox song|released=" + "1997 " * 38_000 + "}}",
        "-{" * 90_000,
    ],
    ids=range(10),
)
def test_wikitext_that_is_broken_takes_no_more_than_its_length(wikitext):
    with within_cpu(20.0):
        read_infobox(wikitext)


def item(name: str, *values: tuple[object, str]) -> dict[str, object]:
    statements = [{"rank": rank, "mainsnak": {"datavalue": {"value": value}}} for value, rank in values]
    return {"id": "Q1", "claims": {name: statements}}


def test_preferred_claims_hide_normal_ones_and_deprecated_ones_are_never_read():
    assert texts(item("P1", ("a", "normal"), ("b", "preferred"), ("c", "deprecated")), "P1") == ["b"]
    assert texts(item("P1", ("a", "normal"), ("a", "normal"), ("c", "deprecated")), "P1") == ["a"]
    assert texts(item("P1", ("c", "deprecated")), "P1") == []


def test_claims_of_any_shape_are_read_without_falling_over():
    for odd in ({}, {"claims": []}, {"claims": {"P1": None}}, {"claims": {"P1": ["x", {"mainsnak": None}, {}]}}):
        assert claims(odd, "P1") == []
    assert items(item("P1", ({"id": "L1"}, "normal"), ({"id": "Q7"}, "normal"), (7, "normal")), "P1") == ["Q7"]


@pytest.mark.parametrize(
    ("time", "precision", "stated"),
    [
        ("+2014-03-07T00:00:00Z", 11, 2014),
        ("+2014-00-00T00:00:00Z", 9, 2014),
        ("+2010-00-00T00:00:00Z", 8, None),  # a decade
        ("-0044-03-15T00:00:00Z", 11, None),
        ("+0044-03-15T00:00:00Z", 11, None),
        ("soon", 11, None),
    ],
)
def test_a_year_is_one_the_item_is_sure_of(time, precision, stated):
    assert year(item("P1", ({"time": time, "precision": precision}, "normal")), "P1") == stated


def test_the_earliest_year_is_that_of_first_publication():
    times = [({"time": f"+{stated}-01-01T00:00:00Z", "precision": 9}, "normal") for stated in (2015, 2014, 2020)]
    assert year(item("P1", *times), "P1") == 2014


@pytest.mark.parametrize(
    ("amounts", "seconds"),
    [
        ([("+225", "Q11574")], 225.0),
        ([("+3.5", "Q7727")], 210.0),
        ([("+210", "Q11574"), ("+3.5", "Q7727")], 210.0),
        ([("+225", "Q11574"), ("+251", "Q11574")], None),
        ([("+225", "Q11573")], None),  # metres
        ([("-225", "Q11574")], None),
    ],
)
def test_a_length_counts_when_there_is_one_and_its_unit_is_of_time(amounts, seconds):
    values = [({"amount": a, "unit": f"http://www.wikidata.org/entity/{u}"}, "normal") for a, u in amounts]
    assert duration_s(item("P1", *values), "P1") == seconds
