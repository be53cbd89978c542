"""Positions: on which line of a pack's files a key of the front matter or a case stands, for findings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import CASES_FILE
from sourcing.generation.packs.pack import PROMPT_FILE
from sourcing.generation.packs.pack_files import FRONT_MATTER, read_pack_file

__all__ = ["Positions"]


class Positions:
    """Looks up lines in a pack's folder; a key that is not there is given the line of the key above it."""

    def __init__(self, folder: Path) -> None:
        self.prompt, self.cases = folder / PROMPT_FILE, folder / CASES_FILE
        front = FRONT_MATTER.match(_text(self.prompt))
        self._front = _compose(front[1]) if front else None
        self._cases = _compose(_text(self.cases))

    def key(self, *path: str) -> str:
        """`prompt.j2 line N` of a key of the front matter."""
        return f"{self.prompt} line {_line(self._front, path, 2)}"

    def case(self, name: str, *path: str) -> str:
        """`cases.yaml line N` of a key of a case."""
        entries = self._cases.value if isinstance(self._cases, yaml.SequenceNode) else ()
        for entry in entries:
            if isinstance(entry, yaml.MappingNode) and any(
                key.value == "name" and value.value == name for key, value in entry.value
            ):
                return f"{self.cases} line {_line(entry, path, 1)}"
        return str(self.cases)


def _text(path: Path) -> str:
    try:
        return read_pack_file(path)
    except PromptError:
        return ""


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None  # whoever reads the file says so


def _line(node: yaml.Node | None, path: Sequence[str], first: int) -> int:
    line = node.start_mark.line if node is not None else 0
    for name in path:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        here = next(((key, value) for key, value in pairs if key.value == name), None)
        if here is None:
            break
        line, node = here[0].start_mark.line, here[1]
    return line + first
