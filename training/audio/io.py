"""Sound files as mono waveforms: decode, resample, refuse unusable files, cut into clips.

Everything reads through `stream_blocks`, so that a whole file, a cached file and an hour-long stream
give the same samples. Letters in shapes: n samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sourcing.errors import AudioError
from sourcing.store.audio import header_fault, is_there, undecodable

__all__ = [
    "SAMPLE_RATE_HZ",
    "AudioRefused",
    "random_start",
    "stream_blocks",
    "stream_windows",
    "take",
    "to_pcm",
    "windows",
]

SAMPLE_RATE_HZ = 22_050

_SILENCE_PEAK = 1e-4  # -80 dBFS: three steps of 16 bits, above zeros with dither
_READ_S = 10.0  # decoded at once: long enough that calls cost nothing, short enough for flat memory
_READ_SAMPLES = 8_000_000  # at once, over all channels

Waveform = npt.NDArray[np.float32]


class AudioRefused(AudioError):
    """A sound file that cannot be used; `reason` is the short, countable name of why."""

    def __init__(self, reason: str, thing: str, finding: str, cure: str) -> None:
        super().__init__(thing, finding, cure)
        self.reason = reason


def stream_blocks(
    path: Path | str,
    block_s: float = _READ_S,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    *,
    minimum_s: float = 0.5,
) -> Iterator[Waveform]:
    """Yield the file as float32 mono blocks of exactly `block_s`, the last one shorter; memory stays flat.

    Raises AudioRefused for a file that is missing, unreadable, holds samples that are not numbers, is
    shorter than `minimum_s`, or never rises above -80 dBFS; the last two when the end is reached.
    """
    size = max(1, round(block_s * sample_rate_hz))  # samples of a block
    pending: list[Waveform] = []
    n_pending = n_total = 0
    peak = 0.0  # of the whole file, 1.0 being full scale
    for piece in _resampled(Path(path), sample_rate_hz):
        if not np.isfinite(piece).all():
            raise AudioRefused("audio_not_finite", str(path), "holds samples that are not numbers", "export it again")
        pending.append(piece)
        n_pending += len(piece)
        n_total += len(piece)
        peak = max(peak, float(np.abs(piece).max(initial=0.0)))
        # A full block is kept back until more arrives, so that the checks at the end come before the last one.
        while n_pending > size:
            samples = np.concatenate(pending)
            yield samples[:size]
            pending = [samples[size:]]
            n_pending -= size
    if n_total == 0:
        raise AudioRefused("audio_empty", str(path), "holds no sound at all", "export it again, or remove it")
    duration_s = n_total / sample_rate_hz
    if duration_s < minimum_s:
        finding = f"only {duration_s:.2g} s of sound"
        raise AudioRefused("audio_too_short", str(path), finding, f"give at least {minimum_s:g} s, or remove it")
    if peak < _SILENCE_PEAK:
        finding = "silent: no sample rises above -80 dBFS"
        raise AudioRefused("audio_silent", str(path), finding, "export it again, or remove it")
    if n_pending:
        yield np.concatenate(pending)


def stream_windows(
    path: Path | str, size: int, sample_rate_hz: int = SAMPLE_RATE_HZ, *, minimum_s: float = 0.5
) -> Iterator[Waveform]:
    """Yield the clips at the starts of `windows`, each (size,), at most three clips in memory."""
    previous: Waveform | None = None
    for block in stream_blocks(path, size / sample_rate_hz, sample_rate_hz, minimum_s=minimum_s):
        if len(block) == size:
            yield block
            previous = block  # the last window may start inside this block
        elif previous is None:
            yield take(block, 0, size)
        else:  # the last window ends with the track and overlaps the one before
            yield np.concatenate([previous[len(block) :], block])


def windows(n: int, size: int) -> list[int]:
    """Start samples of clips of `size` that cover a track of `n` samples, end included.

    Clips lie end to end; the last is flush with the end and so overlaps its neighbour. A track shorter
    than one clip gives one start, and `take` repeats the track to fill it.
    """
    if n <= size:
        return [0]
    starts = list(range(0, n - size + 1, size))  # end to end, as many as fit
    return starts if starts[-1] + size == n else [*starts, n - size]


def take(waveform: npt.NDArray[Any], start: int, size: int) -> npt.NDArray[Any]:
    """`size` samples from `start`, in the dtype given; a waveform shorter than `size` is repeated to fill it.

    Repeating, not zeros: silence of -100 dB is nothing the encoder ever saw, a loop is.
    """
    if len(waveform) < size:
        return np.resize(waveform, size)
    return np.asarray(waveform[start : start + size])


def random_start(n: int, size: int, rng: np.random.Generator) -> int:
    """A start for `take`, every position equally likely, the last possible one included."""
    return int(rng.integers(0, max(0, n - size), endpoint=True))


def to_pcm(waveform: Waveform) -> npt.NDArray[np.int16]:
    """Samples of float32 in [-1, 1) as int16; louder ones are clipped, not wrapped round."""
    pcm: npt.NDArray[np.int16] = np.clip(np.rint(waveform * 32_768.0), -32_768, 32_767).astype(np.int16)
    return pcm


def _resampled(path: Path, sample_rate_hz: int) -> Iterator[Waveform]:
    for piece, rate_hz, last in _decoded(path):
        if rate_hz == sample_rate_hz:
            yield piece
            continue
        if last is None:  # the first piece: the rate is known now; one resampler, so that no seam is heard
            resampler = soxr.ResampleStream(rate_hz, sample_rate_hz, num_channels=1, dtype="float32")
        yield resampler.resample_chunk(piece, last=bool(last))


def _decoded(path: Path) -> Iterator[tuple[Waveform, int, bool | None]]:
    """Yield (mono piece (n,), the file's rate in Hz, place) in order.

    The place is None for the first piece, True for the last, which is empty, and False for the others.
    """
    cure = "convert it to FLAC, WAV, OGG or MP3"
    if not is_there(path):
        finding = "no such file" if not os.path.isdir(path) else "a folder, not a sound file"  # noqa: PTH112, never raises
        raise AudioRefused("audio_missing", str(path)[:300], finding, "correct the path")
    if fault := undecodable(path.name):
        raise AudioRefused("audio_undecodable", str(path), fault, cure)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as sound:  # also a name that is no UTF-8
            rate_hz = sound.samplerate
            if fault := header_fault(rate_hz, sound.channels):
                raise AudioRefused("audio_unreadable", str(path), fault, "export it again, or remove it")
            place: bool | None = None
            # A frame is one sample of every channel: a file of 64 channels gets shorter pieces.
            frames = min(round(_READ_S * rate_hz), _READ_SAMPLES // sound.channels)
            while len(block := sound.read(frames, dtype="float32", always_2d=True)):
                # The mean over channels, not the left one: some recordings have an instrument on one side only.
                yield block.mean(axis=1, dtype=np.float32), rate_hz, place  # (n, channels) -> (n,)
                place = False
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: raw samples, whose name says no rate
        reason = getattr(error, "error_string", str(error)).strip().rstrip(".")
        finding = f"cannot be decoded ({reason})"
        raise AudioRefused("audio_unreadable", str(path), finding, cure) from None
    if place is not None:
        yield np.empty(0, dtype=np.float32), rate_hz, True
