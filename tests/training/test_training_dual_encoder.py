"""The dual encoder and the SentenceTransformer it becomes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import make_dual, read_waveform, write_tone

from sourcing.errors import AudioError, CheckpointError, InputError, UsageError
from training import load_model
from training.audio.io import take, windows
from training.model.dual_encoder import DualEncoder
from training.model.export import save_dual_encoder
from training.model.sentence_transformer import as_sentence_transformer
from training.model.weights import load_dual_encoder


@pytest.fixture(scope="module")
def folder(dual: DualEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "my model"
    save_dual_encoder(dual, folder)
    return folder


def test_both_kinds_are_unit_vectors_of_one_width(dual: DualEncoder) -> None:
    with torch.no_grad():
        audio = dual.embed_audio(0.1 * torch.randn(3, 22_050))
        text = dual.embed_text(["quiet", "a loud and very fast thing"])
    assert audio.shape == (3, 8)
    assert text.shape == (2, 8)
    for vectors in (audio, text):
        assert torch.allclose(vectors.norm(dim=1), torch.ones(len(vectors)), atol=1e-6)


def test_kept_text_features_and_kept_mels_give_the_same_vectors(dual: DualEncoder) -> None:
    texts, clips = ["quiet", "a loud thing"], 0.1 * torch.randn(2, 22_050)
    with torch.no_grad():
        assert torch.equal(dual.project_text(dual.text_features(texts)), dual.embed_text(texts))
        assert torch.equal(dual.embed_text(dual.tokenize(texts)), dual.embed_text(texts))
        assert torch.equal(dual.embed_mel(dual.audio_tower.mel(clips)), dual.embed_audio(clips))


def test_the_scale_starts_at_one_over_temperature_and_stops_at_100(text_model: Path, dual: DualEncoder) -> None:
    assert dual.scale().item() == pytest.approx(1 / 0.07)
    cold = make_dual(text_model, temperature=0.001)
    assert cold.scale().item() == 100.0
    fixed = make_dual(text_model, learn_temperature=False)
    assert "logit_scale" not in dict(fixed.named_parameters())
    assert "logit_scale" in fixed.state_dict()


def test_every_trainable_parameter_gets_a_gradient(text_model: Path) -> None:
    dual = make_dual(text_model).train()
    similarity = dual.embed_audio(0.1 * torch.randn(2, 22_050)) @ dual.embed_text(["a", "b c d"]).T
    (dual.scale() * similarity)[0, 1].backward()
    without = [name for name, p in dual.named_parameters() if p.requires_grad and p.grad is None]
    assert [name for name in without if "pooler" not in name] == []


def test_impossible_configurations_are_refused(text_model: Path) -> None:
    for wrong in ({"clip_s": 60.0}, {"clip_s": 0.01}, {"attention_ndim": 20}, {"sample_rate_hz": 16_000}):
        with pytest.raises(UsageError, match="model configuration"):
            make_dual(text_model, **wrong)


def test_a_track_is_the_mean_of_all_its_windows(dual: DualEncoder, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav", duration_s=3.4)
    samples = read_waveform(path)
    clips = np.stack([take(samples, start, 22_050) for start in windows(len(samples), 22_050)])
    with torch.no_grad():
        mean = torch.nn.functional.normalize(dual.embed_audio(torch.from_numpy(clips)).mean(dim=0), dim=0)
    assert len(clips) == 4
    for source in (path, samples):
        for batch_size in (1, 3, 8):
            assert torch.allclose(dual.embed_track(source, batch_size=batch_size), mean, atol=1e-5)


def test_embedding_a_track_switches_dropout_off_and_on_again(dual: DualEncoder, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.wav")
    expected = dual.embed_track(path)
    dual.train()
    assert torch.equal(dual.embed_track(path), expected)
    assert dual.training
    dual.eval()


def test_a_saved_model_loads_with_equal_embeddings(dual: DualEncoder, folder: Path) -> None:
    again = load_dual_encoder(folder)
    assert again.config == dual.config
    assert again.fingerprint() == dual.fingerprint()
    clips = 0.1 * torch.randn(2, 22_050)
    with torch.no_grad():
        assert torch.equal(again.embed_audio(clips), dual.embed_audio(clips))
        assert torch.equal(again.embed_text(["calm"]), dual.embed_text(["calm"]))


def test_the_fingerprint_follows_the_weights(text_model: Path) -> None:
    dual = make_dual(text_model)
    before = dual.fingerprint()
    assert make_dual(text_model).fingerprint() == before
    with torch.no_grad():
        next(dual.text_tower.parameters()).view(-1)[0] += 1.0
    assert dual.fingerprint() != before


def test_a_saved_model_needs_neither_the_text_model_nor_a_net(text_model: Path, tmp_path: Path) -> None:
    dual = make_dual(text_model, seed=1)
    object.__setattr__(dual.config, "text_model", "gone/for-good")
    save_dual_encoder(dual, tmp_path / "model")
    assert load_dual_encoder(tmp_path / "model").fingerprint() == dual.fingerprint()


def test_saving_over_a_model_leaves_only_the_new_one(text_model: Path, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "model"
    save_dual_encoder(make_dual(text_model, seed=1), place)
    (place / "stray.txt").write_text("old")
    newer = make_dual(text_model, seed=2)
    save_dual_encoder(newer, place)
    assert load_dual_encoder(place).fingerprint() == newer.fingerprint()
    assert not (place / "stray.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def _copy(folder: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, to))


def test_a_torn_model_folder_is_refused_with_a_sentence(folder: Path, tmp_path: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    flipped = bytearray(weights)
    flipped[-3] ^= 1
    record = json.loads((folder / "config.json").read_text())
    damage = {
        "cut": lambda f: (f / "model.safetensors").write_bytes(weights[:1_000]),
        "no-weights": lambda f: (f / "model.safetensors").unlink(),
        "flipped": lambda f: (f / "model.safetensors").write_bytes(bytes(flipped)),
        "no-text": lambda f: (f / "text" / "modules.json").unlink(),
        "cut-text": lambda f: (f / "text" / "model.safetensors").write_bytes(b"12"),
        "not-json": lambda f: (f / "config.json").write_text("{"),
        "other-json": lambda f: (f / "config.json").write_text("{}"),
        "newer": lambda f: (f / "config.json").write_text(json.dumps({**record, "model": {"novelty": 1}})),
        "other-size": lambda f: (f / "config.json").write_text(
            json.dumps({**record, "model": {**record["model"], "conv_ndim": 5}})
        ),
    }
    for name, hurt in damage.items():
        hurt(_copy(folder, tmp_path / name))
        with pytest.raises(CheckpointError, match=name):
            load_model(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_model(tmp_path / "nowhere")


def test_one_list_of_texts_and_sound_files_gives_vectors_in_its_order(
    dual: DualEncoder, folder: Path, tmp_path: Path
) -> None:
    first, second = write_tone(tmp_path / "a song.flac"), write_tone(tmp_path / "b.OGG", pitch_hz=90.0)
    inputs = ["sad solo piano", str(first), "x", str(second), "a rather long text about a very quiet song"]
    vectors = load_model(folder).encode(inputs)
    assert vectors.shape == (5, 8)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    with torch.no_grad():
        texts = dual.embed_text([inputs[0], inputs[2], inputs[4]]).numpy()
    assert np.allclose(vectors[[0, 2, 4]], texts, atol=1e-5)
    assert np.allclose(vectors[1], dual.embed_track(first).numpy(), atol=1e-6)
    assert np.allclose(vectors[3], dual.embed_track(second).numpy(), atol=1e-6)
    assert np.allclose(load_model(folder).encode(inputs, batch_size=2), vectors, atol=1e-5)
    assert load_model(folder).encode("x").shape == (8,)


def test_waveforms_are_taken_too_and_other_rates_resampled(dual: DualEncoder, tmp_path: Path) -> None:
    model = as_sentence_transformer(dual)
    path = write_tone(tmp_path / "tone.wav", rate_hz=44_100)
    expected = dual.embed_track(path).numpy()
    left_and_right, _ = soundfile.read(path)
    waveform = {"array": left_and_right.mean(axis=1), "sampling_rate": 44_100}
    assert np.allclose(model.encode([read_waveform(path), waveform]), expected, atol=1e-3)
    with pytest.raises(InputError, match="give a text"):
        model.encode([{"role": "user", "content": "hello"}])


def test_a_missing_sound_file_is_an_error_and_never_a_text(folder: Path) -> None:
    with pytest.raises(AudioError, match=r"missing\.flac"):
        load_model(folder).encode(["fine", "missing.flac"])


def test_importing_training_imports_no_torch() -> None:
    code = "import sys, training; training.load_model; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_looks_like_a_path_never_becomes_words(folder: Path, tmp_path: Path) -> None:
    model = load_model(folder)
    (tmp_path / "song.M4A").write_bytes(b"x" * 100)
    (tmp_path / "noise").write_bytes(b"x" * 100)
    (tmp_path / "link.mp3").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder.wav").mkdir()
    tone = write_tone(tmp_path / "a b.wav")
    cases = {
        str(tmp_path / "song.M4A"): "cannot be decoded",
        str(tmp_path / "noise"): "cannot be decoded",
        str(tmp_path / "link.mp3"): "no such file",
        f"file://{tmp_path}/gone.oga": "no such file",
        "~/gone.aiff": "no such file",
        str(tmp_path / "folder.wav"): "a folder",
        str(tmp_path): "a folder",
    }
    for text, finding in cases.items():
        with pytest.raises(AudioError, match=finding):
            model.encode(["fine", text])
    expected = model.encode([str(tone)])
    assert np.array_equal(model.encode([f"file://{tmp_path}/a%20b.wav"]), expected)
    assert np.array_equal(model.encode([f" {tone} "]), expected)
