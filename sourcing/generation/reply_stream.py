"""Replies that come in pieces though nobody asked for them so, put together as the one body they would have been."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sourcing.generation.bounded_json import first_value, line_of, load_json

__all__ = ["assemble"]

_LINES = re.compile(r"\r\n|\n|\r")  # `splitlines` would part strings that hold other separators
_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_DONE = "[DONE]"
_MARK = {_DONE: True}


def assemble(text: str) -> dict[str, Any]:
    """One chat completion of server-sent events, of JSON lines, or of a JSON body with something behind it.

    Of several choices the first is taken. ValueError for what is none of these, or broke off before it was finished.
    """
    text = text.strip("\ufeff \t\r\n\0")
    if _FIELD.match(text):
        chunks = list(_events(text))
    else:
        chunks = list(_values(text))
        if len(chunks) == 1 or (len(chunks) == 2 and chunks[1] is _MARK):
            return chunks[0]
    return _join(chunks)


def _events(text: str) -> Iterator[dict[str, Any]]:
    """What the events carry; an event may run over several lines, and some servers part events by nothing else."""
    name, held = "", ""
    for line in [*_LINES.split(text), ""]:
        field, _, value = line.partition(":")
        if field == "data":
            held += ("\n" if held else "") + value.removeprefix(" ")
        elif field == "event":
            name = value.strip()
        if not held or (line and field != "data"):
            continue
        if held.strip() == _DONE:
            yield _MARK
        else:
            try:
                chunk = load_json(held)
            except ValueError:
                if line:
                    continue  # the event goes on
                raise
            if isinstance(chunk, list) and len(chunk) == 1:
                chunk = chunk[0]
            if name == "error" and not (isinstance(chunk, dict) and chunk.get("error")):
                chunk = {"error": chunk}
            if isinstance(chunk, dict):
                yield chunk
        name = held = ""


def _values(text: str) -> Iterator[dict[str, Any]]:
    """JSON objects one behind the other. What follows a whole body is none of its business."""
    n = 0
    while text.startswith("{"):
        value, end = first_value(text)
        n += 1
        yield value
        text = text[end:].lstrip()
    if n == 0:
        raise ValueError("it does not begin as JSON does")
    if text.removeprefix("data:").strip().startswith(_DONE):
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
                message = {**message, name: delta[name]}
    error = next((chunk["error"] for chunk in chunks if chunk.get("error")), None)
    done = any(chunk is _MARK or chunk.get("done") is True for chunk in chunks)
    if not (finish or done or message.get("content") or error):
        raise ValueError("the stream broke off before it was finished")
    if not pieces and not error:
        raise ValueError(f"the stream holds no answer: {line_of(str(chunks[:2]))}")
    joined = {name: "".join(parts) for name, parts in texts.items() if parts}
    choice = {"message": {**joined, **message}, "finish_reason": finish or ("stop" if done else None)}
    told = {"error": error} if error else {}
    return {"choices": [choice], "model": _first(chunks, "model"), "usage": _first(chunks[::-1], "usage"), **told}


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
