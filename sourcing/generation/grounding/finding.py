"""Finding: a piece of a reply that was left out, with the countable reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """A piece of a reply that was left out, with a countable reason and a sentence."""

    reason: str
    finding: str
    piece: Any = None
