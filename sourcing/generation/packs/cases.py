"""Cases of a prompt pack: inputs, the reply recorded for them, and what must become of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from sourcing.errors import PromptError, UsageError
from sourcing.generation.packs.pack import Pack, Strict
from sourcing.generation.packs.pack_files import read_pack_file
from sourcing.generation.packs.pack_yaml import read_yaml
from sourcing.nearest import nearest
from sourcing.store.schemas import FACETS

__all__ = ["CASES_FILE", "Case", "Expect", "PathValue", "cases_named", "golden_file", "golden_path", "load_cases"]

CASES_FILE = "cases.yaml"
Facet = Literal[FACETS]  # type: ignore[valid-type]


class PathValue(Strict):
    """A value in the reply's JSON: `path` is names and places joined by dots, as `aspects.0.facet`."""

    path: str = Field(pattern=r"^[^.]+(\.[^.]+)*$")
    equals: Any


class Expect(Strict):
    """Assertions of a case on the description made of its reply; what is left out is not looked at."""

    aspects_include: list[str] = Field(default_factory=list)
    aspects_exclude: list[str] = Field(default_factory=list)
    facets_include: list[Facet] = Field(default_factory=list)
    facets_exclude: list[Facet] = Field(default_factory=list)
    min_aspects: int | None = Field(None, ge=0)
    max_aspects: int | None = Field(None, ge=0)
    min_supported: float | None = Field(None, ge=0, le=1)  # share of the reply's aspects that the document bears out
    caption_contains: list[str] = Field(default_factory=list)
    caption_excludes: list[str] = Field(default_factory=list)
    caption: bool | None = None  # that there is one, or none
    caption_min_words: int | None = Field(None, ge=0)
    caption_max_words: int | None = Field(None, ge=0)
    language: str | None = None  # of the caption, else of the aspects together
    rejected_reasons: list[str] = Field(default_factory=list)
    not_contains: list[str] = Field(default_factory=list)  # anywhere in the reply
    schema_fits: bool | None = None  # that the reply fits the pack's output schema
    paths: list[PathValue] = Field(default_factory=list)
    similar_to: str | None = None  # a caption; the golden one
    min_similarity: float = Field(0.7, ge=-1, le=1)  # cosine, by the sentence encoder
    judged_by: str | None = None  # a judge's pack that must bear out all aspects and the caption
    max_usd: float | None = Field(None, ge=0)
    max_output_tokens: int | None = Field(None, ge=0)

    @property
    def is_empty(self) -> bool:
        return not self.model_fields_set - {"min_similarity"}


class Case(Strict):
    """One case: inputs, the reply once recorded for them, and what must become of it.

    `samples` replies are recorded, `pass_at_least` of them (all, if left out) must become what is expected.
    """

    name: str = Field(min_length=1)
    inputs: dict[str, Any]
    golden: str = ""  # the case's name with .json
    expect: Expect = Field(default_factory=Expect)
    samples: int = Field(1, ge=1, le=64)
    pass_at_least: int | None = Field(None, ge=1)
    note: str = ""  # why it is there, for people

    @model_validator(mode="after")
    def _can_pass(self) -> Case:
        if self.pass_at_least is not None and self.pass_at_least > self.samples:
            raise ValueError(f"pass_at_least {self.pass_at_least} is more than its {self.samples} samples")
        return self


def load_cases(pack: Pack) -> list[Case]:
    """The pack's cases in file order; none when it has no `cases.yaml`."""
    path = pack.folder / CASES_FILE
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


def cases_named(pack: Pack, cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """The cases of these names, or all without a name; UsageError for a name that no case has."""
    known = [case.name for case in cases]
    for name in names:
        if name not in known:
            finding = f"{pack.name} has the cases {', '.join(known) or 'none'}"
            raise UsageError(f"--case {name}", finding, nearest(name, known, "name one"))
    return [case for case in cases if not names or case.name in names]


def golden_file(pack: Pack, case: Case, sample: int = 0) -> Path:
    """Where the recording of a sample of a case lies, or will: the first at `golden`, others with `.1`, `.2` in it."""
    thing, folder = f"prompt pack {pack.name} case {case.name!r}", (pack.folder / "golden").resolve()
    name = case.golden or f"{case.name}.json"
    if "\0" in name:
        raise PromptError(thing, "its golden is no file name", "correct it")
    path = (folder / name).resolve()
    if sample:
        path = path.with_suffix(f".{sample}{path.suffix}")
    if not path.is_relative_to(folder) or path == folder:
        raise PromptError(thing, f"there is no golden/{name}", "name a file in that folder")
    return path


def golden_path(pack: Pack, case: Case, sample: int = 0) -> Path:
    """Where the recording of a sample of a case lies; PromptError when it is not there."""
    path = golden_file(pack, case, sample)
    if not path.is_file():
        cure = f"record it: `crossmusim prompts record {pack.id} --case {case.name}`"
        raise PromptError(f"prompt pack {pack.name} case {case.name!r}", f"there is no golden/{path.name}", cure)
    return path
