"""The embedded server's own process: llama.cpp on a loopback port, gone as soon as the process that started it is.

It is run as a file and imports nothing of ours. One line of JSON on stdin says what to serve and under which key, one
line on stdout says where, or what went wrong; then it serves until stdin is closed, as any death of its parent does.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from typing import Any


def main() -> None:
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # what the library prints is not for a terminal, and not part of the one line
        os.dup2(nowhere, descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # calls in flight end before the parent closes stdin
    request = json.loads(sys.stdin.readline() or "null")
    if request is None:
        return
    watching = threading.Thread(target=_exit_with_parent, daemon=True)
    watching.start()
    try:
        server = _serve(**request)
        reply = {"base_url": f"{server.listening_address}/v1"}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    with report:
        report.write(json.dumps(reply) + "\n")
    watching.join()


def _exit_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # without waiting for calls nobody will hear the answer of


def _serve(*, path: str, alias: str, key: str, context_tokens: int, prompt_threads: int) -> Any:
    # Read once, when the OpenMP runtime loads: spinning threads on a shared core cost 90 % of the speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {alias}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context_tokens
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = prompt_threads
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.ui = False
    params.offline = True
    params.verbosity = -1
    params.api_keys = [key]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
