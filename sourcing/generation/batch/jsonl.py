"""Batch files: request lines and answer lines in the JSONL of OpenAI's Batch API and `vllm run-batch`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sourcing.generation.journal.schema import NEVER_BEGUN
from sourcing.generation.replies.bounded_json import line_of, load_json
from sourcing.generation.replies.redaction import without_keys
from sourcing.generation.replies.server_error import FILTER_STATUSES, ServerError, read_error
from sourcing.redactor import redact_bytes

__all__ = [
    "CHAT_URL", "UNREADABLE", "AnswerLine", "CutLine", "CutShort", "json_lines", "read_answer",
    "request_line", "writing_whole",
]  # fmt: skip

CHAT_URL = "/v1/chat/completions"
UNREADABLE = "line_unreadable"

#: Codes of lines that were never worked on: the batch ended before their turn came.
_ENDED_EARLY = dict(zip(("batch_expired", "batch_cancelled", "batch_failed"), NEVER_BEGUN, strict=True))
_MESSAGE_CHARS = 300
#: The longest reply that is looked at (`MAX_REPLY_BYTES`), and what stands around it.
_MOST_LINE_BYTES = 16_000_000
#: Of a line that cannot be read so much is kept.
_KEPT_BYTES = 1_000_000
_MOST_REQUEST_ID_CHARS = 200
#: Lines of nothing but these are none; a file system that lost power fills up with NULs.
_BLANK = b" \t\0\xef\xbb\xbf"
_BOM = b"\xef\xbb\xbf"
_NAMED_ID = re.compile(rb'"custom_id"\s*:\s*"([0-9a-f]{64})"')


class CutShort(Exception):
    """Raised for a file that ends in the middle of a line, an incomplete download."""


class CutLine(bytes):
    """Last line of a file, cut in the middle; the complete file may hold an answer there."""


@dataclass(frozen=True, slots=True)
class AnswerLine:
    """One parsed line of an output or error file; `raw` is the reply body in compact JSON.

    For an unreadable line `raw` holds the line, cut at 1 MB; `custom_id` is "" when the line names no call.
    """

    custom_id: str
    outcome: str  # as in the journal: replied, http_<status>, expired, cancelled, batch_failed, error, line_unreadable
    status: int | None = None
    raw: bytes | None = None
    request_id: str = ""
    message: str = ""
    is_filter: bool = False  # a filter's word, which is the answer where no other comes

    @property
    def never_begun(self) -> bool:
        """True when no model saw the call: the batch expired, failed or was cancelled first."""
        return self.outcome in NEVER_BEGUN

    @property
    def passing(self) -> bool:
        """True for HTTP 408, 409, 429 and 5xx: the call may succeed when repeated."""
        return self.status is not None and (self.status in (408, 409, 429) or self.status >= 500)


def request_line(request_key: str, body: bytes, url: str = CHAT_URL) -> bytes:
    """Request line of a call in JSONL, with `body` embedded byte for byte."""
    return b'{"custom_id":"%b","method":"POST","url":"%b","body":%b}\n' % (request_key.encode(), url.encode(), body)


def json_lines(
    chunks: Iterable[bytes], *, must_be_whole: bool = True, known_ends: set[bytes] | None = None
) -> Iterator[bytes]:
    """Yield the non-blank lines of a file arriving in chunks; about 16 MB of a longer line are kept.

    A file that ends within a line raises CutShort if `must_be_whole`, unless an earlier attempt ended with the same
    bytes (`known_ends`, which is added to). Without `must_be_whole` the cut line is yielded as a `CutLine`.
    """
    pieces: list[bytes] = []
    size = 0
    for chunk in chunks:
        # Not splitlines(): a reply may hold other line separators. A carriage return is none of its own in JSON.
        *whole_lines, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        for line in whole_lines:
            whole = b"".join((*pieces, line))
            pieces.clear()
            size = 0
            if whole.strip(_BLANK):
                yield whole
        if rest and size <= _MOST_LINE_BYTES:
            pieces.append(rest)
            size += len(rest)
    last = b"".join(pieces)
    if not last.strip(_BLANK):
        return
    if read_answer(last).outcome != UNREADABLE or (known_ends is not None and last in known_ends):
        yield last
    elif must_be_whole:
        if known_ends is not None:
            known_ends.add(last)
        raise CutShort(f"it ends within a line, after {last[-40:]!r}")
    else:
        yield CutLine(last)


def read_answer(line: bytes) -> AnswerLine:
    """Parse an answer line; never raises: a line without an answer has the outcome UNREADABLE and a message.

    An unreadable line keeps the `custom_id` found in its text, and settles the call of that id as unknown.
    """
    is_cut = isinstance(line, CutLine)
    line = redact_bytes(line).removeprefix(_BOM)
    try:
        if len(line) > _MOST_LINE_BYTES:
            raise ValueError(f"it is longer than {_MOST_LINE_BYTES // 10**6} MB")
        value = load_json(line.decode())
        if not isinstance(value, dict) or not isinstance(value.get("custom_id") or None, str):
            raise ValueError("it names no call")
    except ValueError as error:
        id_match = _NAMED_ID.search(line)
        custom_id = "" if id_match is None or is_cut else id_match[1].decode()
        return AnswerLine(custom_id, UNREADABLE, raw=line[:_KEPT_BYTES], message=line_of(str(error), _MESSAGE_CHARS))
    if value.keys() >= {"method", "url", "body"} and "response" not in value:
        return AnswerLine("", UNREADABLE, raw=line[:_KEPT_BYTES], message="it is a request, and no answer")
    return _answer(value)


def _answer(line: dict[str, Any]) -> AnswerLine:
    custom_id, error = line["custom_id"], line.get("error")
    response = line["response"] if isinstance(line.get("response"), dict) else {}
    status = _status(response.get("status_code"))
    # Some servers put the reply itself where others put a status and the reply as `body`.
    body = response.get("body") if status is not None or "body" in response else response or None
    if not response and not error:
        message = "the line holds neither a response nor an error"
        return AnswerLine(custom_id, UNREADABLE, raw=_compact(line), message=message)
    raw = None if body is None else without_keys(_compact(body))
    request_id = response.get("request_id")
    request_id = request_id[:_MOST_REQUEST_ID_CHARS] if isinstance(request_id, str) else ""
    if response and not error and (status is None or 200 <= status < 300):
        return AnswerLine(custom_id, "replied", status or 200, raw or b"null", request_id)
    refusal = _error(error, body)
    is_filter = refusal.is_filter and (status is None or status in FILTER_STATUSES)
    code = error.get("code") if isinstance(error, dict) else None
    code = code if isinstance(code, str) else ""
    outcome = _ENDED_EARLY.get(code) or ("error" if status is None or status < 300 else f"http_{status}")
    raw = raw if raw is not None or not error else _compact(error)
    message = (refusal.message or code)[:_MESSAGE_CHARS]
    return AnswerLine(custom_id, outcome, status, raw, request_id, message, is_filter)


@contextlib.contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """Write a file atomically: complete and on disk when the block ends, or absent."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _status(value: Any) -> int | None:
    """HTTP status (100 to 599) from an int or string, else None."""
    text = str(value)[:4] if isinstance(value, int | str) else ""
    return int(text) if re.fullmatch(r"[1-5][0-9]{2}", text, re.ASCII) else None


def _compact(value: Any) -> bytes:
    """Compact JSON bytes of a value; a string holding JSON is taken as the JSON, as some servers send bodies so."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        return value.encode()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _error(*errors: Any) -> ServerError:
    """First `ServerError` with a message among error values; an empty `ServerError` without one."""
    server_errors = (read_error({"error": error}) for error in errors if error)
    return next((error for error in server_errors if error is not None and error.message), ServerError(None, "", ""))
