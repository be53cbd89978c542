"""Cases of a prompt pack: inputs, the reply recorded for them, and what must become of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from sourcing.errors import PromptError
from sourcing.generation.packs.pack import Pack, Strict
from sourcing.generation.packs.pack_files import read_pack_file
from sourcing.generation.packs.pack_yaml import read_yaml

__all__ = ["Case", "Expect", "golden_file", "golden_path", "load_cases"]


class Expect(Strict):
    """Assertions of a case on the description made of its recorded reply; what is left out is not looked at."""

    aspects_include: list[str] = Field(default_factory=list)
    aspects_exclude: list[str] = Field(default_factory=list)
    caption_contains: list[str] = Field(default_factory=list)
    caption_excludes: list[str] = Field(default_factory=list)
    rejected_reasons: list[str] = Field(default_factory=list)


class Case(Strict):
    """One case: inputs, the reply once recorded for them, and what must become of it."""

    name: str = Field(min_length=1)
    inputs: dict[str, Any]
    golden: str = ""  # the case's name with .json
    expect: Expect = Field(default_factory=Expect)


def load_cases(pack: Pack) -> list[Case]:
    """The pack's cases in file order; none when it has no `cases.yaml`."""
    path = pack.folder / "cases.yaml"
    if not path.exists():
        return []
    values = read_yaml(read_pack_file(path), str(path)) or []
    try:
        if not isinstance(values, list):
            raise PromptError(str(path), "it is not a list of cases", "write each case as a list item")
        cases = [Case.model_validate(value) for value in values]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PromptError(str(path), f"{where}: {first['msg'].lower()}", "correct or remove it") from error
    names = [case.name for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PromptError(str(path), f"case {twice[0]!r} stands there twice", "give each case its own name")
    return cases


def golden_file(pack: Pack, case: Case) -> Path:
    """Where the recording of a case lies, or will."""
    thing, folder = f"prompt pack {pack.name} case {case.name!r}", (pack.folder / "golden").resolve()
    name = case.golden or f"{case.name}.json"
    if "\0" in name:
        raise PromptError(thing, "its golden is no file name", "correct it")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder) or path == folder:
        raise PromptError(thing, f"there is no golden/{name}", "name a file in that folder")
    return path


def golden_path(pack: Pack, case: Case) -> Path:
    """Where the recording of a case lies; PromptError when it is not there."""
    path = golden_file(pack, case)
    if not path.is_file():
        cure = f"record it: `crossmusim prompts record {pack.id} --case {case.name}`"
        raise PromptError(f"prompt pack {pack.name} case {case.name!r}", f"there is no golden/{path.name}", cure)
    return path
