"""The number of the next version, by what changed since the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from sourcing.store.versions import CONFIGS, DatasetVersion, parse_version

__all__ = ["next_version"]


def next_version(
    parent: DatasetVersion | None, facts: Mapping[str, Any], parts: Mapping[tuple[str, str], pl.DataFrame]
) -> str:
    """Major when a column is gone or retyped or the split rule changed, minor when rows or columns came or went."""
    if parent is None:
        return "0.1.0"
    major, minor, patch = parse_version(parent.version)
    before, after = parent.manifest["columns"], facts["columns"]
    kept = all(after.get(config, {}).get(name) == dtype for config in before for name, dtype in before[config].items())
    if not kept or parent.manifest["split_rule"] != facts["split_rule"]:
        return f"{major + 1}.0.0"
    if before != after or any(_keys(parent.scan(config), config) != _keys_now(parts, config) for config in CONFIGS):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def _keys(rows: pl.LazyFrame, config: str) -> set[str]:
    return set(rows.select(CONFIGS[config].primary_key()[0]).collect().to_series().to_list())


def _keys_now(parts: Mapping[tuple[str, str], pl.DataFrame], config: str) -> set[str]:
    frames = [frame.lazy() for part, frame in parts.items() if part[0] == config]
    return set().union(*(_keys(frame, config) for frame in frames))
