"""Pairs: what can be used, what is rejected and why, and draws that depend on nothing but their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_rows import SMALL, publish_tones

from sourcing.errors import DatasetError
from training.audio.cache import PcmCache
from training.config import Recipe, TrainConfig
from training.model.config import ModelConfig
from training.pairs import Pairs, SplitData, load_split, prefetch, require_tracks, usable_texts

RECIPE = Recipe(ModelConfig(), TrainConfig()).with_settings(SMALL)


@pytest.fixture(scope="module")
def train_split(tmp_path_factory: pytest.TempPathFactory) -> SplitData:
    folder = tmp_path_factory.mktemp("data")
    version, audio_root = publish_tones(folder)
    return load_split(version, "train", audio_root=audio_root, cache=PcmCache(folder / "cache"))


def load_edited(folder: Path, edit: Any, **options: Any) -> SplitData:
    version, audio_root = publish_tones(folder, artists=8, edit=edit)
    return load_split(version, "train", audio_root=audio_root, cache=PcmCache(folder / "cache"), **options)


def test_each_usable_track_brings_sound_words_and_labels(train_split: SplitData) -> None:
    assert len(train_split.tracks) >= 8
    assert train_split.rejected == []
    track = train_split.tracks[0]
    assert len(track.pcm) == round(1.6 * 22_050)
    assert track.labels == {"pitch": frozenset({"low" if int(track.track_id[1:3]) % 2 == 0 else "high"})}
    aspects, caption = usable_texts(track)
    assert caption.startswith("A tune with")
    assert aspects.count(",") == 2


def test_tracks_that_cannot_be_used_are_rejected_and_the_rest_stays(tmp_path: Path) -> None:
    version, audio_root = publish_tones(tmp_path, artists=8)
    names = version.scan("tracks", "train").collect()["track_id"].sort().to_list()
    (audio_root / f"{names[0]}.wav").write_bytes(b"not a sound")
    (audio_root / f"{names[1]}.wav").unlink()
    data = load_split(version, "train", audio_root=audio_root, cache=PcmCache(tmp_path / "cache"))
    assert [(row["key"], row["reason"]) for row in data.rejected] == [
        (names[0], "audio_unreadable"),
        (names[1], "audio_missing"),
    ]
    assert all(row["stage"] == "train" and row["finding"] for row in data.rejected)
    assert [track.track_id for track in data.tracks] == names[2:]


def test_audio_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    def edit(tracks: list[dict[str, Any]], _descriptions: list[dict[str, Any]]) -> None:
        for row in tracks:
            row["audio"] = f"../audio/{row['audio']}"

    version, audio_root = publish_tones(tmp_path, artists=8, edit=edit)
    inner = audio_root / "inner"
    inner.mkdir()
    data = load_split(version, "train", audio_root=inner, cache=PcmCache(tmp_path / "cache"))
    assert {row["reason"] for row in data.rejected} == {"audio_outside"}
    assert data.tracks == []


def test_only_descriptions_of_the_wanted_origin_and_form_are_used(tmp_path: Path) -> None:
    def edit(_tracks: list[dict[str, Any]], descriptions: list[dict[str, Any]]) -> None:
        for row in descriptions[::2]:
            row["origin"] = "scraped"

    captions = load_edited(tmp_path, edit, text_mode="caption", origins=("scraped",))
    assert captions.tracks
    assert {len(usable_texts(track)) for track in captions.tracks} == {1}
    assert all(usable_texts(track)[0].startswith("A tune") for track in captions.tracks)
    assert {row["reason"] for row in captions.rejected} == {"no_description"}
    assert "scraped" in captions.rejected[0]["finding"]


def test_descriptions_that_nobody_bears_out_are_not_learnt_from(tmp_path: Path) -> None:
    def edit(_tracks: list[dict[str, Any]], descriptions: list[dict[str, Any]]) -> None:
        for place, row in enumerate(descriptions):
            row["confidence"] = (0.9, 0.2, None)[place % 3]
            row["origin"] = "prompted" if place % 3 == 2 else row["origin"]

    everything = load_edited(tmp_path / "all", edit)
    sure = load_edited(tmp_path / "sure", edit, min_confidence=0.5)
    assert 0 < len(sure.tracks) < len(everything.tracks)
    assert {row["reason"] for row in sure.rejected} == {"no_description"}


def test_nothing_usable_is_one_sentence_that_names_the_commonest_reason(tmp_path: Path) -> None:
    version, _ = publish_tones(tmp_path, artists=8)
    data = load_split(version, "train", audio_root=tmp_path / "elsewhere", cache=PcmCache(tmp_path / "cache"))
    with pytest.raises(DatasetError, match=r"only 0 of \d+ tracks can be used \(audio_missing\).*--audio-root"):
        require_tracks(data, version, "train", tmp_path / "elsewhere")


def test_a_batch_depends_on_its_step_alone(train_split: SplitData) -> None:
    first, again = Pairs(train_split.tracks, RECIPE), Pairs(train_split.tracks, RECIPE)
    straight = [first.batch(step) for step in range(6)]
    for step in (5, 2, 0):
        batch = again.batch(step)
        assert np.array_equal(batch.crops, straight[step].crops)
        assert batch.texts == straight[step].texts
        assert batch.tracks.tolist() == straight[step].tracks.tolist()


def test_every_track_is_seen_once_an_epoch_and_epochs_differ(train_split: SplitData) -> None:
    pairs = Pairs(train_split.tracks, RECIPE)
    count = len(train_split.tracks)
    positions = np.concatenate([pairs.batch(step).tracks for step in range(2 * count // 4)])
    assert sorted(positions[:count]) == list(range(count))
    assert sorted(positions[count : 2 * count]) == list(range(count))
    assert positions[:count].tolist() != positions[count : 2 * count].tolist()


def test_another_seed_draws_otherwise(train_split: SplitData) -> None:
    other = Pairs(train_split.tracks, RECIPE.with_settings({"seed": 1}))
    batch, otherwise = Pairs(train_split.tracks, RECIPE).batch(0), other.batch(0)
    assert not np.array_equal(batch.crops, otherwise.crops)


def test_aspects_are_a_shuffled_part_and_captions_come_as_they_are(train_split: SplitData) -> None:
    pairs = Pairs(train_split.tracks, RECIPE)
    texts: dict[str, set[str]] = {}
    for step in range(60):
        batch = pairs.batch(step)
        for text, position in zip(batch.texts, batch.tracks, strict=True):
            texts.setdefault(train_split.tracks[position].track_id, set()).add(text)
    for track in train_split.tracks:
        aspects, caption = usable_texts(track)
        captions = {text for text in texts[track.track_id] if text.startswith("A tune")}
        lists = texts[track.track_id] - captions
        assert captions <= {caption}
        assert all(set(text.split(", ")) <= set(aspects.split(", ")) for text in lists)
    assert len({text.count(",") for data in texts.values() for text in data}) > 1


def test_with_variants_every_text_that_can_come_is_known_beforehand(train_split: SplitData) -> None:
    pairs = Pairs(train_split.tracks, RECIPE.with_settings({"text_variants": 2}))
    known = pairs.all_texts()
    assert known is not None
    assert {text for step in range(40) for text in pairs.batch(step).texts} <= set(known)
    assert Pairs(train_split.tracks, RECIPE).all_texts() is None


def test_a_track_shorter_than_the_clip_still_gives_a_full_crop(train_split: SplitData) -> None:
    longer = Pairs(train_split.tracks, RECIPE.with_settings({"clip_s": 2.5}))
    assert longer.batch(0).crops.shape == (4, round(2.5 * 22_050))


def test_prefetched_batches_come_in_order(train_split: SplitData) -> None:
    pairs = Pairs(train_split.tracks, RECIPE)
    for step, batch in enumerate(prefetch(pairs.batch, range(7))):
        assert batch.texts == pairs.batch(step).texts


def test_an_error_while_prefetching_reaches_the_loop() -> None:
    def fail(_step: int) -> Any:
        raise ValueError("no such batch")

    with pytest.raises(ValueError, match="no such batch"):
        list(prefetch(fail, range(3)))
