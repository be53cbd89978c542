"""Sound files: what is read, what is refused, what is kept."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import read_waveform, write_tone

from sourcing.errors import AudioError
from training.audio.cache import PcmCache
from training.audio.io import (
    AudioRefused,
    random_start,
    stream_blocks,
    stream_windows,
    take,
    to_pcm,
    windows,
)


def test_channels_are_averaged_and_the_rate_is_changed(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", duration_s=2.0, rate_hz=44_100)
    waveform = read_waveform(path)
    assert waveform.dtype == np.float32
    assert waveform.shape == (44_100,)
    times_s = np.arange(44_100) / 22_050
    expected = 0.25 * np.sin(2 * np.pi * 440 * times_s) + 0.125 * np.sin(3 * np.pi * 440 * times_s)
    assert np.abs(waveform - expected)[500:-500].max() < 1e-3


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_the_common_formats_are_read(tmp_path: Path, suffix: str) -> None:
    waveform = read_waveform(write_tone(tmp_path / f"tone{suffix}", rate_hz=44_100))
    assert abs(len(waveform) - 44_100) < 2_500  # mp3 pads
    assert 0.2 < np.abs(waveform).max() < 0.6


@pytest.mark.parametrize("block_s", [0.37, 1.0, 2.0, 10.0])
def test_a_stream_gives_the_same_samples_as_the_whole_file(tmp_path: Path, block_s: float) -> None:
    path = write_tone(tmp_path / "tone.wav", duration_s=3.0, rate_hz=32_000)
    blocks = list(stream_blocks(path, block_s))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 22_050)}
    assert np.array_equal(np.concatenate(blocks), read_waveform(path))


def _noise(path: Path, seconds: float, gain: float) -> Path:
    samples = gain * np.random.default_rng(0).uniform(-1, 1, round(seconds * 22_050))
    soundfile.write(path, samples, 22_050, subtype="FLOAT")
    return path


def test_a_file_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.mp3").write_text("this is not music " * 50)
    (tmp_path / "empty.wav").write_bytes(b"")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 22_050)
    soundfile.write(tmp_path / "nan.wav", np.full(22_050, np.nan), 22_050, subtype="FLOAT")
    cases = {
        "audio_missing": (tmp_path / "nowhere.flac", "no such file"),
        "audio_unreadable": (tmp_path / "text.mp3", "cannot be decoded"),
        "audio_too_short": (_noise(tmp_path / "blip.wav", 0.2, 0.5), "only 0.2 s of sound; give at least 0.5 s"),
        "audio_silent": (_noise(tmp_path / "silent.wav", 2.0, 9e-5), "silent"),
        "audio_empty": (tmp_path / "none.wav", "no sound at all"),
        "audio_not_finite": (tmp_path / "nan.wav", "not numbers"),
    }
    for reason, (path, words) in cases.items():
        with pytest.raises(AudioRefused) as caught:
            read_waveform(path)
        assert caught.value.reason == reason
        assert words in str(caught.value)
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, AudioError)
        assert caught.value.exit_code == 3
    with pytest.raises(AudioRefused, match=r"empty\.wav"):
        read_waveform(tmp_path / "empty.wav")


def test_a_file_just_loud_and_long_enough_is_taken(tmp_path: Path) -> None:
    assert len(read_waveform(_noise(tmp_path / "soft.wav", 0.5, 2e-4))) == 11_025


@pytest.mark.parametrize("n", [1, 99, 100, 101, 199, 200, 201, 1_000, 1_050])
def test_windows_cover_every_sample_up_to_the_end(n: int) -> None:
    starts = windows(n, 100)
    covered = np.zeros(n, dtype=bool)
    for start in starts:
        assert 0 <= start <= max(0, n - 100)
        covered[start : start + 100] = True
    assert covered.all()
    assert len(starts) == max(1, -(-n // 100))


def test_streamed_windows_are_those_that_windows_names(tmp_path: Path) -> None:
    for duration_s in (0.7, 1.0, 2.0, 2.6):
        path = write_tone(tmp_path / f"{duration_s}.wav", duration_s=duration_s)
        whole = read_waveform(path)
        expected = [take(whole, start, 22_050) for start in windows(len(whole), 22_050)]
        assert np.array_equal(np.stack(list(stream_windows(path, 22_050))), np.stack(expected))


def test_a_short_track_is_repeated_to_fill_a_clip() -> None:
    assert take(np.array([1, 2, 3]), 0, 8).tolist() == [1, 2, 3, 1, 2, 3, 1, 2]


def test_a_clip_exactly_as_long_as_the_crop_has_one_start_and_the_last_start_is_drawn() -> None:
    rng = np.random.default_rng(0)
    assert {random_start(100, 100, rng) for _ in range(20)} == {0}
    assert {random_start(60, 100, rng) for _ in range(20)} == {0}
    assert {random_start(102, 100, rng) for _ in range(200)} == {0, 1, 2}


def test_pcm_goes_back_to_itself_and_loud_samples_are_clipped() -> None:
    pcm = np.arange(-32_768, 32_768).astype(np.int16)
    assert np.array_equal(to_pcm(pcm.astype(np.float32) / np.float32(32_768)), pcm)
    assert to_pcm(np.array([1.5, -1.5], dtype=np.float32)).tolist() == [32_767, -32_768]


def test_the_cache_holds_what_was_decoded_and_an_edited_file_is_decoded_anew(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", duration_s=12.0)  # longer than one read
    cache = PcmCache(tmp_path / "cache")
    pcm = cache.get(path)
    assert isinstance(pcm, np.memmap)
    assert pcm.dtype == np.int16
    assert np.array_equal(pcm, to_pcm(read_waveform(path)))
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.s16")}
    assert np.array_equal(cache.get(path), pcm)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").rglob("*.s16")} == written
    write_tone(path, duration_s=3.0)
    os.utime(path, ns=(1, 1))
    assert len(cache.get(path)) == 66_150


def test_filling_the_cache_keeps_the_good_and_names_the_bad(tmp_path: Path) -> None:
    good = [write_tone(tmp_path / f"{i}.wav", pitch_hz=100.0 * (i + 1)) for i in range(3)]
    bad = tmp_path / "missing.wav"
    short = _noise(tmp_path / "short.wav", 0.2, 0.5)
    ticks: list[int] = []
    cache = PcmCache(tmp_path / "cache")
    refused = cache.fill([good[0], bad, good[1], short, good[2]], on_progress=ticks.append)
    assert [(path, error.reason) for path, error in refused] == [(bad, "audio_missing"), (short, "audio_too_short")]
    assert sum(ticks) == 5
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert len(files) == 3
    assert all(file.suffix == ".s16" for file in files)


@pytest.mark.parametrize("rate_hz", [1, 999, 800_000, 2_000_000_000])
def test_a_rate_no_recording_has_is_refused_before_anything_is_held(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.zeros(4_000), 22_050, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[24:28] = rate_hz.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(AudioRefused, match="samples a second") as caught:
        next(stream_blocks(path))
    assert caught.value.reason == "audio_unreadable"


@pytest.mark.parametrize("suffix", [".m4a", ".AAC", ".wma"])
def test_what_is_never_decoded_is_named_by_its_kind(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_bytes(b"x" * 100)
    with pytest.raises(AudioRefused, match=rf"\{suffix.lower()} files cannot be decoded; convert it") as caught:
        read_waveform(tmp_path / f"a{suffix}")
    assert caught.value.reason == "audio_undecodable"


@pytest.mark.parametrize("suffix", [".aiff", ".ogg", ".w64", ".caf"])
def test_the_rarer_formats_are_read_whatever_their_case(tmp_path: Path, suffix: str) -> None:
    path = write_tone(tmp_path / f"tone{suffix}")
    path = path.rename(path.with_suffix(".OGA" if suffix == ".ogg" else suffix.upper()))
    assert len(read_waveform(path)) > 20_000


@pytest.mark.parametrize("name", ["noise.raw", "noise", "noise.wav", "noise.flac", "noise.mp3"])
def test_noise_is_refused_in_one_sentence_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 8)
    with pytest.raises(AudioRefused):
        read_waveform(tmp_path / name)


def test_a_name_that_is_no_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"odd\xff.wav")
    path.write_bytes(write_tone(tmp_path / "a.wav").read_bytes())
    assert len(read_waveform(path))


def test_a_folder_is_no_sound_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    with pytest.raises(AudioRefused, match="a folder, not a sound file"):
        read_waveform(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["x" * 5_000 + ".wav", "a\0b.wav", "gone.wav"])
def test_a_path_that_no_disk_holds_is_missing(name: str) -> None:
    with pytest.raises(AudioRefused, match="no such file"):
        read_waveform(name)
