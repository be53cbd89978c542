"""Colours on the report mean one thing, clusters bear the names that set them apart, clips are small."""

from __future__ import annotations

import io
import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sourcing.demo.report.page as page_module
from sourcing.demo.report.clips import CLIP_S, encode_clips
from sourcing.demo.report.funnel import requests_by_source
from sourcing.demo.report.palette import FAMILIES, LEADS, legend, marker, swatch
from sourcing.demo.report.sound_map import Dot, Region, draw_map, find_regions, project, region_name
from sourcing.demo.synth import LEADS as ALL_LEADS

FOLDER = Path(page_module.__file__).parent
#: linear RGB as readers see it who lack one kind of cone (Machado, Oliveira and Fernandes 2009, severity 1)
VISIONS = {
    "all cones": np.eye(3),
    "no red": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "no green": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "no blue": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}


def linear(color: str) -> np.ndarray:
    channels = np.array([int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    low, high = sorted(float(linear(color) @ [0.2126, 0.7152, 0.0722]) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("paper", "background"), [("light", "#ffffff"), ("dark", "#1c1f25")])
def test_families_are_told_apart_with_any_cones_on_any_paper(paper: str, background: str, vision: str) -> None:
    colors = [getattr(family, paper) for family in FAMILIES]
    for one, other in combinations(colors, 2):
        gap = np.linalg.norm(lab(VISIONS[vision] @ linear(one)) - lab(VISIONS[vision] @ linear(other)))
        assert gap > 30, (one, other)
    assert min(contrast(color, background) for color in colors) >= 3


def test_every_lead_has_one_look_and_no_two_share_it() -> None:
    assert set(LEADS) == set(ALL_LEADS)
    assert len({str(swatch(lead)) for lead in LEADS}) == len(LEADS)
    svg = draw_map([Dot(lead, number, number, lead, lead) for number, lead in enumerate(LEADS)], [])
    for lead, picture in legend():
        css = re.search('class="(mark f[0-9])"', picture)[1]
        shape = re.search("<(circle|path) class", picture)[1]
        assert re.search(f'<{shape} class="{css}"[^>]* data-track="{lead}"', svg), "map and legend differ"
    assert 'class="mark"' in marker("theremin", 0, 0, 1), "an unknown instrument has no family's colour"


def test_no_colour_but_the_families_has_a_hue() -> None:
    """But for the highlighter's yellow, which stands behind text alone."""
    css = (FOLDER / "page.css").read_text() + (FOLDER / "page.html.j2").read_text()
    colors = dict.fromkeys(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", css))
    assert len(colors) >= 14
    for name, color in colors:
        channels = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert name == "highlight" or max(channels) - min(channels) <= 25, (name, color)
    assert not re.search(r"(?<!: )#[0-9a-f]{6}", css), "a colour stands outside the palette"


def test_a_region_is_named_by_what_its_tracks_share_and_others_lack() -> None:
    inside = [{"lead": "piano", "drums": "none", "style": style} for style in ("folk", "lounge", "neoclassical")]
    outside = [{"lead": lead, "drums": "none", "style": "house"} for lead in ("organ", "bass", "chip", "brass")]
    assert region_name(inside, outside) == "piano"
    assert region_name(inside, [{"lead": "organ", "drums": "marching"}] * 4) == "no drums, piano"
    assert region_name(inside, inside) == "", "nothing sets it apart"


def test_clusters_are_found_where_they_lie_and_in_the_same_way_each_time() -> None:
    draw = np.random.default_rng(0)
    centres = {"piano": (0, 0), "brass": (9, 0), "chip": (0, 9)}
    points = np.concatenate([draw.normal(centre, 0.3, (20, 2)) for centre in centres.values()])
    labels = [{"lead": lead} for lead in centres for _ in range(20)]
    regions = find_regions(points, labels, 3)
    assert {region.name: (round(region.x), round(region.y)) for region in regions} == {
        "piano": (0, 0), "brass": (9, 0), "8-bit": (0, 9),
    }  # fmt: skip
    assert find_regions(points, labels, 3) == regions


def test_the_map_is_the_projection_that_keeps_most_of_the_spread() -> None:
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(200, 6)) * [1, 9, 1, 1, 5, 1]
    spread = project(vectors).var(axis=0)
    assert spread == pytest.approx(sorted(np.linalg.eigvalsh(np.cov(vectors.T, bias=True)))[:-3:-1])


def test_names_on_the_map_stay_inside_and_cover_none_another() -> None:
    dots = [Dot("a", 0, 0, "piano", "a"), Dot("b", 1, 1, "organ", "b")]
    svg = draw_map(dots, [Region(f"name, of {number}", 0.5, 0.5, 9) for number in range(4)])
    tops = [float(y) for y in re.findall('class="region" y="([-0-9.]+)"', svg)]
    assert len(tops) == 4
    assert all(later - earlier >= 34 for earlier, later in pairwise(tops)), "two lines of 17 units"
    edge = draw_map(dots, [Region("a long name at the edge", 1, 1, 9)])
    assert float(re.search('class="region" y="([-0-9.]+)"', edge)[1]) >= 0


def test_pointer_finger_and_keys_reach_the_map() -> None:
    svg = draw_map([Dot("a", 0, 0, "piano", "A"), Dot("b", 1, 0, "organ", "B")], [], frozenset({"a"}))
    assert 'tabindex="0"' in svg and 'aria-describedby="map-tip"' in svg
    assert re.findall(r'data-track="(\w+)"[^>]* data-plays', svg) == ["a"]
    script = (FOLDER / "page.js").read_text()
    listeners = set(re.findall(r'map\.addEventListener\("(\w+)"', script))
    assert {"pointermove", "pointerup", "keydown"} <= listeners
    assert 'id="map-tip"' in (FOLDER / "page.html.j2").read_text()


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
