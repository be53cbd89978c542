"""Text–audio pairs from a dataset version: the usable tracks of a split, and the batches of a run.

Every draw (order, crop, text) comes from a generator keyed by (seed, what, epoch or track …), never from a running
state: batch s is the same whether the run came from the start or from a checkpoint.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sourcing.errors import DatasetError
from sourcing.store.audio import stays_below
from sourcing.store.versions import DatasetVersion
from training.audio.cache import PcmCache
from training.audio.io import random_start, take
from training.config import Recipe, TrainConfig

__all__ = [
    "Batch",
    "PairedTrack",
    "Pairs",
    "SplitData",
    "Wording",
    "load_split",
    "prefetch",
    "require_tracks",
    "usable_texts",
]

_ORDER, _ITEM, _VARIANT = range(3)  # the kinds of draw, so that no two share a key


@dataclass(frozen=True)
class Wording:
    """The texts of one description that the text mode leaves: aspects, caption or both."""

    aspects: tuple[str, ...]
    caption: str | None

    def texts(self) -> list[str]:
        """Both forms in full, as queries: all aspects in one line, and the caption."""
        aspects = [", ".join(self.aspects)] if self.aspects else []
        return aspects + ([self.caption] if self.caption else [])


@dataclass(frozen=True)
class PairedTrack:
    """A track with PCM samples, wordings and labels."""

    track_id: str
    artist: str
    pcm: npt.NDArray[np.int16]  # (n,) memory-mapped
    wordings: tuple[Wording, ...]
    labels: dict[str, frozenset[str]]  # facet → values, for evaluation only


@dataclass(frozen=True)
class SplitData:
    """The usable tracks of a split by track_id, and rejected rows (stage, key, reason, finding) for the rest."""

    tracks: list[PairedTrack]
    rejected: list[dict[str, str]]


@dataclass(frozen=True)
class Batch:
    """B pairs: crops (B, N) int16, B texts, and B positions of tracks."""

    crops: npt.NDArray[np.int16]
    texts: list[str]
    tracks: npt.NDArray[np.int64]


def load_split(
    version: DatasetVersion,
    split: str,
    *,
    audio_root: Path,
    cache: PcmCache,
    text_mode: str = "both",
    origins: Sequence[str] = (),
    min_confidence: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> SplitData:
    """The tracks of a split with both texts and sound; the others become rejected rows, and nothing is raised."""
    rows = version.scan("tracks", split).collect().sort("track_id").to_dicts()
    wordings = _read_wordings(version, split, text_mode, origins, min_confidence)
    rejected: list[dict[str, str]] = []
    root = audio_root.resolve()

    def reject(track_id: str, reason: str, finding: str) -> None:
        rejected.append({"stage": "train", "key": track_id, "reason": reason, "finding": finding})

    with_words: dict[str, tuple[dict[str, Any], Path]] = {}  # track_id -> (its row, its sound file)
    for row in rows:
        path = audio_root / (row["audio"] or "")
        if not wordings.get(row["track_id"]):
            kinds = f" of origin {', '.join(origins)}" if origins else ""
            reject(row["track_id"], "no_description", f"{version} has no usable description{kinds} for it")
        elif row["audio"] is None:
            reject(row["track_id"], "audio_missing", "the catalogue names no sound file")
        elif not stays_below(root, path):
            reject(row["track_id"], "audio_outside", f"{row['audio']!r} leaves the folder {audio_root}")
        else:
            with_words[row["track_id"]] = row, path

    # All files are decoded first, on several threads; below each one is only mapped into memory.
    refusals = dict(cache.fill([path for _, path in with_words.values()], on_progress=on_progress))
    tracks = []
    for track_id, (row, path) in with_words.items():
        if path in refusals:
            reject(track_id, refusals[path].reason, str(refusals[path]))
            continue
        labels: dict[str, set[str]] = {}
        for label in row["labels"]:
            labels.setdefault(label["facet"], set()).add(label["value"])
        frozen = {facet: frozenset(values) for facet, values in labels.items()}
        tracks.append(PairedTrack(track_id, row["artist"], cache.get(path), tuple(wordings[track_id]), frozen))
    return SplitData(tracks, sorted(rejected, key=lambda row: row["key"]))


def require_tracks(data: SplitData, version: DatasetVersion, split: str, audio_root: Path, *, minimum: int = 2) -> None:
    """Raise DatasetError, with the commonest reason, when a split has fewer usable tracks than `minimum`."""
    if len(data.tracks) >= minimum:
        return
    reasons = [row["reason"] for row in data.rejected]
    common = max(sorted(set(reasons)), key=reasons.count) if reasons else "it is empty"
    count = len(data.tracks)
    raise DatasetError(
        f"split {split} of dataset {version}",
        f"only {count} of {count + len(reasons)} tracks can be used ({common})",
        f"publish a version with more tracks, or name the folder of the audio with --audio-root (now {audio_root})",
    )


def usable_texts(track: PairedTrack) -> list[str]:
    """The distinct queries with the track as a right answer, in the order of the descriptions."""
    return list(dict.fromkeys(text for wording in track.wordings for text in wording.texts()))


class Pairs:
    """The training pairs of a run: `batch(step)` is a pure function of the tracks, the recipe and the step."""

    def __init__(self, tracks: Sequence[PairedTrack], recipe: Recipe) -> None:
        self.tracks = list(tracks)
        self.config: TrainConfig = recipe.train
        self.clip_samples = round(recipe.model.clip_s * recipe.model.sample_rate_hz)
        self.batch_size = self.config.batch_of(len(self.tracks))
        # Positions change when a track is added or lost; the key of a track's draws does not.
        self.keys = [int.from_bytes(hashlib.sha256(track.track_id.encode()).digest()[:8]) for track in self.tracks]

    def batch(self, step: int) -> Batch:
        """Items step·B … (step+1)·B of the epochs laid end to end; a batch may reach into the next epoch."""
        count = len(self.tracks)
        # (epoch, place within the epoch): batches run on across the ends of epochs, so that none is short.
        items = [divmod(item, count) for item in range(step * self.batch_size, (step + 1) * self.batch_size)]
        orders = {epoch: self._random(_ORDER, epoch).permutation(count) for epoch in {epoch for epoch, _ in items}}
        positions = [int(orders[epoch][place]) for epoch, place in items]
        draws = [self._draw(epoch, position) for (epoch, _), position in zip(items, positions, strict=True)]
        crops, texts = zip(*draws, strict=True)  # B times (N,), B texts
        return Batch(np.stack(crops), list(texts), np.asarray(positions))

    def all_texts(self) -> list[str] | None:
        """Every text the run can meet, sorted; None when aspects are drawn afresh and cannot be listed."""
        if not self.config.text_variants:
            return None
        texts = {
            self._variant(position, which, variant)
            for position, track in enumerate(self.tracks)
            for which in range(len(track.wordings))
            for variant in range(self.config.text_variants)
        }
        return sorted(texts)

    def _draw(self, epoch: int, position: int) -> tuple[npt.NDArray[np.int16], str]:
        """A crop (N,) and a text of a track, drawn by epoch and track."""
        track, random = self.tracks[position], self._random(_ITEM, epoch, self.keys[position])
        start = random_start(len(track.pcm), self.clip_samples, random)
        crop = take(track.pcm, start, self.clip_samples)
        which = int(random.integers(len(track.wordings)))
        if self.config.text_variants:
            return crop, self._variant(position, which, int(random.integers(self.config.text_variants)))
        return crop, _draw_text(track.wordings[which], self.config.aspects_probability, random)

    def _variant(self, position: int, which: int, variant: int) -> str:
        """Text number `variant` of a description: the same in every epoch, so that it can be encoded beforehand."""
        random = self._random(_VARIANT, self.keys[position], which, variant)
        return _draw_text(self.tracks[position].wordings[which], self.config.aspects_probability, random)

    def _random(self, *key: int) -> np.random.Generator:
        # Philox is counter-based, made for many independent streams: here one per key.
        return np.random.Generator(np.random.Philox(np.random.SeedSequence([self.config.seed, *key])))


def prefetch(make: Callable[[int], Batch], steps: Iterable[int], *, depth: int = 3) -> Iterator[Batch]:
    """Yield `make(step)` for each step in order, made up to `depth` steps ahead in a background thread."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pairs") as pool:
        waiting: deque[Any] = deque()  # of futures, at most depth + 1: memory stays flat
        for step in steps:
            waiting.append(pool.submit(make, step))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _draw_text(wording: Wording, aspects_probability: float, random: np.random.Generator) -> str:
    """A random number (1 to all, equally likely) of the aspects in random order, or the caption."""
    # Drawn even where there is no choice, so that a caption added leaves the choice of aspects as it was.
    take_aspects = random.random() < aspects_probability
    if wording.aspects and (take_aspects or not wording.caption):
        count = int(random.integers(1, len(wording.aspects), endpoint=True))
        return ", ".join(wording.aspects[i] for i in random.permutation(len(wording.aspects))[:count])
    assert wording.caption
    return wording.caption


def _read_wordings(
    version: DatasetVersion, split: str, text_mode: str, origins: Sequence[str], min_confidence: float
) -> dict[str, list[Wording]]:
    """Wordings by track; a `prompted` description without a confidence counts as 0, as nobody bears it out."""
    frame = version.scan("descriptions", split)
    columns = ["track_id", "description_id", "origin", "aspect_list", "caption"]
    if min_confidence:
        unknown = pl.when(pl.col("origin") == "prompted").then(0.0).otherwise(1.0)
        known = "confidence" in frame.collect_schema().names()  # versions published before have none
        confidence = pl.coalesce("confidence", unknown) if known else unknown
        frame = frame.filter(confidence >= min_confidence)
    rows = frame.select(columns).collect().sort("track_id", "description_id")
    wordings: dict[str, list[Wording]] = {}
    for row in rows.iter_rows(named=True):
        if origins and row["origin"] not in origins:
            continue
        aspects = tuple(aspect.strip() for aspect in row["aspect_list"] if aspect.strip())
        caption = (row["caption"] or "").strip() or None
        wording = Wording(aspects if text_mode != "caption" else (), caption if text_mode != "aspects" else None)
        if wording.texts():
            wordings.setdefault(row["track_id"], []).append(wording)
    return wordings
