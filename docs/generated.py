"""Generated parts of the pages: the drawings of the packages, the list of files, and tables read off the code.

A page holds each of them between `<!-- made: NAME -->` and `<!-- /made -->`. `python docs/generated.py` writes them
anew, and a test fails where a page no longer says what the code does.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import re
import tomllib
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import grimp

ROOT = Path(__file__).resolve().parents[1]
_MADE = re.compile(r"(<!-- made: (?P<name>[\w .]+) -->\n).*?(<!-- /made -->)", re.DOTALL)
#: What each drawing shows: a name on it and the modules below that name.
_WHOLE = {
    "cli": "sourcing.cli", "commands": "sourcing.commands", "demo": "sourcing.demo",
    "workbench": "sourcing.workbench", "publishing": "sourcing.publishing", "crawling": "sourcing.crawling",
    "matching": "sourcing.matching", "generation": "sourcing.generation", "catalogue": "sourcing.catalogue",
    "store": "sourcing.store", "settings": "sourcing.settings", "errors": "sourcing.errors",
    "redactor": "sourcing.redactor", "training": "training",
}  # fmt: skip


def refreshed(page: str) -> str:
    """The page with its generated parts as the code has them now."""
    return _MADE.sub(lambda part: f"{part[1]}\n{PARTS[part['name']]().strip()}\n\n{part[3]}", page)


def drawing(names: dict[str, str]) -> str:
    """A Mermaid drawing of which package imports which; ways that other arrows already tell of are left out.

    A dotted arrow is an import for types alone. There are no circles: the linter refuses them.
    """
    graph = _imports_of(with_types=True)
    names = {name: module for name, module in names.items() if module in graph.modules}
    imports = _between(graph, names)
    at_run_time = _between(_imports_of(with_types=False), names)
    reached = _reached(imports)
    arrows = [
        f"    {name} {'-->' if other in at_run_time[name] else '-.->'} {other}"
        for name in sorted(names, key=lambda name: (-len(reached[name]), name))
        for other in sorted(imports[name])
        if not any(other in reached[middle] for middle in imports[name])
    ]
    lonely = [f"    {name}" for name in names if not any(name in arrow.split() for arrow in arrows)]
    return "\n".join(["```mermaid", "flowchart TD", *arrows, *lonely, "```"])


def layers() -> str:
    """The layered contracts that the linter holds, highest layer first."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = [each for each in config["tool"]["importlinter"]["contracts"] if each["type"] == "layers"]
    lines: list[str] = []
    for contract in contracts:
        lines += ["", f"Layers of `{'`, `'.join(contract['containers'])}`, highest first:", ""]
        lines += [f"{number}. {_layer(layer)}" for number, layer in enumerate(contract["layers"], start=1)]
    return "\n".join(lines)


def _layer(layer: str) -> str:
    """A layer in words: siblings parted by `|` do not import each other, those parted by `:` may."""
    names = re.split(r"\s*[|:]\s*", layer)
    apart = " (which do not import each other)" if "|" in layer else ""
    return ", ".join(f"`{name.strip('()')}`" for name in names) + apart


@functools.cache
def _imports_of(*, with_types: bool) -> grimp.ImportGraph:
    return grimp.build_graph("sourcing", "training", exclude_type_checking_imports=not with_types, cache_dir=None)


def _between(graph: grimp.ImportGraph, names: dict[str, str]) -> dict[str, set[str]]:
    """Which of the packages each of them imports, by name."""
    below = {name: {module, *graph.find_descendants(module)} for name, module in names.items()}
    imported = {
        name: set[str]().union(*map(graph.find_modules_directly_imported_by, modules))
        for name, modules in below.items()
    }
    return {name: {other for other in names if other != name and imported[name] & below[other]} for name in names}


