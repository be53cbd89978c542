"""ServerError: the status, code and message that an error object of a model server amounts to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from sourcing.generation.replies.bounded_json import line_of, load_json

__all__ = ["FILTER_STATUSES", "SPENT", "ServerError", "read_error", "read_error_body"]

#: The code of an account without money, under whatever status it comes.
SPENT = "insufficient_quota"

_ERROR_NAMES = ("error", "errors")
_MESSAGE_NAMES = ("message", "detail", "msg", "error_message", "error_msg", "error_description", "description", "error")
_CODE_NAMES = ("code", "status", "status_code", "http_code", "http_status", "error_code", "type")
#: What OpenAI, Azure, Anthropic, Google, vLLM, OpenRouter and LiteLLM call each kind of refusal; the first hit counts.
_KINDS = (
    (402, re.compile(r"insufficient.?quota|insufficient.?(?:funds|credit|balance)|billing|payment")),
    (429, re.compile(r"rate.?limit|too.?many|throttl|resource.?exhausted|quota")),
    (401, re.compile(r"auth|api.?key")),
    (403, re.compile(r"permission|forbidden")),
    (404, re.compile(r"not.?found")),
    (504, re.compile(r"time(?:d.?)?.?out|deadline")),
    (503, re.compile(r"server.?error|internal|unavailable|overload|upstream|gateway")),
    (400, re.compile(r"invalid|bad.?request|unsupported|context.?length")),
)
#: A filter of the provider's refused this call: by its code or, where a proxy leaves out the code, by its words.
_FILTER_CODE = re.compile(
    r"content.?(?:filter|policy|moderation)|responsible.?ai|moderation|(?:data|content).?inspection"
)
_FILTER_WORDS = re.compile(
    r"content (?:management|filter(?:ing)?|moderation) (?:policy|policies|system)|requires moderation|safety system"
    r"|(?:input|prompt|request|response|content) (?:was|were|has been) flagged|inappropriate content"
    r"|content exists risk|considered high risk|不安全或敏感"
)
#: The statuses under which filters refuse.
FILTER_STATUSES = (400, 403, 422, 451)
#: The kinds that a message without any code may tell.
_TOLD_BY_MESSAGE = (402, 429, 503)


class ServerError(NamedTuple):
    """`status` is the HTTP status of the error, None when neither code nor words tell; `message` one line.

    `is_filter`: it is about what this one call says, whatever its status says of keys or forms.
    """

    status: int | None
    code: str
    message: str
    is_filter: bool = False


def read_error(body: dict[str, Any], *, is_answer: bool = False) -> ServerError | None:
    """Error in an object, or None. One that holds an answer has to call it `error` outright."""
    for name in _ERROR_NAMES:
        if body.get(name):
            return _error(body[name], body)
    if is_answer:
        return None
    is_error = "error" in (body.get("object"), body.get("type"), body.get("status"))
    says_something = any(body.get(name) and not isinstance(body[name], dict) for name in _MESSAGE_NAMES[:5])
    # An envelope says `ok` and holds what a model wrote: that is no error, and was billed.
    is_full = any(
        isinstance(value, dict | list) and value for name, value in body.items() if name not in _MESSAGE_NAMES
    )
    return _error(body, body) if is_error or (says_something and not is_full) else None


def read_error_body(raw: bytes) -> ServerError:
    """Error in the body of a refusal, as far as known; never raises."""
    text = raw[:100_000].decode("utf-8", errors="replace")
    try:
        value = load_json(text)
    except ValueError:
        return ServerError(None, "", line_of(text, 200))
    while isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return ServerError(None, "", line_of(str(value)))
    error = next((value[name] for name in _ERROR_NAMES if value.get(name)), value)
    return _error(error, value)


def _error(error: Any, body: dict[str, Any]) -> ServerError:
    for _ in range(3):  # a list of errors, or an error in an error
        if isinstance(error, list) and error:
            error = error[0]
        elif isinstance(error, dict) and isinstance(error.get("error"), dict):
            error = error["error"]
    codes = list(_codes(error)) + (list(_codes(body)) if error is not body else [])
    message = _message(error) or _message(body)
    code = next((code for code in codes if code == SPENT), codes[0] if codes else "")
    inner = error.get("innererror") if isinstance(error, dict) else None
    is_filter = any(map(_FILTER_CODE.search, map(str.lower, (*codes, *_codes(inner)))))
    is_filter = is_filter or _FILTER_WORDS.search(message.lower()) is not None
    status = _status([SPENT] if code == SPENT else codes, message)
    return ServerError(status, code, message, is_filter and (status is None or status in FILTER_STATUSES))


def _codes(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name in _CODE_NAMES:
            code = value.get(name)
            if isinstance(code, int | str) and not isinstance(code, bool) and code not in ("", "error"):
                yield line_of(str(code), 100)


def _message(value: Any) -> str:
    if isinstance(value, str):
        return line_of(value)
    if not isinstance(value, dict):
        return ""
    words = next((value[name] for name in _MESSAGE_NAMES if value.get(name) not in (None, "", True)), "")
    return line_of(words if isinstance(words, str) else json.dumps(words, ensure_ascii=False))


def _status(codes: list[str], message: str) -> int | None:
    for code in codes:
        if code.isascii() and code.isdigit() and len(code) == 3 and code[0] in "45":
            return int(code)
    for code in codes:
        for status, words in _KINDS:
            if words.search(code.lower()):
                return status
    return next((s for s, words in _KINDS if s in _TOLD_BY_MESSAGE and words.search(message.lower())), None)
