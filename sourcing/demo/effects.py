"""Effects on a finished mix: rooms, distortion, worn records and tapes, echoes, at about the same loudness."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Wave = Any  # (n,) float32 samples of one channel; numpy's stubs lose the dtype in arithmetic

__all__ = ["APPLY"]


def _dry(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    return wave


def _hall(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    """Convolution with 2.5 s of dulled, decaying noise, mixed with the dry wave, as in a large room."""
    import numpy as np

    t = np.arange(int(2.5 * sr), dtype=np.float32) / sr
    noise = rng.standard_normal(len(t), dtype="float32")
    room = np.convolve(noise, np.ones(4, np.float32) / 4, mode="same") * np.exp(-2.4 * t)
    size = 1 << (len(wave) + len(t)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(room, size), size)[: len(wave)]
    wet *= np.sqrt(np.mean(wave**2)) / max(float(np.sqrt(np.mean(wet**2))), 1e-9)
    return (0.45 * wave + 0.95 * wet).astype(np.float32)


def _fuzz(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    return np.tanh(wave * np.float32(9.0 / max(float(np.abs(wave).max()), 1e-6)))


def _crackle(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    """Twelve clicks of random size a second, and hiss, over the dulled wave."""
    import numpy as np

    out = np.convolve(wave, np.ones(3, np.float32) / 3, mode="same")
    level = max(float(np.abs(out).max()), 1e-6)
    clicks = np.zeros(len(wave), np.float32)
    where = rng.integers(0, len(wave), int(12 * len(wave) / sr))
    clicks[where] = rng.uniform(-1, 1, len(where)) ** 3
    clicks = np.convolve(clicks, np.array([1, -0.8, 0.4, -0.2], np.float32), mode="same")
    hiss = rng.standard_normal(len(wave), dtype="float32") * np.float32(0.018)
    return (out + level * (0.9 * clicks + hiss)).astype(np.float32)


def _wobble(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    """Playback at a speed that sways by 1.8 % at 0.8 Hz and 2.3 % at 6 Hz, like a worn cassette."""
    import numpy as np

    t = np.arange(len(wave), dtype=np.float64)
    depth, rate_hz = 0.0035 * sr, 0.8
    position = t + depth * np.sin(2 * np.pi * rate_hz * t / sr) + 0.0006 * sr * np.sin(2 * np.pi * 6.0 * t / sr)
    return np.interp(position, t, wave).astype(np.float32)


def _echo(wave: Wave, rng: np.random.Generator, sr: int) -> Wave:
    out = wave.copy()
    for turn, gain in enumerate((0.62, 0.42, 0.28, 0.18), start=1):
        delay = int(0.36 * sr) * turn
        out[delay:] += wave[:-delay] * gain
    return out


#: effect → function of mix (n,), generator and sample rate
APPLY: dict[str, Callable[[Any, Any, int], Any]] = {
    "dry": _dry,
    "hall": _hall,
    "fuzz": _fuzz,
    "crackle": _crackle,
    "wobble": _wobble,
    "echo": _echo,
}
