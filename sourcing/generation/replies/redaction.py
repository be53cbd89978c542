"""Replies without our keys, also for a key that a server hands over in pieces."""

from __future__ import annotations

import re
from typing import Any

from sourcing.generation.replies.stream import assemble
from sourcing.generation.wire import body_bytes
from sourcing.redactor import redact, redact_bytes

__all__ = ["without_keys"]

_NAMES_OF_PIECES = (b'"delta"', b'"text"', b'"message"', b'"choices"')
_LIST_OF_PARTS = re.compile(rb'"content"\s*:\s*\[')


def without_keys(raw: bytes) -> bytes:
    """The same reply when no key is in the bytes; put together, where only its pieces together do."""
    raw = redact_bytes(raw)
    if all(raw.count(name) < 2 for name in _NAMES_OF_PIECES) and not _LIST_OF_PARTS.search(raw):
        return raw
    try:
        whole = assemble(raw.decode(errors="replace"))
    except ValueError:
        return raw  # what cannot be put together is read by nobody
    pieces = body_bytes(whole)
    _join_parts(whole)
    clean = redact_bytes(body_bytes(whole))
    return raw if clean == pieces else clean


def _join_parts(whole: dict[str, Any]) -> None:
    """Messages with parts joined where a key spans parts."""
    choices = whole.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict) and isinstance(message.get("content"), list):
            together = "".join(map(_text_of, message["content"]))
            if redact(together) != together:
                message["content"] = together


def _text_of(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else ""
