"""A small deterministic synthesiser: a TrackSpec of audible attributes in, twelve seconds of mono sound out.

Every attribute can be heard and named in words: ten instruments, five tempi, four modes, six drum patterns, six
effects, and how many play. The same spec gives the same samples; all randomness comes from `spec.seed`.
"""

from __future__ import annotations

import importlib
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sourcing.demo.effects import APPLY
from sourcing.demo.voices import VOICES, hit
from sourcing.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Wave = Any  # (n,) float32 samples of one channel; numpy's stubs lose the dtype in arithmetic

__all__ = [
    "BPM",
    "DRUMS",
    "DURATION_S",
    "EFFECTS",
    "LEADS",
    "MODES",
    "SAMPLE_RATE_HZ",
    "TrackSpec",
    "render",
    "require_sound",
    "write_all",
]

SAMPLE_RATE_HZ = 22_050
DURATION_S = 12.0
LEADS = ("piano", "guitar", "organ", "strings", "bells", "flute", "brass", "overdrive", "chip", "bass")
DRUMS = ("none", "brushed", "four_on_the_floor", "breakbeat", "backbeat", "marching")
EFFECTS = ("dry", "hall", "fuzz", "crackle", "wobble", "echo")
MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "pentatonic": (0, 2, 4, 7, 9),
}
#: tempo word → beats per minute, lowest and highest
BPM = {"very slow": (46, 58), "slow": (64, 78), "moderate": (90, 106), "fast": (122, 138), "very fast": (156, 176)}

#: lead → (semitones added to the root, notes per beat when it carries the tune)
_PLAYS = {
    "piano": (0, 2.0),
    "guitar": (-5, 2.0),
    "organ": (0, 1.0),
    "strings": (0, 0.5),
    "bells": (24, 1.0),
    "flute": (12, 1.0),
    "brass": (-2, 1.0),
    "overdrive": (-15, 2.0),
    "chip": (12, 4.0),
    "bass": (-24, 2.0),
}
_STEPS = 16  # drum steps to a bar of four beats
_PATTERNS: dict[str, dict[str, tuple[int, ...]]] = {
    "none": {},
    "brushed": {"brush": (0, 4, 8, 12), "tick": (4, 7, 12, 15)},
    "four_on_the_floor": {"kick": (0, 4, 8, 12), "hat": (2, 6, 10, 14), "snare": (4, 12)},
    "breakbeat": {"kick": (0, 2, 10, 11), "snare": (4, 12), "ghost": (7, 9, 15), "hat": (0, 2, 4, 6, 8, 10, 12, 14)},
    "backbeat": {"kick": (0, 6, 8), "snare": (4, 12), "crash": (0,), "hat": (0, 4, 8, 12)},
    "marching": {"kick": (0, 8), "ghost": (1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15), "snare": (0, 4, 8, 12)},
}


@dataclass(frozen=True)
class TrackSpec:
    """The audible attributes of one track; `backing` lists the instruments under the lead."""

    lead: str
    tempo: str
    mode: str
    drums: str
    effect: str
    backing: tuple[str, ...] = ()
    bpm: int = 96
    root_midi: int = 60
    seed: int = 0

    @property
    def density(self) -> str:
        """solo (one instrument alone), small (a few) or full (three instruments with drums)."""
        if not self.backing and self.drums == "none":
            return "solo"
        return "full" if len(self.backing) >= 2 and self.drums != "none" else "small"


def require_sound() -> None:
    """UsageError when numpy or soundfile are not installed."""
    try:
        importlib.import_module("numpy")
        importlib.import_module("soundfile")
    except ImportError as error:
        raise UsageError(
            "the demo", f"{error.name} is not installed", "run `pip install '.[train,local-llm]'` in the checkout"
        ) from error


def render(spec: TrackSpec, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Wave:
    """Samples of `spec` in [-0.9, 0.9], float32 of shape (DURATION_S * sample_rate_hz,)."""
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(spec.seed))
    n = int(DURATION_S * sample_rate_hz)
    chords = _chords(rng, len(MODES[spec.mode]))
    mix = np.zeros(n, np.float32)
    _add(mix, _part(spec.lead, spec, chords, rng, n, sample_rate_hz, leads=True), 0.22)
    for instrument in spec.backing:
        _add(mix, _part(instrument, spec, chords, rng, n, sample_rate_hz, leads=False), 0.09)
    if spec.drums != "none":
        loudness = {"brushed": 0.08, "marching": 0.15}.get(spec.drums, 0.17)
        _add(mix, _drums(spec, rng, n, sample_rate_hz), loudness)
    mix = APPLY[spec.effect](mix, rng, sample_rate_hz)
    fade = np.minimum(1.0, np.arange(n, dtype=np.float32) / (0.03 * sample_rate_hz))
    mix = mix * fade * fade[::-1]
    quiet = 0.75 if spec.density == "solo" else 1.0  # one instrument alone is quieter than a band
    return (mix / max(float(np.abs(mix).max()), 1e-6) * 0.9 * quiet).astype(np.float32)


