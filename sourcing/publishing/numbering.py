"""Semantic version number of the next version, by the changes since its parent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from sourcing.store.versions import CONFIGS, DatasetVersion, parse_version

__all__ = ["next_version"]


def next_version(
    parent: DatasetVersion | None, facts: Mapping[str, Any], parts: Mapping[tuple[str, str], pl.DataFrame]
) -> str:
    """Major when a column is gone or retyped or the split rule changed, minor when rows or columns came or went.

    A field that joins a struct within a column is a column that came, not one retyped.
    """
    if parent is None:
        return "0.1.0"
    major, minor, patch = parse_version(parent.version)
    before, after = parent.manifest["columns"], facts["columns"]
    columns_hold = all(
        after.get(config, {}).get(name) == dtype or _widened(parent, config, name)
        for config in before
        for name, dtype in before[config].items()
    )
    if not columns_hold or parent.manifest["split_rule"] != facts["split_rule"]:
        return f"{major + 1}.0.0"
    if before != after or any(_keys(parent.scan(config), config) != _keys_now(parts, config) for config in CONFIGS):
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def _widened(parent: DatasetVersion, config: str, name: str) -> bool:
    """True when a reader of the parent's column can read ours: its type with, at most, more fields in its structs."""
    before, after = parent.scan(config).collect_schema(), CONFIGS[config].create_empty().schema
    return name in before and name in after and _holds(after[name], before[name])


def _holds(dtype: pl.DataType, older: pl.DataType) -> bool:
    if isinstance(dtype, pl.List) and isinstance(older, pl.List):
        return _holds(dtype.inner, older.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct) and isinstance(older, pl.Struct):
        own = dict(dtype)
        return all(name in own and _holds(own[name], inner) for name, inner in dict(older).items())  # type: ignore[arg-type]
    return dtype == older


def _keys(rows: pl.LazyFrame, config: str) -> set[str]:
    return set(rows.select(CONFIGS[config].primary_key()[0]).collect().to_series().to_list())


def _keys_now(parts: Mapping[tuple[str, str], pl.DataFrame], config: str) -> set[str]:
    frames = [frame.lazy() for part, frame in parts.items() if part[0] == config]
    return set().union(*(_keys(frame, config) for frame in frames))
