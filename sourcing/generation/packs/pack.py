"""Pack: a loaded prompt pack as plain data, with its hash, its parsed templates, its renderer and its validator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

import jsonschema_rs
from jinja2 import nodes
from pydantic import BaseModel, ConfigDict, Field

from sourcing.errors import PromptError
from sourcing.generation.packs.sandbox import Sandbox
from sourcing.generation.packs.templates import (
    Templates,
    compile_template,
    is_plain,
    parse_template,
    template_environment,
)
from sourcing.generation.wire import canonical_json, ordered_json, sha256_hex

__all__ = ["PROMPT_FILE", "SHARED_FOLDER", "InputSpec", "Pack", "Sampling", "Strict", "included_file"]

PROMPT_FILE = "prompt.j2"
SHARED_FOLDER = "_shared"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class InputSpec(Strict):
    """One input: `required` means that a track without it is not asked about."""

    type: Literal["string", "integer", "number", "list"]
    required: bool = True
    description: str = ""  # for people
    example: Any = None  # shown by `prompts show`, and used by lint to try the template


class Sampling(Strict):
    """Sampling parameters, sent as they stand; what is left out is the endpoint's own default."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] | None = None

    def parameters(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


@dataclass(frozen=True)
class Pack:
    """A loaded pack: plain data, independent of its folder from now on (`folder` serves messages, cases and golden)."""

    id: str
    version: str
    description: str
    inputs: Mapping[str, InputSpec]
    output: Mapping[str, Any]  # JSON schema of the reply
    sampling: Sampling
    samples: int
    may_name: tuple[str, ...]  # what a caption may name; nothing, as a rule
    blocks: tuple[tuple[str, str], ...]  # (role, template source), in order
    includes: Mapping[str, str]  # name as written in the include → source, transitively
    folder: Path
    lines: tuple[int, ...]  # of the file, on which each block begins

    @property
    def name(self) -> str:
        return f"{self.id}@{self.version}"

    @cached_property
    def prompt_hash(self) -> str:
        """sha256 of templates with includes, output schema and sampling parameters; not of description or owners."""
        return sha256_hex(
            canonical_json(
                {
                    "blocks": [list(block) for block in self.blocks],
                    "includes": dict(self.includes),
                    "output": ordered_json(self.output),
                    "sampling": self.sampling.parameters(),
                }
            )
        )

    @cached_property
    def templates(self) -> Templates:
        blocks = ("\n" * (line - 1) + source for line, (_, source) in zip(self.lines, self.blocks, strict=True))
        files = {name: str(included_file(self.folder, name)) for name in self.includes}
        includes = {name: (files[name], source) for name, source in self.includes.items()}
        return Templates(str(self.folder / PROMPT_FILE), tuple(blocks), includes)

    @cached_property
    def syntax_trees(self) -> tuple[tuple[nodes.Template, ...], Mapping[str, nodes.Template]]:
        """The syntax trees of blocks and of includes by name."""
        templates, environment = self.templates, template_environment({})
        includes = templates.includes.items()
        return (
            tuple(parse_template(block, templates.file, environment) for block in templates.blocks),
            {name: parse_template(source, file, environment) for name, (file, source) in includes},
        )

    @cached_property
    def is_plain(self) -> bool:
        """True when rendering fails for no inputs of the declared types, and takes no longer than they are long."""
        blocks, includes = self.syntax_trees
        kinds = {name: spec.type for name, spec in self.inputs.items()}
        return all(is_plain(block, kinds, includes) for block in blocks)

    @cached_property
    def renderer(self) -> Callable[[Mapping[str, Any]], list[str]]:
        """Values to the text of each block. Plain templates are compiled once, which costs far more than rendering."""
        templates = self.templates
        if not self.is_plain:
            return Sandbox(templates).render
        environment = template_environment(templates.includes, checked=False)
        try:
            block_templates = [compile_template(block, templates.file, environment) for block in templates.blocks]
        except SyntaxError as error:  # Python's limits, as on the number of nested blocks
            raise PromptError(templates.file, f"not a Jinja template ({error})", "make it simpler") from error
        return lambda values: [template.render(values).strip() for template in block_templates]

    @cached_property
    def validator(self) -> jsonschema_rs.Draft202012Validator:
        """Holds replies against the output schema. PromptError where that is no JSON schema, or points out of itself:
        nothing is ever fetched.
        """
        try:
            _refuse_to_leave(self.output)
            return jsonschema_rs.Draft202012Validator(dict(self.output), retriever=_refuse_to_fetch)
        except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
            problem = getattr(error, "message", str(error)).partition("\n")[0]
            where = ".".join(map(str, getattr(error, "instance_path", ())))
            problem = f"output is not a JSON schema ({where and f'{where}: '}{problem})"
            raise PromptError(f"prompt pack {self.name}", problem, "correct it") from error


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"{address} lies outside the pack")


def _refuse_to_leave(schema: object) -> None:
    """Refuse a schema that refers out of itself, also by references that are followed only with a reply."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("$ref", "$dynamicRef", "$recursiveRef") and not str(value).startswith("#"):
                _refuse_to_fetch(str(value))
            _refuse_to_leave(value)
    elif isinstance(schema, list):
        for value in schema:
            _refuse_to_leave(value)


def included_file(folder: Path, name: str) -> Path:
    """Where an include of a pack folder lies: in `_shared/` beside it, or in it."""
    return (folder.parent if name.startswith(f"{SHARED_FOLDER}/") else folder) / name
