"""`crossmusim prompts render|watch`: the request a pack would send, how it differs from an earlier version, on save."""

from __future__ import annotations

import difflib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sourcing.commands.generate.options import prompt_roots
from sourcing.commands.prompts.asked import ask, load_sound, make_askings, with_model_options
from sourcing.errors import CrossmusimError, UsageError
from sourcing.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sourcing.commands.invocation import Invocation
    from sourcing.generation.calls import PlannedCall
    from sourcing.generation.packs.pack import Pack
    from sourcing.workbench.items import Item

__all__ = ["render", "watch"]

_TOKEN_BYTES = 4  # of English; what nearly all models need at least
_POLL_S = 0.2


@click.command
@click.argument("pack_id", metavar="PACK[@VERSION]")
@click.option("--track", "track_id", metavar="ID", help="Render for this track of the catalogue.")
@click.option("--doc", "doc_id", metavar="ID", help="With --track: for this document instead of the best matched.")
@click.option("--case", "case_name", metavar="NAME", help="Render for one of the pack's cases.")
@click.option(
    "--document", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Render for the text of this file."
)
@click.option("--body", is_flag=True, help="The whole body as it is sent: messages, output schema and sampling.")
@click.option("--diff", "version", metavar="VERSION", help="Only how it differs from what this locked version sends.")
@click.pass_obj
def render(
    invocation: Invocation,
    pack_id: str,
    track_id: str | None,
    doc_id: str | None,
    case_name: str | None,
    document: Path | None,
    body: bool,
    version: str | None,
) -> None:
    """Show what PACK would send for a track, a case or a document; send nothing.

    \b
    Example:
      crossmusim prompts render mine --track t-0001 --body
      crossmusim prompts render mine --case reggae_enumeration --diff 1.0.0
    """
    if sum(each is not None for each in (track_id, case_name, document)) != 1 or (doc_id and not track_id):
        finding = "it needs one of --track, --case and --document"
        raise UsageError("prompts render", finding, "give one (--doc goes with --track)")
    from sourcing.generation.packs.versions import find_version

    roots = prompt_roots(invocation)
    pack = find_version(pack_id, roots)

    def request(own: Pack) -> tuple[dict[str, Any], dict[str, Any]]:
        if track_id is not None:
            call = _call(invocation, own, track_id, doc_id)
            return call.request, {"track_id": call.track_id, "doc_id": call.doc_id}
        inputs = _case_inputs(invocation, own, case_name) if document is None else _document_inputs(own, document)
        return _request(own, inputs), {}

    sent, about = request(pack)
    if version is not None:
        old = find_version(f"{pack.id}@{version}", roots)
        lines = _diff(old.name, request(old)[0], pack.name, sent)
        result = {"pack": pack.name, "against": old.name, "diff": lines, **about}
        invocation.emit(result, lines or [f"{pack.name} sends what {old.name} sends"])
        return
    tokens = len(json.dumps(sent, ensure_ascii=False).encode()) // _TOKEN_BYTES
    result = {"pack": pack.name, "messages": sent["messages"], "about_tokens": tokens, **about}
    if body:
        text = json.dumps(sent, ensure_ascii=False, indent=1)
        invocation.emit({**result, "body": sent}, [text, f"about {tokens} tokens"])
        return
    invocation.emit(result, _message_lines(sent))


def _message_lines(sent: dict[str, Any]) -> list[str]:
    return [line for message in sent["messages"] for line in (f"--- {message['role']} ---", message["content"])]


def _request(pack: Pack, inputs: dict[str, Any]) -> dict[str, Any]:
    """The body for these inputs, with no model's name in it."""
    from sourcing.generation.packs.render import render as render_pack
    from sourcing.generation.wire import request_body

    body = request_body(
        "MODEL", render_pack(pack, inputs), schema_name=pack.id, schema=pack.output,
        sampling=pack.sampling.parameters(), sample_idx=0,
    )  # fmt: skip
    return dict(body)


def _diff(old_name: str, old: dict[str, Any], name: str, sent: dict[str, Any]) -> list[str]:
    """The unified diff of two bodies: messages line by line, then schema and sampling."""

    def text(request: dict[str, Any]) -> list[str]:
        rest = {key: value for key, value in request.items() if key not in ("messages", "model")}
        return [*_split(_message_lines(request)), *json.dumps(rest, ensure_ascii=False, indent=1).split("\n")]

    return list(difflib.unified_diff(text(old), text(sent), old_name, name, lineterm="", n=1))


def _split(lines: list[str]) -> Iterator[str]:
    for line in lines:
        yield from line.split("\n")


def _case_inputs(invocation: Invocation, pack: Pack, case_name: str | None) -> dict[str, Any]:
    """Inputs of a case of today's pack; an earlier version gets those it declares."""
    from sourcing.generation.packs.cases import cases_named, load_cases
    from sourcing.generation.packs.pack_files import find_pack

    cases = load_cases(find_pack(pack.id, prompt_roots(invocation)))
    return cases_named(pack, cases, [str(case_name)])[0].inputs


