"""Lint of prompt packs: what is wrong or unclear in a pack that loads, one sentence each, with file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes

from sourcing.errors import PromptError
from sourcing.generation.packs.lint_cases import advice_on_cases, case_findings
from sourcing.generation.packs.lint_schema import advice_on_sampling, schema_findings
from sourcing.generation.packs.lock import check_lock
from sourcing.generation.packs.pack import PROMPT_FILE, Pack
from sourcing.generation.packs.pack_files import load_pack
from sourcing.generation.packs.positions import Positions
from sourcing.generation.packs.render import render
from sourcing.generation.packs.templates import undeclared_names
from sourcing.generation.text.folding import is_hidden

__all__ = ["INPUTS", "lint", "mistakes", "sample_inputs"]
#: What `plan` can give to a pack, and as what type; `aspects` makes the pack a judge, and `caption` is for judges.
INPUTS = {
    "title": "string",
    "artist": "string",
    "album": "string",
    "year": "integer",
    "tags": "list",
    "language": "string",
    "document": "string",
    "document_title": "string",
    "aspects": "list",
    "caption": "string",
}
_TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float), "list": list}
_SAMPLE_VALUES = {"string": "en", "integer": 1999, "number": 0.5, "list": ["calm", "slow"]}  # for a trial
#: Inputs whose text strangers wrote; a prompt must say where it begins and ends.
_SCRAPED = ("document", "document_title")
_OPENING = re.compile(r"(<[A-Za-z][\w-]*>|```\w*|\"\"\"|<<<|\[[A-Z_]+\])\s*$")
_CLOSING = re.compile(r"^\s*(</[A-Za-z][\w-]*>|```|\"\"\"|>>>|\[/?[A-Z_]+\])")
_MANY_TOKENS, _TOKEN_CHARS = 6000, 4
_LIKE_A_MARKER = re.compile(
    r"^[ \t]*-{2,}[ \t]*(system|user|assistant)[ \t]*-{2,}[ \t]*$", re.MULTILINE | re.IGNORECASE
)


def lint(pack: Pack, *, roots: Sequence[Path] = ()) -> list[str]:
    """All findings about a pack that loads: its mistakes, then what is only unwise; none is good.

    `roots` are the folders in which packs are looked for: another content under the same name and version is found.
    """
    at = Positions(pack.folder)
    unwise = [*_frame_findings(pack), *_length_findings(pack), *advice_on_cases(pack, at)]
    return [*mistakes(pack), *unwise, *advice_on_sampling(pack, at), *_twin_findings(pack, roots, at)]


def mistakes(pack: Pack, *, known_inputs: Mapping[str, str] = INPUTS, with_lock: bool = True) -> list[str]:
    """Findings that would make a run's calls worthless; a run is refused for them."""
    at = Positions(pack.folder)
    findings = [
        *_input_findings(pack, known_inputs, at),
        *_message_findings(pack),
        *schema_findings(pack, at),
        *_rendering_findings(pack),
        *case_findings(pack, at),
    ]
    if with_lock:
        try:
            check_lock(pack)
        except PromptError as error:
            findings.append(f"{at.key('version')}: {error.found}; {error.cure}")
    return findings


def sample_inputs(pack: Pack) -> dict[str, Any]:
    """A value for every input: its example, or one of its type."""
    return {
        name: _SAMPLE_VALUES[spec.type] if spec.example is None else spec.example for name, spec in pack.inputs.items()
    }


def _input_findings(pack: Pack, input_types: Mapping[str, str], at: Positions) -> Iterator[str]:
    for name, spec in pack.inputs.items():
        where = at.key("inputs", name)
        if name not in input_types:
            yield f"{where}: input {name!r} is not one a plan can give (those are {', '.join(input_types)})"
        elif spec.type != input_types[name]:
            yield f"{where}: input {name!r} is declared {spec.type} and given as {input_types[name]}"
        if spec.example is not None and not isinstance(spec.example, _TYPES[spec.type]):
            yield f"{where}: the example of input {name!r} is no {spec.type}"
    blocks, includes = pack.syntax_trees
    files = [(pack.templates.file, block) for block in blocks]
    files += [(pack.templates.includes[name][0], tree) for name, tree in includes.items()]
    used: set[str] = set()
    try:
        for file, tree in files:
            names = undeclared_names(tree)
            for name in sorted(names.keys() - pack.inputs.keys() - used):
                yield f"{file} line {names[name]}: the template uses {name!r}, which is not declared under inputs"
            used |= names.keys()
    except jinja2.TemplateError:
        return  # rendering tells, with file and line
    for name in sorted(pack.inputs.keys() - used):
        yield f"{at.key('inputs', name)}: input {name!r} is declared and never used"


