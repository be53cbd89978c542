"""The index: the catalogue's embeddings on disk, and exact search by words or by a track.

<folder>/
  embeddings.npy     (N, E) float32 unit vectors, rows as in tracks.parquet
  tracks.parquet     track_id, title, artist; sorted by track_id
  index.json         which model they come from, hashes of the two files; written last
  partial/           vectors of a run that was interrupted

Letters: N tracks, E width of the common space.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from sourcing.errors import AudioError, CheckpointError, InputError, UsageError
from sourcing.store.audio import audio_path, stays_below
from sourcing.store.workspace import atomic_path, write_json, write_parquet
from training.audio.io import AudioRefused

if TYPE_CHECKING:
    from training.model.dual_encoder import DualEncoder

__all__ = ["Hit", "TrackIndex", "embed_catalogue", "search_like", "search_text"]

FORMAT = "crossmusim-index/1"
_TRACK_COLUMNS = ("track_id", "title", "artist")
_PART_ROWS = 64  # most tracks lost when a run is killed
_REBUILD = "run `crossmusim embed MODEL` again"

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """A track of an index that was near the query; `score` is the cosine, 1 for the same direction."""

    track_id: str
    title: str
    artist: str
    score: float


@dataclass(frozen=True)
class TrackIndex:
    """Unit vectors (N, E) of tracks, one row per track, with the fingerprint of the embedding model."""

    embeddings: Vectors
    tracks: pl.DataFrame
    fingerprint: str
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __len__(self) -> int:
        return len(self.embeddings)

    def row_of(self, track_id: str) -> int:
        """The row of a track; InputError names near ids when there is none."""
        rows = self.tracks["track_id"].index_of(track_id)
        if rows is None:
            from rapidfuzz import process

            near = [match[0] for match in process.extract(track_id, self.tracks["track_id"].to_list(), limit=3)]
            cure = f"did you mean {', '.join(near)}?" if near else "embed the catalogue first"
            raise InputError(f"track {track_id!r}", "not in the index", cure)
        return rows

    def search(self, vector: npt.ArrayLike, k: int, *, exclude: Iterable[str] = ()) -> list[Hit]:
        """The `k` tracks nearest to `vector` (E,) by cosine, exact, best first; equal scores by track_id."""
        query = np.asarray(vector, dtype=np.float32)
        if query.shape != self.embeddings.shape[1:]:
            finding = f"a vector of shape {query.shape} against {self.embeddings.shape[1:]}"
            raise CheckpointError("index", finding, _REBUILD)
        if k < 1:
            raise UsageError("search", f"k = {k}", "ask for at least one hit")
        scores = self.embeddings @ (query / max(float(np.linalg.norm(query)), 1e-12))  # (N,)
        # Minus infinity instead of leaving rows out: positions stay those of `tracks`.
        scores[[self.row_of(track_id) for track_id in exclude]] = -np.inf
        k = min(k, int(np.isfinite(scores).sum()))
        if k == 0:
            return []
        # The k-th best score, then all rows that reach it: N steps, where sorting all would be N log N.
        threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
        candidates = np.flatnonzero(scores >= threshold)  # ascending, so the stable sort breaks ties by track_id
        best = candidates[np.argsort(-scores[candidates], kind="stable")][:k]
        rows = self.tracks[best.tolist()].iter_rows(named=True)
        return [Hit(**row, score=float(score)) for row, score in zip(rows, scores[best], strict=True)]

    def save(self, folder: Path | str) -> None:
        """Write the index; a reader sees the old one, the new one, or an error that says to embed again."""
        folder = Path(folder)
        with atomic_path(folder / "embeddings.npy") as temporary, temporary.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(self.embeddings, dtype=np.float32))
        write_parquet(folder / "tracks.parquet", self.tracks.select(_TRACK_COLUMNS))
        record = {
            "format": FORMAT,
            "model_fingerprint": self.fingerprint,
            "rows": len(self),
            "embedding_ndim": int(self.embeddings.shape[1]),
            "created_at": self.created_at,
            "sha256": {name: _sha256(folder / name) for name in ("embeddings.npy", "tracks.parquet")},
        }
        write_json(folder / "index.json", record)
        shutil.rmtree(folder / "partial", ignore_errors=True)

    @classmethod
    def load(cls, folder: Path | str) -> TrackIndex:
        """The index of a folder, with vectors memory-mapped; CheckpointError when missing or torn."""
        folder = Path(folder)
        path = folder / "index.json"
        if not path.is_file():
            raise CheckpointError(str(folder), "no index in it", "run `crossmusim embed MODEL` first")
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            for name, digest in record["sha256"].items():
                if _sha256(folder / name) != digest:
                    raise CheckpointError(str(folder / name), "not the file index.json tells of", _REBUILD)
            embeddings = np.load(folder / "embeddings.npy", mmap_mode="r")
            tracks = pl.read_parquet(folder / "tracks.parquet")
            return cls(embeddings, tracks, record["model_fingerprint"], record["created_at"])
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise CheckpointError(str(folder), f"the index is torn ({error!r})", _REBUILD) from error


def embed_catalogue(
    model: DualEncoder,
    tracks: pl.DataFrame,
    audio_root: Path | str,
    *,
    resume_dir: Path | str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[TrackIndex, list[dict[str, Any]]]:
    """Embed every track of the catalogue that names a sound file below `audio_root`.

    Returns the index, rows sorted by track_id, and one rejected row (stage "embed") per track whose file
    cannot be used. `tracks` has track_id, title, artist, audio; tracks without audio are left out of both.
    With `resume_dir` finished rows are kept there as it goes, and taken up again when model and file are
    the same; give `<index folder>/partial`, which `TrackIndex.save` removes. `on_progress` is called with 1
    after each track.
    """
    fingerprint, root = model.fingerprint(), Path(audio_root).resolve()
    earlier = _PartFiles(Path(resume_dir) / fingerprint[:16] if resume_dir is not None else None)
    with_audio = tracks.filter(pl.col("audio").is_not_null()).sort("track_id")
    vectors: dict[str, Vectors] = {}
    rejected: list[dict[str, Any]] = []
    for track_id, audio in with_audio.select("track_id", "audio").iter_rows():
        try:
            path = Path(audio_root, audio)
            if not stays_below(root, path):
                finding = f"leaves the audio folder {audio_root}"
                raise AudioRefused("audio_outside", audio, finding, "keep sound files below the catalogue's folder")
            stamp = _stamp(path)
            vector = earlier.get(track_id, stamp)
            if vector is None:
                vector = model.embed_track(path).numpy()
                earlier.add(track_id, stamp, vector)
            vectors[track_id] = vector  # (E,)
        except AudioRefused as error:
            rejected.append({"stage": "embed", "key": track_id, "reason": error.reason, "finding": str(error)})
        if on_progress is not None:
            on_progress(1)
    earlier.flush()
    rows = with_audio.select(_TRACK_COLUMNS).filter(pl.col("track_id").is_in(list(vectors)))
    empty = np.empty((0, model.config.embedding_ndim), dtype=np.float32)
    # Rows and vectors in one order; without a track there are still E columns.
    embeddings = np.stack([vectors[track_id] for track_id in rows["track_id"]]) if vectors else empty
    return TrackIndex(embeddings, rows, fingerprint), rejected


def search_text(model: DualEncoder, index: TrackIndex, text: str, k: int = 10) -> list[Hit]:
    """The `k` tracks that fit the words best; CheckpointError when the index is another model's."""
    if not text.strip():
        raise InputError("search text", "empty", "say in words what the music should be like")
    if (path := audio_path(text)) is not None:
        cure = "say in words what the music should be like, or give a track's id to --like"
        raise AudioError(str(path), "the path of a file where words are wanted", cure)
    if model.fingerprint() != index.fingerprint:
        raise CheckpointError("index", "it was made with another model", "run `crossmusim embed MODEL` with this one")
    model.eval()
    with torch.inference_mode():
        vector = model.embed_text([text])[0].cpu().numpy()
    return index.search(vector, k)


