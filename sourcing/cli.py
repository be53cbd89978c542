"""The one console command `crossmusim`: a table noun → verb → "module:command", loaded only when called.

`--help` must stay under half a second, so nothing heavy is imported here; the one-line helps live in the table.
"""

from __future__ import annotations

import importlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import click

from sourcing import __version__
from sourcing.commands.invocation import Invocation
from sourcing.errors import CrossmusimError, UsageError, missing_extra
from sourcing.nearest import nearest
from sourcing.redactor import guarded_output

__all__ = ["TABLE", "cli", "main"]

#: noun or verb → (target, one line of help); a noun's target is its own table of verbs.
TABLE: dict[str, tuple[Any, str]] = {
    "catalogue": (
        {
            "import": (
                "sourcing.commands.catalogue:import_catalogue",
                "Read CSV, JSON, Parquet, Excel or a folder of audio files.",
            ),
            "show": ("sourcing.commands.catalogue:show", "Show what the workspace holds."),
        },
        "The owner's tracks.",
    ),
    "sources": (
        {
            "list": ("sourcing.commands.sources:list_sources", "List the sources with their terms."),
            "check": ("sourcing.commands.sources:check", "Say whether a URL may be fetched, and why; exit 3 on a no."),
            "new": ("sourcing.commands.sources:new", "Scaffold a source to fill in, with its fixtures."),
        },
        "The sites we may ask, and on what terms.",
    ),
    "crawl": (
        {
            "run": (
                "sourcing.commands.crawl.run:run",
                "Fetch what is pending, politely; take up where it stopped.",
            ),
            "import": (
                "sourcing.commands.crawl.import_dump:import_dump",
                "Read a published dump or data set instead of asking for its records.",
            ),
            "status": (
                "sourcing.commands.crawl.status:status",
                "Say how far the crawl is: tasks, speed, caps, time left, alarms.",
            ),
            "coverage": (
                "sourcing.commands.crawl.coverage:coverage",
                "Show which fields documents have, and where that dropped.",
            ),
            "replay": (
                "sourcing.commands.crawl.run:replay",
                "Rebuild the documents table from the WARC files alone.",
            ),
        },
        "Pages and records about the tracks.",
    ),
    "match": (
        {
            "run": ("sourcing.commands.match.run:run", "Decide which document is about which track."),
            "review": ("sourcing.commands.match.review:review", "Decide the pairs only a person can judge."),
            "show": ("sourcing.commands.match.show:show", "Show the documents held against one track, and why."),
            "evaluate": ("sourcing.commands.match.run:evaluate", "Measure precision and recall on labelled pairs."),
        },
        "Documents held against tracks.",
    ),
    "generate": (
        {
            "plan": ("sourcing.commands.generate.run:plan", "Count the calls a run would make; send nothing."),
            "run": (
                "sourcing.commands.generate.run:run",
                "Make the calls, journal every reply, write descriptions.",
            ),
            "status": (
                "sourcing.commands.generate.journal:status",
                "Count the journal's calls by state, and what they cost.",
            ),
            "describe": (
                "sourcing.commands.generate.journal:describe",
                "Rebuild the descriptions table from logs and documents; free.",
            ),
            "revalidate": (
                "sourcing.commands.generate.journal:revalidate",
                "Hold stored replies against today's rules, and say what changed; free.",
            ),
            "why": ("sourcing.commands.generate.why:why", "Show where a description came from."),
            "batch": (
                {
                    "submit": (
                        "sourcing.commands.generate.batch:submit",
                        "Hand the calls of a pack to the endpoint's Batch API.",
                    ),
                    "status": ("sourcing.commands.generate.batch:status", "Say how far the batches are."),
                    "collect": ("sourcing.commands.generate.batch:collect", "Take the answers of batches that ended."),
                    "cancel": (
                        "sourcing.commands.generate.batch:cancel",
                        "End batches early; what is finished is kept.",
                    ),
                    "export": (
                        "sourcing.commands.generate.batch:export",
                        "Write the calls as JSONL, for `vllm run-batch`.",
                    ),
                    "import": ("sourcing.commands.generate.batch:import_", "Read the answers to an export."),
                },
                "Calls handed over all at once, at half the price.",
            ),
            "merge": ("sourcing.commands.generate.journal:merge", "Join the journals of other machines into this one."),
        },
        "Descriptions from models and documents.",
    ),
    "prompts": (
        {
            "list": ("sourcing.commands.prompts.packs:list_packs", "List the prompt packs."),
            "new": ("sourcing.commands.prompts.packs:new", "Write a starter pack to fill in."),
            "copy": ("sourcing.commands.prompts.packs:copy", "Copy a pack into the workspace, to change it there."),
            "show": ("sourcing.commands.prompts.packs:show", "Show a pack: origin, hash, inputs, cases, versions."),
            "lint": ("sourcing.commands.prompts.packs:lint", "Check packs for mistakes."),
            "render": ("sourcing.commands.prompts.render:render", "Show the request a pack would send."),
            "watch": ("sourcing.commands.prompts.render:watch", "Render a case anew on every save, and try it."),
            "test": ("sourcing.commands.prompts.test:test", "Run a pack's cases against its recorded replies."),
            "record": (
                "sourcing.commands.prompts.record:record",
                "Ask a model for the replies of cases, and keep them in the pack.",
            ),
            "run": ("sourcing.commands.prompts.run:run", "Try a pack live on cases, gold documents or tracks."),
            "bench": (
                "sourcing.commands.prompts.bench:bench",
                "Measure packs, or the rules alone, on documents with known answers.",
            ),
            "compare": (
                "sourcing.commands.prompts.compare:compare",
                "Hold two versions, models or runs against each other.",
            ),
            "optimise": (
                "sourcing.commands.prompts.optimise:optimise",
                "Search for a better system message, within a budget.",
            ),
            "report": ("sourcing.commands.prompts.page:report", "Write runs side by side as one HTML file."),
            "serve": ("sourcing.commands.prompts.page:serve", "Show the same page live on this machine."),
            "accept": (
                "sourcing.commands.prompts.page:accept",
                "Take what was decided on the page into the packs.",
            ),
            "history": ("sourcing.commands.prompts.run:history", "List the runs that were kept."),
            "lock": ("sourcing.commands.prompts.packs:lock", "Record the hash of each pack version."),
        },
        "Prompt packs: templates, cases and recorded replies.",
    ),
    "dataset": (
        {
            "publish": ("sourcing.commands.dataset:publish", "Publish the descriptions as a new version."),
            "list": ("sourcing.commands.dataset:list_versions", "List published versions."),
            "show": ("sourcing.commands.dataset:show", "Show one version: rows, licences, columns."),
            "verify": (
                "sourcing.commands.dataset:verify",
                "Check every byte of a version against its manifest.",
            ),
        },
        "Published, versioned datasets.",
    ),
    "train": ("training.commands:train", "Train the audio-text model on a dataset version."),
    "evaluate": ("training.commands:evaluate", "Measure retrieval against chance, with intervals."),
    "embed": ("training.commands:embed", "Embed the catalogue's audio into a searchable index."),
    "search": ("training.commands:search", "Find tracks by words or by a track that sounds alike."),
    "demo": ("sourcing.commands.demo:demo", "Run the whole mission on an invented catalogue, offline."),
    "doctor": ("sourcing.commands.doctor:doctor", "Probe a model server: what it can do, what will be missing."),
}