def _message_findings(pack: Pack) -> Iterator[str]:
    """Findings on lines that look like message markers, and on orders of messages that chat templates refuse."""
    for line, (role, source) in zip(pack.lines, pack.blocks, strict=True):
        for match in _LIKE_A_MARKER.finditer(source):
            where = f"{pack.templates.file} line {line + source.count(chr(10), 0, match.start())}"
            yield f"{where}: {match.group()!r} opens no message, as `--- {match.group(1).lower()} ---` does"
        for place, character in enumerate(source):
            if is_hidden(character) and not character.isspace():
                where = f"{pack.templates.file} line {line + source.count(chr(10), 0, place)}"
                yield f"{where}: it holds U+{ord(character):04X}, which no reader sees and a model does"
                break
        if role == "system" and line != pack.lines[0]:
            yield f"{pack.templates.file} line {line}: a system message stands behind another; many models refuse that"
        if not source.strip():
            yield f"{pack.templates.file} line {line}: the {role} message is empty"
    if pack.blocks[-1][0] != "user":
        where = f"{pack.templates.file} line {pack.lines[-1]}"
        yield f"{where}: the last message is the {pack.blocks[-1][0]}'s, not the user's"


def _frame_findings(pack: Pack) -> Iterator[str]:
    """Findings on scraped text without marks of where it begins and ends, or that may forge them."""
    for tree in pack.syntax_trees[0]:
        for output in tree.find_all(nodes.Output):
            for place, node in enumerate(output.nodes):
                name = _printed_name(node)
                if name not in _SCRAPED:
                    continue
                before, after = (_literal(output.nodes, place + step) for step in (-1, 1))
                where = f"{pack.templates.file} line {node.lineno}"
                opening, closing = _OPENING.search(before), _CLOSING.match(after)
                if not (opening and closing):
                    yield (
                        f"{where}: {name!r} is text of strangers and stands there unmarked; put it between"
                        f" `<{name}>` and `</{name}>`"
                    )
                elif closing[1].startswith("</") and not _keeps_frame(node):
                    yield (
                        f"{where}: {name!r} may hold {closing[1]} and end its frame; write"
                        f' `{{{{ {name} | replace("</", "< /") }}}}`'
                    )


def _printed_name(node: nodes.Node) -> str | None:
    """The input that an expression prints, through any filters."""
    while isinstance(node, nodes.Filter) and node.node is not None:
        node = node.node
    return node.name if isinstance(node, nodes.Name) else None


def _keeps_frame(node: nodes.Node) -> bool:
    filters = {each.name for each in [node, *node.find_all(nodes.Filter)] if isinstance(each, nodes.Filter)}
    return bool(filters & {"replace", "tojson", "escape", "e"})


def _literal(parts: Sequence[nodes.Node], place: int) -> str:
    """The text of the template at a place among printed parts; empty where a value stands there."""
    if not 0 <= place < len(parts):
        return ""
    part = parts[place]
    return part.data if isinstance(part, nodes.TemplateData) else ""


def _rendering_findings(pack: Pack) -> Iterator[str]:
    """Findings on rendering, for a track with every input and for a track with only the required inputs."""
    whole = sample_inputs(pack)
    for inputs in (whole, {name: value for name, value in whole.items() if pack.inputs[name].required}):
        try:
            render(pack, inputs)
        except PromptError as error:
            yield f"{error.thing}: {error.found}"
            return


def _length_findings(pack: Pack) -> Iterator[str]:
    """A finding on messages that are long before any document is in them: each call pays for them."""
    tokens = sum(len(source) for _, source in pack.blocks) // _TOKEN_CHARS
    if tokens > _MANY_TOKENS:
        yield f"{pack.templates.file} line {pack.lines[0]}: its messages take about {tokens:,} tokens without any input"


def _twin_findings(pack: Pack, roots: Sequence[Path], at: Positions) -> Iterator[str]:
    """Findings on packs of the same name and version in other folders that send something else."""
    for folder in (root / pack.id for root in roots):
        if folder == pack.folder or not (folder / PROMPT_FILE).is_file():
            continue
        try:
            other = load_pack(folder)
        except PromptError:
            continue  # it is linted by its own name where it counts
        if other.version == pack.version and other.prompt_hash != pack.prompt_hash:
            yield f"{at.key('version')}: {folder} holds another {pack.name}; give this one another version"
