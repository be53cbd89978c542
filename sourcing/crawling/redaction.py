"""Redaction: keys and tokens taken out of URLs and headers before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit, urlunsplit

from sourcing.redactor import redact

__all__ = ["strip_header_secrets", "strip_secrets"]

# Only names that cannot mean anything else: what is stripped here is not asked for either.
_SECRET_NAMES = r"api[_-]?key|(?:access|auth|refresh)[_-]?token|token|client[_-]?(?:id|secret)|secret|password|passwd"
_SECRET_PAIR = re.compile(rf"(?i)(?:^|(?<=&))(?:{_SECRET_NAMES})=[^&]*&?")
#: Signatures let their bearer in too, but the address they belong to is of no use without them: asked for as it is.
_SIGNATURES = r"(?:x-(?:amz|goog)-)?(?:signature|credential|security-token)|sig|awsaccesskeyid|session[_-]?id|jwt"
#: In a header a URL may lie inside another's parameter, and is percent-encoded there.
_SECRET_IN_VALUE = re.compile(
    rf"(?i)((?:[?&;#]|%3f|%26|%23)(?:{_SECRET_NAMES}|{_SIGNATURES})(?:=|%3d))(?:(?!%26|%23)[^&;#\s\"'<>])+"
)
_USER_INFO = re.compile(r"(?i)(://|%3a%2f%2f)[^/\s\"'<>@]{1,256}(?:@|%40)")
_SECRET_HEADER = re.compile(
    r"(?i)(?:^|[-_])(?:authorization|authenticate|authentication(?:-info)?|auth|cookie2?|api[-_]?key|apikey|token|secret"
    r"|password|session|csrf(?:-?token)?|xsrf(?:-?token)?|signature|credentials?)(?:$|[-_])"
)


def strip_secrets(url: str) -> str:
    """The URL without user info, fragment and query parameters that carry keys or tokens.

    The rest is untouched, unless one of our own keys is in it.
    """
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    query = _SECRET_PAIR.sub("", parts.query).rstrip("&") if "=" in parts.query else parts.query
    return redact(urlunsplit((parts.scheme, netloc, parts.path, query, "")))


def strip_header_secrets(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Headers without credentials; keys and user info in URLs inside the others are blotted out."""
    return [(name, _blotted(value)) for name, value in headers if not _SECRET_HEADER.search(name)]


def _blotted(value: str) -> str:
    if "=" in value or "%3" in value:
        value = _SECRET_IN_VALUE.sub(r"\1REDACTED", value)
    return _USER_INFO.sub(r"\1", value) if "@" in value or "%40" in value else value
