"""YAML of prompt packs: JSON values, bounded in depth and number, every key once; anything else is a PromptError."""

from __future__ import annotations

import math
from typing import Any

import yaml

from sourcing.errors import PromptError

__all__ = ["read_yaml"]

_MAX_DEPTH, _MAX_VALUES = 60, 50_000  # of values, each alias counted as all it stands for
_MAX_INTEGER = 1 << 63
_MAX_DIGITS = 400


class _Loader(yaml.SafeLoader):
    """Dates stay text, as in JSON."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml(text: str, thing: str, *, first_line: int = 1) -> Any:
    """Value of a YAML text, with the number of its first line in the file. PromptError names `thing` and the line."""
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        value = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{thing} line {mark.line + first_line}" if mark else thing
        finding = f"not YAML ({' '.join(filter(None, (error.context, error.problem)))})"
        raise PromptError(where, finding, "mend that line") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise PromptError(thing, f"not YAML ({error})", "mend it") from error
    except RecursionError as error:
        raise PromptError(thing, "not YAML (nested too deeply)", "make it simpler") from error
    finally:
        if loader is not None:
            loader.dispose()
    problem = _unlike_json(value)
    if problem:
        raise PromptError(thing, f"it holds {problem}, which is not JSON", "correct or quote it")
    return value


def _measure(node: yaml.Node, measures: dict[yaml.Node, tuple[int, int]]) -> tuple[int, int]:
    """Number and depth of the values a node stands for; raises for repeated keys, rings and bombs of aliases."""
    if node in measures:
        if not measures[node][0]:
            raise _problem("an alias stands inside its own anchor", node)
        return measures[node]
    measures[node] = 0, 0
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        keys: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in keys:
                    raise _problem(f"the key {key.value!r} stands there twice", key)
                keys.add((key.tag, key.value))
            parts += key, value
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    elif node.tag == "tag:yaml.org,2002:int" and len(node.value) > _MAX_DIGITS:
        raise _problem("a number of too many digits", node)
    size, depth = 1, 0
    for part in parts:
        part_size, part_depth = _measure(part, measures)
        size, depth = size + part_size, max(depth, part_depth + 1)
    if size > _MAX_VALUES:
        raise _problem(f"more than {_MAX_VALUES:,} values", node)
    if depth > _MAX_DEPTH:
        raise _problem(f"nested more than {_MAX_DEPTH} deep", node)
    measures[node] = size, depth
    return size, depth


def _problem(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _unlike_json(value: object) -> str:
    """First part of a value that JSON, UTF-8 or common readers cannot carry; empty when it is fit for all."""
    if isinstance(value, dict):
        odd = next((key for key in value if not isinstance(key, str)), None)
        if odd is not None:
            return f"the key {odd!r}"
        return next(filter(None, map(_unlike_json, [*value, *value.values()])), "")
    if isinstance(value, list):
        return next(filter(None, map(_unlike_json, value)), "")
    if isinstance(value, str):
        return "" if value.isascii() or not any("\ud800" <= c <= "\udfff" for c in value) else "half a character"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"the number {value}"
    if isinstance(value, int):
        return "" if abs(value) < _MAX_INTEGER else "an integer of more than 64 bits"
    return "" if value is None else f"a {type(value).__name__}"
