"""Prompt packs: find them, load them, render their messages, and hash what can change an answer.

A pack is a folder `prompts/<id>/` with `prompt.j2` (YAML front matter, then message blocks parted by marker lines
such as `--- system ---`), `cases.yaml` and `golden/`. The file is cut at its markers before anything is rendered,
so no value can ever open a message; includes are read at load, so rendering touches no file. Plain templates are
rendered here, all others in a process of their own (see `Sandbox`).
"""

from __future__ import annotations

import codecs
import functools
import re
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn

import jinja2
import jinja2.meta
import jsonschema_rs
from jinja2 import nodes
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import sourcing
from sourcing.errors import PromptError, nearest
from sourcing.generation.packs.pack_yaml import read_yaml
from sourcing.generation.packs.sandbox import Sandbox
from sourcing.generation.packs.templates import (
    Templates,
    compile_template,
    is_plain,
    parse_template,
    template_environment,
)
from sourcing.generation.text.folding import is_hidden
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
    "read_pack_file",
    "render",
    "repair_messages",
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
_MAX_FILE_BYTES = 1 << 20
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
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
                    "sampling": self.sampling.given(),
                }
            )
        )

    @cached_property
    def templates(self) -> Templates:
        blocks = ("\n" * (line - 1) + source for line, (_, source) in zip(self.lines, self.blocks, strict=True))
        files = {name: str(_included_file(self.folder, name)) for name in self.includes}
        includes = {name: (files[name], source) for name, source in self.includes.items()}
        return Templates(str(self.folder / PROMPT_FILE), tuple(blocks), includes)

    @cached_property
    def parsed(self) -> tuple[tuple[nodes.Template, ...], Mapping[str, nodes.Template]]:
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
        blocks, includes = self.parsed
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
            compiled = [compile_template(block, templates.file, environment) for block in templates.blocks]
        except SyntaxError as error:  # Python's limits, as on the number of nested blocks
            raise PromptError(templates.file, f"not a Jinja template ({error})", "make it simpler") from error
        return lambda values: [template.render(values).strip() for template in compiled]

    @cached_property
    def validator(self) -> jsonschema_rs.Draft202012Validator:
        """Holds replies against the output schema. PromptError where that is no JSON schema, or points out of itself:
        nothing is ever fetched.
        """
        try:
            _refuse_to_leave(self.output)
            return jsonschema_rs.Draft202012Validator(dict(self.output), retriever=_refuse_to_fetch)
        except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
            found = getattr(error, "message", str(error)).partition("\n")[0]
            where = ".".join(map(str, getattr(error, "instance_path", ())))
            found = f"output is not a JSON schema ({where and f'{where}: '}{found})"
            raise PromptError(f"prompt pack {self.name}", found, "correct it") from error


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"{address} lies outside the pack")


def _refuse_to_leave(schema: object) -> None:
    """Also references that are followed only when a reply is held against them."""
    if isinstance(schema, dict):
        for name, value in schema.items():
            if name in ("$ref", "$dynamicRef", "$recursiveRef") and not str(value).startswith("#"):
                _refuse_to_fetch(str(value))
            _refuse_to_leave(value)
    elif isinstance(schema, list):
        for value in schema:
            _refuse_to_leave(value)


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
        cure = nearest(pack_id, folders, "name one of those")
        raise PromptError(f"prompt pack {pack_id!r}", f"there is no such pack (found: {known})", cure)
    return load_pack(folders[pack_id])


def load_pack(folder: Path) -> Pack:
    """Read a pack folder; PromptError names the line of the front matter or template that does not hold."""
    path = folder / PROMPT_FILE
    source = read_pack_file(path)
    match = _FRONT.match(source)
    if match is None:
        raise PromptError(
            str(path), "it does not open with front matter", "begin with a `---` line, YAML, a `---` line"
        )
    front = _front(path, match.group(1))
    if front.id != folder.name:
        raise PromptError(str(path), f"its id is {front.id!r} in a folder called {folder.name!r}", "make the two agree")
    blocks, lines = _blocks(path, source[match.end() :], 1 + source.count("\n", 0, match.end()))
    pack = Pack(
        id=front.id,
        version=front.version,
        description=front.description,
        inputs=front.inputs,
        output=front.output,
        sampling=front.model,
        samples=front.samples,
        may_name=tuple(front.may_name),
        blocks=blocks,
        includes=_includes(path, blocks, lines),
        folder=folder,
        lines=lines,
    )
    _ = pack.parsed  # holds
    return pack


