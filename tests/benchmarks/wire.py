"""CPU of one call on the wire, by the layer of the `openai` client it goes through; ours is the last row.

Each row is a process of its own, 64 calls in flight, a 4 kB request and a 2 kB reply, start-up not counted.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import aiohttp
import httpx2

from sourcing.generation.endpoint.client import ChatClient
from sourcing.generation.endpoint.connection import connect, openai_client
from sourcing.generation.endpoint.endpoint import Endpoint
from tests.benchmarks.measure import Measured, print_table, serving

CALLS = int(os.environ.get("CALLS", "3000"))
IN_FLIGHT = 64
_WARM_UP = 200
_BODY = {"model": "bench", "messages": [{"role": "user", "content": "x" * 4000}]}
_BYTES = json.dumps(_BODY).encode()

Ask = Callable[[], Awaitable[bytes]]


def main() -> None:
    rows = []
    with serving(1) as base:
        for name, what in _LAYERS.items():
            command = [sys.executable, "-m", "tests.benchmarks.wire", name, base]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append((what, CALLS, Measured(**json.loads(done.stdout))))
    print_table(f"{CALLS} calls, {IN_FLIGHT} in flight, zero-latency loopback, start-up left out", rows)


_LAYERS = {
    "create": "openai, chat.completions.with_raw_response.create",
    "post": "openai, client.post of prepared bytes",
    "http": "its HTTP client, request built and sent",
    "session": "its aiohttp session",
    "bare": "bare aiohttp, no headers of openai's",
    "ours": "ChatClient.send_bytes",
}


async def measure_layer(name: str, base: str) -> Measured:
    endpoint = Endpoint(name=base, identity=base, model="bench", base_url=f"{base}/v1", api_key="sk-0123456789")
    client, http_client = openai_client(endpoint, timeout_s=60, concurrency=IN_FLIGHT)
    taken_out = await connect(endpoint, timeout_s=60, concurrency=IN_FLIGHT)
    url = f"{base}/v1/chat/completions"
    async with (
        ChatClient(endpoint, timeout_s=60, concurrency=IN_FLIGHT) as ours,
        client,
        taken_out.openai,
        aiohttp.ClientSession() as bare,
    ):
        headers = dict(taken_out.headers)
        plain = {"Content-Type": "application/json"}

        async def create() -> bytes:
            return (await client.chat.completions.with_raw_response.create(**_BODY)).content

        async def post() -> bytes:
            return (await client.post("/chat/completions", content=_BYTES, cast_to=httpx2.Response)).content

        async def http() -> bytes:
            request = http_client.build_request("POST", url, headers=headers, content=_BYTES)
            return (await http_client.send(request)).content

        async def session() -> bytes:
            async with taken_out.session.post(url, headers=headers, data=_BYTES) as response:
                return await response.read()

        async def bare_aiohttp() -> bytes:
            async with bare.post(url, headers=plain, data=_BYTES) as response:
                return await response.read()

        async def send() -> bytes:
            return (await ours.send_bytes(_BYTES)).raw

        asks = {"create": create, "post": post, "http": http, "session": session, "bare": bare_aiohttp, "ours": send}
        await _ask(asks[name], _WARM_UP)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        await _ask(asks[name], CALLS)
        return Measured(time.perf_counter() - wall_s, time.process_time() - cpu_s, "")


async def _ask(ask: Ask, calls: int) -> None:
    numbers = iter(range(calls))

    async def worker() -> None:
        for _ in numbers:
            assert len(await ask()) > 1500

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


if __name__ == "__main__":
    done = asyncio.run(measure_layer(sys.argv[1], sys.argv[2]))
    print(json.dumps({"wall_s": done.wall_s, "cpu_s": done.cpu_s, "stdout": ""}))
