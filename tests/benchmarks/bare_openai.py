"""The peer of the generation benchmark: a bare loop over `openai` raw responses on aiohttp, storing nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from openai import AsyncOpenAI, DefaultAioHttpClient


async def ask(base: str, calls: int, in_flight: int) -> None:
    async with AsyncOpenAI(
        base_url=f"{base}/v1", api_key="x", max_retries=0, http_client=DefaultAioHttpClient()
    ) as client:
        numbers = iter(range(calls))

        async def worker() -> None:
            for number in numbers:
                message = {"role": "user", "content": f"{number} " + "x" * 4000}
                raw = await client.chat.completions.with_raw_response.create(model="bench", messages=[message])
                assert raw.content

        await asyncio.gather(*(worker() for _ in range(in_flight)))


if __name__ == "__main__":
    started_s, cpu_s = time.perf_counter(), time.process_time()
    asyncio.run(ask(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps({"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s}))