def render(pack: Pack, inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """The pack's messages for these inputs; PromptError when an input is unknown, missing or of another type."""
    values = {name: _value(pack, name, inputs) for name in pack.inputs}
    unknown = sorted(set(inputs) - set(pack.inputs))
    if unknown:
        raise PromptError(
            f"prompt pack {pack.name}", f"it declares no input {unknown[0]!r}", "declare it, or leave it out"
        )
    texts = pack.renderer(values)
    return [{"role": role, "content": text} for (role, _), text in zip(pack.blocks, texts, strict=True)]


@functools.cache
def _repair_blocks() -> tuple[tuple[str, jinja2.Template], ...]:
    path = _built_in() / SHARED_FOLDER / REPAIR_FILE
    environment = template_environment({})
    return tuple((role, environment.from_string(source)) for role, source in _blocks(path, read_pack_file(path), 1)[0])


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


def read_pack_file(path: Path) -> str:
    """Its text with line breaks as \\n and no byte order mark; UTF-8, or UTF-16 where such a mark says so."""
    try:
        if not path.is_file():
            raise PromptError(str(path), "there is no such file", "add it, or correct the name")
        raw = path.read_bytes() if path.stat().st_size <= _MAX_FILE_BYTES else None
    except (OSError, ValueError) as error:
        raise PromptError(str(path), f"it cannot be read ({error})", "correct name or permissions") from error
    if raw is None:
        raise PromptError(str(path), f"it is larger than {_MAX_FILE_BYTES:,} bytes", "make it smaller")
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise PromptError(str(path), f"not UTF-8 ({error})", "save it as UTF-8") from error


def _front(path: Path, text: str) -> _Front:
    values = read_yaml(text, f"{path} front matter", first_line=2)
    try:
        return _Front.model_validate(values if isinstance(values, dict) else {})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        found = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise PromptError(f"{path} front matter", f"{where}: {found}", "correct or remove it") from error


def _blocks(path: Path, text: str, line: int) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
    """The messages (role, template source) of a text that begins on this line of its file, and where each begins."""
    marks = list(_MARKER.finditer(text))
    if text[: marks[0].start() if marks else None].strip():
        raise PromptError(str(path), "there is text before the first message", "open it with a line `--- system ---`")
    blocks, lines = [], []
    for mark, ahead in zip(marks, [*marks[1:], None], strict=True):
        source = text[mark.end() : ahead.start() if ahead else None]
        start = mark.end() + len(source) - len(source.lstrip("\n"))
        blocks.append((mark.group(1), source.strip("\n")))
        lines.append(line + text.count("\n", 0, start))
    if not any(role == "user" for role, _ in blocks):
        raise PromptError(str(path), "it has no user message", "add a line `--- user ---` and the message below it")
    return tuple(blocks), tuple(lines)


def _includes(path: Path, blocks: Sequence[tuple[str, str]], lines: Sequence[int]) -> dict[str, str]:
    """Every template reached from the blocks, read once; names resolve in the pack folder and in `_shared/` only."""
    environment = template_environment({})
    found: dict[str, str] = {}
    waiting = [(str(path), "\n" * (line - 1) + source) for line, (_, source) in zip(lines, blocks, strict=True)]
    while waiting:
        file, source = waiting.pop()
        tree = parse_template(source, file, environment)
        names = jinja2.meta.find_referenced_templates(tree)
        for name in names:
            if name is None:
                raise PromptError(file, "an include's name is computed", "write it as a plain string")
            if name not in found:
                found[name] = _included(path, name, f"{file} line {_include_line(tree, name)}")
                waiting.append((str(_included_file(path.parent, name)), found[name]))
    return dict(sorted(found.items()))


def _included(path: Path, name: str, where: str) -> str:
    """The text of an include; PromptError names the line that asks for it."""
    try:
        return read_pack_file(_include_path(path, name))
    except PromptError as error:
        raise PromptError(where, f"include {name!r}: {error.found}", error.cure) from error


def _include_line(tree: nodes.Template, name: str) -> int:
    includes = tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends))
    asking = [node.lineno for node in includes if any(part.value == name for part in node.find_all(nodes.Const))]
    return min(asking, default=1)


def _included_file(folder: Path, name: str) -> Path:
    return (folder.parent if name.startswith(f"{SHARED_FOLDER}/") else folder) / name


def _include_path(path: Path, name: str) -> Path:
    folder = path.parent
    try:
        allowed = (folder.parent / SHARED_FOLDER if name.startswith(f"{SHARED_FOLDER}/") else folder).resolve()
        target = _included_file(folder, name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, a ring of links
        raise PromptError(str(path), f"it is no file ({error})", "correct the name") from error
    if not target.is_relative_to(allowed):
        raise PromptError(str(path), "it leaves the pack", f"keep it in the pack or in {SHARED_FOLDER}/")
    return target
