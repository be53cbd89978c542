"""A loopback model server for tests: answers Chat Completions with a body made from the request, or as scripted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from loopback import Asked, Loopback, Reply


def completion(content: str | None, *, finish_reason: str = "stop", model: str = "test-model") -> str:
    """A Chat Completions body."""
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": model,
            "choices": [
                {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": content}}
            ],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
    )


def json_reply(body: str, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(body, status, {"Content-Type": "application/json", **named})


def chat_server(answer: Callable[[dict[str, Any], Asked], Reply]) -> Loopback:
    """`answer(request body, asked)` makes the reply; `with chat_server(...) as server:` ask `server.url + "/v1"`."""
    return Loopback(lambda asked: answer(json.loads(asked.body), asked))