class _TableGroup(click.Group):
    """A group whose commands are imported when they are called; all of them take the options of the whole program."""

    def __init__(self, table: dict[str, tuple[Any, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            return None
        target, line = self.table[cmd_name]
        if isinstance(target, dict):
            return _TableGroup(target, name=cmd_name, help=line, params=_program_options())
        module, name = target.split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        if not any(option.name == "as_json" for option in command.params):
            command.params += _program_options()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            of_nouns = [f"{noun} {name}" for noun, (verbs, _) in self.table.items() if name in verbs]
            near = nearest(name, self.table, f"choose among {', '.join(self.table)}")
            cure = f"did you mean {' or '.join(of_nouns)}?" if of_nouns else near
            raise UsageError(f"{ctx.command_path} {name}", "no such command", cure)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


@click.pass_context
def _begin(ctx: click.Context) -> None:
    ctx.ensure_object(Invocation)


def _set_workspace(ctx: click.Context, _option: click.Parameter, folder: Path | None) -> None:
    if folder is not None:
        ctx.ensure_object(Invocation).workspace_dir = folder


def _set_json(ctx: click.Context, _option: click.Parameter, as_json: bool) -> None:
    if as_json:
        ctx.ensure_object(Invocation).json = True


def _program_options(envvar: str | None = None) -> list[click.Parameter]:
    """Options that mean the same before the noun, between noun and verb, and after the verb; the last one wins."""
    return [
        click.Option(
            ["--workspace"],
            type=click.Path(path_type=Path, file_okay=False),
            envvar=envvar,
            callback=_set_workspace,
            expose_value=False,
            help="Folder of settings, logs and tables.  [default: the current folder]",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            callback=_set_json,
            expose_value=False,
            help="Print exactly one JSON object on stdout.",
        ),
    ]


cli = _TableGroup(
    TABLE,
    name="crossmusim",
    callback=_begin,
    params=_program_options(envvar="CROSSMUSIM_WORKSPACE"),
    help="""From a music catalogue to a searchable audio-text model.

    \b
    Example:
      crossmusim --workspace my catalogue import tracks.csv
    """,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="crossmusim")(cli)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a bug, 2 usage, 3 input refused, 4 upstream, 5 stopped short."""
    signal.signal(signal.SIGTERM, _interrupt)
    with guarded_output():
        _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: list[str]) -> None:
    invocation = Invocation(json="--json" in arguments)  # what goes wrong while options are read is told as JSON, too
    try:
        cli.main(arguments, prog_name="crossmusim", standalone_mode=False, obj=invocation)
    except ModuleNotFoundError as error:
        refusal = missing_extra(error, "this command")
        if not isinstance(refusal, CrossmusimError):
            raise
        _refuse(refusal, invocation)
    except CrossmusimError as error:
        _refuse(error, invocation)
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code, invocation)
    except (KeyboardInterrupt, click.Abort):
        _fail("stopped; the same command takes up where it ended", 5, invocation)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _refuse(error: CrossmusimError, invocation: Invocation) -> None:
    parts = {name: invocation.pasteable(getattr(error, name)) for name in ("thing", "found", "cure")}
    _fail("{thing}: {found}; {cure}".format(**parts), error.exit_code, invocation, **parts)


def _fail(message: str, exit_code: int, invocation: Invocation, **parts: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    if invocation.json:
        print(json.dumps({"error": {"message": message, "exit_code": exit_code, **parts}}, ensure_ascii=False))
    sys.exit(exit_code)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
