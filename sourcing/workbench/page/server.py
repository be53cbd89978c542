"""The page live on loopback: made anew for every visit, and decisions taken in from it and from nowhere else."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sourcing.errors import CrossmusimError, UsageError

__all__ = ["PageServer"]

MAX_BODY_BYTES = 5_000_000
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
}


@dataclass(frozen=True)
class PageServer:
    """`page` gives the page's HTML for a token, `stamp` what changes when there is something new to see, `decide` takes
    the body of decisions in and says what became of them.
    """

    page: Callable[[str], str]
    stamp: Callable[[], str]
    decide: Callable[[bytes], str]
    port: int = 0

    def start(self) -> tuple[ThreadingHTTPServer, str]:
        """The server, listening on 127.0.0.1, and its address; UsageError where the port is taken."""
        token = secrets.token_urlsafe(24)
        try:
            server = _Server(("127.0.0.1", self.port), _Handler)
        except OSError as error:
            raise UsageError(
                f"--port {self.port}", f"it cannot be listened on ({error.strerror})", "name another"
            ) from error
        server.own, server.token = self, token
        return server, f"http://127.0.0.1:{server.server_address[1]}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    own: PageServer
    token: str

    @property
    def hosts(self) -> tuple[str, str]:
        port = self.server_address[1]
        return f"127.0.0.1:{port}", f"localhost:{port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that hangs up is no error worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30
    server_version, sys_version = "crossmusim", ""

    def do_GET(self) -> None:
        if not self._is_ours():
            return
        if self.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.own.page(self.server.token))
        elif self.path == "/stamp":
            self._tell(HTTPStatus.OK, stamp=self.server.own.stamp())
        else:
            self._tell(HTTPStatus.NOT_FOUND, said="there is only /")

    def do_POST(self) -> None:
        """Take decisions in: only from a page of this server, which knows its token."""
        if not self._is_ours(with_token=True):
            return
        length = self.headers.get("Content-Length", "")
        if self.path != "/decisions":
            self._tell(HTTPStatus.NOT_FOUND, said="there is only /decisions")
        elif not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            self._tell(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, said=f"more than {MAX_BODY_BYTES:,} bytes, or no length")
        else:
            try:
                self._tell(HTTPStatus.OK, said=self.server.own.decide(self.rfile.read(int(length))))
            except CrossmusimError as error:
                self._tell(HTTPStatus.UNPROCESSABLE_ENTITY, said=str(error))
            except (TimeoutError, OSError) as error:
                self._tell(HTTPStatus.INTERNAL_SERVER_ERROR, said=f"it could not be written ({error})")

    def _is_ours(self, *, with_token: bool = False) -> bool:
        """False, and answered so, for a request by another name (DNS rebinding), from another site or without token."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        problem = ""
        if host not in self.server.hosts:
            problem = "this server is asked by another name"
        elif (origin is not None and origin != f"http://{host}") or self.headers.get("Sec-Fetch-Site", "none") not in (
            "none",
            "same-origin",
        ):
            problem = "the request comes from another site"
        elif with_token and not secrets.compare_digest(self.headers.get("X-Token", ""), self.server.token):
            problem = "the request does not come from this page"
        if problem:
            self._tell(HTTPStatus.FORBIDDEN, said=problem)
        return not problem

    def _tell(self, status: HTTPStatus, **values: str) -> None:
        self._send(status, "application/json", json.dumps(values, ensure_ascii=False))

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal is the user's."""
