"""Why a request brought no answer: what we or the site refuse, what waits, and the names of what failed."""

from __future__ import annotations

import re

from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    IgnoreRequest,
    ResponseDataLossError,
    UnsupportedURLSchemeError,
)

from sourcing.redactor import redact

__all__ = ["Denied", "Moved", "Postponed", "Refused", "Unreachable", "failure_told", "name_failure"]


class Refused(IgnoreRequest):
    """A URL that we never request; `reason` is short and countable."""

    def __init__(self, reason: str, finding: str) -> None:
        self.reason, self.finding = reason, finding
        super().__init__(f"{reason}: {finding}")


class Denied(IgnoreRequest):
    """The site says no; `again_s` tells how long a passing one holds, such as a file answered by a 5xx."""

    def __init__(self, signal: str, *, again_s: float = 0.0) -> None:
        self.signal, self.again_s = signal, again_s
        super().__init__(signal)


class Postponed(IgnoreRequest):
    """Not now, and not the task's fault: its host is paused until then, or the crawl is stopping."""

    def __init__(self, until: float, why: str) -> None:
        self.until, self.why = until, why
        super().__init__(why)


class Moved(IgnoreRequest):
    """A redirect leads to another host: whoever asks that one goes on there, from `until` on."""

    def __init__(self, url: str, until: float, latency_s: float) -> None:
        self.url, self.until, self.latency_s = url, until, latency_s
        super().__init__(url)


class Unreachable(IgnoreRequest):
    """A host that failed to give its robots.txt."""


def failure_told(error: BaseException) -> str:
    """Message of an error, without memory addresses of TLS settings."""
    return redact(re.sub(r" ssl:(?:<[^>]*>|\w+)", "", str(error)))[:200]


def name_failure(error: BaseException) -> tuple[str, bool]:
    """A countable reason, and whether trying again may help."""
    if isinstance(error, DownloadConnectionRefusedError | CannotResolveHostError):
        return "connect_failed", True
    if isinstance(error, DownloadTimeoutError):
        return "timeout", True
    if isinstance(error, ResponseDataLossError):
        return "cut_short", True
    if isinstance(error, DownloadFailedError):
        return "connection_lost", True
    if isinstance(error, DownloadCancelledError) or "DOWNLOAD_MAXSIZE" in str(error):
        return "body_too_large", False
    if isinstance(error, UnsupportedURLSchemeError):
        return "url_unusable", False
    if isinstance(error, IgnoreRequest):
        return "too_many_redirects", False
    if isinstance(error, OSError | EOFError):
        return "body_undecodable", False
    return "download_error", True
