"""The report's map: every track by its sound, named regions, markers that pointer, finger and arrow keys can reach."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sourcing.demo.report.palette import marker
from sourcing.demo.word_lists import phrases, word_list

if TYPE_CHECKING:
    import numpy as np

    Points = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Dot", "Region", "draw_map", "find_regions", "project", "region_name"]

_WIDTH, _HEIGHT, _MARGIN = 480, 400, 20
_FONT = 17  # of names on the narrowest screen, where they take most room
_REGIONS = 10
_SHARE = 0.5  # of a region's tracks that must have a label before the region is called by it
_FACETS = ("lead", "drums", "effect", "style")  # tempo and mood follow from these
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Dot:
    """A track on the map, in the units of the embedding axes; `text` is the tooltip."""

    track_id: str
    x: float
    y: float
    lead: str
    text: str


@dataclass(frozen=True)
class Region:
    """A named cluster of dots; x and y are the centroid."""

    name: str
    x: float
    y: float
    tracks: int


def project(vectors: Points) -> Points:
    """The vectors (N, D) projected on the two widest principal axes, (N, 2)."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    flat: Points = centred @ axes[:2].T
    return flat


def find_regions(points: Points, labels: Sequence[Labels], count: int = _REGIONS) -> list[Region]:
    """Clusters of the map's points (N, 2), named by distinguishing labels; clusters without a name are left out."""
    members = _k_means(points, min(count, len(points)))
    regions = []
    for number in range(int(members.max(initial=-1)) + 1):
        inside = [own for own, member in zip(labels, members, strict=True) if member == number]
        name = region_name(inside, [own for own, member in zip(labels, members, strict=True) if member != number])
        if name:
            x, y = points[members == number].mean(axis=0)
            regions.append(Region(name, float(x), float(y), len(inside)))
    return regions


def region_name(inside: Sequence[Labels], outside: Sequence[Labels], parts: int = 2) -> str:
    """The labels that most of `inside` has and that are rarer outside, at most one a facet, most telling first.

    A label tells its share inside times the logarithm of how much commoner it is there than outside.
    """
    counts = Counter((facet, own[facet]) for own in inside for facet in _FACETS if facet in own)
    beyond = Counter((facet, own[facet]) for own in outside for facet in _FACETS if facet in own)
    telling = []
    for label, count in counts.items():
        share, other_share = count / len(inside), (beyond[label] + 0.5) / (len(outside) + 1)
        if share >= _SHARE and share > 1.5 * other_share:
            telling.append((-share * math.log(share / other_share), label))
    names: dict[str, str] = {}
    for _, (facet, value) in sorted(telling):
        names.setdefault(facet, _spoken(facet, value))
    return ", ".join(list(names.values())[:parts])


def draw_map(dots: Sequence[Dot], regions: Sequence[Region], playable: frozenset[str] = frozenset()) -> Markup:
    """The map as SVG: one scale for both axes, so that distances stay honest; `playable` tracks have a clip."""
    if not dots:
        return Markup("")
    xs, ys = [dot.x for dot in dots], [dot.y for dot in dots]
    across, down = max(xs) - min(xs), max(ys) - min(ys)
    scale = min((_WIDTH - 2 * _MARGIN) / (across or 1.0), (_HEIGHT - 2 * _MARGIN) / (down or 1.0))
    x_middle, y_middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2

    def place(x: float, y: float) -> tuple[float, float]:
        return _WIDTH / 2 + (x - x_middle) * scale, _HEIGHT / 2 - (y - y_middle) * scale

    parts = []
    for dot in dots:
        x, y = place(dot.x, dot.y)
        plays = " data-plays" if dot.track_id in playable else ""
        attributes = f' data-track="{escape(dot.track_id)}" data-x="{x:.1f}" data-y="{y:.1f}"{plays}'
        parts.append(marker(dot.lead, x, y, 4, attributes, f"<title>{escape(dot.text)}</title>"))
    parts += _names([(region.name, *place(region.x, region.y)) for region in regions])
    label = "map of the catalogue, near when it sounds alike; arrow keys go from track to track, Enter plays"
    return Markup(
        '<svg id="map" viewBox="0 0 {} {}" role="application" tabindex="0" aria-label="{}" aria-describedby="map-tip">'
        '\n{}\n<circle id="map-ring" r="8" cx="-20" cy="-20"/></svg>'
    ).format(_WIDTH, _HEIGHT, label, Markup("\n").join(parts))


def _names(places: Sequence[tuple[str, float, float]]) -> list[Markup]:
    """Region names as SVG texts inside the frame, one line per label, each moved down below overlapping names."""
    boxes: list[tuple[float, float, float, float]] = []
    texts = []
    for name, x, y in sorted(places, key=lambda entry: entry[2]):
        lines = name.split(", ")
        half, tall = max(map(len, lines)) * _FONT * 0.3, len(lines) * _FONT
        x = min(max(x, half + 2), _WIDTH - half - 2)
        y = max(y - tall / 2, 2)
        for other_x, other_y, other_half, other_tall in boxes:
            if abs(x - other_x) < half + other_half and other_y - tall < y < other_y + other_tall:
                y = other_y + other_tall
        y = min(y, _HEIGHT - tall - 4)
        boxes.append((x, y, half, tall))
        spans = [Markup('<tspan x="{}" dy="1.12em">{}</tspan>').format(f"{x:.1f}", line) for line in lines]
        text = '<text class="region" y="{}" text-anchor="middle">{}</text>'
        texts.append(Markup(text).format(f"{y:.1f}", Markup("").join(spans)))
    return texts


def _k_means(points: Points, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The cluster of each point (N,), by Lloyd's algorithm from centres far apart; no chance in it."""
    import numpy as np

    centres = [points[np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1))]]
    for _ in range(1, count):
        gaps = ((points[:, None] - np.array(centres)[None]) ** 2).sum(axis=2).min(axis=1)  # (N,)
        centres.append(points[np.argmax(gaps)])
    middle = np.array(centres)  # (K, 2)
    members = np.zeros(len(points), np.int64)
    for _ in range(50):
        distances = ((points[:, None] - middle[None]) ** 2).sum(axis=2)  # (N, K)
        nearest = distances.argmin(axis=1)
        if (nearest == members).all():
            break
        members = nearest
        middle = np.array(
            [points[members == k].mean(axis=0) if (members == k).any() else c for k, c in enumerate(middle)]
        )
    return members


def _spoken(facet: str, value: str) -> str:
    """The usual word for a label's value: `drums=none` is "no drums"."""
    if facet == "style":
        return str(word_list("styles").get(value, {"tag": value})["tag"])
    values = word_list("phrases").get(facet, {})
    return phrases(facet, value, "tags")[0] if value in values else value.replace("_", " ")
