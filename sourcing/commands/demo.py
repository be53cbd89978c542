"""`crossmusim demo`: the whole mission on an invented catalogue, offline, with a report at the end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.invocation import program_as_typed

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["demo"]


@click.command
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder to fill: catalogue, sound, workspace, report.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the world and of the training.")
@click.option("--tracks", type=click.IntRange(min=30), default=300, show_default=True, help="How many to invent.")
@click.option(
    "--documents", type=click.IntRange(min=1), default=28, show_default=True, help="How many the small model reads."
)
@click.option("--fresh", is_flag=True, help="Replace an earlier demo in that folder.")
@click.option("--serve-only", is_flag=True, hidden=True, help="Only serve the site, for crawls by hand.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, hidden=True, help="Port for --serve-only.")
@click.pass_obj
def demo(invocation: Invocation, /, serve_only: bool, port: int, **flags: Any) -> None:
    """Run the whole mission on an invented catalogue: crawl, mine, publish, train, evaluate, search.

    Nothing leaves this machine: the sound is synthesised, the web pages are served on loopback, the language model
    and the sentence encoder come from installed packages. It takes about five minutes on two cores.

    \b
    Example:
      crossmusim demo --out demo --seed 0
    """
    from sourcing.demo.report import summarise, summary_lines, write_report
    from sourcing.demo.run import DemoOptions, finish, run_demo, serve_forever

    options = DemoOptions(**flags, program=program_as_typed())
    if serve_only:
        serve_forever(options, port, invocation.note, invocation.progress)
        return
    started = time.monotonic()
    mission, world = run_demo(options, invocation.note, invocation.progress)
    result: dict[str, Any] = summarise(mission, world)
    result["seconds"] = {**mission.seconds, "all": round(time.monotonic() - started, 1)}
    result["report"] = str(write_report(mission, world, result))
    finish(mission, result)
    invocation.emit(result, summary_lines(mission, result))
