"""The report's pictures as inline SVG: lines, dots with whiskers. Colours come from the page's CSS."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

__all__ = ["line_chart", "whiskers"]

_WIDTH = 480  # user units; text is sized to be read at this width and on a phone
Point = tuple[float, float]


def line_chart(series: Mapping[str, Sequence[Point]], *, x_label: str, y_label: str) -> Markup:
    """One line per named series over a shared axis pair; series differ in dash and have a direct label."""
    height, left, right, top, bottom = 280, 46, 92, 22, 40
    points = [point for line in series.values() for point in line]
    if not points:
        return Markup("")
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_low, y_high = min(y for _, y in points), max(y for _, y in points)
    y_low, y_high = y_low - 0.08 * (y_high - y_low), y_high + 0.08 * (y_high - y_low) or 1.0
    across = (_WIDTH - left - right) / ((x_high - x_low) or 1)
    down = (height - top - bottom) / ((y_high - y_low) or 1)

    def place(x: float, y: float) -> Point:
        return left + (x - x_low) * across, height - bottom - (y - y_low) * down

    parts = []
    for tick in _ticks(y_low, y_high, 4):
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{left}" x2="{_WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 7}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(x_low, x_high, 5):
        x, _ = place(tick, y_low)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - bottom + 17}" text-anchor="middle">{tick:g}</text>')
    label_ys: list[float] = []
    for index, (name, line) in enumerate(series.items()):
        if not line:
            continue
        places = [place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line s{index}" points="{path}"/>')
        if len(places) < 12:
            parts += [f'<circle class="dot s{index}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        label_y = places[-1][1] + 4
        while any(abs(label_y - other) < 15 for other in label_ys):
            label_y -= 15
        label_ys.append(label_y)
        x = places[-1][0] + 8
        parts.append(f'<text class="label s{index}" x="{x:.1f}" y="{label_y:.1f}">{escape(name)}</text>')
    middle = left + (_WIDTH - left - right) / 2
    parts.append(f'<text class="tick" x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text class="tick" x="4" y="12">{escape(y_label)}</text>')
    return _svg(height, parts, f"{y_label} over {x_label}: {', '.join(series)}")


def whiskers(rows: Sequence[tuple[str, Mapping[str, float]]], *, log: bool = False) -> Markup:
    """One row per metric: a dot with its interval, over the band that chance alone would fall in.

    Each mapping has value, low, high, chance, chance_low, chance_high. The axis is 0 to 1, or with `log` a
    logarithmic one from 1, for ranks.
    """
    if not rows:
        return Markup("")
    left, right, step, top = 104, 54, 34, 8
    height = top + step * len(rows) + 26
    span = _WIDTH - left - right
    longest = max(max(row["high"], row["chance_high"]) for _, row in rows)

    def place(value: float) -> float:
        share = math.log(max(value, 1)) / (math.log(longest * 1.2) or 1) if log else value
        return left + span * min(max(share, 0.0), 1.0)

    parts = []
    foot = top + step * len(rows)
    doubling = [2**power for power in range(12) if 2**power <= longest * 1.2]
    for tick in doubling if log else (0, 0.25, 0.5, 0.75, 1):
        x = place(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{foot}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{foot + 17}" text-anchor="middle">{tick:g}</text>')
    for index, (name, row) in enumerate(rows):
        y = top + step * index + step / 2
        low, high = place(row["chance_low"]), place(row["chance_high"])
        interval = f"95 % interval {row['low']:.3g} to {row['high']:.3g}"
        description = f"{name}: {row['value']:.3g}, {interval}, chance {row['chance']:.3g}"
        number = f"{row['value']:.1f}" if log else f"{row['value']:.2f}"
        parts.append(
            f"<g><title>{escape(description)}</title>"
            f'<rect class="chance" x="{low:.1f}" y="{y - 10:.1f}" width="{max(high - low, 3):.1f}" height="20" rx="3"/>'
            f'<line class="whisker" x1="{place(row["low"]):.1f}" x2="{place(row["high"]):.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="dot" cx="{place(row["value"]):.1f}" cy="{y}" r="5"/>'
            f'<text class="name" x="{left - 12}" y="{y + 4.5}" text-anchor="end">{escape(name)}</text>'
            f'<text class="number" x="{_WIDTH - 4}" y="{y + 4.5}" text-anchor="end">{number}</text></g>'
        )
    return _svg(height, parts, "metrics with their intervals over the band of chance")


def _svg(height: float, parts: Sequence[str], title: str) -> Markup:
    body = "\n".join(parts)
    return Markup(f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">\n{body}\n</svg>')


def _ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers inside [low, high]."""
    rough = (high - low) / count or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = min((power * factor for factor in (1, 2, 5, 10)), key=lambda each: abs(each - rough))
    first = math.ceil(low / step)
    return [round(index * step, 10) for index in range(first, math.floor(high / step) + 1)]
