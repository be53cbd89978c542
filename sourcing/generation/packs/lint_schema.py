"""Lint of a pack's output schema, sampling and worked examples: what strict servers refuse, and what cannot fit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sourcing.errors import PromptError
from sourcing.generation.packs.judges import is_judge
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.positions import Positions

__all__ = ["advice_on_sampling", "plain_examples", "schema_findings"]

#: What a judge's reply must hold, see `apply_verdicts`.
_VERDICT = ("verdicts", "caption_supported")
_TOKEN_CHARS = 3  # of JSON, at least


def plain_examples(pack: Pack) -> list[tuple[str, str]]:
    """The pack's assistant messages, which may be worked examples: JSON as it stands, with nothing to render."""
    return [(role, text) for role, text in pack.blocks if role == "assistant"]


def schema_findings(pack: Pack, at: Positions) -> Iterator[str]:
    """Findings on output, sampling and examples, each with file and line."""
    where = at.key("output")
    try:
        _ = pack.validator
    except PromptError as error:
        yield f"{where}: {error.found}"
        return
    yield from (f"{_place(at, path)}: {finding}" for path, finding in _shape_findings(pack.output, ()))
    properties = pack.output.get("properties", {})
    if is_judge(pack):
        for name in _VERDICT:
            if name not in properties:
                yield f"{where}: it declares 'aspects', so it is a judge, and its output has no property {name!r}"
    else:
        if "caption" in pack.inputs and "aspects" not in pack.inputs and "document" not in pack.inputs:
            line = at.key("inputs", "caption")
            yield f"{line}: input 'caption' is given to judges only, which declare 'aspects' too"
        yield from _describer_findings(pack, properties, at)
    yield from _sampling_findings(pack, at)
    yield from _example_findings(pack)


def _place(at: Positions, path: tuple[str, ...]) -> str:
    return at.key("output", *path)


def _shape_findings(schema: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Findings by the rules of strict structured output: closed, and every property required."""
    if not isinstance(schema, dict):
        return
    name = "output" + "".join(f".{part}" for part in path if part not in ("properties", "items"))
    if not path and schema.get("type") != "object":
        yield path, "output is not of type object"
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            yield path, f"{name} does not say `additionalProperties: false`"
        properties, required = schema.get("properties", {}), schema.get("required", [])
        for own in sorted(set(properties) - set(required)):
            yield (*path, "properties", own), f"{name} does not require its property {own!r}, as strict output must"
        for own in sorted(set(required) - set(properties)):
            yield (*path, "required"), f"{name} requires {own!r}, which is not among its properties"
    for own, part in schema.get("properties", {}).items():
        yield from _shape_findings(part, (*path, "properties", own))
    yield from _shape_findings(schema.get("items"), (*path, "items"))


def _describer_findings(pack: Pack, properties: dict[str, Any], at: Positions) -> Iterator[str]:
    """A pack that describes must answer with aspects; about a document, with words that can be found in it."""
    where = at.key("output", "properties")
    if "aspects" not in properties:
        yield f"{where}: output has no property 'aspects', without which no reply becomes a description"
        return
    aspects = properties["aspects"] if isinstance(properties["aspects"], dict) else {}
    where = at.key("output", "properties", "aspects")
    if aspects.get("type") != "array":
        yield f"{where}: aspects is not an array"
        return
    item = aspects["items"] if isinstance(aspects.get("items"), dict) else {}
    key = "quote" if "document" in pack.inputs else "text"
    if item.get("type") == "object" and key not in item.get("properties", {}):
        needs = "a quote, by which it is found in the document" if key == "quote" else "a text"
        yield f"{where}: an aspect is an object without {key!r}: each needs {needs}"
    elif item.get("type") not in ("object", "string"):
        yield f"{where}: an aspect is neither a string nor an object"


def _sampling_findings(pack: Pack, at: Positions) -> Iterator[str]:
    model = at.key("model")
    if pack.sampling.max_tokens is None:
        yield f"{model}: model.max_tokens is missing, so a reply has no end that could be planned for"
    elif (least := _least_chars(pack.output) // _TOKEN_CHARS) > pack.sampling.max_tokens:
        line = at.key("model", "max_tokens")
        yield f"{line}: the shortest reply the schema allows takes about {least} tokens, more than max_tokens"


def advice_on_sampling(pack: Pack, at: Positions) -> Iterator[str]:
    """A finding on samples that cannot differ."""
    if pack.samples > 1 and pack.sampling.temperature == 0:
        yield f"{at.key('samples')}: {pack.samples} samples at temperature 0 are {pack.samples} times the same reply"


def _least_chars(schema: Any) -> int:
    """Characters of the shortest JSON that fits a schema, roughly."""
    if not isinstance(schema, dict):
        return 0
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        own = [name for name in schema.get("required", []) if name in properties]
        return 2 + sum(len(name) + 4 + _least_chars(properties[name]) for name in own)
    if schema.get("type") == "array":
        return 2 + int(schema.get("minItems", 0)) * (_least_chars(schema.get("items")) + 1)
    if schema.get("type") == "string":
        return 2 + int(schema.get("minLength", 0))
    return 1


def _example_findings(pack: Pack) -> Iterator[str]:
    """Findings on worked examples: an assistant's message that is JSON must be a reply that would be taken."""
    for (role, source), line in zip(pack.blocks, pack.lines, strict=True):
        if role != "assistant" or not source.strip().startswith("{") or "{{" in source or "{%" in source:
            continue
        where = f"{pack.templates.file} line {line}"
        try:
            value = json.loads(source)
        except (ValueError, RecursionError) as error:
            yield f"{where}: the worked example is not JSON ({error})"
            continue
        if not pack.validator.is_valid(value):
            problem = next(pack.validator.iter_errors(value)).message
            yield f"{where}: the worked example does not fit the output schema ({problem})"
