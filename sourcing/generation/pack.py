"""Prompt packs: find them, load them, render their messages, and hash what can change an answer.

A pack is a folder `prompts/<id>/` with `prompt.j2` (YAML front matter, then message blocks parted by marker lines
such as `--- system ---`), `cases.yaml` and `golden/`. The file is cut at its markers before anything is rendered,
so no value can ever open a message; includes are read at load, so rendering touches no file.
"""

from __future__ import annotations

import functools
import re
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import jinja2
import jinja2.meta
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import sourcing
from sourcing.errors import PromptError
from sourcing.generation.folding import is_hidden
from sourcing.generation.wire import canonical_json, ordered_json, sha256_hex

__all__ = [
    "PROMPT_FILE",
    "SHARED_FOLDER",
    "InputSpec",
    "Pack",
    "Sampling",
    "find_pack",
    "load_pack",
    "pack_folders",
    "pack_roots",
    "render",
    "repair_messages",
    "template_environment",
]

PROMPT_FILE = "prompt.j2"
SHARED_FOLDER = "_shared"
REPAIR_FILE = "repair.j2"

_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_SEMVER_PATTERN = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"
_MARKER = re.compile(r"^--- (system|user|assistant) ---[ \t]*$", re.MULTILINE)
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
# Words by which chat templates of model families open and close messages; in a value they must stay mere text.
_CONTROL = re.compile(
    r"<\||\|>|<(?=/?(?:s|bos|eos|start_of_turn|end_of_turn)>)|\[(?=/?INST\])"
    r"|<(?=<?/?(?:sys|unk|pad|mask|think|tool_call|tool_response|extra_id_\d+)\b)"
    r"|<(?=｜)|｜(?=>)|\[(?=/?(?:TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\])",
    re.IGNORECASE,
)
_JOINERS = "\u200c\u200d"  # letters of Persian and Indic scripts and emoji are joined or parted by them


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class InputSpec(_Strict):
    """One input: `required` means that a track without it is not asked about."""

    type: Literal["string", "integer", "number", "list"]
    required: bool = True


class Sampling(_Strict):
    """Sampling parameters, sent as they stand; what is left out is the endpoint's own default."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    seed: int | None = Field(None, ge=0)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] | None = None

    def given(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class _Front(_Strict):
    format: Literal[1]
    id: str = Field(pattern=_ID_PATTERN)
    version: str = Field(pattern=_SEMVER_PATTERN)
    description: str = ""
    owners: list[str] = Field(default_factory=list)
    inputs: dict[str, InputSpec]
    output: dict[str, Any]
    model: Sampling
    samples: int = Field(1, ge=1, le=64)
    may_name: list[Literal["artist", "title", "album"]] = Field(default_factory=list)


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
                    "sampling": self.sampling.given(),
                }
            )
        )

    @cached_property
    def templates(self) -> tuple[tuple[str, jinja2.Template], ...]:
        """(role, compiled template) of each block; compiled once, for that costs far more than a rendering."""
        environment = template_environment(self.includes)
        return tuple((role, environment.from_string(source)) for role, source in self.blocks)


def pack_roots(prompts_dir: Path | None, workspace: Path) -> list[Path]:
    """Folders of packs, the first found wins: the settings', the workspace's, the built-in ones."""
    return [*([workspace / prompts_dir] if prompts_dir else []), workspace / "prompts", _built_in()]


def _built_in() -> Path:
    checkout = Path(sourcing.__file__).resolve().parents[1]
    installed = Path(sysconfig.get_path("data")) / "share" / "crossmusim" / "prompts"
    return checkout / "prompts" if (checkout / "pyproject.toml").is_file() else installed


def pack_folders(roots: Sequence[Path]) -> dict[str, Path]:
    """Pack id → folder, sorted by id; an earlier root hides a later one's pack of the same name."""
    found: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.glob(f"*/{PROMPT_FILE}")):
            found.setdefault(path.parent.name, path.parent)
    return dict(sorted(found.items()))


def find_pack(pack_id: str, roots: Sequence[Path]) -> Pack:
    """Load the pack called `pack_id`; PromptError names the ones there are when it is not among them."""
    folders = pack_folders(roots)
    if pack_id not in folders:
        known = ", ".join(folders) or "none"
        raise PromptError(f"prompt pack {pack_id!r}", f"there is no such pack (found: {known})", "name one of those")
    return load_pack(folders[pack_id])


def load_pack(folder: Path) -> Pack:
    """Read a pack folder; PromptError names the line of the front matter or template that does not hold."""
    path = folder / PROMPT_FILE
    source = _read(path)
    match = _FRONT.match(source)
    if match is None:
        raise PromptError(
            str(path), "it does not open with front matter", "begin with a `---` line, YAML, a `---` line"
        )
    front = _front(path, match.group(1))
    if front.id != folder.name:
        raise PromptError(str(path), f"its id is {front.id!r} in a folder called {folder.name!r}", "make the two agree")
    blocks = _blocks(path, source[match.end() :])
    return Pack(
        id=front.id,
        version=front.version,
        description=front.description,
        inputs=front.inputs,
        output=front.output,
        sampling=front.model,
        samples=front.samples,
        may_name=tuple(front.may_name),
        blocks=blocks,
        includes=_includes(path, [text for _, text in blocks]),
        folder=folder,
    )


