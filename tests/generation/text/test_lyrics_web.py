"""The lyric guard on texts as the web has them: what is sung goes, what is said of a song stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sourcing.generation.text.lyrics import mask_lyrics

TEXTS = yaml.safe_load((Path(__file__).parents[1] / "lyrics" / "web.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", TEXTS["marked"], ids=[case["name"] for case in TEXTS["marked"]])
def test_what_is_sung_is_hidden(case: dict[str, Any]) -> None:
    shown = mask_lyrics(case["text"])
    assert [line for line in case["sung"] if line in shown] == []
    assert len(shown) == len(case["text"]), "spans of evidence keep their places"


@pytest.mark.parametrize("case", TEXTS["innocent"], ids=[case["name"] for case in TEXTS["innocent"]])
def test_what_only_looks_like_lyrics_is_kept(case: dict[str, Any]) -> None:
    shown = mask_lyrics(case["text"])
    assert [words for words in case["kept"] if words not in shown] == []
