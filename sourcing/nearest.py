"""The names nearest to a mistyped one, for the cure of an error."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["nearest"]
_NEAR_PERCENT = 60  # letters that two names share, below which one is no slip of the other
_AS_NEAR_PERCENT = 10  # names this much further off than the nearest are named beside it


def nearest(name: str, choices: Iterable[str], otherwise: str) -> str:
    """Return the cure of a mistyped name: it asks for the choices nearest to it; `otherwise` where none is near."""
    from rapidfuzz import fuzz, process  # a million track ids take a fifth of a second; difflib takes half a minute

    near = process.extract(
        name, list(choices), scorer=fuzz.ratio, processor=str.casefold, score_cutoff=_NEAR_PERCENT, limit=3
    )
    names = [choice for choice, percent, _ in near if percent >= near[0][1] - _AS_NEAR_PERCENT]
    return f"did you mean {' or '.join(names)}?" if names else otherwise
