"""The report's colours: a family of instruments has one hue on map, legends and hits, and hue means nothing else.

Outcomes of rows are drawn in ink, hatching and outline, measurements in ink over a grey band of chance. The five hues
stay apart for readers who confuse red and green or blue and yellow, on light and on dark paper; inside a family the
marker's shape tells the two instruments apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

__all__ = ["FAMILIES", "LEADS", "Family", "legend", "marker", "swatch"]


@dataclass(frozen=True)
class Family:
    """A family of two instruments, the first drawn as a disc, the second as a diamond; a hue for each paper."""

    name: str
    leads: tuple[str, str]
    light: str
    dark: str


FAMILIES = (
    Family("keys", ("piano", "organ"), "#2038c8", "#7f9ac4"),
    Family("guitars", ("guitar", "overdrive"), "#8a2a10", "#e0633f"),
    Family("winds", ("flute", "brass"), "#1aa482", "#72f0c0"),
    Family("strings and bells", ("strings", "bells"), "#dd58cc", "#c766ff"),
    Family("synths", ("chip", "bass"), "#ab8b10", "#eee04a"),
)
#: lead instrument → (number of its family, number inside the family)
LEADS = {lead: (number, place) for number, family in enumerate(FAMILIES) for place, lead in enumerate(family.leads)}


def marker(lead: str, x: float, y: float, radius: float, attributes: str = "", inside: str = "") -> Markup:
    """An SVG disc or diamond in the colour of the lead's family; grey for an instrument of no family.

    `attributes` and `inside` must be escaped already.
    """
    family, place = LEADS.get(lead, (None, 0))
    css = "mark" if family is None else f"mark f{family}"
    if place == 0:
        shape = f'<circle class="{css}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
        return Markup(f"{shape}{attributes}>{inside}</circle>")
    reach = radius * 1.25  # as large to the eye as the disc
    path = f"M{x:.1f} {y - reach:.1f}l{reach:g} {reach:g}l{-reach:g} {reach:g}l{-reach:g} {-reach:g}z"
    return Markup(f'<path class="{css}" d="{path}"{attributes}>{inside}</path>')


def swatch(lead: str) -> Markup:
    """The lead instrument's marker as a small SVG, to stand beside the name."""
    return Markup('<svg class="swatch" viewBox="0 0 14 14" aria-hidden="true">{}</svg>').format(marker(lead, 7, 7, 5))


def legend() -> list[tuple[str, Markup]]:
    """Every lead instrument with the swatch, family by family."""
    return [(lead, swatch(lead)) for lead in LEADS]
