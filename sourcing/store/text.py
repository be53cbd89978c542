"""Text from outside as text that every table, file and journal takes."""

from __future__ import annotations

__all__ = ["without_surrogates"]


def without_surrogates(text: str) -> str:
    """The text with a question mark for each lone surrogate: half of a pair encodes in no file."""
    return text.encode("utf-8", "replace").decode()