def _document_inputs(pack: Pack, path: Path) -> dict[str, Any]:
    from sourcing.generation.packs.lint import sample_inputs
    from sourcing.generation.packs.pack_files import read_pack_file
    from sourcing.generation.planning.plan import cut_document

    if "document" not in pack.inputs:
        raise UsageError(f"--document {path}", f"{pack.name} reads no document", "name a pack that does")
    others = {name: value for name, value in sample_inputs(pack).items() if pack.inputs[name].required}
    return {**others, "document": cut_document(read_pack_file(path))}


def _call(invocation: Invocation, pack: Pack, track_id: str, doc_id: str | None) -> PlannedCall:
    from sourcing.generation.endpoint.endpoint import resolve_endpoint
    from sourcing.generation.planning.plan import Scope, plan_calls
    from sourcing.generation.run.job import read_tables

    endpoint = resolve_endpoint(invocation.settings.generation, local=True, environment={})  # only names a model
    tables = read_tables(invocation.workspace, pack)
    plan = plan_calls(pack, endpoint, tables, Scope(track_ids=[track_id]))
    calls = [call for call in plan.calls if doc_id is None or call.doc_id == doc_id]
    if not calls:
        thing = f"--track {track_id}" + (f" --doc {doc_id}" if doc_id else "")
        finding = plan.rejected[0]["finding"] if plan.rejected else "no call is planned for it"
        cure = "name a track of the catalogue" + (" with an accepted match" if "document" in pack.inputs else "")
        known_ids = tables.tracks["track_id"].to_list()
        raise UsageError(thing, finding, cure if track_id in known_ids else nearest(track_id, known_ids, cure))
    return calls[0]


@click.command
@click.argument("pack_id", metavar="PACK")
@click.option("--case", "case_name", metavar="NAME", required=True, help="The case to render, and to try.")
@with_model_options
@click.option("--for-s", type=click.FloatRange(min=0), metavar="SECONDS", help="End by itself after so long.")
@click.pass_obj
def watch(invocation: Invocation, /, pack_id: str, case_name: str, for_s: float | None, **options: Any) -> None:
    """Render a case of PACK anew whenever a file of the pack is saved; with a model, ask it, too. Ctrl-C ends it.

    A mistake is shown and waited for. What a model answers is kept as a run, so a page that `prompts serve` shows says
    that there is something new.

    \b
    Example:
      crossmusim prompts watch mine --case reggae_enumeration
      crossmusim prompts watch mine --case reggae_enumeration --endpoint local
    """
    from sourcing.generation.packs.pack_files import pack_folders

    folders = pack_folders(prompt_roots(invocation))
    if pack_id not in folders:
        finding = f"there is no such pack (found: {', '.join(folders)})"
        raise UsageError(f"prompt pack {pack_id!r}", finding, nearest(pack_id, folders, "name one of those"))
    folder = folders[pack_id]
    ends = None if for_s is None else time.monotonic() + for_s
    before: tuple[object, ...] = ()
    shown: list[str] = []
    saves = 0
    invocation.note(f"watching {folder}; Ctrl-C ends it")
    try:
        while ends is None or time.monotonic() < ends:
            now = _state(folder)
            if now != before:
                before, saves = now, saves + 1
                shown = _look(invocation, pack_id, case_name, shown, options)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        invocation.note("ended")
    invocation.emit({"looked": saves}, [])


def _state(folder: Path) -> tuple[object, ...]:
    """What changes with every save of a file of the pack, or of what it may include."""
    paths = [*folder.glob("*"), *folder.parent.glob("_shared/*")]
    return tuple(sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths if path.is_file()))


def _look(
    invocation: Invocation, pack_id: str, case_name: str, shown: list[str], options: dict[str, Any]
) -> list[str]:
    """Show a case's messages, or how they differ from those shown before, and what a model makes of them."""
    from sourcing.commands.prompts.run import case_options, find_items, run_lines

    try:
        pack = load_sound(invocation, pack_id)
        about, items = find_items(invocation, pack, case_options([case_name]))
        lines = list(_split(_message_lines(_request(pack, dict(items[0].inputs)))))
        changed = list(difflib.unified_diff(shown, lines, lineterm="", n=0))[2:] if shown else lines
        for line in [f"{pack.name} {case_name}", *(changed or ["the messages are the same"])]:
            click.echo(line, err=invocation.json)
        if options["endpoint"] or options["base_url"] or options["models"]:
            _try(invocation, pack, items, about, options, run_lines)
        return lines
    except CrossmusimError as error:
        invocation.note(f"{error.thing}: {error.found}; {error.cure}")
        return shown


def _try(
    invocation: Invocation, pack: Pack, items: list[Item], about: str, options: dict[str, Any], say: Any
) -> None:
    for asking in make_askings(invocation, pack, items, options):
        for line in say(ask(invocation, asking, about)):
            click.echo(line, err=invocation.json)
