"""One piece of a reply that was left out, and the countable reason why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """Why a piece of a reply was left out: a countable reason, a sentence, the piece."""

    reason: str
    finding: str
    piece: Any = None