def search_like(index: TrackIndex, track_id: str, k: int = 10, *, exclude_self: bool = True) -> list[Hit]:
    """The `k` tracks that sound most like one in the index; InputError names near ids when it is not there."""
    vector = index.embeddings[index.row_of(track_id)]
    return index.search(vector, k, exclude=[track_id] if exclude_self else [])


class _PartFiles:
    """The vectors that an earlier run finished, in part files of up to 64 rows; without a folder none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.rows: dict[tuple[str, str], Vectors] = {}  # (track_id, stamp of its file) -> (E,)
        self.pending: list[tuple[str, str, Vectors]] = []
        for path in sorted(folder.glob("*.npz")) if folder is not None else []:
            with np.load(path) as part:
                keys = zip(part["track_ids"].tolist(), part["stamps"].tolist(), strict=True)
                self.rows.update(zip(keys, part["vectors"], strict=True))
        self.n_parts = len(list(folder.glob("*.npz"))) if folder is not None else 0

    def get(self, track_id: str, stamp: str) -> Vectors | None:
        return self.rows.get((track_id, stamp))

    def add(self, track_id: str, stamp: str, vector: Vectors) -> None:
        self.pending.append((track_id, stamp, vector))
        if len(self.pending) >= _PART_ROWS:
            self.flush()

    def flush(self) -> None:
        if self.folder is None or not self.pending:
            return
        track_ids, stamps, vectors = zip(*self.pending, strict=True)
        with atomic_path(self.folder / f"{self.n_parts:06d}.npz") as temporary, temporary.open("wb") as stream:
            np.savez(stream, track_ids=np.array(track_ids), stamps=np.array(stamps), vectors=np.stack(vectors))
        self.n_parts += 1
        self.pending = []


def _stamp(path: Path) -> str:
    if not path.is_file():
        raise AudioRefused("audio_missing", str(path), "no such file", "correct the path in the catalogue")
    stat = path.stat()
    # A file that was edited since is embedded anew.
    return f"{stat.st_size}:{stat.st_mtime_ns}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
