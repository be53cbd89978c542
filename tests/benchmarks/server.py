"""The server of the benchmarks: 12 kB song pages and chat completions, answered at once (aiohttp, loopback)."""

from __future__ import annotations

import json
import socket
import sys

from aiohttp import web

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


def application(pages: int) -> web.Application:
    bodies = [page(number).encode() for number in range(pages)]
    reply = json.dumps(_REPLY).encode()

    async def song(request: web.Request) -> web.Response:
        return web.Response(body=bodies[int(request.match_info["number"])], content_type="text/html", charset="utf-8")

    async def chat(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=reply, content_type="application/json")

    app = web.Application()
    app.router.add_get("/song/{number}", song)
    app.router.add_post("/v1/chat/completions", chat)
    return app


if __name__ == "__main__":
    sock = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
    web.run_app(application(int(sys.argv[1])), sock=sock, print=None, access_log=None)
