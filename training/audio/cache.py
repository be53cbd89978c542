"""Decoded audio kept as memory-mapped int16, so that an epoch reads crops and never decodes.

    <folder>/<2 hex>/<key>.s16      (n,) little-endian int16 mono at the cache's sample rate, no header

The key is a hash of path, size, modification time and rate: an edited file is decoded anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from sourcing.store.audio import is_there
from sourcing.store.workspace import atomic_path
from training.audio.io import SAMPLE_RATE_HZ, AudioRefused, stream_blocks, to_pcm

__all__ = ["PcmCache"]


class PcmCache:
    """A folder of waveforms, one per path of a sound file, each decoded once."""

    def __init__(self, folder: Path | str, *, sample_rate_hz: int = SAMPLE_RATE_HZ, minimum_s: float = 0.5) -> None:
        self.folder = Path(folder)
        self.sample_rate_hz = sample_rate_hz
        self.minimum_s = minimum_s

    def get(self, path: Path | str) -> np.memmap[Any, np.dtype[np.int16]]:
        """The file's samples (n,) int16, read-only; decoded first when needed. Raises AudioRefused."""
        place = self._place(Path(path))
        if not place.exists():
            self._decode(Path(path), place)
        # No .npy: numpy parses its header with `ast`, which CPython 3.11 cannot do in two threads at once.
        return np.memmap(place, dtype="<i2", mode="r")

    def fill(
        self,
        paths: Iterable[Path | str],
        *,
        workers: int = 2,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[tuple[Path, AudioRefused]]:
        """Decode the files that are missing; returns the refused ones with their errors, in the order of `paths`.

        `on_progress` is called with 1 after each file, from the calling thread.
        """
        refusals: list[tuple[Path, AudioRefused]] = []
        with ThreadPoolExecutor(max_workers=workers) as pool:  # decoding and resampling leave the GIL
            sources = [Path(path) for path in paths]
            # `map` keeps the order, so that equal catalogues give equal rejected rows.
            for path, error in zip(sources, pool.map(self._try, sources), strict=True):
                if error is not None:
                    refusals.append((path, error))
                if on_progress is not None:
                    on_progress(1)
        return refusals

    def _try(self, path: Path) -> AudioRefused | None:
        try:
            self.get(path)
        except AudioRefused as error:
            return error
        return None

    def _place(self, path: Path) -> Path:
        if not is_there(path):
            raise AudioRefused("audio_missing", str(path), "no such file", "correct the path")
        # Size and time stand for the content, which is not read: a hash of a whole library takes hours.
        stat = path.stat()
        name = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{self.sample_rate_hz}\0{self.minimum_s}"
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:40]
        return self.folder / key[:2] / f"{key}.s16"

    def _decode(self, path: Path, place: Path) -> None:
        # A run that is killed while it decodes leaves no half waveform behind.
        with atomic_path(place) as temporary, temporary.open("wb") as stream:
            for block in stream_blocks(path, sample_rate_hz=self.sample_rate_hz, minimum_s=self.minimum_s):
                stream.write(to_pcm(block).astype("<i2").tobytes())
