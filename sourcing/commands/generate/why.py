"""`crossmusim generate why`: where a description came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sourcing.commands.invocation import Invocation

__all__ = ["why"]


@click.command
@click.argument("description_id", metavar="DESCRIPTION_ID")
@click.pass_obj
def why(invocation: Invocation, description_id: str) -> None:
    """Show all a description came from: each quote in its context, the pages, the prompt as sent, the reply, the price.

    \b
    Example:
      crossmusim generate why mined:0123456789abcdef
    """
    from sourcing.generation.descriptions.provenance import provenance
    from sourcing.generation.journal.journal import Journal

    with Journal.read(invocation.workspace.generation_dir) as journal:
        origin = provenance(invocation.workspace, journal, description_id)
    invocation.emit(origin, _lines(origin))


def _lines(origin: dict[str, Any]) -> list[str]:
    track = origin["track"]
    about = (
        f"{track['title']}, {track['artist']} ({track['track_id']})" if track else "a track no longer in the catalogue"
    )
    lines = [f"{origin['description_id']}: {origin['origin']}, {origin['language']}, of {about}"]
    lines.append(f"caption: {origin['caption'] or 'none'}")
    for aspect in origin["aspects"]:
        lines.append(f"{aspect['text']} ({aspect['facet']})")
        for quote in aspect["quotes"]:
            place = f"{quote['doc_id']} [{quote['start']}, {quote['end']})"
            words = quote.get("withheld") or f"…{quote['before']}[{quote['quote']}]{quote['after']}…"
            lines.append(f"  {place}: {' '.join(words.split())}")
    for document in origin["documents"]:
        where = document.get("permalink") or document.get("url") or document.get("withheld")
        licences = ", ".join(each["licence"] for each in document.get("licences", ()))
        lines.append(f"page {document['doc_id']}: {where}" + (f" ({licences})" if licences else ""))
    lines += _call_lines(origin["call"])
    lines += [f"left out, {row['reason']}: {row['finding']}" for row in origin["left_out"]]
    return lines


def _call_lines(call: dict[str, Any] | None) -> list[str]:
    if call is None:
        return ["no model made it"]
    lines = [
        f"{call['prompt']} (hash {call['prompt_hash'][:12]}), model {call['model']}, call {call['request_key'][:16]}"
    ]
    if "withheld" in call:
        return [*lines, call["withheld"]]
    price = "price not known" if call["usd"] is None else f"{call['usd']:.6f} USD"
    tokens = f"{call['input_tokens']} tokens in, {call['output_tokens']} out"
    lines.append(f"{tokens}, {call['seconds']:.1f} s, {price}, {len(call['attempts'])} attempts")
    lines.append("prompt as sent:")
    lines += [f"  {message['role']}: {message['content']}" for message in call["messages"] or ()]
    if call["follow_up"]:
        lines.append("its first reply was cut or did not fit; asked again:")
        lines += [f"  {message['role']}: {message['content']}" for message in call["follow_up"]]
    return [*lines, f"reply as received ({call['finish_reason'] or 'no reason told'}):", f"  {call['reply']}"]
