"""Prompt packs on disk: finds, reads and loads them, the front matter and every template with its includes.

A pack is a folder `prompts/<id>/` with `prompt.j2` (YAML front matter, then message blocks parted by marker lines
such as `--- system ---`), `cases.yaml` and `golden/`. The file is cut at its markers before anything is rendered,
so no value can ever open a message; includes are read at load, so rendering touches no file. Plain templates are
rendered in this process, all others in one of their own (see `Sandbox`).
"""

from __future__ import annotations

import codecs
import re
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jinja2.meta
from jinja2 import nodes
from pydantic import Field, ValidationError

import sourcing
from sourcing.errors import PromptError
from sourcing.generation.packs.pack import PROMPT_FILE, SHARED_FOLDER, InputSpec, Pack, Sampling, Strict, included_file
from sourcing.generation.packs.pack_yaml import read_yaml
from sourcing.generation.packs.templates import parse_template, template_environment
from sourcing.nearest import nearest

__all__ = [
    "FRONT_MATTER",
    "ID_PATTERN",
    "built_in_packs",
    "find_pack",
    "load_pack",
    "message_blocks",
    "pack_folders",
    "pack_roots",
    "read_pack_file",
]

ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_SEMVER_PATTERN = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$"
_MARKER = re.compile(r"^--- (system|user|assistant) ---[ \t]*$", re.MULTILINE)
FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_MAX_FILE_BYTES = 1 << 20
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class _Front(Strict):
    format: Literal[1]
    id: str = Field(pattern=ID_PATTERN)
    version: str = Field(pattern=_SEMVER_PATTERN)
    description: str = ""
    owners: list[str] = Field(default_factory=list)
    inputs: dict[str, InputSpec]
    output: dict[str, Any]
    model: Sampling
    samples: int = Field(1, ge=1, le=64)
    may_name: list[Literal["artist", "title", "album"]] = Field(default_factory=list)


def pack_roots(prompts_dir: Path | None, workspace: Path) -> list[Path]:
    """Folders of packs, the first found wins: the settings', the workspace's, the built-in ones."""
    return [*([workspace / prompts_dir] if prompts_dir else []), workspace / "prompts", built_in_packs()]


def built_in_packs() -> Path:
    """The folder of the packs that come with the program."""
    checkout = Path(sourcing.__file__).resolve().parents[1]
    installation = Path(sysconfig.get_path("data")) / "share" / "crossmusim" / "prompts"
    return checkout / "prompts" if (checkout / "pyproject.toml").is_file() else installation


def pack_folders(roots: Sequence[Path]) -> dict[str, Path]:
    """Pack id → folder, sorted by id; an earlier root hides a later one's pack of the same name."""
    folders: dict[str, Path] = {}
    for root in roots:
        for path in sorted(root.glob(f"*/{PROMPT_FILE}")):
            folders.setdefault(path.parent.name, path.parent)
    return dict(sorted(folders.items()))


def find_pack(pack_id: str, roots: Sequence[Path]) -> Pack:
    """Load the pack called `pack_id`; PromptError names the ones there are when it is not among them."""
    folders = pack_folders(roots)
    if pack_id not in folders:
        pack_ids = ", ".join(folders) or "none"
        cure = nearest(pack_id, folders, "name one of those")
        raise PromptError(f"prompt pack {pack_id!r}", f"there is no such pack (found: {pack_ids})", cure)
    return load_pack(folders[pack_id])


def load_pack(folder: Path) -> Pack:
    """Read a pack folder; PromptError names the line of the front matter or template that does not hold."""
    path = folder / PROMPT_FILE
    source = read_pack_file(path)
    match = FRONT_MATTER.match(source)
    if match is None:
        raise PromptError(
            str(path), "it does not open with front matter", "begin with a `---` line, YAML, a `---` line"
        )
    front = _front(path, match.group(1))
    if front.id != folder.name:
        raise PromptError(str(path), f"its id is {front.id!r} in a folder called {folder.name!r}", "make the two agree")
    blocks, lines = message_blocks(path, source[match.end() :], 1 + source.count("\n", 0, match.end()))
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
    _ = pack.syntax_trees  # parses
    return pack


def read_pack_file(path: Path) -> str:
    """The text of a pack's file, UTF-8 or UTF-16 as its byte order mark says, with line breaks as \\n and no mark."""
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
        problem = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].lower()
        raise PromptError(f"{path} front matter", f"{where}: {problem}", "correct or remove it") from error


def message_blocks(path: Path, text: str, line: int) -> tuple[tuple[tuple[str, str], ...], tuple[int, ...]]:
    """Messages (role, template source) of a text that begins on this line of its file, and the line of each message."""
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
    sources: dict[str, str] = {}
    waiting = [(str(path), "\n" * (line - 1) + source) for line, (_, source) in zip(lines, blocks, strict=True)]
    while waiting:
        file, source = waiting.pop()
        tree = parse_template(source, file, environment)
        names = jinja2.meta.find_referenced_templates(tree)
        for name in names:
            if name is None:
                raise PromptError(file, "an include's name is computed", "write it as a plain string")
            if name not in sources:
                sources[name] = _included(path, name, f"{file} line {_include_line(tree, name)}")
                waiting.append((str(included_file(path.parent, name)), sources[name]))
    return dict(sorted(sources.items()))


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


def _include_path(path: Path, name: str) -> Path:
    folder = path.parent
    try:
        root = (folder.parent / SHARED_FOLDER if name.startswith(f"{SHARED_FOLDER}/") else folder).resolve()
        target = included_file(folder, name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL, a name too long, a ring of links
        raise PromptError(str(path), f"it is no file ({error})", "correct the name") from error
    if not target.is_relative_to(root):
        raise PromptError(str(path), "it leaves the pack", f"keep it in the pack or in {SHARED_FOLDER}/")
    return target
