"""`sources new` writes a source that fails with clear words until it is filled in, and then keeps every promise."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from sourcing.cli import cli
from sourcing.crawling import sources
from sourcing.crawling.source import Source
from sourcing.crawling.sources import SOURCES, scaffold
from sourcing.errors import UsageError

ROOT = Path(__file__).parents[3]
NAME = "openmusic"

#: what a developer writes over each blank of the module
FILLED = {
    '"""FILL IN: the site\'s name and what is asked of it, in one sentence."""': '"""Open Music: songs by ISRC."""',
    '"""FILL IN: what one track asks of the site."""': '"""The song by its ISRC, else by its title."""',
    "    return ()\n": '    ref = str(track.get("isrc") or track["title"])\n'
    '    yield source.ask("record", ref, track_id=str(track["track_id"]))\n',
    "/FILL-IN/": "/songs/",
    "        raise PageError(": '        if not answer.get("title"):\n'
    '            raise PageError("title_missing", f"a record of {NAME} without a title")\n'
    "        return [\n"
    "            {\n"
    '                "record_id": str(answer["id"]),\n'
    '                "permalink": self.capture.url,\n'
    '                "granularity": "recording",\n'
    '                "title": answer["title"],\n'
    '                "title_raw": answer["title"],\n'
    '                "artist": answer.get("artist"),\n'
    '                "tags": [{"name": name, "count": None} for name in answer.get("tags") or []],\n'
    "            }\n"
    "        ]\n",
    "FILL IN: the site's own name": "Open Music",
    "https://fill-in.invalid": "https://openmusic.example",
    '"FILL IN"': '"CC0-1.0"',
    "FILL IN: the site's name, {permalink}": "Open Music, {permalink}",
    "FILL IN: https address of the terms of use": "https://openmusic.example/terms",
    "date(1970, 1, 1)": "date(2026, 11, 1)",
}
ANSWERS = {
    "record_full": {"id": 1, "title": "Low Tide", "artist": "The Salt Line", "tags": ["shoegaze"]},
    "record_bare": {"id": 2, "title": "Ebb"},
    "record_odd": {"id": 3, "title": "潮", "artist": None, "tags": None},
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """As much of a checkout as the scaffold writes into."""
    (tmp_path / scaffold.SOURCES).mkdir(parents=True)
    (tmp_path / scaffold.FIXTURES).mkdir(parents=True)
    for file in (scaffold.SOURCES.parent / "source.py", scaffold.SOURCES / "scaffold.py", scaffold.PROMISES):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill_in(root: Path) -> None:
    module = root / scaffold.SOURCES / f"{NAME}.py"
    text = module.read_text()
    for blank, written in FILLED.items():
        assert blank in text, blank
        if blank == "        raise PageError(":
            before, _, after = text.partition(blank)
            text = before + written + after.partition("\n")[2]
        else:
            text = text.replace(blank, written)
    lines = [line.split("  # FILL IN")[0] for line in text.split("\n") if not line.lstrip().startswith("# FILL IN")]
    module.write_text("\n".join(lines))
    for case in (root / scaffold.FIXTURES / NAME).iterdir():
        url = f"https://openmusic.example/songs/{case.name}"
        (case / "meta.json").write_text(json.dumps({"kind": "record", "url": url}))
        if case.name in ANSWERS:
            (case / "input.json").write_text(json.dumps(ANSWERS[case.name]))


def promises(root: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, Source]:
    """The promises test as it would run in that checkout, with the new source among the sources."""
    with monkeypatch.context() as patch:
        patch.setattr(sources, "__path__", [*sources.__path__, str(root / scaffold.SOURCES)])
        source = sources._declared()[NAME]
    del sys.modules[f"{sources.__name__}.{NAME}"]  # the next call is to read the file again
    monkeypatch.setitem(SOURCES, NAME, source)
    return loaded(root / scaffold.PROMISES, "copied_promises"), source


def broken(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Promise → what it says, for each that the new source does not keep."""
    test, source = promises(root, monkeypatch)
    cases = [case for case in test.CASES if case.parent.name == NAME]
    runs = [(check, source) for check in (test.test_a_source_declares_its_terms,)]
    runs += [(test.test_a_source_ships_fixtures_good_and_malformed, NAME)]
    runs += [(test.test_seeds_and_follow_ups_stay_on_the_sources_host, source)]
    runs += [(test.test_a_fixture_reads_as_expected, case) for case in cases]
    runs += [(test.test_every_fixture_becomes_valid_documents_or_a_reason, case) for case in cases]
    said = {}
    for check, argument in runs:
        try:
            check(argument)
        except AssertionError as error:
            said[f"{check.__name__} {getattr(argument, 'name', argument)}"] = str(error)
    return said


def test_a_fresh_scaffold_breaks_promises_and_names_every_blank(checkout, monkeypatch):
    scaffold.scaffold_source(NAME, checkout)
    said = broken(checkout, monkeypatch)
    assert set(said) == {
        f"test_a_source_declares_its_terms {NAME}",
        *(f"test_a_fixture_reads_as_expected {case}" for case in ANSWERS),
    }
    left = scaffold.blanks(NAME, checkout)
    for blank in ("the site's own name", "https address of the terms", "documents() of", "record_odd/input.json:2"):
        assert any(blank in line for line in left), blank


def test_a_fresh_scaffold_asks_nothing(checkout, monkeypatch):
    scaffold.scaffold_source(NAME, checkout)
    _, source = promises(checkout, monkeypatch)
    assert list(source.tasks({"track_id": "1", "title": "x", "artist": "y", "isrc": "XXX"}, source)) == []


def test_a_scaffold_filled_in_keeps_every_promise(checkout, monkeypatch):
    scaffold.scaffold_source(NAME, checkout)
    fill_in(checkout)
    monkeypatch.setenv("CROSSMUSIM_RECORD_FIXTURES", "1")
    assert broken(checkout, monkeypatch) == {}
    monkeypatch.delenv("CROSSMUSIM_RECORD_FIXTURES")
    assert broken(checkout, monkeypatch) == {}
    assert scaffold.blanks(NAME, checkout) == []
    full = json.loads((checkout / scaffold.FIXTURES / NAME / "record_full" / "expected.json").read_text())
    assert full["documents"][0]["artist"] == "The Salt Line"


def test_a_scaffold_reads_like_the_rest_of_the_house(checkout):
    scaffold.scaffold_source(NAME, checkout)
    settings = ["--config", str(ROOT / "pyproject.toml"), str(checkout / scaffold.SOURCES / f"{NAME}.py")]
    for command in (["check", "--no-cache", "-q"], ["format", "--no-cache", "-q", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *settings], capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr


def test_a_scaffold_names_every_field_of_a_declaration(checkout):
    text = (checkout / scaffold.scaffold_source(NAME, checkout).module).read_text()
    declaration = text.partition("SOURCE = Source(")[2]
    for field in dataclasses.fields(Source):
        assert f"\n    {field.name}=" in declaration, field.name


@pytest.mark.parametrize("name", SOURCES)
def test_no_source_has_a_blank_left(name):
    assert scaffold.blanks(name, ROOT) == []


@pytest.mark.parametrize("name", ["Open", "1st", "open-music", "../x", "class", "", "a" * 41, "ünder"])
def test_a_name_that_is_no_module_is_refused(checkout, name):
    with pytest.raises(UsageError, match="no name for a module"):
        scaffold.scaffold_source(name, checkout)


def test_a_name_that_is_taken_is_refused_and_nothing_is_written_over(checkout):
    module = checkout / scaffold.scaffold_source(NAME, checkout).module
    module.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        scaffold.scaffold_source(NAME, checkout)
    with pytest.raises(UsageError, match="there already"):
        scaffold.scaffold_source("scaffold", checkout)
    assert module.read_text() == "mine"


def run(*arguments: str) -> None:
    cli.main(list(arguments), prog_name="crossmusim", standalone_mode=False)


def test_the_command_says_what_to_do_next_in_order(checkout, capsys):
    run("--json", "sources", "new", NAME, "--into", str(checkout))
    said = json.loads(capsys.readouterr().out)
    assert (checkout / said["module"]).is_file() and (checkout / said["fixtures"]).is_dir()
    order = ["Fill in", "Put answers", "CROSSMUSIM_RECORD_FIXTURES=1", "it fails as long as a blank", "sources list"]
    assert all(word in step for word, step in zip(order, said["next"], strict=True))


def test_a_folder_that_is_no_checkout_is_refused_with_the_way_to_one(tmp_path):
    with pytest.raises(UsageError, match="--into"):
        run("sources", "new", NAME, "--into", str(tmp_path))


def test_the_checkout_this_runs_from_is_found():
    assert scaffold.find_checkout() == ROOT
