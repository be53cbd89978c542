"""The demo's lists of words: names, styles, sentences, and the words for each audible attribute."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["phrases", "word_list"]

_LISTS = Path(__file__).parent / "lists"


@cache
def word_list(name: str) -> dict[str, Any]:
    """The list `lists/NAME.toml` as a dictionary."""
    return tomllib.loads((_LISTS / f"{name}.toml").read_text(encoding="utf-8"))


def phrases(attribute: str, value: str, what: str = "phrases") -> list[str]:
    """The words for an attribute's value: `phrases` and `tags` to write with, `cues` that give it away."""
    names: list[str] = word_list("phrases")[attribute][value][what]
    return names
