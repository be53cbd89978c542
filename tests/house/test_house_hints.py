"""What the program tells people to type can be typed: its hints and cures are parsed by the command line itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
import pytest
from command_lines import hints, messages, parse_line, unpasteable

from sourcing.commands.invocation import Invocation

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for package in ("sourcing", "training") for path in (ROOT / package).rglob("*.py"))
MESSAGES = [(path, message) for path in MODULES if path.name != "cli.py" for message in messages(path)]
HINTS = sorted({hint for _, message in MESSAGES for hint in hints(message)})


def test_there_are_hints() -> None:
    assert len(HINTS) > 25


@pytest.mark.parametrize("hint", HINTS)
def test_every_hint_is_a_command_the_program_takes(hint: str) -> None:
    parse_line(hint)


@pytest.mark.parametrize("line", ["crossmusim generate run", "crossmusim crawl", "crossmusim crawl run --retri x"])
def test_a_hint_that_cannot_be_typed_would_be_seen(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse_line(line)


def test_every_command_in_a_message_is_whole_and_stands_in_backticks() -> None:
    assert [(path.name, message) for path, message in MESSAGES if unpasteable(message)] == []


def test_no_cure_installs_from_a_registry_that_has_no_such_package() -> None:
    commands = {command for _, message in MESSAGES for command in re.findall(r"`(pip install [^`]*)`", message)}
    assert commands
    for command in commands:
        extras = re.fullmatch(r"pip install '\.\[([\w,-]+)\]'", command)
        extra_names = extras[1].split(",") if extras else []
        assert "crossmusim" not in command
        assert all(f"\n{name} = [" in (ROOT / "pyproject.toml").read_text() for name in extra_names)


def test_a_hint_carries_program_workspace_and_names_as_they_have_to_be_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my music"
    (folder / "models" / "mine").mkdir(parents=True)
    (folder / "models" / "mine" / "config.json").write_text("{}")
    (folder / "catalogue.json").write_text(f'{{"path": "{tmp_path}/a list.csv"}}')
    invocation = Invocation(folder, pack_id="recall")
    there = f"--workspace '{folder}'"
    assert invocation.pasteable("run `crossmusim crawl run` first") == f"run `crossmusim crawl run {there}` first"
    assert invocation.pasteable("next: crossmusim search 'sad piano'") == f"next: crossmusim search 'sad piano' {there}"
    assert invocation.pasteable("`crossmusim generate run PACK`") == f"`crossmusim generate run recall {there}`"
    assert invocation.pasteable("`crossmusim embed MODEL`") == f"`crossmusim embed '{folder}/models/mine' {there}`"
    read_again = invocation.pasteable("`crossmusim catalogue import FILE`")
    assert read_again == f"`crossmusim catalogue import '{tmp_path}/a list.csv' {there}`"
    assert Invocation().pasteable("a crossmusim crawl, `crawl run`") == "a crossmusim crawl, `crawl run`"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "crossmusim.py")])
    assert Invocation().pasteable("`crossmusim crawl run`") == "`python -m crossmusim crawl run`"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "my venv" / "crossmusim")])
    assert Invocation().pasteable("`crossmusim crawl run`") == f"`'{tmp_path}/my venv/crossmusim' crawl run`"
