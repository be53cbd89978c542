"""The command line keeps its grammar: quick, lazy, one JSON object, exit codes that mean something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from sourcing.cli import TABLE, cli

CROSSMUSIM = [sys.executable, "-m", "sourcing.cli"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CROSSMUSIM, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
        stdin=subprocess.DEVNULL,
    )


def verbs(table: dict[str, tuple[Any, str]], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, (target, _) in table.items():
        yield from verbs(target, (*path, name)) if isinstance(target, dict) else [(*path, name)]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from sourcing.cli import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'scrapy', 'torch', 'dataframely', 'polars', 'pydantic', 'openai', 'rich'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "HEAVY []" in out
    assert "demo" in out


@pytest.mark.parametrize("path", sorted(verbs(TABLE)), ids=" ".join)
def test_every_verb_explains_itself_with_an_example(path: tuple[str, ...]) -> None:
    group: click.Command = cli
    context = click.Context(cli)
    for name in path:
        assert isinstance(group, click.Group)
        command = group.get_command(context, name)
        assert command is not None
        group = command
    page = group.get_help(click.Context(group, info_name=" ".join(["crossmusim", *path])))
    assert "Example" in page
    assert "crossmusim" in page.split("Example", 1)[1]


def test_an_unknown_verb_is_a_usage_error() -> None:
    result = run("crawl", "fly")
    assert result.returncode == 2
    assert "fly" in result.stderr
    assert result.stdout == ""


def test_under_json_an_error_is_one_object_that_names_thing_finding_and_cure(tmp_path: Path) -> None:
    result = run("--json", "--workspace", str(tmp_path), "match", "run")
    assert result.returncode == 3
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == 3
    assert "crossmusim" in error["cure"]
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["train", "x"], ["evaluate", "m", "x"], ["search", "calm"]])
def test_training_commands_say_what_to_install_where_torch_is_not(arguments: list[str]) -> None:
    code = f"import sys; sys.modules['torch'] = None\nfrom sourcing.cli import main; main({arguments!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "pip install '.[train]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistyped_setting_is_named(tmp_path: Path) -> None:
    (tmp_path / "crossmusim.toml").write_text("[crawl]\ncontcat = 'me@example.org'\n", encoding="utf-8")
    result = run("--workspace", str(tmp_path), "crawl", "run")
    assert result.returncode == 2
    assert "crawl.contcat" in result.stderr


def test_looking_at_an_empty_folder_leaves_no_trace(tmp_path: Path) -> None:
    run("--workspace", str(tmp_path), "match", "run")
    assert list(tmp_path.iterdir()) == []
