"""Reply: what a model answered to one planned call, as the journal hands it to the description builders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

__all__ = ["Reply"]


@dataclass(frozen=True)
class Reply:
    """One journalled reply. `content` is the message text as it came: it may be cut, empty or not JSON."""

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
    words: str = ""  # what the server said of that
