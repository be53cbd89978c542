"""A loopback HTTP server for tests: a handler function, and a log of what was asked and fully answered."""

from __future__ import annotations

import contextlib
import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request as the server saw it; `answered` turns true once the whole reply was written."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    at_s: float = 0.0
    answered: bool = False


@dataclass
class Reply:
    """An answer; a body that is neither bytes nor text is sent piece by piece, until the connection is closed."""

    body: bytes | str | Iterable[bytes] = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # the default of 5 stalls a client that opens more connections at once

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that was killed is no news
            super().handle_error(request, client_address)


class Loopback:
    """`with Loopback(lambda asked: Reply("hi")) as server: get(server.url + "/x")`; look at `server.log` after."""

    def __init__(self, handle: Callable[[Asked], Reply]) -> None:
        self.log: list[Asked] = []
        self.clients, self._changed = 0, threading.Condition()
        log, lock, served = self.log, threading.Lock(), self._served

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # the body would wait 40 ms for the client to have said it has the headers

            def handle(self) -> None:
                with served():
                    super().handle()

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                asked = Asked(self.command, self.path, dict(self.headers), self.rfile.read(length), time.monotonic())
                with lock:
                    log.append(asked)
                reply = handle(asked)
                whole = isinstance(reply.body, bytes | str)
                body = reply.body.encode() if isinstance(reply.body, str) else reply.body
                try:
                    self.send_response(reply.status)
                    headers = {
                        "Content-Type": "text/html; charset=utf-8",
                        **({"Content-Length": str(len(body))} if whole else {"Connection": "close"}),
                        **reply.headers,
                    }
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for piece in [body] if whole else body:
                        self.wfile.write(piece)
                    self.wfile.flush()
                    asked.answered = True
                except OSError:
                    self.close_connection = True  # the client went away; `answered` stays false

            do_GET = do_POST = do_HEAD = _serve

            def log_message(self, *_: Any) -> None:
                pass

        self.server = _QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    @contextlib.contextmanager
    def _served(self) -> Iterator[None]:
        """A client is connected."""
        with self._changed:
            self.clients += 1
        try:
            yield
        finally:
            with self._changed:
                self.clients -= 1
                self._changed.notify_all()

    def settle(self) -> None:
        """Return once all that clients asked before they went away is in the log; asks for /robots.txt itself."""
        last = http.client.HTTPConnection(*self.server.server_address[:2])  # connections are taken in turn
        with contextlib.closing(last):
            last.request("GET", "/robots.txt")
            last.getresponse().read()
        with self._changed:
            if not self._changed.wait_for(lambda: not self.clients, timeout=60):
                raise TimeoutError(f"{self.clients} clients are still connected")

    def __enter__(self) -> Loopback:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
