"""A new source to fill in: its module and its fixture folder, in the shape the promises test asks for."""

from __future__ import annotations

import json
import keyword
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from sourcing.errors import UsageError

__all__ = ["Scaffold", "blanks", "find_checkout", "scaffold_source"]

SOURCES = Path("sourcing", "crawling", "sources")
FIXTURES = Path("tests", "crawling", "fixtures")
PROMISES = Path("tests", "crawling", "sources", "test_promises.py")

_BLANK = re.compile(r"FILL[ -]IN|fill-in\.invalid")
_TEMPLATE = Path(__file__).with_name("templates") / "source.py.txt"
_META = {"kind": "record", "url": "https://fill-in.invalid/FILL-IN/1", "headers": {"content-type": "application/json"}}
_UNREAD = {"FILL IN": "CROSSMUSIM_RECORD_FIXTURES=1 writes here what the page object reads; judge it as a reader would"}
#: case → what its answer is to show
_CASES = {
    "record_full": "an answer with every field the site has, in its shape, about an invented artist",
    "record_bare": "an answer with no more than a record always has",
    "record_odd": "the oddest answer you have met: a list of one, null, HTML in a field, a title in another script",
}
_CUT = '{"id": 1, "title": "An answer cut sho'


@dataclass(frozen=True)
class Scaffold:
    """Paths of a new source, relative to the checkout."""

    name: str
    module: Path
    fixtures: Path


def find_checkout(into: Path | None = None) -> Path:
    """`into`, else the checkout this package runs from, else the current folder; UsageError when it is none."""
    folders = [into] if into else [Path(__file__).parents[3], Path.cwd()]
    for folder in folders:
        if (folder / SOURCES.parent / "source.py").is_file() and (folder / PROMISES).is_file():
            return folder
    finding = f"no checkout of crossmusim, which has {SOURCES} and {PROMISES}"
    cure = "clone the repository, run `pip install -e .` in it, and name its folder by --into"
    raise UsageError(str(folders[-1]), finding, cure)


def scaffold_source(name: str, root: Path) -> Scaffold:
    """Write the module and the fixtures of a source called `name`; UsageError when the name cannot be."""
    paths = Scaffold(name, SOURCES / f"{name}.py", FIXTURES / name)
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name) or keyword.iskeyword(name):
        finding = "no name for a module of ours"
        raise UsageError(f"source name {name!r}", finding, "use up to 40 small letters, digits and _, a letter first")
    for path in (paths.module, paths.fixtures):
        if (root / path).exists():
            raise UsageError(f"source name {name!r}", f"{path} is there already", "choose another name")
    for case, showing in _CASES.items():
        _write_case(root / paths.fixtures / case, {"FILL IN": showing}, _UNREAD)
    _write_case(root / paths.fixtures / "malformed_cut", _CUT, {"rejected": "body_not_json"})
    # The module comes last: from then on the source is found by all who look for sources.
    text = Template(_TEMPLATE.read_text("utf-8")).substitute(name=name)
    (root / paths.module).write_text(text, encoding="utf-8")
    return paths


def blanks(name: str, root: Path) -> list[str]:
    """Blanks left to fill in, as "file:line: the line"; empty when the source is done."""
    files = [root / SOURCES / f"{name}.py", *sorted((root / FIXTURES / name).rglob("*.*"))]
    return [
        f"{file.relative_to(root)}:{number}: {line.strip()}"
        for file in files
        if file.is_file()
        for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), start=1)
        if _BLANK.search(line)
    ]


def _write_case(folder: Path, answer: dict[str, Any] | str, expected: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "input.json").write_text(answer if isinstance(answer, str) else _json(answer), encoding="utf-8")
    (folder / "meta.json").write_text(_json(_META), encoding="utf-8")
    (folder / "expected.json").write_text(_json(expected), encoding="utf-8")


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"
