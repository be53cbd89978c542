"""`sources list | check | new`: the sites, their terms, whether one URL may be fetched, and a new site to fill in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sourcing.commands.invocation import Invocation

__all__ = ["check", "list_sources", "new"]


@click.command("list")
@click.pass_obj
def list_sources(invocation: Invocation) -> None:
    """List the sources with their terms, and what each that is off is waiting for.

    Class A is on by default, B needs a key, C needs a key or none and somebody who takes its terms upon themselves;
    import is published data, read from a file. Settings of a source lie in crossmusim.toml under [sources.NAME].

    \b
    Example:
      crossmusim sources list
    """
    from sourcing.crawling.sources import SOURCES, effective, why_off

    rows: list[dict[str, Any]] = []
    for name, declared in SOURCES.items():
        settings = invocation.settings.sources.get(name)
        source, off = effective(declared, settings), why_off(declared, settings)
        rows.append(
            {
                "name": name,
                "title": source.title,
                "class": source.ship_class,
                "enabled": not off,
                "why_off": off or None,
                "base_url": source.base_url,
                "rate_per_s": source.rate_per_s,
                "daily_cap": source.daily_cap,
                "storage_cap_mb": source.storage_cap_mb,
                "licences": dict(source.licences),
                "terms_url": source.terms_url,
                "terms_reviewed": source.terms_reviewed.isoformat(),
                "key_env": source.key.env if source.key else None,
            }
        )
    invocation.emit({"sources": rows}, [line for row in rows for line in _describe(row)])


def _describe(row: dict[str, Any]) -> list[str]:
    by_licence: dict[str, list[str]] = {}
    for column, licence in row["licences"].items():
        by_licence.setdefault(licence, []).append("everything else" if column == "*" else column)
    licences = "; ".join(f"{', '.join(columns)}: {licence}" for licence, columns in sorted(by_licence.items()))
    limits = [] if row["class"] == "import" else [f"{row['rate_per_s']:g} requests/s"]
    limits += [f"{row['daily_cap']} requests a day"] if row["daily_cap"] is not None else []
    limits += [f"{row['storage_cap_mb']:g} MB kept"] if row["storage_cap_mb"] is not None else []
    key = [f"key {row['key_env']}"] if row["key_env"] else []
    state = "on" if row["enabled"] else "off"
    head = [f"class {row['class']}", *([state] if limits else []), *limits, *key]
    return [
        f"{row['name']}: {row['title']}, {', '.join(head)}",
        *([f"  {'off: ' if limits else ''}{row['why_off']}"] if row["why_off"] else []),
        f"  licences: {licences}",
        f"  terms reviewed {row['terms_reviewed']}: {row['terms_url']}",
    ]


@click.command
@click.argument("url")
@click.pass_obj
def check(invocation: Invocation, url: str) -> None:
    """Say whether a URL may be fetched, and why.

    Asks the host for its robots.txt and, where that allows it, for its tdmrep.json and ai.txt and for the page. Shows
    every consent signal, which one decided, and the licence that each field of a document would carry. Exits 0 where
    the page may be fetched, 3 where not.

    \b
    Example:
      crossmusim sources check https://example.org/songs/1
    """
    from sourcing.crawling.policy.check_url import REQUESTS, check_url
    from sourcing.crawling.sources import all_effective

    settings = invocation.settings
    sources = all_effective(settings.sources)
    with invocation.progress("asking", REQUESTS) as advance:
        answer = check_url(url, sources, settings.crawl, tell=lambda address: advance(1, address))
    grant = f", whose records are under {answer.grant}" if answer.grant else ", which grants no licence"
    lines = [f"{answer.decision}: {answer.why}", f"source {answer.source}{grant}"]
    lines += [f"  {_MARKS[each.says]:<10} {each.signal}: {each.found}" for each in answer.signals]
    if answer.licences:
        lines.append("licence of each field of a document from there")
        lines += _by_licence(answer.licences)
    invocation.emit(answer.as_dict(), lines)
    if answer.decision != "allow":
        sys.exit(InputError.exit_code)


_MARKS = {"no": "no", "set aside": "set aside", "nothing against it": "-", "not asked": "not asked"}


def _by_licence(licences: Mapping[str, str]) -> list[str]:
    columns: dict[str, list[str]] = {}
    for column, licence in licences.items():
        columns.setdefault(licence, []).append("facts" if column == "*" else column)
    return [f"  {licence}: {', '.join(names)}" for licence, names in columns.items()]


@click.command
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    help="Checkout to write into.  [default: the one crossmusim runs from, else the current folder]",
)
@click.pass_obj
def new(invocation: Invocation, name: str, into: Path | None) -> None:
    """Scaffold a source NAME: its module and its fixtures, with every blank marked FILL IN.

    The source asks nothing until it is filled in, and its tests fail and name what is missing.

    \b
    Example:
      crossmusim sources new openmusic
    """
    from sourcing.crawling.sources.scaffold import PROMISES, blanks, find_checkout, scaffold_source

    root = find_checkout(into)
    scaffold = scaffold_source(name, root)
    blank_count = len(blanks(name, root))
    tests = f"{PROMISES} {PROMISES.with_name('test_sources_new.py')} -k {name}"
    steps = [
        f"Fill in the lines marked FILL IN in {scaffold.module}; musicbrainz.py beside it is a finished one.",
        f"Put answers in the site's shape, about invented artists, into {scaffold.fixtures}/record_*/input.json"
        " (or input.html), and their addresses into every meta.json.",
        f"Run CROSSMUSIM_RECORD_FIXTURES=1 pytest {PROMISES} -k {name}, and read each expected.json as a reader"
        " of the page would.",
        f"Run pytest {tests}; it fails as long as a blank is left ({blank_count} lines now).",
        "Run `crossmusim sources list`; the source and its terms are there.",
    ]
    invocation.emit(
        {
            "name": name,
            "root": str(root),
            "module": str(scaffold.module),
            "fixtures": str(scaffold.fixtures),
            "next": steps,
        },
        [
            f"wrote {scaffold.module} and {scaffold.fixtures} in {root}",
            *(f"{number}. {step}" for number, step in enumerate(steps, start=1)),
        ],
    )
