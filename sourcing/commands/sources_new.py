"""`sources new`: scaffold one source in a checkout, and say what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["new"]


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
    made = scaffold_source(name, root)
    left = len(blanks(name, root))
    tests = f"{PROMISES} {PROMISES.with_name('test_sources_new.py')} -k {name}"
    steps = [
        f"Fill in the lines marked FILL IN in {made.module}; musicbrainz.py beside it is a finished one.",
        f"Put answers in the site's shape, about invented artists, into {made.fixtures}/record_*/input.json"
        " (or input.html), and their addresses into every meta.json.",
        f"Run CROSSMUSIM_RECORD_FIXTURES=1 pytest {PROMISES} -k {name}, and read each expected.json as a reader"
        " of the page would.",
        f"Run pytest {tests}; it fails as long as a blank is left ({left} lines now).",
        "Run crossmusim sources list; the source and its terms are there.",
    ]
    invocation.emit(
        {"name": name, "root": str(root), "module": str(made.module), "fixtures": str(made.fixtures), "next": steps},
        [
            f"wrote {made.module} and {made.fixtures} in {root}",
            *(f"{number}. {step}" for number, step in enumerate(steps, start=1)),
        ],
    )
