"""Embedding a catalogue, keeping what was done, finding the nearest, by words and by a track."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tiny_models import make_dual, write_tone

from sourcing.errors import AudioError, CheckpointError, InputError, UsageError
from sourcing.store.workspace import rejected_frame
from training.index import TrackIndex, embed_catalogue, search_like, search_text
from training.model.dual_encoder import DualEncoder


def _catalogue(audio: dict[str, str | None]) -> pl.DataFrame:
    rows = [{"track_id": i, "title": f"Title {i}", "artist": "Someone", "audio": a} for i, a in audio.items()]
    return pl.DataFrame(rows, schema=dict.fromkeys(("track_id", "title", "artist", "audio"), pl.String))


def _index(vectors: np.ndarray) -> TrackIndex:
    ids = [f"t{i:03d}" for i in range(len(vectors))]
    tracks = pl.DataFrame({"track_id": ids, "title": ids, "artist": ["Someone"] * len(ids)})
    return TrackIndex(vectors.astype(np.float32), tracks, "f" * 64)


def _unit(n: int, ndim: int) -> np.ndarray:
    vectors = np.random.default_rng(0).standard_normal((n, ndim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_good_tracks_are_embedded_and_bad_ones_rejected_with_reasons(dual: DualEncoder, tmp_path: Path) -> None:
    root = tmp_path / "music"
    write_tone(root / "one.wav")
    write_tone(root / "sub" / "two.wav", pitch_hz=100.0)
    write_tone(tmp_path / "outside.wav")
    write_tone(root / "blip.wav", duration_s=0.2)
    ticks: list[int] = []
    tracks = _catalogue(
        {"b": "sub/two.wav", "a": "one.wav", "c": None, "d": "gone.wav", "e": "../outside.wav", "f": "blip.wav"}
    )
    index, rejected = embed_catalogue(dual, tracks, root, on_progress=ticks.append)
    assert index.tracks["track_id"].to_list() == ["a", "b"]
    assert np.allclose(index.embeddings[0], dual.embed_track(root / "one.wav").numpy(), atol=1e-6)
    assert index.fingerprint == dual.fingerprint()
    assert sum(ticks) == 5
    reasons = {row["key"]: row["reason"] for row in rejected}
    assert reasons == {"d": "audio_missing", "e": "audio_outside", "f": "audio_too_short"}
    assert rejected_frame(rejected).height == 3


def test_a_catalogue_without_audio_makes_an_empty_index(dual: DualEncoder, tmp_path: Path) -> None:
    index, rejected = embed_catalogue(dual, _catalogue({"a": None}), tmp_path)
    index.save(tmp_path / "index")
    again = TrackIndex.load(tmp_path / "index")
    assert len(again) == 0
    assert rejected == []
    assert again.search(np.ones(8), 5) == []


def test_an_interrupted_run_is_taken_up_where_it_stopped(
    dual: DualEncoder, text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.index._PART_ROWS", 2)
    root, folder = tmp_path / "music", tmp_path / "index"
    for i in range(5):
        write_tone(root / f"{i}.wav", pitch_hz=100.0 * (i + 1))
    tracks = _catalogue({f"t{i}": f"{i}.wav" for i in range(5)})
    undisturbed, _ = embed_catalogue(dual, tracks, root)

    def stop_at_fourth(_n: int, ticks: list[int] = []) -> None:  # noqa: B006
        ticks.append(1)
        if len(ticks) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_catalogue(dual, tracks, root, resume_dir=folder / "partial", on_progress=stop_at_fourth)

    computed: list[Path] = []
    original = DualEncoder.embed_track

    def counting(self: DualEncoder, source: Path) -> torch.Tensor:
        computed.append(source)
        return original(self, source)

    monkeypatch.setattr(DualEncoder, "embed_track", counting)
    write_tone(root / "0.wav", duration_s=3.0, pitch_hz=100.0)  # edited meanwhile: must be embedded anew
    index, _ = embed_catalogue(dual, tracks, root, resume_dir=folder / "partial")
    assert [path.name for path in computed] == ["0.wav", "4.wav"]
    assert np.array_equal(index.embeddings[1:], undisturbed.embeddings[1:])
    other = make_dual(text_model, seed=5)
    computed.clear()
    embed_catalogue(other, tracks, root, resume_dir=folder / "partial")
    assert len(computed) == 5
    index.save(folder)
    assert not (folder / "partial").exists()


def test_a_saved_index_is_the_same_index(tmp_path: Path) -> None:
    index = _index(_unit(20, 6))
    index.save(tmp_path)
    again = TrackIndex.load(tmp_path)
    assert np.array_equal(again.embeddings, index.embeddings)
    assert again.tracks.equals(index.tracks)
    assert (again.fingerprint, again.created_at) == (index.fingerprint, index.created_at)
    assert again.search(index.embeddings[3], 5) == index.search(index.embeddings[3], 5)


def test_a_torn_or_missing_index_says_embed_again(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="crossmusim embed"):
        TrackIndex.load(tmp_path / "nowhere")
    for name in ("embeddings.npy", "tracks.parquet", "index.json"):
        folder = tmp_path / name
        _index(_unit(4, 3)).save(folder)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(CheckpointError, match="crossmusim embed"):
            TrackIndex.load(folder)


@pytest.mark.parametrize("k", [1, 7, 50, 60])
def test_search_equals_a_plain_sort(k: int) -> None:
    vectors, query = _unit(50, 8), _unit(51, 8)[-1]
    hits = _index(vectors).search(3.0 * query, k)
    expected = sorted(((float(v @ query), f"t{i:03d}") for i, v in enumerate(vectors)), reverse=True)[:k]
    assert [hit.track_id for hit in hits] == [track_id for _, track_id in expected]
    assert [hit.score for hit in hits] == pytest.approx([score for score, _ in expected], abs=1e-5)


def test_equal_scores_come_in_the_order_of_ids_and_excluded_tracks_never() -> None:
    index = _index(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    assert [hit.track_id for hit in index.search([1.0, 0.0], 2)] == ["t000", "t002"]
    assert [hit.track_id for hit in index.search([1.0, 0.0], 9, exclude=["t000", "t001"])] == ["t002", "t003"]


def test_a_search_that_cannot_be_is_refused() -> None:
    index = _index(_unit(3, 4))
    with pytest.raises(CheckpointError, match="embed"):
        index.search([1.0, 0.0], 2)
    with pytest.raises(UsageError, match="k = 0"):
        index.search(np.ones(4), 0)
    with pytest.raises(InputError, match="did you mean t00"):
        index.search(np.ones(4), 1, exclude=["t01"])


@pytest.fixture(scope="module")
def index(dual: DualEncoder) -> TrackIndex:
    with torch.no_grad():
        calm = dual.embed_text(["calm solo piano"])[0].numpy()
    away = np.eye(8, dtype=np.float32)[0]
    away = away - (away @ calm) * calm  # at a right angle
    vectors = np.stack([away / np.linalg.norm(away), calm, -calm])
    tracks = pl.DataFrame({"track_id": ["away", "calm", "opposite"], "title": ["A", "B", "C"], "artist": ["X"] * 3})
    return TrackIndex(vectors.astype(np.float32), tracks, dual.fingerprint())


def test_words_find_the_track_whose_vector_is_theirs(dual: DualEncoder, index: TrackIndex) -> None:
    hits = search_text(dual, index, "calm solo piano", k=2)
    assert [hit.track_id for hit in hits] == ["calm", "away"]
    assert (hits[0].title, hits[0].artist) == ("B", "X")
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.0], abs=1e-5)


def test_a_track_finds_others_and_itself_only_when_asked(index: TrackIndex) -> None:
    assert [hit.track_id for hit in search_like(index, "calm")] == ["away", "opposite"]
    assert search_like(index, "calm", exclude_self=False)[0].track_id == "calm"


def test_an_unknown_track_is_refused_naming_near_ones(index: TrackIndex) -> None:
    with pytest.raises(InputError, match="did you mean calm"):
        search_like(index, "clam")


def test_no_words_and_another_models_index_are_refused(dual: DualEncoder, index: TrackIndex) -> None:
    with pytest.raises(InputError, match="empty"):
        search_text(dual, index, "  ")
    other = TrackIndex(index.embeddings, index.tracks, "0" * 64)
    with pytest.raises(CheckpointError, match="another model"):
        search_text(dual, other, "calm")


@pytest.mark.parametrize("text", ["song.flac", "~/song.M4A", "file:///music/song.ogg", __file__])
def test_a_path_never_becomes_words(dual: DualEncoder, index: TrackIndex, text: str) -> None:
    with pytest.raises(AudioError, match="the path of a file where words are wanted"):
        search_text(dual, index, text)
