"""Recordings: replies in a pack's `golden/`, each with the hash of the request it answered.

A recording whose request is no longer the case's is stale: it shows what an earlier template did, not this one. One
without a hash was written by hand; it tests the rules that read replies, whatever the template says.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from sourcing.errors import PromptError
from sourcing.generation.packs.cases import Case, golden_file
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.render import render
from sourcing.generation.wire import canonical_json, ordered_json, sha256_hex
from sourcing.store.workspace import write_json

__all__ = ["State", "recording_state", "request_hash", "write_recording"]

_RECORDED = "crossmusim_recorded"
State = Literal["current", "stale", "missing", "handmade"]


def request_hash(pack: Pack, case: Case) -> str:
    """sha256 of everything a case sends but the model's name: messages, output schema and sampling parameters."""
    sent = {
        "messages": render(pack, case.inputs),
        "output": ordered_json(pack.output),
        "sampling": pack.sampling.parameters(),
    }
    return sha256_hex(canonical_json(sent))


def recording_state(pack: Pack, case: Case, sample: int = 0) -> State:
    """What the recording of a sample is: of its present request, of another one, not there yet, or written by hand.

    PromptError when the messages do not render, or the file is no JSON.
    """
    request, path = request_hash(pack, case), golden_file(pack, case, sample)
    if not path.is_file():
        return "missing"
    try:
        recorded = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        thing = f"prompt pack {pack.name} case {case.name!r}"
        raise PromptError(thing, f"golden/{path.name} is not JSON", "record the reply anew") from error
    note = recorded.get(_RECORDED) if isinstance(recorded, dict) else None
    if not isinstance(note, dict):
        return "handmade"
    return "current" if note.get("request") == request else "stale"


def write_recording(pack: Pack, case: Case, reply: bytes, *, model: str, at: datetime, sample: int = 0) -> None:
    """Keep the reply of a server, a JSON object, as the recording of a sample of a case's present request."""
    try:
        body: Any = json.loads(reply)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        finding = f"the reply of {model} is no JSON object ({reply[:80]!r})"
        raise PromptError(f"prompt pack {pack.name} case {case.name!r}", finding, "ask another server")
    note = {"request": request_hash(pack, case), "model": model, "at": at.isoformat(timespec="seconds")}
    path = golden_file(pack, case, sample)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {**body, _RECORDED: note})
