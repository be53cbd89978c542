"""One note of each instrument and one hit of each drum, as samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Wave = Any  # (n,) float32 samples of one channel; numpy's stubs lose the dtype in arithmetic

__all__ = ["VOICES", "hit"]


def hit(name: str, rng: np.random.Generator, sr: int) -> Wave:
    """One hit of the drum `name` at full loudness, as samples (n,) for the ringing time."""
    import numpy as np

    length_s = {"kick": 0.28, "snare": 0.2, "ghost": 0.08, "hat": 0.06, "brush": 0.4, "tick": 0.05, "crash": 1.2}[name]
    t = np.arange(int(length_s * sr), dtype=np.float32) / sr
    noise = rng.standard_normal(len(t), dtype="float32")
    bright = np.diff(noise, prepend=noise[:1])
    wave: Wave
    if name == "kick":
        phase = 2 * np.pi * (45 * t + 75 / 22 * (1 - np.exp(-22 * t)))
        wave = 1.3 * np.sin(phase) * np.exp(-11 * t)
    elif name in ("snare", "ghost"):
        gain = 0.55 if name == "snare" else 0.2
        wave = gain * (noise * np.exp(-18 * t) + np.sin(2 * np.pi * 190 * t) * np.exp(-24 * t))
    elif name == "brush":
        wave = 0.25 * bright * np.sin(np.pi * t / length_s) ** 2
    elif name == "tick":
        wave = 0.2 * bright * np.exp(-70 * t)
    elif name == "crash":
        wave = 0.3 * bright * np.exp(-3.5 * t)
    else:
        wave = 0.3 * bright * np.exp(-55 * t)
    return wave.astype(np.float32)


def _harmonics(freq_hz: float, t: Wave, sr: int, partials: Iterable[tuple[float, float, float]]) -> Wave:
    """Sum of (ratio, amplitude, decay per second) partials below the Nyquist frequency."""
    import numpy as np

    out = np.zeros_like(t)
    for ratio, amplitude, decay in partials:
        if freq_hz * ratio < 0.48 * sr:
            tone = np.sin(np.float32(2 * np.pi * freq_hz * ratio) * t) * np.float32(amplitude)
            out += tone * np.exp(np.float32(-decay) * t) if decay else tone
    return out


def _envelope(t: Wave, attack_s: float) -> Wave:
    import numpy as np

    return np.minimum(np.float32(1.0), t / np.float32(attack_s))


def _piano(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    partials = [(k * (1 + 0.0004 * k * k) ** 0.5, k**-1.25, 1.8 + 0.9 * k) for k in range(1, 11)]
    knock = rng.standard_normal(len(t), dtype="float32") * (0.12 * (t < 0.008))
    return (_harmonics(freq_hz, t, sr, partials) + knock) * _envelope(t, 0.004)


def _plucked(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    """Karplus-Strong, a period a row: each turn round the string filters its spectrum by (1 + z^-1) / 2 once more."""
    import numpy as np

    period = max(8, round(sr / freq_hz))
    turns = -(-len(t) // period)
    burst = np.fft.rfft(rng.uniform(-1, 1, period))
    omega = np.pi * np.arange(len(burst)) / period
    burst = burst * np.cos(omega) ** 3  # a finger, not a plectrum
    burst[0] = 0
    gain = np.cos(omega)[None, :] ** np.arange(turns)[:, None] * 0.996 ** np.arange(turns)[:, None]
    return np.fft.irfft(burst[None, :] * gain, period, axis=1).reshape(-1)[: len(t)].astype(np.float32)


def _organ(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    drawbars = [(0.5, 0.7), (1, 1), (1.5, 0.5), (2, 0.7), (3, 0.3), (4, 0.35), (6, 0.2), (8, 0.25)]
    tremolo = 1 + 0.3 * np.sin(np.float32(2 * np.pi * 6.2) * t)
    return _harmonics(freq_hz, t, sr, ((ratio, gain, 0.0) for ratio, gain in drawbars)) * tremolo * _envelope(t, 0.01)


def _strings(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    partials = [(k * detune, k**-1.2, 0.0) for k in range(1, 9) for detune in (0.996, 1.004)]
    return _harmonics(freq_hz, t, sr, partials) * _envelope(t, 0.35)


def _bells(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    partials = [(1, 1, 2.2), (2.756, 0.55, 3.5), (5.404, 0.3, 6), (0.5, 0.12, 1.8)]
    return _harmonics(freq_hz, t, sr, partials) * _envelope(t, 0.002)


def _flute(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    vibrato = np.float32(0.9) * np.sin(np.float32(2 * np.pi * 5.2) * t) * _envelope(t, 0.4)
    phase = np.float32(2 * np.pi * freq_hz) * t + vibrato
    breath = rng.standard_normal(len(t), dtype="float32")
    breath = np.diff(breath, prepend=breath[:1]) * np.float32(0.05)
    return (np.sin(phase) + 0.18 * np.sin(2 * phase) + 0.05 * np.sin(3 * phase) + breath) * _envelope(t, 0.09)


def _brass(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    swell = _envelope(t, 0.12)
    out = np.zeros_like(t)
    for k in range(1, 14):
        if freq_hz * k < 0.48 * sr:  # the harder it is blown, the brighter it gets
            out += np.sin(np.float32(2 * np.pi * freq_hz * k) * t) * np.float32(k**-0.75) * swell ** (0.5 + 0.4 * k)
    return out * np.exp(np.float32(-0.5) * t)


def _overdrive(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    string = _plucked(freq_hz, t, rng, sr) + 0.6 * _plucked(freq_hz * 2, t, rng, sr)
    return np.tanh(string * np.float32(14.0))


def _chip(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    square = np.where((t * np.float32(freq_hz)) % 1.0 < 0.25, np.float32(1), np.float32(-1))
    return square * np.exp(np.float32(-3.0) * t)


def _bass(freq_hz: float, t: Wave, rng: np.random.Generator, sr: int) -> Wave:
    import numpy as np

    tone = _harmonics(freq_hz, t, sr, [(1, 1, 0), (2, 0.35, 2), (3, 0.12, 6)])
    return np.tanh(tone * 1.6) * np.exp(np.float32(-1.2) * t) * _envelope(t, 0.008)


#: instrument → note(frequency in Hz, seconds (n,), generator, sample rate)
VOICES: dict[str, Callable[[float, Any, Any, int], Any]] = {
    "piano": _piano,
    "guitar": _plucked,
    "organ": _organ,
    "strings": _strings,
    "bells": _bells,
    "flute": _flute,
    "brass": _brass,
    "overdrive": _overdrive,
    "chip": _chip,
    "bass": _bass,
}
