"""A peer of the generation benchmark: a bare loop over `litellm.acompletion`, storing nothing."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import litellm


async def ask(base: str, calls: int, in_flight: int) -> None:
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            message = {"role": "user", "content": f"{number} " + "x" * 4000}
            reply = await litellm.acompletion(
                model="openai/bench", api_base=f"{base}/v1", api_key="x", messages=[message], num_retries=0
            )
            assert reply.choices[0].message.content

    await asyncio.gather(*(worker() for _ in range(in_flight)))


if __name__ == "__main__":
    litellm.suppress_debug_info = True
    started_s, cpu_s = time.perf_counter(), time.process_time()
    asyncio.run(ask(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
    print(json.dumps({"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s}))
