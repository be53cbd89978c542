"""Dump files as plain streams, unpacked from any common compression, and the error for a torn one."""

from __future__ import annotations

import contextlib
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sourcing.errors import InputError

__all__ = ["TORN", "is_tar", "open_dump", "packed_position", "torn"]

_BUFFER_BYTES = 1 << 16
_TAR_MAGIC = slice(257, 262)
#: What the readers of packed files raise where the file ends too early or its bytes make no sense.
TORN = (EOFError, OSError, lzma.LZMAError, tarfile.TarError, zlib.error)


@contextlib.contextmanager
def open_dump(path: Path) -> Iterator[io.BufferedReader]:
    """The unpacked bytes of a file packed by gzip, xz, bzip2, zstd or not at all, told apart by its first bytes."""
    with contextlib.ExitStack() as stack:
        try:
            raw_stream = stack.enter_context(path.open("rb"))
        except OSError as error:
            raise InputError(str(path), f"cannot be read ({error.strerror})", "name a dump file") from None
        _open_files[path] = raw_stream
        stack.callback(_open_files.pop, path)
        stream = stack.enter_context(_unpacked(raw_stream))
        yield stack.enter_context(io.BufferedReader(_Pieces(stream), _BUFFER_BYTES))


def packed_position(path: Path) -> int | None:
    """How many bytes of a dump that is being read are unpacked; None for a file that `open_dump` has not open."""
    return _open_files[path].tell() if path in _open_files else None


_open_files: dict[Path, io.BufferedReader] = {}  # a reader gives records, and nothing of where it is


def is_tar(stream: io.BufferedReader) -> bool:
    """Whether the stream holds a tar archive; takes nothing from it."""
    return stream.peek(512)[_TAR_MAGIC] == b"ustar"


def torn(path: Path, records: int, error: BaseException) -> InputError:
    """The error of a dump that breaks off; what came before it was good."""
    finding = f"it breaks off after {records} records ({type(error).__name__}: {str(error)[:200]})"
    return InputError(str(path), finding, "fetch it again and compare its checksum; the records before that are sound")


class _Pieces(io.RawIOBase):
    """What the decoder has at hand, no more: its own `read` loses that when the file breaks off under it."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self.unpacked = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.unpacked.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _unpacked(stream: io.BufferedReader) -> io.BufferedIOBase:
    head = stream.read(6)
    stream.seek(0)
    if head.startswith(b"\x1f\x8b"):
        import gzip

        return gzip.GzipFile(fileobj=stream)
    if head.startswith(b"\xfd7zXZ"):
        return lzma.LZMAFile(stream)
    if head.startswith(b"BZh"):
        import bz2

        return bz2.BZ2File(stream)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        from backports import zstd

        return zstd.ZstdFile(stream)
    return stream
