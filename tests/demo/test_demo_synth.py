"""The synthesiser: same spec, same bytes; and what a spec says can be measured in the sound."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from sourcing.demo.synth import (
    BPM,
    DRUMS,
    DURATION_S,
    EFFECTS,
    LEADS,
    MODES,
    SAMPLE_RATE_HZ,
    TrackSpec,
    render,
    write_all,
)

N = int(DURATION_S * SAMPLE_RATE_HZ)


def centroid_hz(wave: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((power * np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE_HZ)).sum() / power.sum())


def solo(lead: str, **more: str) -> TrackSpec:
    return TrackSpec(
        **{"lead": lead, "tempo": "moderate", "mode": "minor", "drums": "none", "effect": "dry", **more}, seed=5
    )


def beats(wave: np.ndarray) -> int:
    """Jumps in loudness over windows of 20 ms: a crude count of hits."""
    hop = SAMPLE_RATE_HZ // 50
    level = np.sqrt((wave[: len(wave) // hop * hop].reshape(-1, hop) ** 2).mean(axis=1))
    return int((np.diff(level) > 0.5 * level.std()).sum())


@pytest.mark.parametrize("lead", LEADS)
def test_every_instrument_makes_twelve_seconds_of_sound(lead: str) -> None:
    wave = render(solo(lead))
    assert wave.shape == (N,)
    assert wave.dtype == np.float32
    assert np.isfinite(wave).all()
    assert 0.3 < np.abs(wave).max() <= 0.9
    assert np.abs(wave[-N // 4 :]).max() > 0.02, "it falls silent before the end"


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("drums", DRUMS)
def test_every_drum_pattern_goes_with_every_effect(drums: str, effect: str) -> None:
    wave = render(TrackSpec("organ", "fast", "dorian", drums, effect, ("bass",), bpm=128, seed=9))
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= 0.9 + 1e-6


def test_the_same_spec_gives_the_same_samples_and_another_seed_others() -> None:
    spec = solo("piano", drums="breakbeat", effect="crackle")
    other = TrackSpec(**{**spec.__dict__, "seed": spec.seed + 1})
    assert np.array_equal(render(spec), render(spec))
    assert not np.array_equal(render(spec), render(other))


def test_bytes_do_not_depend_on_the_number_of_processes(tmp_path) -> None:
    specs = [solo("bells"), solo("chip")]
    write_all([(tmp_path / "one" / f"{i}.flac", spec) for i, spec in enumerate(specs)], processes=1)
    write_all([(tmp_path / "two" / f"{i}.flac", spec) for i, spec in enumerate(specs)], processes=2)
    for i in range(len(specs)):
        assert (tmp_path / "one" / f"{i}.flac").read_bytes() == (tmp_path / "two" / f"{i}.flac").read_bytes()
    info = soundfile.info(tmp_path / "one" / "0.flac")
    assert (info.channels, info.samplerate, info.frames, info.subtype) == (1, SAMPLE_RATE_HZ, N, "PCM_16")


def test_bells_are_brighter_than_a_deep_bass_and_a_chip_than_an_organ() -> None:
    assert centroid_hz(render(solo("bells"))) > 5 * centroid_hz(render(solo("bass")))
    assert centroid_hz(render(solo("chip"))) > centroid_hz(render(solo("organ")))


def test_drums_add_hits_and_faster_drums_add_more() -> None:
    hits = {drums: beats(render(solo("strings", drums=drums))) for drums in ("none", "four_on_the_floor", "marching")}
    assert hits["none"] < hits["four_on_the_floor"]
    slow, fast = (
        beats(render(TrackSpec("strings", "fast", "minor", "four_on_the_floor", "dry", bpm=bpm, seed=5)))
        for bpm in (60, 130)
    )
    assert fast > 1.5 * slow


def test_a_hall_fills_the_gaps_between_short_notes() -> None:
    def unevenness(wave: np.ndarray) -> float:
        level = np.sqrt((wave[: N // 441 * 441].reshape(-1, 441) ** 2).mean(axis=1))  # (windows of 20 ms,)
        return float(level.std() / level.mean())

    assert unevenness(render(solo("chip", effect="hall"))) < 0.7 * unevenness(render(solo("chip")))


def test_fuzz_squares_the_wave_off_and_crackle_clicks() -> None:
    def crest(wave: np.ndarray) -> float:
        return float(np.abs(wave).max() / np.sqrt((wave**2).mean()))

    assert crest(render(solo("piano", effect="fuzz"))) < 0.6 * crest(render(solo("piano")))
    steps = {e: np.abs(np.diff(render(solo("strings", effect=e)))) for e in ("dry", "crackle")}
    assert steps["crackle"].max() / np.median(steps["crackle"]) > 2 * steps["dry"].max() / np.median(steps["dry"])


def test_a_spec_says_how_many_play() -> None:
    assert solo("piano").density == "solo"
    assert solo("piano", drums="brushed").density == "small"
    assert TrackSpec("piano", "slow", "minor", "brushed", "dry", ("bass", "organ")).density == "full"


def test_tempi_do_not_overlap_and_modes_differ() -> None:
    bounds = [bound for pair in BPM.values() for bound in pair]
    assert bounds == sorted(bounds)
    assert len({*MODES.values()}) == len(MODES)
