"""A colour of the report means one family of instruments, everywhere and to every reader."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import sourcing.demo.report.page as page_module
from sourcing.demo.report.palette import FAMILIES, LEADS, legend, marker, swatch
from sourcing.demo.report.sound_map import Dot, draw_map
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
    template, style = (FOLDER / "page.html.j2").read_text(), (FOLDER / "page.css").read_text()
    colors = re.findall(r"--([a-z]+): (#[0-9a-f]{6})", template)
    assert len(colors) >= 18
    for name, color in colors:
        channels = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert name == "highlight" or max(channels) - min(channels) <= 25, (name, color)
    assert len(re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgb|\bhsl", template + style)) == len(colors), (
        "one is beside the palette"
    )
