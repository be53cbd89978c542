"""The report is one file that fetches nothing, runs one script of its own, and escapes everything."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from sourcing.demo.report.charts import line_chart, whiskers
from sourcing.demo.report.clips import CLIP_S, encode_clip, encode_clips
from sourcing.demo.report.funnel import Bar, Stage, requests_by_source
from sourcing.demo.report.page import render_report
from sourcing.demo.report.showcase import Example, ModelRecord, highlight
from sourcing.demo.report.sound_map import Dot, Region, draw_map
from sourcing.demo.synth import write_all
from sourcing.demo.world import World, build_world

MEASURED = {
    "value": 0.42, "low": 0.35, "high": 0.5, "chance": 0.05, "chance_low": 0.03, "chance_high": 0.08,
    "clear_of_chance": True,
}  # fmt: skip
HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(0, 30)


@pytest.fixture(scope="module")
def clip(world: World, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "one.flac"
    write_all([(path, world.tracks[0].spec)])
    return encode_clip(path)


def facts(world: World, clip: bytes) -> dict:
    text_to_audio = dict.fromkeys(("mrr", "median_rank", "r_at_1"), MEASURED)
    result = {
        "tracks": 2, "artists": 1, "documents": {"wikipedia": 3}, "matches": {"accept": 2},
        "descriptions": {"mined": 1}, "leads_elsewhere": {HOSTILE: 4},
        "rejected": {}, "version": "demo@0.1.0", "verdict": "good", "metrics": {"text_to_audio": text_to_audio},
        "seconds": {"all": 12.0},
    }  # fmt: skip
    description = {
        "origin": "mined", "model": HOSTILE, "prompt": HOSTILE, "licences": ["CC0-1.0"], "caption": HOSTILE,
        "aspects": [{"text": HOSTILE, "facet": "mood"}],
    }  # fmt: skip
    source = {"source": "wikipedia", "permalink": HOSTILE, "text": highlight(f"A {HOSTILE} piano", [(2, 10)])}
    track = world.tracks[0]
    hit = {"track_id": track.track_id, "score": 0.5, "title": HOSTILE, "artist": HOSTILE, "labels": {}, "good": True}
    chart, ranks = whiskers([(HOSTILE, MEASURED)]), whiskers([("r", MEASURED)], log=True)
    dots = [Dot(track.track_id, 0, 1, "piano", HOSTILE), Dot("trk2", 1, 0, "organ", "x")]
    like = {"query": "like", "like": track.track_id, "facet": "lead", "value": HOSTILE, "hits": []}
    refused = Counter({HOSTILE: 2})
    return {
        "seed": 0,
        "result": result,
        "facts": [("tracks", HOSTILE)],
        "stages": [Stage("rows", HOSTILE, (Bar(HOSTILE, 3, 1, 2), Bar("other", 6)))],
        "rejected": [(HOSTILE, 3)],
        "examples": [Example("hit", description, track, ["true"], [source])],
        "record": ModelRecord(HOSTILE, 28, 22, Counter(true=50), refused, {HOSTILE: HOSTILE}),
        "curve": line_chart({"training": [(1, 4.0), (2, 3.0)]}, x_label="step", y_label="loss"),
        "retrieval": [{"title": "t", "chart": chart, "ranks": ranks}],
        "map": draw_map(dots, [Region(HOSTILE, 0.5, 0.5, 2)], frozenset({track.track_id})),
        "searches": [{"query": HOSTILE, "like": "", "facet": "lead", "value": "piano", "hits": [hit]}, like],
        "tracks": {track.track_id: track},
        "clips": {track.track_id: clip},
        "steps": [("crawl", HOSTILE, 1.0)],
    }


@pytest.fixture(scope="module")
def page(world: World, clip: bytes) -> str:
    return render_report(facts(world, clip))


def test_the_report_fetches_nothing_and_runs_nothing_but_its_own_script(page: str) -> None:
    assert page.count("<script") == 1
    script = re.search(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert script and policy
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy[1], "a browser would refuse the page's own script"
    assert policy[1].startswith("default-src 'none'; ")
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert re.findall(r'\bsrc="(?!data:)[^"]*', page) == []
    assert "@import" not in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page


def test_whatever_came_from_outside_is_escaped(page: str) -> None:
    assert page.count("&lt;script&gt;") >= 12
    assert HOSTILE not in page


def test_each_play_button_plays_a_clip_of_its_track_that_the_page_holds(page: str, world: World) -> None:
    track_id = world.tracks[0].track_id
    buttons = re.findall(r'<button [^>]*data-clip="([^"]*)"[^>]*aria-label="play ([^"]+)"', page)
    assert [track for track, _ in buttons] == [track_id] * 3  # an example, a hit and what is searched from
    sounds = re.findall(r'<audio id="clip-([^"]*)" preload="none" src="data:audio/mpeg;base64,([^"]*)">', page)
    assert [track for track, _ in sounds] == [track_id]
    wave, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sounds[0][1])))
    assert len(wave) / rate_hz == pytest.approx(7, abs=0.1)
    assert abs(wave).max() > 0.1


def test_a_track_without_a_clip_has_no_button(world: World, clip: bytes) -> None:
    assert "<button" not in render_report({**facts(world, clip), "clips": {}})


def test_every_bar_shows_its_counts_and_is_as_long_as_they_are_many(page: str) -> None:
    rows = re.findall(r'<div class="row"><span>(.*?)</span>(.*?)</div>', page, re.DOTALL)
    assert len(rows) == 2
    widths = [re.findall(r'<i class="(\w+)" style="width:([\d.]+)%"', row) for _, row in rows]
    assert widths == [[("on", "50.00"), ("review", "16.67"), ("refused", "33.33")], [("on", "100.00")]]
    assert [re.search('count">(.*?)<', row)[1] for _, row in rows] == ["3 / 1 / 2", "6"]


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
        draw_map([Dot("a", 0, 0, "piano", "A & B")], [Region("a & b", 0, 0, 1)]),
    ],
)
def test_every_picture_is_well_formed_and_inside_its_frame(svg: str) -> None:
    root = ElementTree.fromstring(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for circle in root.iter("circle"):
        if circle.get("id") == "map-ring":  # out of sight until a track is pointed at
            continue
        assert 0 <= float(circle.attrib["cx"]) <= width
        assert 0 <= float(circle.attrib["cy"]) <= height


def test_pictures_of_nothing_are_empty() -> None:
    assert line_chart({}, x_label="x", y_label="y") == whiskers([]) == draw_map([], []) == ""


def test_requests_are_counted_for_the_sources_that_were_asked() -> None:
    def source(on: bool, **states: int) -> dict:
        return {"on": on, **dict.fromkeys(("pending", "leased", "fetched", "failed", "denied"), 0), **states}

    status = {
        "sources": {
            "wikipedia": source(True, fetched=5, failed=1),
            "schemaorg": source(True, fetched=2, denied=1),
            "wikidata": source(False, pending=392),
            "discogs": source(False),
        },
        "total": {"pending": 392, "fetched": 7, "failed": 1, "denied": 1},
    }
    requests, leads_elsewhere = requests_by_source(status)
    assert requests == {"wikipedia": {"fetched": 5, "failed": 1}, "schemaorg": {"fetched": 2, "denied": 1}}
    assert leads_elsewhere == {"wikidata": 392}


def test_clips_are_short_and_mono_and_end_before_they_exceed_the_page(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (12 * 22_050, 2))
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.flac", noise, 22_050)
    soundfile.write(tmp_path / "short.flac", noise[:22_050], 22_050)
    paths = {path.stem: path for path in tmp_path.glob("*.flac")}
    clips = encode_clips(["b", "a", "b", "short"], paths)
    assert list(clips) == ["b", "a", "short"]
    wave, rate_hz = soundfile.read(io.BytesIO(clips["a"]))
    assert (wave.ndim, rate_hz) == (1, 22_050)
    assert len(wave) / rate_hz == pytest.approx(CLIP_S, abs=0.1)
    assert len(clips["a"]) < 0.2 * len(wave) * 2, "a fifth of 16-bit samples, at most"
    size = len(clips["b"]) + len(clips["a"])
    assert list(encode_clips(["b", "a", "c"], paths, max_total_bytes=size)) == ["b", "a"]
    assert encode_clips(["b"], paths, max_total_bytes=10) == {}
