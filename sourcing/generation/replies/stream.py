"""Assembles replies that came as an unrequested stream into one completion body."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from sourcing.generation.replies.bounded_json import first_value, line_of, load_json, whole

__all__ = ["assemble"]

_LINES = re.compile(r"\r\n|\n|\r")  # `splitlines` would part strings that hold other separators
_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_DONE = "[DONE]"
_MARK = {_DONE: True}
_SPACE = re.compile(r"\s*")
_MAX_CHUNKS = 100_000  # a token each


def assemble(text: str) -> dict[str, Any]:
    """One chat completion from server-sent events, JSON lines, or a JSON body followed by more text.

    Of several choices the first is taken. ValueError for what is none of these, or broke off before it was finished.
    """
    text = text.strip("\ufeff \t\r\n\0")
    if _FIELD.match(text):
        chunks = list(islice(_events(text), _MAX_CHUNKS))
    else:
        chunks = list(islice(_values(text), _MAX_CHUNKS))
        if len(chunks) == 1 or (len(chunks) == 2 and chunks[1] is _MARK):
            return whole(chunks[0])  # type: ignore[no-any-return]
    if len(chunks) == _MAX_CHUNKS:
        raise ValueError(f"it comes in more than {_MAX_CHUNKS:,} pieces")
    completion: dict[str, Any] = whole(_join(chunks))
    return completion


def _events(text: str) -> Iterator[dict[str, Any]]:
    """Yield the chunks that the events carry.

    Some servers part events by no blank line: a line that is JSON by itself is an event.
    """
    name, lines = "", list[str]()
    for line in [*_LINES.split(text), ""]:
        field, _, value = line.partition(":")
        if field == "event":
            name = value.strip()
        elif field == "data" and not value.strip():
            continue  # a heartbeat
        elif field == "data" and not lines and (chunk := _chunk(value, name)) is not None:
            name = ""
            yield chunk
        elif field == "data":
            lines.append(value)
        elif not line and lines:
            if (chunk := _chunk("\n".join(lines), name)) is None:
                raise ValueError("an event of the stream is no JSON")
            name, lines = "", []
            yield chunk


def _chunk(data: str, name: str) -> dict[str, Any] | None:
    """JSON object of an event, empty for JSON of another type; None for what is no JSON."""
    if data.strip() == _DONE:
        return _MARK
    try:
        chunk = load_json(data, halves=True)
    except ValueError:
        return None
    if isinstance(chunk, list) and len(chunk) == 1:
        chunk = chunk[0]
    if name == "error" and not (isinstance(chunk, dict) and chunk.get("error")):
        return {"error": chunk}
    return chunk if isinstance(chunk, dict) else {}


def _values(text: str) -> Iterator[dict[str, Any]]:
    """Consecutive JSON objects of a text. What follows a whole body is none of its business."""
    if not text.startswith("{"):
        raise ValueError("it does not begin as JSON does")
    at = 0
    while text.startswith("{", at):
        value, end = first_value(text, at, halves=True)
        at = _SPACE.match(text, end).end()  # type: ignore[union-attr]  # it matches nothing too
        yield value
    if text[at : at + 40].removeprefix("data:").strip().startswith(_DONE):
        yield _MARK


def _join(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    pieces = [(index, choice) for chunk in chunks for index, choice in _choices(chunk)]
    first = min((index for index, _ in pieces), default=0)
    message: dict[str, Any] = {}
    finish: Any = None
    texts: dict[str, list[str]] = {"content": [], "refusal": [], "reasoning_content": []}
    for index, choice in pieces:
        if index != first:
            continue
        finish = choice.get("finish_reason") or finish
        delta = choice.get("delta")
        if isinstance(whole := choice.get("message"), dict) and not isinstance(delta, dict):
            message = whole
            continue
        delta = delta if isinstance(delta, dict) else {"content": choice.get("text")}
        for name, parts in texts.items():
            value = delta.get(name) or (delta.get("reasoning") if name == "reasoning_content" else None)
            parts += [value] if isinstance(value, str) else _part_texts(value)
        for name in ("tool_calls", "function_call"):
            if delta.get(name):
                message = {name: delta[name], **message}  # the first piece names the tool
    error = next((chunk["error"] for chunk in chunks if chunk.get("error")), None)
    is_done = any(chunk is _MARK or chunk.get("done") is True for chunk in chunks)
    if not (finish or is_done or message.get("content") or error):
        raise ValueError("the stream broke off before it was finished")
    if not pieces and not error:
        raise ValueError(f"the stream holds no answer: {line_of(str(chunks[:2]))}")
    texts_by_name = {name: "".join(parts) for name, parts in texts.items() if parts}
    choice = {"message": {**texts_by_name, **message}, "finish_reason": finish or ("stop" if is_done else None)}
    error_field = {"error": error} if error else {}
    return {"choices": [choice], "model": _first(chunks, "model"), "usage": _usage(chunks), **error_field}


def _choices(chunk: dict[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            index = choice.get("index")
            yield (index if isinstance(index, int) else 0), choice
    if "choices" not in chunk and isinstance(chunk.get("message"), dict):  # Ollama's own form
        yield 0, {"delta": chunk["message"], "finish_reason": chunk.get("done_reason")}


def _part_texts(value: Any) -> list[str]:
    parts = value if isinstance(value, list) else []
    return [part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


def _first(chunks: list[dict[str, Any]], name: str) -> Any:
    return next((chunk[name] for chunk in chunks if chunk.get(name)), None)


def _usage(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The usage that all pieces tell together: of each count the largest, for they count on or each tell a part."""
    usage: dict[str, Any] = {}
    for piece in (chunk["usage"] for chunk in chunks if isinstance(chunk.get("usage"), dict)):
        for name, value in piece.items():
            before = usage.get(name)
            if not (isinstance(before, int) and (value is None or (isinstance(value, int) and value < before))):
                usage[name] = value
    return usage
