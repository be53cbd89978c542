"""Sound files by name and header: one answer for import, training and `encode`, with nothing decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

__all__ = [
    "AUDIO_SUFFIXES",
    "DECODABLE_SUFFIXES",
    "MAXIMUM_CHANNELS",
    "SAMPLE_RATES_HZ",
    "UNDECODABLE_SUFFIXES",
    "WavHeader",
    "audio_path",
    "header_fault",
    "is_audio_name",
    "is_there",
    "read_wav_header",
    "stays_below",
    "undecodable",
]

#: What training decodes (libsndfile), and what is sound all the same, but of codecs libsndfile has not.
_DECODED = "aif aifc aiff caf flac mp2 mp3 oga ogg opus rf64 w64 wav wave"
_NOT_DECODED = "aac ac3 alac amr ape dff dsf dts m4a m4b m4r mid midi mka mp1 mp4 mpc ra spx tta webm wma wv"
DECODABLE_SUFFIXES = tuple(f".{kind}" for kind in _DECODED.split())
UNDECODABLE_SUFFIXES = tuple(f".{kind}" for kind in _NOT_DECODED.split())
AUDIO_SUFFIXES = tuple(sorted(DECODABLE_SUFFIXES + UNDECODABLE_SUFFIXES))

SAMPLE_RATES_HZ = (1_000, 768_000)  # no recording lies outside; resampling from 1 Hz makes gigabytes of nothing
MAXIMUM_CHANNELS = 64
_MAXIMUM_CHUNKS = 10_000
_TO_THE_END = 0xFFFFFFFF  # what a program writes as size when it cannot go back to fill it in


def is_audio_name(name: str) -> bool:
    """True when the name ends like a sound file's, in any case of letters."""
    return name.strip().lower().endswith(AUDIO_SUFFIXES)


def undecodable(name: str) -> str | None:
    """Reason why files of this ending are never decoded; None for those that are."""
    suffix = Path(name.strip()).suffix.lower()
    return f"{suffix} files cannot be decoded" if suffix in UNDECODABLE_SUFFIXES else None


def is_there(path: Path) -> bool:
    """Whether the path is a file; a name that no disk can hold is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def audio_path(text: str) -> Path | None:
    """The path that `text` names, when it is one of a sound file and no words; it need not exist.

    A path is what ends like a sound file, a `file:` address, whatever lies there as a file or broken link, and a
    folder named with a slash.
    """
    name = text.strip()
    if not name or "\n" in name or "\0" in name:
        return None
    if name.lower().startswith("file:/"):
        return Path(unquote(urlsplit(name).path))
    try:
        path = Path(name).expanduser()
    except RuntimeError:  # "~nobody"
        path = Path(name)
    if is_audio_name(name):
        return path
    try:
        if path.is_dir():
            return path if "/" in name else None
        return path if path.is_file() or path.is_symlink() else None
    except OSError:  # longer than any name on disk: words
        return None


def stays_below(root: Path, path: Path) -> bool:
    """True when `path`, its links followed, lies in the folder `root`, which is resolved already."""
    return path.resolve().is_relative_to(root)


def header_fault(sample_rate_hz: float, channels: int) -> str | None:
    """Fault of an impossible header, in words; None when rate and channels can be."""
    low, high = SAMPLE_RATES_HZ
    if not low <= sample_rate_hz <= high:
        return f"its header tells of {sample_rate_hz:,.0f} samples a second"
    if not 1 <= channels <= MAXIMUM_CHANNELS:
        return f"its header tells of {channels:,} channels"
    return None


@dataclass(frozen=True)
class WavHeader:
    """Contents of a WAV file by its header and real size."""

    duration_s: float | None
    fault: str | None = None  # why it cannot be used
    missing_bytes: int = 0  # that the header promises and the file has not


def read_wav_header(path: Path) -> WavHeader | None:
    """The header of a RIFF, RIFX or RF64 file; None when it is none of these.

    A size of 0xFFFFFFFF, as a pipe leaves it, and 0 before further bytes mean "to the end of the file".
    """
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
            return None
        size = path.stat().st_size
        try:
            return _walk(stream, size, ">" if head[:4] == b"RIFX" else "<")
        except struct.error:
            return WavHeader(None, "its header is cut short")


def _walk(stream: BinaryIO, size: int, order: str) -> WavHeader:
    rate_hz = channels = block_align = bits = code = 0
    data_64: int | None = None
    for _ in range(_MAXIMUM_CHUNKS):
        head = stream.read(8)
        if len(head) < 8:
            return WavHeader(None, "it has no sound in it")
        name, length = head[:4], struct.unpack(order + "I", head[4:])[0]
        if name == b"ds64" and length >= 16:
            data_64 = struct.unpack(order + "QQ", stream.read(16))[1]
            stream.seek(length - 16 + length % 2, 1)
        elif name == b"fmt ":
            if length < 16:
                return WavHeader(None, "its header is cut short")
            code, channels, rate_hz, _, block_align, bits = struct.unpack(order + "HHIIHH", stream.read(16))
            stream.seek(length - 16 + length % 2, 1)
        elif name == b"data":
            if not rate_hz and not channels:
                return WavHeader(None, "its sound comes before its header")
            there = size - stream.tell()
            break
        else:
            stream.seek(length + length % 2, 1)
    else:
        return WavHeader(None, f"it has more than {_MAXIMUM_CHUNKS:,} chunks")
    if fault := header_fault(rate_hz, channels):
        return WavHeader(None, fault)
    plain = code in (1, 3, 0xFFFE)
    if plain and (not 8 <= bits <= 64 or block_align != channels * ((bits + 7) // 8)):
        return WavHeader(None, f"its header tells of {bits} bits a sample and {block_align} bytes a frame")
    to_the_end = length in (0, _TO_THE_END) and data_64 is None
    promised = there if to_the_end else data_64 if data_64 is not None and length == _TO_THE_END else length
    duration_s = min(promised, there) / (rate_hz * block_align) if plain else None
    return WavHeader(duration_s, missing_bytes=max(0, promised - there))
