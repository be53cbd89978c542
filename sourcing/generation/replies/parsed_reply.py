"""ParsedReply: the answer of a model server, read once from its bytes; every reply comes in by it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sourcing.generation.replies.bounded_json import line_of, load_json, whole_text
from sourcing.generation.replies.server_error import ServerError, read_error
from sourcing.generation.replies.stream import assemble

__all__ = ["MAX_REPLY_BYTES", "ROW_ERROR", "ParsedReply", "name_of"]

MAX_REPLY_BYTES = 10_000_000
#: Of the text a model wrote; the longest answers of today's models are a tenth of it.
MAX_CONTENT_CHARS = 1_000_000
_MAX_NAME_CHARS = 200

ROW_ERROR = "row_error"
_FINISHES = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "complete", "completed"), "stop"),
}
_FILTERED = (
    "content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii",
    "guardrail_intervened",
)  # fmt: skip
_TOOL_CALLS = ("tool_calls", "tool_call", "tool_use", "function_call")
_THINKING = ("thinking", "reasoning", "redacted_thinking")


@dataclass(frozen=True, slots=True)
class ParsedReply:
    """One reply. Every text in it encodes, every number can be stored; fields are empty where the server told nothing.

    `reason` says why there is no answer to use, `words` what the server said of that:
    reply_unreadable (no chat completion, or one that broke off), reply_error (`error` says which), reply_refused,
    reply_filtered, reply_tool_call, reply_not_utf8, reply_too_large; row_error where reading it raised.
    """

    content: str | None = None
    finish_reason: str = ""
    model: str = ""
    usage: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    words: str = ""
    error: ServerError | None = None
    is_streamed: bool = False
    thinking: int = 0  # characters of thoughts that came beside the answer

    @classmethod
    def read(cls, raw: bytes) -> ParsedReply:
        """Read a reply body. Never raises: an exception nobody thought of is the reason `row_error`, with its name."""
        try:
            return _read(raw)
        except Exception as error:
            return cls(reason=ROW_ERROR, words=name_of(error))


def name_of(error: Exception) -> str:
    """Name of an exception as written in findings."""
    return f"{type(error).__name__}: {line_of(str(error))}"


def _read(raw: bytes) -> ParsedReply:
    if len(raw) > MAX_REPLY_BYTES:
        return _unreadable(f"it is longer than {MAX_REPLY_BYTES // 10**6} MB")
    text, is_whole = _decode(raw)
    is_streamed = False
    try:
        body = load_json(text)
    except ValueError as no_json:
        try:
            body, is_streamed = assemble(text), True
        except ValueError as error:
            excerpt = f": {line_of(text, 200)}" if text.strip() else ""
            problem = f"it is no JSON ({no_json})" if isinstance(no_json, json.JSONDecodeError) else str(no_json)
            is_stream = text[:6].lstrip().startswith(("data", "event", ":"))
            return _unreadable(f"{error if is_stream else problem}{excerpt}")
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        return _unreadable(f"it is JSON, but no chat completion: {line_of(text, 200)}")
    return _of_body(body, is_streamed=is_streamed, is_whole=is_whole)


def _of_body(body: dict[str, Any], *, is_streamed: bool, is_whole: bool) -> ParsedReply:
    choices = body.get("choices")
    choice = next((one for one in choices if isinstance(one, dict)), {}) if isinstance(choices, list) else {}
    message = choice.get("message") or choice.get("delta") or body.get("message")
    message = message if isinstance(message, dict) else {}
    text = message.get("content")
    content, thinking, refusal = _parts(choice.get("text") if text is None else text)
    finish = _name(choice.get("finish_reason") or ("error" if choice.get("error") else ""))
    finish = finish if finish == "stop" else _FINISHES.get(finish.lower(), finish)
    has_content = bool(content and content.strip())
    usage_field = body.get("usage")
    usage: dict[str, Any] = usage_field if isinstance(usage_field, dict) else {}
    # Some proxies tell zeros where they do not know: no prompt has no tokens, and no answer.
    is_uncounted = usage.get("prompt_tokens") == 0 or (has_content and usage.get("completion_tokens") == 0)
    if own_refusal := message.get("refusal"):
        refusal = refusal or (whole_text(own_refusal) if isinstance(own_refusal, str) else json.dumps(own_refusal))
    for name in _BESIDE:
        if name in message:
            thinking += len(message[name]) if isinstance(message[name], str) else 0
    reply: dict[str, Any] = {
        "content": content,
        "finish_reason": finish,
        "model": _name(body.get("model")),
        "usage": {} if is_uncounted else usage,
        "is_streamed": is_streamed,
        "thinking": thinking,
    }
    if not (has_content and finish == "stop"):
        error = read_error(choice) if choice.get("error") else read_error(body, is_answer=bool(choice))
        if error is None and finish == "error":
            error = ServerError(None, "", "the server ended the reply with an error")
        if error is not None:
            words = error.message or error.code or "without a word"
            if has_content or _spent(reply["usage"]):
                reply["content"] = None
                return ParsedReply(**reply, reason="reply_unreadable", words=f"it ended in an error ({words})")
            if error.is_filter:
                return ParsedReply(**reply, reason="reply_filtered", words=words)
            return ParsedReply(**reply, reason="reply_error", words=words, error=error)
    if "choices" not in body and not message:
        return _unreadable(f"it is JSON, but no chat completion: {line_of(json.dumps(body), 200)}")
    reason, words = _standing(reply, refusal, message, choice)
    if not reason and not is_whole and content and "\ufffd" in content:
        reason, words = "reply_not_utf8", "its text is not UTF-8"
    return ParsedReply(**reply, reason=reason, words=words)


_BESIDE = ("reasoning_content", "reasoning", "thinking")


def _standing(
    reply: Mapping[str, Any], refusal: str, message: Mapping[str, Any], choice: Mapping[str, Any]
) -> tuple[str, str]:
    """Reason why a complete completion holds no answer, with the words for the user; empty where it does."""
    content, finish = reply["content"] or "", reply["finish_reason"].lower()
    if refusal.strip() or finish == "refusal":
        return "reply_refused", line_of(refusal or content) or "without a word"
    if finish in _FILTERED:
        return "reply_filtered", line_of(content) or _filters(choice) or finish
    calls = next((message[name] for name in ("tool_calls", "function_call") if message.get(name)), None)
    if (calls or finish in _TOOL_CALLS) and not content.strip():
        return "reply_tool_call", line_of(json.dumps(calls, ensure_ascii=False)) if calls else finish
    if len(content) > MAX_CONTENT_CHARS:
        return "reply_too_large", f"it holds {len(content):,} characters"
    return "", ""


def _unreadable(words: str) -> ParsedReply:
    return ParsedReply(reason="reply_unreadable", words=words)


def _decode(raw: bytes) -> tuple[str, bool]:
    """Text of a body, in UTF-8 or the UTF named by the first bytes; False where not all of it could be read."""
    encoding = json.detect_encoding(raw) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw[:2] else "utf-8"
    try:
        return raw.decode(encoding).removeprefix("\ufeff"), True
    except UnicodeDecodeError:
        return raw.decode(encoding, errors="replace").removeprefix("\ufeff"), False


def _parts(content: Any) -> tuple[str | None, int, str]:
    """Text of a message's content, number of characters of thoughts, and words of a refusal."""
    if isinstance(content, str):
        return whole_text(content), 0, ""
    if isinstance(content, dict):
        content = [content] if "type" in content or "text" in content else [json.dumps(content, ensure_ascii=False)]
    if not isinstance(content, list):
        return None, 0, ""
    texts, thinking, refusal = [], 0, ""
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = part.get("text")
            text = text.get("value") if isinstance(text, dict) else text
            if part.get("type") in _THINKING:
                thinking += len(json.dumps(part, ensure_ascii=False))
            elif isinstance(part.get("refusal"), str):
                refusal += part["refusal"]
            elif isinstance(text, str):
                texts.append(text)
    return (whole_text("".join(texts)) if texts else None), thinking, whole_text(refusal)


def _filters(choice: Mapping[str, Any]) -> str:
    """The categories by which Azure filtered a reply."""
    results = choice.get("content_filter_results")
    results = results if isinstance(results, dict) else {}
    return ", ".join(name for name, result in results.items() if isinstance(result, dict) and result.get("filtered"))


def _spent(usage: Mapping[str, Any]) -> bool:
    tokens = usage.get("completion_tokens")
    return isinstance(tokens, int) and tokens > 0


def _name(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    return value if len(value) <= _MAX_NAME_CHARS and value.isprintable() else line_of(value, _MAX_NAME_CHARS)
