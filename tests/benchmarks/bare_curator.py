"""A peer of the generation benchmark: bespokelabs-curator's LLM over the same calls, with its own cache in a folder.

Its tokenizer tables cannot be fetched without the internet, so counting tokens is stubbed: that spares it work.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from typing import Any

os.environ.update(CURATOR_DISABLE_RICH_DISPLAY="1", TELEMETRY_ENABLED="false", HF_HUB_OFFLINE="1", OPENAI_API_KEY="x")

import tiktoken


class _Encoding:
    def encode(self, text: str, *_: Any, **__: Any) -> range:
        return range(len(text) // 4)


tiktoken.get_encoding = tiktoken.encoding_for_model = lambda *_: _Encoding()  # type: ignore[assignment]

from bespokelabs import curator  # noqa: E402


class Ask(curator.LLM):  # type: ignore[misc]
    def prompt(self, row: dict[str, Any]) -> str:
        return str(row["text"])

    def parse(self, row: dict[str, Any], response: Any) -> dict[str, Any]:
        return {"said": str(response)}


if __name__ == "__main__":
    base, calls, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with tempfile.TemporaryDirectory() as folder:
        limits = {"max_requests_per_minute": 10**7, "max_tokens_per_minute": 10**10}
        params = {"base_url": f"{base}/v1", "max_concurrent_requests": in_flight, **limits}
        asker = Ask(model_name="gpt-4o-mini", backend="openai", backend_params=params)
        started_s, cpu_s = time.perf_counter(), time.process_time()
        asker([{"text": f"{number} " + "x" * 4000} for number in range(calls)], working_dir=folder)
        print(json.dumps({"wall_s": time.perf_counter() - started_s, "cpu_s": time.process_time() - cpu_s}))
