"""Invocation: object passed to every command, with workspace, settings and output.

Results go to stdout (with `--json` exactly one JSON object), everything else to stderr.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcing.commands.console import Advance, open_progress, print_lines

if TYPE_CHECKING:
    from sourcing.settings import Settings
    from sourcing.store import Workspace

__all__ = ["Invocation", "program_as_typed"]

#: The name of the program where a message shows a command to paste: in backticks, or to the end of a line of its own.
_HINT = re.compile(r"(?<=`)crossmusim ([a-z][^`]*)(?=`)|(?<=next: )crossmusim ([a-z].*)$")


@dataclass
class Invocation:
    """One call of the command line."""

    workspace_dir: Path = Path()
    json: bool = False
    flags: dict[str, Any] = field(default_factory=dict)
    pack_id: str = "mine"  # what PACK in a hint stands for

    @cached_property
    def workspace(self) -> Workspace:
        from sourcing.store import Workspace

        return Workspace(self.workspace_dir)

    @cached_property
    def settings(self) -> Settings:
        from sourcing.settings import load_settings

        return load_settings(self.workspace_dir, **self.flags)

    def override(self, section: str, **values: Any) -> None:
        """Let flags win over file and environment: call before `settings` is first read; None means not given."""
        flags = {name: value for name, value in values.items() if value is not None}
        if flags:
            self.flags.setdefault(section, {}).update(flags)
            self.__dict__.pop("settings", None)

    def emit(self, result: dict[str, Any], lines: Sequence[Any] = ()) -> None:
        """Print the command's result: the dict under --json, else `lines` (strings or rich tables)."""
        if self.json:
            print(json.dumps(result, ensure_ascii=False, default=str))
            return
        print_lines([self.pasteable(line) if isinstance(line, str) else line for line in lines])

    def note(self, message: str) -> None:
        """Print a message on stderr, with pasteable commands."""
        print(self.pasteable(message), file=sys.stderr, flush=True)

    def progress(self, what: str, total: int | None = None, unit: str = "") -> AbstractContextManager[Advance]:
        """Show progress until the block ends; `advance(n=1, note="")` moves it. The unit `bytes` is shown as MB."""
        return open_progress(what, total, unit)

    def pasteable(self, message: str) -> str:
        """The message with commands ready to paste: program as typed, `--workspace`, real names for placeholders.

        Code that cannot know a name writes `catalogue import FILE`, `train NAME`, PACK or MODEL; a placeholder
        stays where the workspace has no such thing yet.
        """
        folder = "" if self.workspace_dir == Path() else f" --workspace {shlex.quote(str(self.workspace_dir))}"

        def typed(hint: re.Match[str]) -> str:
            words = self._with_names(hint[1] or hint[2])
            return f"{program_as_typed()} {words}{'' if '--workspace ' in words else folder}"

        return _HINT.sub(typed, message)

    def _with_names(self, words: str) -> str:
        for phrase, find in _PLACEHOLDERS.items():
            if phrase in words and (name := find(self)):
                words = words.replace(phrase, phrase[: phrase.rfind(" ") + 1] + shlex.quote(str(name)))
        return words


def _newest_model(invocation: Invocation) -> str:
    records = sorted(invocation.workspace.models_dir.glob("*/config.json"), key=lambda path: path.stat().st_mtime)
    return str(records[-1].parent) if records else ""


def _newest_dataset(_invocation: Invocation) -> str:
    from sourcing.store import list_versions

    versions = list_versions()
    return versions[-1].name if versions else ""


_PLACEHOLDERS: dict[str, Callable[[Invocation], str]] = {
    "catalogue import FILE": lambda invocation: invocation.workspace.catalogue_record().get("path", ""),
    "train NAME": _newest_dataset,
    "PACK": lambda invocation: invocation.pack_id,
    "MODEL": _newest_model,
}


def program_as_typed() -> str:
    """The program's name as typed by the user, for commands printed to be pasted."""
    called = Path(sys.argv[0])
    if called.name in ("cli.py", "crossmusim.py"):
        return "python -m crossmusim"
    if called.name != "crossmusim":  # inside another program
        return "crossmusim"
    on_path = shutil.which("crossmusim")
    return "crossmusim" if on_path and Path(on_path) == called else shlex.quote(str(called))
