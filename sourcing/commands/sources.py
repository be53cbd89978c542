"""`sources list | check`: the sites we may ask, their terms, and whether one URL may be fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sourcing.commands.invocation import Invocation

__all__ = ["check", "list_sources"]


@click.command("list")
@click.pass_obj
def list_sources(invocation: Invocation) -> None:
    """List the sources with their terms.

    \b
    Example:
      crossmusim sources list
    """
    from sourcing.crawling.sources import SOURCES, effective, enabled

    rows: list[dict[str, Any]] = []
    for name, declared in SOURCES.items():
        settings = invocation.settings.sources.get(name)
        source = effective(declared, settings)
        rows.append(
            {
                "name": name,
                "title": source.title,
                "class": source.ship_class,
                "enabled": enabled(source, settings),
                "base_url": source.base_url,
                "rate_per_s": source.rate_per_s,
                "daily_cap": source.daily_cap,
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
    state = "on" if row["enabled"] else "off"
    return [
        f"{row['name']}: {row['title']}, class {row['class']}, {state}, {row['rate_per_s']:g} requests/s,"
        f" key {row['key_env'] or 'not needed'}",
        f"  licences: {licences}",
        f"  terms reviewed {row['terms_reviewed']}: {row['terms_url']}",
    ]


@click.command
@click.argument("url")
@click.pass_obj
def check(invocation: Invocation, url: str) -> None:
    """Say whether a URL may be fetched, and why.

    Asks the host for its robots.txt and, where that allows it, for its tdmrep.json and ai.txt and for the page. Shows
    every consent signal, which one decided, and the licence that each field of a document would carry.

    \b
    Example:
      crossmusim sources check https://example.org/songs/1
    """
    from sourcing.crawling.check import REQUESTS, check_url
    from sourcing.crawling.sources import all_effective

    settings = invocation.settings
    sources = all_effective(settings.sources)
    with invocation.progress("asking", REQUESTS) as advance:
        found = check_url(url, sources, settings.crawl, tell=lambda asked: advance(1, asked))
    grant = f", whose records are under {found.grant}" if found.grant else ", which grants no licence"
    lines = [f"{found.decision}: {found.why}", f"source {found.source}{grant}"]
    lines += [f"  {_MARKS[each.says]:<10} {each.signal}: {each.found}" for each in found.signals]
    if found.licences:
        lines.append("licence of each field of a document from there")
        lines += _by_licence(found.licences)
    invocation.emit(found.as_dict(), lines)


_MARKS = {"no": "no", "set aside": "set aside", "nothing against it": "-", "not asked": "not asked"}


def _by_licence(licences: Mapping[str, str]) -> list[str]:
    columns: dict[str, list[str]] = {}
    for column, licence in licences.items():
        columns.setdefault(licence, []).append("facts" if column == "*" else column)
    return [f"  {licence}: {', '.join(names)}" for licence, names in columns.items()]