def template_environment(includes: Mapping[str, str]) -> ImmutableSandboxedEnvironment:
    """Jinja with nothing in reach but the inputs: no files, no globals, no randomness; a missing name is an error."""
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.DictLoader(dict(includes)),
        undefined=jinja2.StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.clear()
    del environment.filters["random"]
    return environment


def render(pack: Pack, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """The pack's messages for these inputs; PromptError when an input is unknown, missing or of another type."""
    values = {name: _value(pack, name, inputs) for name in pack.inputs}
    unknown = sorted(set(inputs) - set(pack.inputs))
    if unknown:
        raise PromptError(
            f"prompt pack {pack.name}", f"it declares no input {unknown[0]!r}", "declare it, or leave it out"
        )
    try:
        return [{"role": role, "content": template.render(values).strip()} for role, template in pack.templates]
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise PromptError(f"prompt pack {pack.name}", f"it does not render ({error})", "mend the template") from error


@functools.cache
def _repair_blocks() -> tuple[tuple[str, jinja2.Template], ...]:
    path = _built_in() / SHARED_FOLDER / REPAIR_FILE
    environment = template_environment({})
    return tuple((role, environment.from_string(source)) for role, source in _blocks(path, _read(path)))


def repair_messages(reply: str, problem: str) -> list[dict[str, str]]:
    """The messages that ask for a reply to be mended: what was said, and what is wrong with it."""
    values = {"reply": _defuse(reply), "problem": _defuse(problem)}
    return [{"role": role, "content": template.render(values).strip()} for role, template in _repair_blocks()]


def _value(pack: Pack, name: str, inputs: Mapping[str, Any]) -> Any:
    spec = pack.inputs[name]
    value = inputs.get(name)
    if value is None:
        if spec.required:
            raise PromptError(f"prompt pack {pack.name}", f"its required input {name!r} has no value", "give it one")
        return {"string": "", "list": []}.get(spec.type)
    fits = {
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
        "list": isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value),
    }
    if not fits[spec.type]:
        found = f"input {name!r} is {type(value).__name__}, declared {spec.type}"
        raise PromptError(f"prompt pack {pack.name}", found, "correct the value or the declaration")
    if isinstance(value, str):
        return _defuse(value)
    return [_defuse(item) for item in value] if isinstance(value, (list, tuple)) else value


def _defuse(text: str) -> str:
    """Break control words of chat templates by a space, so that a server's tokenizer sees text; drop what no reader
    sees (tags, directions, zero widths), by which a model could be spoken to unnoticed.
    """
    if not text.isascii():
        text = "".join(c for c in text if c in _JOINERS or c.isspace() or not is_hidden(c))
    return _CONTROL.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", text)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        raise PromptError(str(path), "there is no such file", "add it, or correct the name") from None
    except UnicodeDecodeError as error:
        raise PromptError(str(path), f"not UTF-8 ({error})", "save it as UTF-8") from error


def _front(path: Path, text: str) -> _Front:
    try:
        values = yaml.safe_load(text)
        return _Front.model_validate(values if isinstance(values, dict) else {})
    except yaml.YAMLError as error:
        raise PromptError(f"{path} front matter", f"not YAML ({error})", "mend that line") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise PromptError(f"{path} front matter", f"{where}: {found}", "correct or remove it") from error


def _blocks(path: Path, text: str) -> tuple[tuple[str, str], ...]:
    before, *rest = _MARKER.split(text)
    if before.strip():
        raise PromptError(str(path), "there is text before the first message", "open it with a line `--- system ---`")
    blocks = tuple((role, source.strip("\n")) for role, source in zip(rest[::2], rest[1::2], strict=True))
    if not any(role == "user" for role, _ in blocks):
        raise PromptError(str(path), "it has no user message", "add a line `--- user ---` and the message below it")
    return blocks


def _includes(path: Path, sources: Sequence[str]) -> dict[str, str]:
    """Every template reached from `sources`, read once; names resolve in the pack folder and in `_shared/` only."""
    environment = template_environment({})
    found: dict[str, str] = {}
    waiting = list(sources)
    while waiting:
        try:
            names = list(jinja2.meta.find_referenced_templates(environment.parse(waiting.pop())))
        except jinja2.TemplateSyntaxError as error:
            raise PromptError(str(path), f"not a Jinja template ({error.message})", "mend it") from error
        for name in names:
            if name is None:
                raise PromptError(str(path), "an include's name is computed", "write it as a plain string")
            if name not in found:
                found[name] = _read(_include_path(path, name))
                waiting.append(found[name])
    return dict(sorted(found.items()))


def _include_path(path: Path, name: str) -> Path:
    folder = path.parent
    shared = name.startswith(f"{SHARED_FOLDER}/")
    allowed = (folder.parent / SHARED_FOLDER if shared else folder).resolve()
    target = (folder.parent / name if shared else folder / name).resolve()
    if not target.is_relative_to(allowed):
        raise PromptError(str(path), f"include {name!r} leaves the pack", f"keep it in the pack or in {SHARED_FOLDER}/")
    return target
