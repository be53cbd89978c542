"""The map's clusters bear the names that set them apart, and pointer, finger and keys reach its tracks."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sourcing.demo.report.page as page_module
from sourcing.demo.report.sound_map import Dot, Region, draw_map, find_regions, project, region_name

FOLDER = Path(page_module.__file__).parent


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