def _reached(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """What each name leads to, over any number of arrows."""
    reached = {name: set(others) for name, others in imports.items()}
    for middle in imports:
        for others in reached.values():
            if middle in others:
                others |= reached[middle]
    return reached


def _packages_of(parent: str) -> dict[str, str]:
    folder = ROOT.joinpath(*parent.split("."))
    children = sorted(path for path in folder.iterdir() if _is_package(path) or _is_module(path))
    return {path.stem: f"{parent}.{path.stem}" for path in children}


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file()


def _is_module(path: Path) -> bool:
    return path.suffix == ".py" and path.stem != "__init__"


def files() -> str:
    """One line per file of the product: its path and the first line of its docstring, by folder."""
    lines: list[str] = []
    for folder in _folders():
        relative = folder.relative_to(ROOT).as_posix()
        lines += ["", f"**`{relative}/`** {first_line(folder / '__init__.py')}", ""]
        modules = sorted(path for path in folder.glob("*.py") if _is_module(path))
        lines += [f"- `{path.name}` {first_line(path)}" for path in modules]
        data = sorted(path.name for path in folder.iterdir() if path.is_dir() and not _is_package(path))
        lines += [f"- `{name}/` data" for name in data if not name.startswith("__")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _folders() -> Iterator[Path]:
    for top in ("sourcing", "training"):
        yield from sorted(path.parent for path in (ROOT / top).rglob("__init__.py"))


def first_line(module: Path) -> str:
    """The first paragraph of a module's docstring up to the end of its first sentence or line."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    paragraph = docstring.partition("\n\n")[0]
    line, _, rest = paragraph.partition("\n")
    return line if line.endswith((".", ":", "?")) or not rest else " ".join(paragraph.split())


def settings() -> str:
    """A table per section of `crossmusim.toml`: key, type, default, unit, meaning."""
    from sourcing.settings import Settings, SourceSettings

    sections: dict[str, Any] = {}
    top: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if name == "sources":
            sections["sources.<name>"] = SourceSettings
        elif hasattr(field.annotation, "model_fields"):
            sections[name] = field.annotation
        else:
            top[name] = field
    lines = ["### Top level, above all sections", "", *_settings_table(top)]
    for name, section in sections.items():
        doc = " ".join((section.__doc__ or "").split()).partition(": ")[2]
        lines += ["", f"### `[{name}]`", "", doc[:1].upper() + doc[1:], "", *_settings_table(section.model_fields)]
    return "\n".join(lines)


def _settings_table(fields: dict[str, Any]) -> Iterator[str]:
    yield "| key | type | default | unit | meaning |"
    yield "|---|---|---|---|---|"
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True)
        unit = next((unit for end, unit in _UNITS.items() if name.endswith(end)), "")
        yield f"| `{name}` | {_type(field.annotation)} | {_value(default)} | {unit} | {field.description or ''} |"


_UNITS = {
    "rate_per_s": "requests per second", "per_minute": "per minute", "_usd_per_mtok": "USD per million tokens",
    "_s": "seconds", "_mb": "MB", "_days": "days", "daily_cap": "requests", "_tokens": "tokens", "_lines": "lines",
    "_fraction": "share of the tracks", "_score": "0 to 1", "_agreement": "share, 0 to 1",
}  # fmt: skip


def _type(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type(each) for each in get_args(annotation) if each is not type(None))
    if get_origin(annotation) is list:
        return f"list of {_type(get_args(annotation)[0])}"
    if get_origin(annotation) is dict:
        return "table"
    names = {str: "text", bool: "true or false", int: "whole number", float: "number", Decimal: "number", Path: "path"}
    return names[annotation]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value}`".replace("'", '"')


def sources() -> str:
    """The sources by class: who may be asked by default, with a key, on somebody's word, or is only imported."""
    from sourcing.crawling.sources import SOURCES

    lines = [
        "| name | source | class | key from | requests/s | a day | licence of the text |",
        "|---|---|---|---|---|---|---|",
    ]
    for source in sorted(SOURCES.values(), key=lambda source: (source.ship_class == "import", source.ship_class)):
        is_asked = source.ship_class != "import"
        key = f"`{source.key.env}`" if source.key else ""
        cap = f"{source.daily_cap:,}" if source.daily_cap is not None else ""
        rate = f"{source.rate_per_s:g}" if is_asked else ""
        licence = source.licences.get("text", source.licences.get("*", ""))
        lines.append(f"| `{source.name}` | {source.title} | {source.ship_class} | {key} | {rate} | {cap} | {licence} |")
    return "\n".join(lines)


def recipes() -> str:
    """A table per part of a recipe: key, its default, what the built-in recipes say, and the comment beside it."""
    from training.config import RECIPES_DIR, ModelConfig, TrainConfig

    built_in = {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(RECIPES_DIR.glob("*.toml"))
    }
    comments = _field_comments(ROOT / "training" / "config.py")
    lines: list[str] = []
    for table, kind in (("model", ModelConfig), ("train", TrainConfig)):
        lines += ["", f"### `[{table}]`", "", f"| key | default | {' | '.join(built_in)} | meaning |"]
        lines.append("|---|---|" + "---|" * len(built_in) + "---|")
        for field in dataclasses.fields(kind):
            values = [_recipe_value(recipe[table].get(field.name)) for recipe in built_in.values()]
            meaning = comments.get(field.name, "")
            lines.append(f"| `{field.name}` | {_recipe_value(field.default)} | {' | '.join(values)} | {meaning} |")
    return "\n".join(lines)


def _recipe_value(value: Any) -> str:
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else list(value) if isinstance(value, tuple) else value}`"


def _field_comments(module: Path) -> dict[str, str]:
    """Field name → the comment behind it, of the dataclasses of a module."""
    fields = re.findall(r"^    (\w+): [^=\n]+= [^#\n]+(?:# (.*))?$", module.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: comment for name, comment in fields if comment}


def columns() -> str:
    """A table per configuration of a dataset version: its columns and what they mean."""
    from sourcing.store.schemas import describe_columns
    from sourcing.store.versions import CONFIGS

    lines: list[str] = []
    for config, schema in CONFIGS.items():
        lines += ["", f"### `{config}`", "", "| column | meaning |", "|---|---|"]
        lines += [f"| `{name}` | {meaning} |" for name, meaning in describe_columns(schema).items()]
    return "\n".join(lines)


def pack_inputs() -> str:
    """What a prompt pack may be given, and as what type."""
    from sourcing.generation.packs.lint import INPUTS

    return "\n".join(["| input | type |", "|---|---|", *(f"| `{name}` | {kind} |" for name, kind in INPUTS.items())])


PARTS: dict[str, Callable[[], str]] = {
    "layers": layers,
    "packages": lambda: drawing(_WHOLE),
    "packages of crawling": lambda: drawing(_packages_of("sourcing.crawling")),
    "packages of generation": lambda: drawing(_packages_of("sourcing.generation")),
    "packages of training": lambda: drawing(_packages_of("training")),
    "files": files,
    "settings": settings,
    "sources": sources,
    "recipes": recipes,
    "columns": columns,
    "pack inputs": pack_inputs,
}


def main() -> None:
    for page in sorted((ROOT / "docs").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (new := refreshed(text)) != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
