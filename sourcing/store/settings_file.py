"""Writer of one section of `crossmusim.toml` that leaves the rest of the file as it was."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sourcing.errors import UsageError
from sourcing.store.workspace import atomic_path

__all__ = ["write_section"]

_HEADER = re.compile(r"\s*\[\[?\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?")


def write_section(path: Path, section: str, values: Mapping[str, Any]) -> None:
    """Replace `[section]`, or append it; comments stay. UsageError, with the lines to write, where that cannot be."""
    path = path.resolve()
    before = path.read_bytes().decode("utf-8") if path.exists() else ""
    newline = "\r\n" if "\r\n" in before else "\n"
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    others, place, comments = _without(before.splitlines(), section)
    section_lines = [f"[{section}]", *comments, *lines]
    if place is None:
        after = [*others, *([""] if others and others[-1].strip() else []), *section_lines]
    else:
        after = [*others[:place], *section_lines, *others[place:]]
    text = newline.join(after) + newline
    try:
        sound = tomllib.loads(text) == {**tomllib.loads(before), section: dict(values)}
        content = text.encode("utf-8")
    except (tomllib.TOMLDecodeError, UnicodeEncodeError):
        sound = False
    if not sound:
        cure = "write it there by hand: " + "; ".join(section_lines)
        raise UsageError(str(path), f"[{section}] cannot be written without touching the rest", cure)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    path.chmod(mode)


def _without(lines: list[str], section: str) -> tuple[list[str], int | None, list[str]]:
    """Lines outside the section, the section's place among them, and the section's comments."""
    others: list[str] = []
    inside: list[str] = []
    comments: list[str] = []
    place: int | None = None
    in_section = False

    def close() -> None:
        end = len(inside)  # what stands right above the next header speaks of that one
        while end and (not inside[end - 1].strip() or inside[end - 1].lstrip().startswith("#")):
            end -= 1
        comments.extend(line for line in inside[:end] if line.lstrip().startswith("#"))
        others.extend(inside[end:])
        inside.clear()

    for line in lines:
        if header := _HEADER.fullmatch(line):
            close()
            in_section = header[1] == section or header[1].startswith(f"{section}.")
            if in_section:
                place = len(others) if place is None else place
                continue
        (inside if in_section else others).append(line)
    close()
    return others, place, comments


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
