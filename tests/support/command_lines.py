"""Command lines held against the program without running them, and those that its messages tell people to type."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from sourcing.cli import TABLE, cli

_NOUNS = "|".join(TABLE)
_TO_PASTE = re.compile(rf"(?<=`)crossmusim (?:{_NOUNS})[^`]*(?=`)|(?<=next: )crossmusim .*")
_SHORT = re.compile(rf"`(?:{'|'.join(noun for noun, (verbs, _) in TABLE.items() if isinstance(verbs, dict))}) \w+")
_OUTSIDE = re.compile(rf"(?<!`)(?<!next: )\bcrossmusim (?:--json )?(?:{_NOUNS})\b")
_DOCUMENTING = ("help", "description")  # keywords whose words explain an option or a field; nobody pastes them


def parse_line(line: str) -> None:
    """Raise what click says of a command line; looks at no file, and runs nothing."""
    command: click.Command = cli
    context = click.Context(cli, info_name="crossmusim")
    words = shlex.split(line)[1:]
    while True:
        values, rest, _ = command.make_parser(context).parse_args(list(words))
        for option in command.get_params(context):
            value: Any = values.get(option.name or "")
            value = value if isinstance(value, str | tuple | list) else None  # click marks what is unset
            if isinstance(option, click.Argument) and option.required and not value and "--help" not in words:
                raise click.MissingParameter(ctx=context, param=option)
            if value and not isinstance(option.type, click.Path):
                option.type_cast_value(context, value)
        if not isinstance(command, click.Group) or not rest:
            assert not rest, f"{rest} is left over"
            assert not isinstance(command, click.Group), f"{line} has no verb"
            return
        verb = command.get_command(context, rest[0])
        assert verb is not None, f"no such command: {rest[0]}"
        command, words = verb, rest[1:]
        context = click.Context(command, parent=context, info_name=rest[0])


def messages(path: Path) -> Iterator[str]:
    """Every string of a module that the program may print; what is filled in reads 1."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            silent.add(id(node.value))  # a docstring
        if isinstance(node, ast.keyword) and node.arg in _DOCUMENTING:
            silent.update(map(id, ast.walk(node.value)))
        if isinstance(node, ast.JoinedStr):
            silent.update(id(part) for part in ast.walk(node) if part is not node)
    for node in ast.walk(tree):
        if id(node) in silent:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "1" for part in node.values)


def hints(message: str) -> list[str]:
    """The commands of a message that people are to paste."""
    return _TO_PASTE.findall(message)


def unpasteable(message: str) -> list[str]:
    """Commands that a message shows without the program's name, or without backticks around them."""
    return _SHORT.findall(message) + _OUTSIDE.findall(message)
