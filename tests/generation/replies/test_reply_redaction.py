"""No reply is kept in which the pieces of a key make one when they are put together, whoever reads it later."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sourcing.generation.batch.jsonl import read_answer
from sourcing.generation.replies.parsed_reply import ParsedReply
from sourcing.generation.replies.redaction import without_keys
from sourcing.redactor import BLOT, know

KEY = "sk/odd+key%with=all&of~them-9x7"
PIECES = ['{"caption": "a ', KEY[:9], KEY[9:], '"}']


def _body(content: Any) -> str:
    return json.dumps({"choices": [{"finish_reason": "stop", "message": {"content": content}}]})


def _events(pieces: list[dict[str, Any]]) -> str:
    return "".join(f"data: {json.dumps({'choices': [piece]})}\n\n" for piece in pieces) + "data: [DONE]\n\n"


REPLIES = {
    "whole": _body("".join(PIECES)),
    "parts": _body([{"type": "text", "text": piece} for piece in PIECES]),
    "parts with values": _body([{"type": "text", "text": {"value": piece}} for piece in PIECES]),
    "parts that are strings": _body(PIECES),
    "events": _events([{"delta": {"content": piece}} for piece in PIECES]),
    "events of text": _events([{"text": piece} for piece in PIECES]),
    "lines": "\n".join(json.dumps({"choices": [{"delta": {"content": piece}}]}) for piece in PIECES)
    + '\n{"choices": [{"delta": {}, "finish_reason": "stop"}]}',
    "lines of messages": "\n".join(
        json.dumps({"message": {"content": piece}, "done": piece == PIECES[-1]}) for piece in PIECES
    ),
}


@pytest.fixture(autouse=True)
def _known_key() -> None:
    know(KEY)


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_key_in_pieces_is_blotted_out_when_it_is_kept(reply: str) -> None:
    kept = without_keys(reply.encode())
    assert ParsedReply.read(kept).content == f'{{"caption": "a {BLOT}"}}'


@pytest.mark.parametrize("name", ["whole", "parts", "parts that are strings"])
def test_so_it_is_in_a_line_of_a_batch(name: str) -> None:
    line = json.dumps({"custom_id": "c-1", "response": {"status_code": 200, "body": json.loads(REPLIES[name])}})
    raw = read_answer(line.encode()).raw
    assert raw is not None
    assert ParsedReply.read(raw).content == f'{{"caption": "a {BLOT}"}}'


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_other_replies_are_kept_byte_for_byte(reply: str) -> None:
    ordinary = reply.replace(json.dumps(KEY[:9])[1:-1], "slow").encode()
    assert without_keys(ordinary) is ordinary
    assert without_keys(ordinary[:-20]) == ordinary[:-20]
