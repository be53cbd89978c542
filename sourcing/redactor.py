"""Redactor: the keys and passwords this process knows, blotted out of whatever it writes down or prints.

A server that was handed a key may hand it back, in a body, a header, a redirect or an error: see `spellings` for how.
A key shorter than four characters, or of a few small letters like `none`, is taken for the placeholder it mostly is: to
blot it out would blot out words.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import math
import os
import re
import sys
import traceback
import zlib
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, TextIO, cast
from urllib.parse import unquote, urlsplit

from sourcing.errors import UsageError
from sourcing.spellings import escaped, hints, literal_spellings, patterns

__all__ = ["BLOT", "Redactor", "guarded_output", "key_fault", "know", "read_key", "redact", "redact_bytes"]

BLOT = "[key]"
_BLOT = BLOT.encode()

#: Variables whose names say that they hold a secret; others are known once `know` is told of them.
_SECRET_NAME = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|CLIENT_ID)$")
_SHORTEST, _LONG_ENOUGH = 4, 8
_WIDE = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_UNPACKED_BYTES = 64_000_000
_MASK = b"***"


class Redactor:
    """Blots out the secrets it knows. With none it hands back what it is given."""

    def __init__(self, *secrets: str) -> None:
        self._secrets: set[str] = set()
        self._shortest: float = math.inf  # no spelling is shorter
        self._spellings: list[tuple[int, list[bytes], list[re.Pattern[bytes]]]] = []  # the longest secret first
        self._hints: list[bytes] = []
        self._escapes: list[re.Pattern[bytes]] = []
        self.know(*secrets)

    def know(self, *secrets: str | None) -> None:
        for secret in secrets:
            if secret and secret not in self._secrets and not _is_placeholder(secret):
                self._secrets.add(secret)
                self._shortest = min(self._shortest, len(secret))
                self._hints += hints(secret)
                self._escapes = escaped(self._secrets)
                regexes = patterns(secret, alone=len(secret) < _LONG_ENOUGH)
                self._spellings.append((len(secret), literal_spellings(secret), list(regexes)))
                self._spellings.sort(key=lambda spelling: -spelling[0])

    def text(self, text: str) -> str:
        if len(text) < self._shortest:
            return text
        data = text.encode("utf-8", "surrogatepass")
        clean = self._blotted(data)
        return text if clean is data else clean.decode("utf-8", "surrogatepass")

    def data(self, data: bytes) -> bytes:
        """The data without secrets; the same object when it holds none. What is gzip is looked into, and packed
        anew.
        """
        if len(data) < self._shortest:
            return data
        if data.startswith(b"\x1f\x8b"):
            with contextlib.suppress(OSError, EOFError, zlib.error):  # broken: nobody else can unpack it either
                content = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_UNPACKED_BYTES)
                clean = self._blotted(content)
                return data if clean == content else gzip.compress(clean, mtime=0)
        return self._blotted(data)

    def _blotted(self, data: bytes) -> bytes:
        if self._may_hold(data):
            for _, literals, regexes in self._spellings:
                for literal in literals:
                    data = data.replace(literal, _BLOT)
                for pattern in regexes:
                    data = pattern.sub(_BLOT, data)
        return self._wide(data) if b"\0" in data else data

    def _wide(self, data: bytes) -> bytes:
        """Redact text of two or four bytes a character, with or without a byte order mark."""
        for form, width in _WIDE.items():
            whole = len(data) - len(data) % width
            try:
                text = data[:whole].decode(form, "surrogatepass")
            except UnicodeDecodeError:
                continue  # then it is not of this form
            if "\0" not in text and (clean := self.text(text)) != text:
                return clean.encode(form, "surrogatepass") + data[whole:]
        return data

    def _may_hold(self, data: bytes) -> bool:
        """False for data without a trace of a secret, at a twentieth of the patterns' cost."""
        lower = data.lower()
        return (
            any(hint in lower for hint in self._hints)
            or _MASK in data
            or any(escape.search(data) for escape in self._escapes)
        )


def know(*secrets: str | None) -> None:
    """Secrets that no variable's name tells of: a key handed over, the password of an address."""
    _of_this_process().know(*secrets)


def redact(text: str) -> str:
    """The text without the secrets of this process. Call it before the text is cut: half a key is none to it."""
    return _of_this_process().text(text)


def redact_bytes(data: bytes) -> bytes:
    """The same for bytes in whatever encoding."""
    return _of_this_process().data(data)


@functools.cache
def _of_this_process() -> Redactor:
    from urllib.request import getproxies  # takes longer to import than `--help` has

    secrets = [value for name, value in os.environ.items() if _SECRET_NAME.search(name.upper())]
    passwords = [_password(proxy) for proxy in getproxies().values()]
    return Redactor(*secrets, *passwords, *(unquote(password) for password in passwords))


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""  # no address, and nothing is asked through it


def _is_placeholder(secret: str) -> bool:
    return len(secret) < _SHORTEST or (len(secret) < _LONG_ENOUGH and secret.isalpha() and secret.islower())


def key_fault(key: str) -> str:
    """The fault of a key in a variable, in words that do not show the key; empty when nothing is."""
    if not key.strip():
        return "there is nothing but spaces in it" if key else "it is set and empty"
    if "\n" in key or "\r" in key:
        return "there is a line end in it"
    if not key.isascii():
        return "there is a letter in it that no key has (beyond ASCII)"
    if not key.isprintable():
        return "there is a control character in it"
    if key != key.strip():
        return "there is a space before or behind it"
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'`":
        return "it stands in quotes"
    return ""


def read_key(environment: Mapping[str, str], name: str) -> str | None:
    """The key in that variable, known to the redactor from now on; None where it is not set.

    UsageError for one that cannot be a key, before a header is made of it.
    """
    key = environment.get(name)
    if key is not None and (fault := key_fault(key)):
        raise UsageError(f"variable {name}", fault, "set it to the key alone, in one line, or unset it")
    know(key)
    return key


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Redact all output printed inside the block, tracebacks of unforeseen errors included."""
    sys.excepthook = _print_error
    out, err = (cast("TextIO", _Guarded(stream)) for stream in (sys.stdout, sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


class _Guarded:
    """A text stream that redacts what is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _print_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))