def write_all(
    specs: Sequence[tuple[Path, TrackSpec]], processes: int = 1, advance: Callable[[int], Any] = lambda _n: None
) -> None:
    """Write each (path, spec) as 16-bit mono FLAC; bytes do not depend on `processes`."""
    require_sound()
    for path in {path.parent for path, _ in specs}:
        path.mkdir(parents=True, exist_ok=True)
    if processes <= 1:
        for job in specs:
            _write(job)
            advance(1)
        return
    # spawn, not fork: the caller may run server threads
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        for _ in pool.imap_unordered(_write, specs, chunksize=8):
            advance(1)


def _write(job: tuple[Path, TrackSpec]) -> None:
    import soundfile

    path, spec = job
    soundfile.write(path, render(spec), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")


def _add(mix: Wave, part: Wave, rms: float) -> None:
    """Mix `part` in scaled to `rms`, so that the waveform's crest does not decide an instrument's loudness."""
    import numpy as np

    mix += part * (rms / max(float(np.sqrt(np.mean(part * part))), 1e-6))


# ---- notes -------------------------------------------------------------------------------------------------


def _chords(rng: np.random.Generator, size: int) -> list[int]:
    """Four scale degrees, home first: one chord a bar, round and round."""
    return [0, *(int(degree) for degree in rng.choice(range(1, size), 3, replace=False))]


def _part(
    instrument: str,
    spec: TrackSpec,
    chords: list[int],
    rng: np.random.Generator,
    n: int,
    sr: int,
    *,
    leads: bool,
) -> Wave:
    import numpy as np

    beat_s, scale = 60.0 / spec.bpm, MODES[spec.mode]
    shift, per_beat = _PLAYS[instrument]
    sustains = instrument in ("strings", "organ", "brass") and not leads
    if not leads:
        per_beat = 0.25 if sustains else 1.0
    step_s = beat_s / per_beat
    out = np.zeros(n, np.float32)
    cache: dict[tuple[int, int], Wave] = {}
    degree, at_s, step = 0, 0.0, 0
    while at_s < n / sr:
        chord = chords[int(at_s / (4 * beat_s)) % len(chords)]
        if sustains or (leads and instrument in ("strings", "overdrive")):
            degrees = [chord, chord + 4] if instrument == "overdrive" else [chord, chord + 2, chord + 4]
        elif leads and instrument in ("piano", "organ") and step % int(max(1, 4 * per_beat)) == 0:
            degrees = [chord, chord + 2, chord + 4, chord - len(scale)]
        elif instrument in ("guitar", "chip"):
            degrees = [chord + (0, 4, 7, 9, 7, 4, 2, 4)[step % 8]]
        elif instrument == "bass":
            degrees = [chord + (0, 0, 4, 0)[int(rng.integers(4))]]
        else:
            degree += int(rng.integers(-2, 3))
            degree = max(-3, min(7, degree))
            degrees = [chord + degree]
        pauses = leads and len(degrees) == 1 and rng.random() < 0.12
        if not pauses:
            for each in degrees:
                octave, index = divmod(each, len(scale))
                midi = spec.root_midi + shift + 12 * octave + scale[index]
                _lay(out, _note(instrument, midi, step_s, cache, rng, sr), at_s, 0.7 + 0.3 * (step % 2 == 0), sr)
        at_s, step = at_s + step_s, step + 1
    return out


def _lay(out: Wave, wave: Wave, at_s: float, gain: float, sr: int) -> None:
    start = int(at_s * sr)
    end = min(len(out), start + len(wave))
    if end > start:
        out[start:end] += wave[: end - start] * gain


def _note(
    instrument: str, midi: int, step_s: float, cache: dict[tuple[int, int], Wave], rng: np.random.Generator, sr: int
) -> Wave:
    """One note, made once a track and pitch; plucked and struck ones ring beyond their step."""
    import numpy as np

    rings_s = {"piano": 1.3, "guitar": 1.4, "bells": 2.4}.get(instrument, 0.0)
    length = int(max(step_s, rings_s) * sr)
    key = (midi, length)
    if key not in cache:
        freq_hz = 440.0 * 2 ** ((midi - 69) / 12)
        t = np.arange(length, dtype=np.float32) / sr
        wave = VOICES[instrument](freq_hz, t, rng, sr)
        release = min(length, int(0.03 * sr))
        wave[length - release :] *= np.linspace(1, 0, release, dtype=np.float32)
        cache[key] = wave.astype(np.float32)
    return cache[key]


# ---- drums -------------------------------------------------------------------------------------------------


def _drums(spec: TrackSpec, rng: np.random.Generator, n: int, sr: int) -> Wave:
    import numpy as np

    hits = {name: hit(name, rng, sr) for name in _PATTERNS[spec.drums]}
    out = np.zeros(n, np.float32)
    step_s = 60.0 / spec.bpm / 4
    if spec.bpm < 90 and spec.drums in ("breakbeat", "marching", "backbeat"):
        step_s /= 2  # at a slow pulse the drums play in double time, or the pattern would not be heard in 12 s
    for step in range(int(n / sr / step_s) + 1):
        for name, steps in _PATTERNS[spec.drums].items():
            if step % _STEPS in steps:
                _lay(out, hits[name], step * step_s, 0.85 + 0.15 * float(rng.random()), sr)
    return out
