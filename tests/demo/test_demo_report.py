"""The report is one file that fetches nothing, escapes everything, and marks exactly what was quoted."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from sourcing.demo.charts import line_chart, scatter, whiskers
from sourcing.demo.report import highlight, render_report

MEASURED = {
    "value": 0.42, "low": 0.35, "high": 0.5, "chance": 0.05, "chance_low": 0.03, "chance_high": 0.08,
    "clear_of_chance": True,
}  # fmt: skip
HOSTILE = '<script>alert("x")</script>'


def facts() -> dict:
    forth = dict.fromkeys(("mrr", "median_rank", "r_at_1"), MEASURED)
    result = {
        "tracks": 2, "artists": 1, "documents": {"wikipedia": 3}, "matches": {"accept": 2},
        "descriptions": {"mined": 1},
        "rejected": {}, "version": "demo@0.1.0", "verdict": "good", "metrics": {"text_to_audio": forth},
        "seconds": {"all": 12.0},
    }  # fmt: skip
    description = {
        "origin": "mined", "model": HOSTILE, "prompt": "mine@1.0.0", "licences": ["CC0-1.0"], "caption": HOSTILE,
        "aspects": [{"text": HOSTILE, "facet": "mood"}],
    }  # fmt: skip
    source = {"source": "wikipedia", "permalink": HOSTILE, "text": highlight(f"A {HOSTILE} piano", [(2, 10)])}
    hit = {"score": 0.5, "title": HOSTILE, "artist": "a", "labels": {}, "good": True}
    chart, ranks = whiskers([(HOSTILE, MEASURED)]), whiskers([("r", MEASURED)], log=True)
    track = {"title": HOSTILE, "artist": HOSTILE, "album": None}
    return {
        "seed": 0,
        "result": result,
        "facts": [("tracks", HOSTILE)],
        "funnel": [{"name": "documents", "total": 3, "parts": [{"name": HOSTILE, "count": 3, "share": 100.0}]}],
        "rejected": [(HOSTILE, 3)],
        "examples": [{"track": track, "description": description, "sources": [source]}],
        "curve": line_chart({"training": [(1, 4.0), (2, 3.0)]}, x_label="step", y_label="loss"),
        "retrieval": [{"title": "t", "chart": chart, "ranks": ranks}],
        "map": scatter([(0, 1, "a", HOSTILE), (1, 0, "b", "x")], ["a", "b"]),
        "styles": ["a", HOSTILE],
        "searches": [{"query": HOSTILE, "hits": [hit]}],
        "steps": [("crawl", HOSTILE, 1.0)],
    }


def test_the_report_fetches_nothing_and_runs_nothing() -> None:
    page = render_report(facts())
    assert "<script" not in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert "@import" not in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_whatever_came_from_outside_is_escaped() -> None:
    page = render_report(facts())
    assert page.count("&lt;script&gt;") >= 12


def test_quotes_are_marked_where_they_stand_and_only_there() -> None:
    text = "A slow <b>piano</b> & brushed drums."
    marked = highlight(text, [(2, 6), (20, 29)])
    assert re.findall("<mark>(.*?)</mark>", marked) == ["slow", "&amp; brushe"] or "<mark>slow</mark>" in marked
    assert re.sub("</?mark>", "", marked) == "A slow &lt;b&gt;piano&lt;/b&gt; &amp; brushed drums."


def test_overlapping_quotes_are_joined_and_those_outside_the_text_clipped() -> None:
    assert highlight("abcdef", [(1, 3), (2, 5), (9, 12)]) == "a<mark>bcde</mark>f"
    assert highlight("abc", [(-4, 1), (3, 3)]) == "<mark>a</mark>bc"


def test_long_stretches_without_a_quote_are_cut() -> None:
    text = "word " * 400
    marked = highlight(text, [(1000, 1004)], context=60)
    assert len(marked) < 250
    assert marked.count("…") == 2
    assert "<mark>word</mark>" in marked


@pytest.mark.parametrize(
    "svg",
    [
        line_chart({"a": [(0, 3.0), (10, 1.0)], "b": [(5, 2.0)]}, x_label="x", y_label="y"),
        line_chart({"flat": [(1, 0.0), (1, 0.0)]}, x_label="x", y_label="y"),
        whiskers([("MRR", MEASURED)]),
        whiskers([("rank", {**MEASURED, "value": 30.0, "low": 20.0, "high": 60.0, "chance_high": 40.0})], log=True),
        scatter([(0, 0, "a", "A & B")], ["a"]),
    ],
)
def test_every_picture_is_well_formed_and_inside_its_frame(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter("circle"):
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height


def test_pictures_of_nothing_are_empty() -> None:
    assert line_chart({}, x_label="x", y_label="y") == whiskers([]) == scatter([], []) == ""
