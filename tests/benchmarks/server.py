"""The server of the benchmarks: 12 kB song pages and chat completions, answered at once.

It shares two cores with what is measured, so it does the least that a server can: whole bodies made beforehand, of a
request nothing but its first line and length. A framework costs five times the CPU, which the measured would lack.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable

_SENTENCE = "A slow piece for piano and cello with a brushed snare, recorded in a large hall."
_PROSE = f"<p>{_SENTENCE} {'It is calm. ' * 20}</p>"
_SOUNDS = ("slow solo piano", "warm low cello", "brushed snare drum", "large hall reverb", "calm and wistful mood")
_ASPECTS = [{"text": f"{sound} {n}", "facet": "other"} for n in ("softly", "in front") for sound in _SOUNDS]
_REPLY = {  # about 2 kB, and as the pack `recall` wants it
    "system_fingerprint": "x" * 600,
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {
                "role": "assistant",
                "content": json.dumps({"known": True, "aspects": _ASPECTS, "caption": _SENTENCE * 4}),
            },
        }
    ],
    "usage": {"prompt_tokens": 900, "completion_tokens": 400, "total_tokens": 1300},
}


def page(number: int) -> str:
    data = {
        "@context": "https://schema.org",
        "@type": "MusicRecording",
        "name": f"Song {number}",
        "byArtist": {"@type": "MusicGroup", "name": f"Artist {number % 50}"},
        "duration": "PT3M12S",
        "genre": ["folk", "ambient"],
    }
    head = f'<script type="application/ld+json">{json.dumps(data)}</script><title>Song {number}</title>'
    body = f"<h1>Song {number}</h1><h2 class='artist'>Artist {number % 50}</h2>" + _PROSE * 33
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


class Answering(asyncio.Protocol):
    """One connection, kept alive; `answer` gives the whole response to a method and path."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer, self._received = answer, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:head_end])
            length = _CONTENT_LENGTH.search(head)
            end = head_end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < end:
                return
            del self._received[:end]
            self._transport.write(self._answer(head.partition(b" HTTP/")[0]))


_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def response(status: str, content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def serve(pages: int) -> None:
    """Print the address, then answer until terminated."""
    responses = {
        f"GET /song/{number}".encode(): response("200 OK", "text/html; charset=utf-8", page(number).encode())
        for number in range(pages)
    }
    responses[b"POST /v1/chat/completions"] = response("200 OK", "application/json", json.dumps(_REPLY).encode())
    missing = response("404 Not Found", "text/plain", b"not found")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Answering(lambda asked: responses.get(asked, missing)), "127.0.0.1", 0, backlog=512
    )
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
