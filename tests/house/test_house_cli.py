"""The command line keeps its grammar: quick, lazy, one JSON object, exit codes that mean something."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from command_lines import parse_line
from commands import run_command

from sourcing.cli import TABLE, cli, main
from sourcing.errors import UsageError
from sourcing.settings import load_settings

ROOT = Path(__file__).parents[2]

CROSSMUSIM = [sys.executable, "-m", "crossmusim"]


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
    examples = re.findall(r"^ {2,}(?:.*\| )?(crossmusim .*)$", (group.help or "").split("Example", 1)[1], re.MULTILINE)
    assert any(f"crossmusim {' '.join(path)}" in example for example in examples)
    for example in examples:
        parse_line(re.sub(r"\s#.*", "", example))


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


PUBLIC = """
import sys
import crossmusim
assert crossmusim.__all__ == ["__version__", "load_model", "open_version"]
assert all(getattr(crossmusim, name).__doc__ for name in crossmusim.__all__)
heavy = {"torch", "polars", "rich", "click"} & set(sys.modules)
assert not heavy, heavy
sys.modules["torch"] = None
try:
    crossmusim.load_model("models/none")
except Exception as error:
    print(type(error).__name__, error)
try:
    crossmusim.open_version("none", sys.argv[1])
except Exception as error:
    print(type(error).__name__, error)
"""


def test_the_package_gives_versions_and_models_and_costs_little_to_import(tmp_path: Path) -> None:
    line = [sys.executable, "-c", PUBLIC, str(tmp_path)]
    out = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[0].startswith("UsageError load_model: needs torch") and "`pip install '.[train]'`" in out[0]
    assert out[1].startswith("DatasetError dataset none: there is none in")


def test_all_that_can_be_imported_is_in_the_wheel_with_its_types() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    parts = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert parts == ["crossmusim.py", "sourcing", "training"]
    assert all((ROOT / part / "py.typed").is_file() for part in parts if (ROOT / part).is_dir())


@pytest.mark.parametrize(
    "typed",
    [
        ("--workspace", "{}", "--json", "catalogue", "show"),
        ("catalogue", "--workspace", "{}", "--json", "show"),
        ("catalogue", "show", "--json", "--workspace", "{}"),
        ("--workspace", "elsewhere", "catalogue", "show", "--workspace", "{}", "--json"),
    ],
)
def test_workspace_and_json_mean_the_same_wherever_they_stand(
    tmp_path: Path, typed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    tracks = tmp_path / "tracks.csv"
    tracks.write_text("track_id,title,artist\nt-1,Low Tide,Harbour\n", encoding="utf-8")
    folder = str(tmp_path / "work")
    assert run_command(capsys, ["catalogue", "import", str(tracks), "--workspace", folder])[0] == 0
    code, out, _ = run_command(capsys, [word.format(folder) for word in typed])
    assert (code, json.loads(out)["rows"]) == (0, {"tracks": 1})


@pytest.mark.parametrize("path", sorted(verbs(TABLE)), ids=" ".join)
def test_every_verb_takes_json_and_workspace(path: tuple[str, ...]) -> None:
    parse_line(f"crossmusim {' '.join(path)} --json --workspace here --help")


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        (["crwal", "run"], "crawl"),
        (["crawl", "rnu"], "run"),
        (["generate", "batch", "sumbit"], "submit"),
        (["status"], "crawl status or generate status"),
        (["crawl", "run", "--limt", "3"], "--limit"),
        (["crawl", "run", "--source", "wikipdia"], "wikipedia"),
        (["crawl", "replay", "--source", "wikipdia"], "wikipedia"),
        (["crawl", "import", "discog", "{}/tracks.csv"], "discogs"),
        (["catalogue", "import", "{}/tracks.csv", "--map", "titel=title"], "title"),
        (["catalogue", "import", "{}/tracks.csv", "--map", "title=tilte"], "title"),
        (["match", "show", "trakc-0001"], "track-0001"),
        (["generate", "plan", "mien", "--endpoint", "local"], "mine"),
        (["generate", "plan", "recall", "--endpoint", "local", "--track", "TRACK-001"], "track-0001"),
        (["prompts", "lint", "recal"], "recall"),
        (["prompts", "render", "recall", "--track", "track-001"], "track-0001"),
        (["prompts", "render", "recall", "--case", "synthetic_knwon"], "synthetic_known"),
        (["dataset", "show", "mymuisc", "--root", "{}/datasets"], "mymusic"),
        (["dataset", "verify", "mymusic@0.1.1", "--root", "{}/datasets"], "mymusic@0.1.0"),
        (["train", "mymusic", "--recipe", "smal"], "small"),
        (["train", "mymusic", "--set", "epohcs=3"], "epochs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistyped_name_is_answered_with_the_nearest(
    typed: list[str], near: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_command(capsys, [*(word.format(world) for word in typed), "--workspace", str(world / "work")])
    assert (code in (2, 3), out) == (True, "")
    assert re.search(rf"[Dd]id you mean '?{re.escape(near)}\b", err), err


def test_a_mistyped_setting_is_answered_with_the_nearest(tmp_path: Path) -> None:
    for section, line, near in (("crawl", "contcat = 1", "contact"), ("sources.fma", "enabeld = true", "enabled")):
        (tmp_path / "crossmusim.toml").write_text(f"[{section}]\n{line}\n", encoding="utf-8")
        with pytest.raises(UsageError, match=f"did you mean {near}"):
            load_settings(tmp_path)


def test_a_name_like_no_other_is_answered_with_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert "choose among run, import, status" in run_command(capsys, ["crawl", "zzz"])[2]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a catalogue, a workspace that holds it, and one published version (its manifest alone)."""
    folder = tmp_path_factory.mktemp("world")
    (folder / "tracks.csv").write_text("track_id,title,artist\ntrack-0001,Low Tide,Harbour\n", encoding="utf-8")
    main(["catalogue", "import", str(folder / "tracks.csv"), "--workspace", str(folder / "work")])
    version = folder / "datasets" / "mymusic" / "0.1.0"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text("{}")
    return folder
