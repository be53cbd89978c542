"""Catalogues of a few lines, written and read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sourcing.catalogue import Catalogue, read_catalogue


def read_csv(folder: Path, text: str, **options: Any) -> Catalogue:
    path = folder / "catalogue.csv"
    path.write_text(text, encoding="utf-8")
    return read_catalogue(path, **options)


def read_one(folder: Path, **columns: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """The track of one JSONL row, and the reasons of what was rejected."""
    path = folder / "one.jsonl"
    path.write_text(json.dumps({"track_id": "a", "title": "Song", "artist": "Ada", **columns}) + "\n", encoding="utf-8")
    catalogue = read_catalogue(path)
    return next(iter(catalogue.tracks.to_dicts()), None), catalogue.rejected["reason"].to_list()
