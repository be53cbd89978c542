"""The README is held against the program: commands parse, settings are the settings, sources and verbs are there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest

from sourcing.cli import TABLE, cli
from sourcing.crawling.sources import SOURCES
from sourcing.settings import Settings, SourceSettings, load_settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
PROSE = re.sub(r"^```\w+\n.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Every `crossmusim ...` of the README, without its comment."""
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    parts = [part.strip() for line in lines for part in re.sub(r"\s#.*", "", line).split("&&")]
    spans = re.findall(r"`(crossmusim [^`]+)`", PROSE)
    return sorted({part for part in [*parts, *spans] if part.startswith("crossmusim ")})


def parsed(line: str) -> None:
    """Raises what click says of a command line; looks at no file, and runs nothing."""
    command: click.Command = cli
    context = click.Context(cli, info_name="crossmusim")
    words = shlex.split(line)[1:]
    while True:
        values, rest, _ = command.make_parser(context).parse_args(list(words))
        for option in command.get_params(context):
            given: Any = values.get(option.name or "")
            given = given if isinstance(given, str | tuple | list) else None  # click marks what is unset
            if isinstance(option, click.Argument) and option.required and not given and "--help" not in words:
                raise click.MissingParameter(ctx=context, param=option)
            if given and not isinstance(option.type, click.Path):
                option.type_cast_value(context, given)
        if not isinstance(command, click.Group) or not rest:
            assert not rest, f"{rest} is left over"
            return
        found = command.get_command(context, rest[0])
        assert found is not None, f"no such command: {rest[0]}"
        command, words = found, rest[1:]
        context = click.Context(command, parent=context, info_name=rest[0])


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_readme_is_one_the_program_takes(line: str) -> None:
    parsed(line)


@pytest.mark.parametrize(
    "line", ["crossmusim crawl fly", "crossmusim crawl run --agin 3", "crossmusim crawl import", "crossmusim x"]
)
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parsed(line)


def test_every_verb_of_a_crawl_is_shown_once_at_least() -> None:
    shown = "\n".join(commands())
    verbs = [f"{noun} {verb}" for noun in ("sources", "crawl", "match") for verb in TABLE[noun][0]]
    assert [verb for verb in verbs if verb not in shown] == []


def test_the_settings_table_is_the_settings() -> None:
    table = dict(re.findall(r"^\| (`\[\w[^`]*\]`|top level) \| `([^`]+)` \|$", README, flags=re.MULTILINE))
    sections = {name: field.annotation for name, field in Settings.model_fields.items() if name != "sources"}
    expected = {"`[sources.<name>]`": ", ".join(SourceSettings.model_fields)}
    for name, section in sections.items():
        if fields := getattr(section, "model_fields", None):
            expected[f"`[{name}]`"] = ", ".join(fields)
    expected["top level"] = ", ".join(name for name in sections if f"`[{name}]`" not in expected)
    assert table == expected


@pytest.mark.parametrize("block", [block for kind, block in BLOCKS if kind == "toml"])
def test_every_settings_file_of_the_readme_is_one_the_program_takes(tmp_path: Path, block: str) -> None:
    (tmp_path / "crossmusim.toml").write_text(block, encoding="utf-8")
    assert set(load_settings(tmp_path).sources) <= set(SOURCES)


def test_the_table_of_classes_names_every_source_and_its_key() -> None:
    rows = dict(re.findall(r"^\| (A|B|C|import) \|[^|]*\| (.*) \|$", README, flags=re.MULTILINE))
    named = {"schemaorg": "schema.org", "fma": "FMA", "song_describer": "Song Describer"}
    for name, source in SOURCES.items():
        assert named.get(name, source.title) in rows[source.ship_class]
        if source.key:
            assert f"`{source.key.env}`" in rows[source.ship_class]
