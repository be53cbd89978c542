"""Batch files: the JSONL that calls are handed over in (OpenAI's Batch API, `vllm run-batch`) and come back in."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["CHAT_URL", "AnswerLine", "CutShort", "json_lines", "read_answer", "request_line", "writing_whole"]

CHAT_URL = "/v1/chat/completions"

#: Codes of lines that were never worked on: the batch ended before their turn came.
_NEVER_BEGUN = {"batch_expired": "expired", "batch_cancelled": "cancelled", "batch_failed": "batch_failed"}
_MESSAGE_CHARS = 300


class CutShort(Exception):
    """A file that ends in the middle of a line: it did not come whole."""


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One line of an output or error file. `raw` is the reply body, serialised compactly as it stood in the line."""

    custom_id: str
    outcome: str  # as in the journal: replied, http_<status>, expired, cancelled, batch_failed, error
    status: int | None = None
    raw: bytes | None = None
    request_id: str = ""
    message: str = ""

    @property
    def never_begun(self) -> bool:
        """Whether no model ever saw the call."""
        return self.outcome in _NEVER_BEGUN.values()

    @property
    def passing(self) -> bool:
        """Whether the same call may be answered another time."""
        return self.status is not None and (self.status in (408, 409, 429) or self.status >= 500)


def request_line(request_key: str, body: bytes, url: str = CHAT_URL) -> bytes:
    """One call as a line; `body` goes in as it would be sent, byte for byte."""
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (request_key.encode(), url.encode(), body)


def json_lines(chunks: Iterable[bytes], *, must_be_whole: bool = True) -> Iterator[bytes]:
    """The lines of a file that comes in pieces; CutShort when it ends within one and must be whole."""
    pieces: list[bytes] = []
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")  # not splitlines(): a reply may hold other line separators
        for line in ended:
            yield b"".join((*pieces, line))
            pieces.clear()
        if rest:
            pieces.append(rest)
    last = b"".join(pieces)
    if not last.strip():
        return
    try:
        json.loads(last)
    except ValueError:
        if must_be_whole:
            raise CutShort(f"it ends within a line, after {last[-40:]!r}") from None
    yield last


def read_answer(line: bytes) -> AnswerLine | None:
    """What a line says; None for one that is no answer at all."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    custom_id = said.get("custom_id") if isinstance(said, dict) else None
    if not isinstance(custom_id, str) or (said.keys() >= {"method", "url", "body"} and "response" not in said):
        return None  # a request is none either
    response, error = _mapping(said.get("response")), _mapping(said.get("error"))
    status = response.get("status_code")
    status = status if isinstance(status, int) and not isinstance(status, bool) else None
    # Some servers put the reply itself where others put a status and the reply as `body`.
    body = response.get("body") if status is not None or "body" in response else response or None
    if not response and not error:
        return AnswerLine(custom_id, "error", message="the line holds neither a response nor an error")
    raw = None if body is None else _compact(body)
    request_id = response.get("request_id")
    request_id = request_id if isinstance(request_id, str) else ""
    if response and not error and (status is None or 200 <= status < 300):
        return AnswerLine(custom_id, "replied", status or 200, raw or b"null", request_id)
    code = str(error.get("code") or "")
    outcome = _NEVER_BEGUN.get(code) or ("error" if status is None or status < 300 else f"http_{status}")
    raw = raw if raw is not None or not error else _compact(error)
    return AnswerLine(custom_id, outcome, status, raw, request_id, _message(code, error, body))


@contextlib.contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there whole, and on disk, when the block ends, or not at all."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _compact(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair: only an escape can carry it
        return json.dumps(value, separators=(",", ":")).encode()


def _message(code: str, error: Mapping[str, Any], body: Any) -> str:
    refused = _mapping(_mapping(body).get("error")) or _mapping(body)
    found = error.get("message") or refused.get("message") or code
    return " ".join(str(found).split())[:_MESSAGE_CHARS]
