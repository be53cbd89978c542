"""Inputs that once went wrong, where their folder lies beside this checkout; each kind has tests of its own too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sourcing.crawling.error_answers import error_in
from sourcing.crawling.sources import SOURCES
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.packs.render import render
from sourcing.store.retry_after import retry_after_s

FAULTS = Path(__file__).parents[3] / "shared" / "faults" / "inputs"

pytestmark = pytest.mark.skipif(not FAULTS.exists(), reason="the folder of faults is not beside this checkout")


def _pack(tmp_path: Path, name: str) -> Pack:
    folder = tmp_path / name.removeprefix("prompt_").removesuffix(".j2")
    folder.mkdir()
    (folder / "prompt.j2").write_bytes((FAULTS / name).read_bytes())
    return load_pack(folder)


def test_a_pack_that_begins_with_a_byte_order_mark_opens(tmp_path: Path) -> None:
    assert render(_pack(tmp_path, "prompt_bom.j2"), {"title": "Blue"})[0]["content"] == "Blue"


def test_tojson_gives_text_and_no_escapes_of_html(tmp_path: Path) -> None:
    inputs = {"title": "R&B", "tags": ["Don't", "Café"]}
    content = render(_pack(tmp_path, "prompt_tojson.j2"), inputs)[0]["content"]
    assert content == '"R&B" ["Don\'t", "Café"]'


def test_a_retry_after_of_twenty_digits_is_a_bad_header() -> None:
    name, _, value = (FAULTS / "retry_after_overflow.txt").read_text("utf-8").partition(":")
    assert retry_after_s({name: value.strip()}, now=0.0) is None


def test_an_operation_that_failed_at_lastfm_is_asked_again_later() -> None:
    error = error_in((FAULTS / "lastfm_error8_http200.json").read_bytes(), SOURCES["lastfm"])
    assert error is not None
    assert error.meaning == "later"
