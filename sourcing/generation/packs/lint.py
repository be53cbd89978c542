"""Lint of prompt packs: what is wrong or unclear in a pack that loads, one sentence each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import golden_file, golden_path, load_cases
from sourcing.generation.packs.judges import is_judge
from sourcing.generation.packs.lock import check_lock
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.render import render
from sourcing.generation.packs.templates import undeclared_names

__all__ = ["INPUTS", "lint", "plain_examples"]
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
_SAMPLE_VALUES = {"string": "en", "integer": 1999, "number": 0.5, "list": ["calm", "slow"]}  # for a trial
_LIKE_A_MARKER = re.compile(
    r"^[ \t]*-{2,}[ \t]*(system|user|assistant)[ \t]*-{2,}[ \t]*$", re.MULTILINE | re.IGNORECASE
)
#: What a judge's reply must hold, see `apply_verdicts`.
_VERDICT = ("verdicts", "caption_supported")


def plain_examples(pack: Pack) -> list[tuple[str, str]]:
    """The pack's assistant messages, which may be worked examples: JSON as it stands, with nothing to render."""
    return [(role, text) for role, text in pack.blocks if role == "assistant"]


def lint(pack: Pack, *, known_inputs: Mapping[str, str] = INPUTS, with_lock: bool = True) -> list[str]:
    """Findings about a pack that loads, one sentence each; none is good."""
    findings = [*_input_findings(pack, known_inputs), *_message_findings(pack)]
    try:
        _ = pack.validator
        findings += [*_schema_findings(pack.output, "output"), *_judge_findings(pack)]
    except PromptError as error:
        findings.append(error.found)
    findings += _rendering_findings(pack)
    if pack.sampling.max_tokens is None:
        findings.append("model.max_tokens is missing, so a reply has no end that could be planned for")
    findings += _case_findings(pack)
    if with_lock:
        try:
            check_lock(pack)
        except PromptError as error:
            findings.append(f"{error.found}; {error.cure}")
    return findings


def _input_findings(pack: Pack, input_types: Mapping[str, str]) -> Iterator[str]:
    for name, spec in pack.inputs.items():
        if name not in input_types:
            yield f"input {name!r} is not one a plan can give (those are {', '.join(input_types)})"
        elif spec.type != input_types[name]:
            yield f"input {name!r} is declared {spec.type} and given as {input_types[name]}"
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
        yield f"input {name!r} is declared and never used"


def _message_findings(pack: Pack) -> Iterator[str]:
    """Findings on lines that look like message markers, and on orders of messages that chat templates refuse."""
    for line, (role, source) in zip(pack.lines, pack.blocks, strict=True):
        for match in _LIKE_A_MARKER.finditer(source):
            where = f"{pack.templates.file} line {line + source.count(chr(10), 0, match.start())}"
            yield f"{where}: {match.group()!r} opens no message, as `--- {match.group(1).lower()} ---` does"
        if role == "system" and line != pack.lines[0]:
            yield f"{pack.templates.file} line {line}: a system message stands behind another; many models refuse that"


def _schema_findings(schema: Any, where: str) -> Iterator[str]:
    """Findings on the output schema by the rules of strict structured output: closed, and every property required."""
    if not isinstance(schema, dict):
        return
    if where == "output" and schema.get("type") != "object":
        yield "output is not of type object"
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield f"{where} does not say `additionalProperties: false`"
        optional = sorted(set(schema.get("properties", {})) - set(schema.get("required", [])))
        if optional:
            yield f"{where} does not require its property {optional[0]!r}, as strict output must"
    for name, part in schema.get("properties", {}).items():
        yield from _schema_findings(part, f"{where}.{name}")
    yield from _schema_findings(schema.get("items"), f"{where}[]")


def _rendering_findings(pack: Pack) -> Iterator[str]:
    """Findings on rendering, for a track with every input and for a track with only the required inputs."""
    whole = {name: _SAMPLE_VALUES[spec.type] for name, spec in pack.inputs.items()}
    for inputs in (whole, {name: value for name, value in whole.items() if pack.inputs[name].required}):
        try:
            render(pack, inputs)
        except PromptError as error:
            yield f"{error.thing}: {error.found}"
            return


def _judge_findings(pack: Pack) -> Iterator[str]:
    if not is_judge(pack):
        if "caption" in pack.inputs:
            yield "input 'caption' is given to judges only, which declare 'aspects' too"
        return
    for name in _VERDICT:
        if name not in pack.output.get("properties", {}):
            yield f"it declares 'aspects', so it is a judge, and its output has no property {name!r}"


def _case_findings(pack: Pack) -> Iterator[str]:
    try:
        cases = load_cases(pack)
    except PromptError as error:
        yield f"{error.thing}: {error.found}"
        return
    for case in cases:
        try:
            render(pack, case.inputs)
            if golden_file(pack, case).is_file():  # else it waits to be recorded
                json.loads(golden_path(pack, case).read_bytes())
        except PromptError as error:
            yield f"case {case.name!r}: {error.thing}: {error.found}"
        except (ValueError, RecursionError):
            yield f"case {case.name!r}: golden/{case.golden} is not JSON"
