"""ReplyChecker: tests a reply for cuts and schema errors, reads its usage, and makes the follow-up call.

A cut reply is followed by one call with twice the token limit (`larger`), a reply that breaks its schema by one
`repair` call. Each follow-up has its own key, attempts and cost.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sourcing.generation.endpoint.endpoint import Endpoint
from sourcing.generation.journal.journal import OpenCall
from sourcing.generation.packs.pack import Pack
from sourcing.generation.packs.render import repair_messages
from sourcing.generation.replies.parsed_reply import ROW_ERROR, ParsedReply, name_of
from sourcing.generation.replies.payload import read_payload
from sourcing.generation.wire import body_bytes, request_key

__all__ = ["Checked", "FollowUp", "ReplyChecker"]

_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens")
_LARGER = 2
_SHOWN_MISFITS = 3
_SHOWN_CHARS = 4000  # of a bad reply, for the model to mend


@dataclass(frozen=True)
class FollowUp:
    """Follow-up call of a reply: kind, request key and body."""

    kind: Literal["larger", "repair"]
    request_key: str
    body: bytes


@dataclass(frozen=True)
class Checked:
    """Result of checking a reply: `problem` ("" for a valid reply), the endpoint's `usage` object, and the follow-up.

    `row_error` names an exception raised by the check.
    """

    problem: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    follow: FollowUp | None = None
    row_error: str = ""


class ReplyChecker:
    """Checks replies of one pack on one endpoint against the pack's output schema."""

    def __init__(self, pack: Pack, endpoint: Endpoint) -> None:
        self._pack, self._endpoint = pack, endpoint
        self._schema = pack.validator

    def look(self, call: OpenCall, raw: bytes) -> Checked:
        """Parse and check the bytes of a reply; never raises."""
        return self.check(call, ParsedReply.read(raw))

    def check(self, call: OpenCall, reply: ParsedReply) -> Checked:
        """Check a parsed reply; never raises: an exception becomes `row_error`, with the problem ROW_ERROR."""
        try:
            return self._check(call, reply)
        except Exception as error:
            return Checked(ROW_ERROR, reply.usage, row_error=name_of(error))

    def _check(self, call: OpenCall, reply: ParsedReply) -> Checked:
        if reply.reason:
            return Checked(reply.reason, reply.usage, row_error=reply.words if reply.reason == ROW_ERROR else "")
        problem = self._problem(reply)
        if not problem:
            return Checked("", reply.usage)
        if reply.finish_reason == "length":
            follow = self._larger(call) if call.kind == "root" else None
        elif call.kind != "repair" and reply.content and reply.finish_reason == "stop":
            follow = self._repair(call, reply.content, problem)
        else:
            follow = None
        return Checked(problem, reply.usage, follow)

    def _problem(self, reply: ParsedReply) -> str:
        if reply.finish_reason == "length":
            return "the reply was cut at its largest length"
        if not reply.content:
            return "the reply holds no message"
        payload = read_payload(reply.content)
        if payload.problem:
            return payload.problem
        if any(map(self._schema.is_valid, payload.values)):
            return ""
        misfits = itertools.islice(self._schema.iter_errors(payload.values[-1]), _SHOWN_MISFITS)
        return "; ".join(
            f"{'.'.join(str(part) for part in misfit.instance_path) or 'the whole'}: {misfit.message[:300]}"
            for misfit in misfits
        )

    def _larger(self, call: OpenCall) -> FollowUp | None:
        body = json.loads(call.body)
        limit_names = [name for name in _TOKEN_LIMITS if isinstance(body.get(name), int)]
        if not limit_names:
            return None
        for name in limit_names:
            body[name] *= _LARGER
        return self._follow("larger", body)

    def _repair(self, call: OpenCall, content: str, problem: str) -> FollowUp:
        body = json.loads(call.body)
        body["messages"] += repair_messages(content[:_SHOWN_CHARS], problem)
        return self._follow("repair", body)

    def _follow(self, kind: Literal["larger", "repair"], body: dict[str, Any]) -> FollowUp:
        sample_idx = int(body.get("seed", 0)) - int(self._pack.sampling.seed or 0)
        key = request_key(body, self._endpoint.identity, sample_idx)
        return FollowUp(kind, key, body_bytes(body))
