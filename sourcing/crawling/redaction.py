"""Redaction: keys and tokens taken out of URLs and headers before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

__all__ = ["strip_header_secrets", "strip_secrets"]

# Only names that cannot mean anything else: what is stripped here is not asked for either.
_SECRET_NAMES = r"api[_-]?key|(?:access|auth|refresh)[_-]?token|token|client[_-]?(?:id|secret)|secret|password|passwd"
_SECRET_PAIR = re.compile(rf"(?i)(?:^|(?<=&))(?:{_SECRET_NAMES})=[^&]*&?")
_SECRET_IN_VALUE = re.compile(rf"(?i)([?&;](?:{_SECRET_NAMES})=)[^&;\s\"'<>]+")
_SECRET_HEADERS = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "authentication-info",
        "www-authenticate",
        "cookie",
        "cookie2",
        "set-cookie",
        "set-cookie2",
        "x-api-key",
        "api-key",
        "x-auth-token",
        "x-csrf-token",
        "x-amz-security-token",
    }
)


def strip_secrets(url: str) -> str:
    """The URL without user info, fragment and query parameters that carry keys or tokens; the rest is untouched."""
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    query = _SECRET_PAIR.sub("", parts.query).rstrip("&") if "=" in parts.query else parts.query
    return urlunsplit((parts.scheme, netloc, parts.path, query, ""))


def strip_header_secrets(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without those that carry credentials; keys in URLs inside the others are blotted out."""
    return [
        (name, _SECRET_IN_VALUE.sub(r"\1REDACTED", value) if "=" in value else value)
        for name, value in headers
        if name.lower() not in _SECRET_HEADERS
    ]
