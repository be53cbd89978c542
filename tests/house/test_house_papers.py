"""README and docs are held against the program: commands parse, runnable blocks run, made parts are as the code is."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import click
import pytest
from command_lines import parse_line

from sourcing.cli import TABLE
from sourcing.crawling.sources import SOURCES
from sourcing.settings import load_settings

ROOT = Path(__file__).parents[2]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


pages, generated = _load("pages"), _load("generated")
PAGES = pages.pages()
COMMANDS = [
    (page.name, words)
    for page in PAGES
    for block in pages.blocks_of(page)
    if block.language == "sh"
    for words in pages.commands_of(block)
]
SPANS = [(page.name, span) for page in PAGES for span in re.findall(r"`(crossmusim [^`]+)`", pages.prose_of(page))]
LINES = sorted(
    {(page, shlex.join(words)) for page, words in COMMANDS if words[0] == "crossmusim"}
    | {(page, span) for page, span in SPANS}
)


@pytest.mark.parametrize(("page", "line"), LINES)
def test_every_command_of_the_pages_is_one_the_program_takes(page: str, line: str) -> None:
    parse_line(line)


@pytest.mark.parametrize(
    "line", ["crossmusim crawl fly", "crossmusim crawl run --agin 3", "crossmusim crawl import", "crossmusim x"]
)
def test_a_wrong_command_would_be_found(line: str) -> None:
    with pytest.raises((click.ClickException, AssertionError)):
        parse_line(line)


def test_every_verb_is_shown_on_some_page() -> None:
    shown = " ".join(line for _, line in LINES)
    verbs = [
        f"{noun} {verb}" if verb else noun
        for noun, (table, _) in TABLE.items()
        for verb in (table if isinstance(table, dict) else [""])
    ]
    assert [verb for verb in verbs if verb not in shown] == []


def test_every_target_and_extra_of_the_pages_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) <= targets, page.name
        for extras in re.findall(r"pip install (?:-e )?'?\.\[([\w,-]+)\]", text):
            assert set(extras.split(",")) <= project["optional-dependencies"].keys(), page.name


def test_the_readme_is_read_in_one_sitting() -> None:
    assert len(pages.README.read_text(encoding="utf-8").splitlines()) <= 160


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_parts_made_from_the_code_are_as_the_code_is_now(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert generated.refreshed(text) == text, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    text = pages.prose_of(page)
    paths = re.findall(r"`((?:sourcing|training|tests|docs|prompts)/[\w./-]*)`|\]\(([\w./-]+\.md)\)", text)
    for in_checkout, link in paths:
        path = ROOT / in_checkout if in_checkout else page.parent / link
        assert path.exists(), f"{page.name}: {in_checkout or link}"


def test_ten_questions_are_answered_with_files() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    answers = re.findall(r"^\d+\. \*\*.+?\?\*\* .+?(?=^\d+\. \*\*|^## )", text, re.MULTILINE | re.DOTALL)
    assert len(answers) == 10
    assert all(re.search(r"`(?:sourcing|training)/", answer) for answer in answers)


TOML = [(page.name, block.text) for page in PAGES for block in pages.blocks_of(page) if block.language == "toml"]


@pytest.mark.parametrize(("page", "block"), TOML)
def test_every_settings_file_of_the_pages_is_one_the_program_takes(tmp_path: Path, page: str, block: str) -> None:
    if page in ("training.md", "prompts.md"):
        pytest.skip("recipes and packs are not settings")
    (tmp_path / "crossmusim.toml").write_text(block, encoding="utf-8")
    assert set(load_settings(tmp_path).sources) <= set(SOURCES)


PYTHON = [(page.name, block.text) for page in PAGES for block in pages.blocks_of(page) if block.language == "python"]


@pytest.mark.parametrize(("page", "block"), PYTHON)
def test_every_import_of_the_pages_works(page: str, block: str) -> None:
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), page, "exec"), {})


class Practice:
    """The pages that are followed by pasting, each after those before it, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outputs = folder, dict[str, list[str]]()

    def run(self, name: str) -> list[str]:
        for earlier in pages.PRACTICE[: pages.PRACTICE.index(name) + 1]:
            if earlier not in self.outputs:
                page = pages.DOCS / f"{earlier}.md"
                self.outputs[earlier] = pages.run_page(page, self.folder, pages.environment_of(self.folder))
        return self.outputs[name]


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Practice:
    return Practice(tmp_path_factory.mktemp("practice"))


@pytest.mark.e2e
@pytest.mark.parametrize("name", pages.PRACTICE)
def test_what_is_pasted_from_top_to_bottom_runs_and_prints_what_the_page_shows(practice: Practice, name: str) -> None:
    outputs = practice.run(name)
    for number, block in pages.printed_of(pages.DOCS / f"{name}.md"):
        if "example" in block.mark:
            continue
        loosely = "loosely" in block.mark
        shown, printed = (pages.comparable(text, loosely=loosely) for text in (block.text, outputs[number]))
        assert printed == shown, f"docs/{name}.md line {block.line}: run `make docs` and read what changed"
