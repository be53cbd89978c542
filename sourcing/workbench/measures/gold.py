"""Gold documents: texts about invented tracks, with the aspects a careful musician would take from them.

They lie in `prompts/gold/<language>.yaml`, a list per language. An aspect is verbatim in the text; `not` are phrases
that a careless reader would take; `facts` are what a caption must mention, each as words of which one is enough.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from sourcing.errors import InputError
from sourcing.generation.packs.pack import Strict
from sourcing.generation.packs.pack_files import read_pack_file
from sourcing.generation.packs.pack_yaml import read_yaml
from sourcing.store.schemas import FACETS

__all__ = ["GOLD_FOLDER", "KINDS", "MANNERS", "GoldAspect", "GoldDocument", "load_gold"]

GOLD_FOLDER = "gold"
KINDS = ("encyclopedia", "review", "liner_notes", "tags", "forum", "blurb")
MANNERS = ("plain", "ironic", "negated", "comparing", "lyrics", "silent")
_SPACES = re.compile(r"\s+")


class GoldAspect(Strict):
    """One aspect; `nth` is the occurrence of its text that is meant."""

    text: str = Field(min_length=1)
    facet: Literal[FACETS]  # type: ignore[valid-type]
    nth: int = Field(1, ge=1)


class GoldDocument(Strict):
    """One document with its answers; `text` has single spaces for line breaks."""

    id: str
    language: str
    kind: Literal[KINDS]  # type: ignore[valid-type]
    manner: Literal[MANNERS]  # type: ignore[valid-type]
    artist: str
    title: str
    album: str | None = None
    text: str
    aspects: list[GoldAspect]
    not_aspects: list[str] = Field(alias="not")
    facts: list[list[str]]

    def span(self, aspect: GoldAspect) -> tuple[int, int]:
        """The place of an aspect in the text, [start, end)."""
        places = [match.span() for match in re.finditer(re.escape(aspect.text), self.text, re.IGNORECASE)]
        if len(places) < aspect.nth:
            raise InputError(f"gold document {self.id}", f"{aspect.text!r} is not in its text", "copy it verbatim")
        return places[aspect.nth - 1]


def load_gold(folder: Path, languages: Sequence[str] = ()) -> list[GoldDocument]:
    """The gold documents of a folder, of these languages or all; InputError names a file or document that is wrong."""
    documents = [
        _read(entry, path)
        for path in sorted(folder.glob("*.yaml"))
        if not languages or path.stem in languages
        for entry in _entries(path)
    ]
    if not documents:
        raise InputError(str(folder), "it holds no gold documents", "name a folder of <language>.yaml files")
    ids = [document.id for document in documents]
    if twice := sorted({own for own in ids if ids.count(own) > 1}):
        raise InputError(f"gold document {twice[0]}", "it stands there twice", "give each its own id")
    return documents


def _entries(path: Path) -> list[dict[str, Any]]:
    entries = read_yaml(read_pack_file(path), str(path))
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(str(path), "it is not a list of documents", "write each document as a list item")
    return entries


def _read(entry: dict[str, Any], path: Path) -> GoldDocument:
    text = _SPACES.sub(" ", str(entry.get("text", ""))).strip()
    try:
        document = GoldDocument.model_validate({**entry, "text": text, "language": path.stem})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path} {entry.get('id')}", f"{where}: {first['msg'].lower()}", "correct it") from error
    for aspect in document.aspects:
        document.span(aspect)
    return document
