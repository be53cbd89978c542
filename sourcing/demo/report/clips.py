"""Short compressed clips of tracks, small enough to travel inside the report."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["CLIP_S", "MAX_TOTAL_BYTES", "MIME_TYPE", "encode_clip", "encode_clips"]

CLIP_S = 7.0
MIME_TYPE = "audio/mpeg"  # MP3: the one compressed form of libsndfile that every browser plays, Safari's older ones too
MAX_TOTAL_BYTES = 2_900_000  # 3.9 MB once written as base64
_COMPRESSION = 0.9  # of libsndfile's scale from 0 to 1, variable bitrate: about 27 kbit/s for mono at 22 kHz
_FADE_S = 0.05


def encode_clips(
    track_ids: Iterable[str], paths: Mapping[str, Path], max_total_bytes: int = MAX_TOTAL_BYTES
) -> dict[str, bytes]:
    """The clip of each track, in the order of `track_ids`, up to the first that would exceed `max_total_bytes`."""
    clips: dict[str, bytes] = {}
    total_bytes = 0
    for track_id in dict.fromkeys(track_ids):
        clip = encode_clip(paths[track_id])
        total_bytes += len(clip)
        if total_bytes > max_total_bytes:
            break
        clips[track_id] = clip
    return clips


def encode_clip(path: Path) -> bytes:
    """The first CLIP_S seconds of a sound file as a mono MP3 with a fade-out."""
    import numpy as np
    import soundfile

    with soundfile.SoundFile(path) as file:
        rate_hz = file.samplerate
        wave = file.read(int(CLIP_S * rate_hz), dtype="float32", always_2d=True).mean(axis=1)  # (n,)
    fade = min(len(wave), int(_FADE_S * rate_hz))
    wave[len(wave) - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    target = io.BytesIO()
    soundfile.write(target, wave, rate_hz, format="MP3", bitrate_mode="VARIABLE", compression_level=_COMPRESSION)
    return target.getvalue()
