"""Records of a call at each stage: PlannedCall, WantedCall, KnownCall, OpenCall, CallEnd and Reply."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

__all__ = ["CallEnd", "KnownCall", "OpenCall", "PlannedCall", "Reply", "WantedCall"]


@dataclass(frozen=True)
class Reply:
    """One journalled reply; `content` is the message text as received, perhaps cut, empty or not JSON."""

    request_key: str
    prompt_id: str
    prompt_version: str
    prompt_hash: str
    track_id: str
    doc_id: str | None  # None for packs that read no document
    sample_idx: int
    language: str
    model: str  # as the endpoint reported it
    finish_reason: str  # "" when the body is not a chat completion
    content: str | None  # None when the body holds no message
    replied_at: datetime
    usage: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""  # why the server's body holds no answer, see `ParsedReply`
    words: str = ""  # the server's message about that


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Planned call with request body and target: track, document, sample and language.

    Two tracks with equal requests share one request key, and so one payment.
    """

    request_key: str
    prompt_id: str
    prompt_version: str
    prompt_hash: str
    track_id: str
    doc_id: str | None  # of a judge's call: the judged description, see `judged_name`
    sample_idx: int
    language: str
    model: str
    body: bytes  # as it is sent

    @property
    def request(self) -> dict[str, Any]:
        request: dict[str, Any] = json.loads(self.body)
        return request


class OpenCall(NamedTuple):
    """A journalled call without a reply, with the exact request body; `kind` is root, larger or repair."""

    call_id: int
    request_key: str
    body: bytes
    kind: str = "root"
    parent: int | None = None
    state: str = "planned"


class WantedCall(NamedTuple):
    """A planned call as stored in the journal, with compressed `body` and uncompressed `size` in bytes."""

    request_key: str
    prompt_id: str
    track_id: str
    doc_id: str
    sample_idx: int
    language: str
    size: int
    body: bytes


class CallEnd(NamedTuple):
    """End of an attempt: the call's next state, the attempt's outcome, and the server's answer."""

    state: str
    outcome: str
    status: int | None = None
    headers: Mapping[str, str] | None = None
    raw: bytes | None = None  # body of the reply or refusal as it arrived, compressed or not
    error: str | None = None


class KnownCall(NamedTuple):
    """Id, state, kind and parent of a wanted call in the journal."""

    call_id: int
    state: str
    kind: str
    parent: int | None
