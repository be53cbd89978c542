"""The Music Tagging Transformer: names, shapes, spectrogram and behaviour."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sourcing.errors import CheckpointError
from training.audio.mel import MelSpectrogram, n_frames
from training.model.audio_tower import MAXIMUM_SAMPLES, MINIMUM_SAMPLES, MusicTaggingTransformer, load_published

SHAPES = Path(__file__).with_name("mtt_shapes.json")


def _model(conv_ndim: int = 4, attention_ndim: int = 16, n_seq_cls: int = 3) -> MusicTaggingTransformer:
    torch.manual_seed(0)
    return MusicTaggingTransformer(conv_ndim, attention_ndim, n_seq_cls).eval()


@pytest.mark.parametrize(
    ("sizes", "parameters"), [((128, 256, 50), 4_567_732), ((128, 64, 50), 1_108_852), ((16, 256, 1), 3_366_259)]
)
def test_the_published_sizes_have_the_published_parameter_counts(sizes: tuple[int, int, int], parameters: int) -> None:
    assert sum(parameter.numel() for parameter in MusicTaggingTransformer(*sizes).parameters()) == parameters


def test_the_teacher_has_the_published_names_and_shapes() -> None:
    shapes = {name: list(tensor.shape) for name, tensor in MusicTaggingTransformer(128, 256, 50).state_dict().items()}
    assert shapes == json.loads(SHAPES.read_text(encoding="utf-8"))
    assert len(shapes) == 108


def test_the_table_of_shapes_is_the_one_handed_to_the_project() -> None:
    handed = Path(__file__).parents[3] / "shared" / "mtt_state_dict_shapes.json"
    if not handed.is_file():
        pytest.skip("the folder beside the repository is not here")
    assert json.loads(handed.read_text(encoding="utf-8")) == json.loads(SHAPES.read_text(encoding="utf-8"))


def _loop_mel(audio: np.ndarray) -> np.ndarray:
    """The spectrogram frame by frame, bin by bin, band by band."""
    padded = np.pad(audio, 512, mode="reflect")
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / 1024) for i in range(1024)]
    top = 2595 * math.log10(1 + 11_025 / 700)
    edges_hz = [700 * (10 ** (top * i / 129 / 2595) - 1) for i in range(130)]
    frames = []
    for start in range(0, len(audio) + 1, 512):
        spectrum = np.fft.rfft(padded[start : start + 1024] * window)
        power = np.abs(spectrum) ** 2
        bands = []
        for band in range(128):
            lower, centre, upper = edges_hz[band : band + 3]
            total = 0.0
            for k in range(513):
                frequency_hz = k * 22_050 / 1024
                if lower < frequency_hz <= centre:
                    total += power[k] * (frequency_hz - lower) / (centre - lower)
                elif centre < frequency_hz < upper:
                    total += power[k] * (upper - frequency_hz) / (upper - centre)
            bands.append(10 * math.log10(max(total, 1e-10)))
        frames.append(bands)
    return np.array(frames).T


def test_the_mel_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    audio = 0.3 * np.sin(np.arange(3_000) * 0.2) + 0.05 * rng.standard_normal(3_000)
    mel = MelSpectrogram()(torch.from_numpy(audio[None]).float())[0]
    expected = _loop_mel(audio)
    assert mel.shape == expected.shape == (128, n_frames(3_000))
    assert np.abs(mel.numpy() - expected).max() < 0.01  # dB


def test_silence_is_minus_100_db_and_loudness_of_others_changes_nothing() -> None:
    spec = MelSpectrogram()
    assert (spec(torch.zeros(1, 4_096)) == -100.0).all()
    soft = 1e-3 * torch.randn(1, 4_096)
    together = spec(torch.cat([soft, 100.0 * torch.randn(1, 4_096)]))[:1]
    assert torch.allclose(together, spec(soft), atol=1e-4)


def test_int16_and_float_audio_give_the_same_mel_also_under_autocast() -> None:
    pcm = torch.randint(-20_000, 20_000, (2, 8_192), dtype=torch.int16)
    spec = MelSpectrogram()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = spec(pcm)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, spec(pcm.float() / 32_768))


def test_a_ten_second_clip_has_431_frames_and_107_tokens() -> None:
    model = _model()
    mel = model.mel(0.1 * torch.randn(1, 220_500))
    assert mel.shape == (1, 1, 128, 431)
    assert model.frontend(mel).shape == (1, 107, 16)


def test_the_longest_and_shortest_clips_are_as_said_and_beyond_them_is_an_error() -> None:
    model = _model(1 + 1, 8)
    assert MAXIMUM_SAMPLES == 1_050_111
    assert model.frontend(model.mel(torch.zeros(1, MAXIMUM_SAMPLES))).shape[1] == 512
    assert model.embed(torch.zeros(1, MINIMUM_SAMPLES)).shape == (1, 8)
    with pytest.raises(ValueError, match="512 is the most"):
        model.embed(torch.zeros(1, 2_060 * 512))
    with pytest.raises(ValueError, match="too few"):
        model.embed(torch.zeros(1, 512))


def test_an_embedding_does_not_depend_on_its_batch_mates() -> None:
    model = _model()
    clips = torch.randn(4, 22_050) * torch.tensor([[1e-3], [0.1], [1.0], [0.01]])
    with torch.no_grad():
        together = model.embed(clips)
        alone = torch.cat([model.embed(clip[None]) for clip in clips])
    assert torch.allclose(together, alone, atol=1e-5)


def test_probabilities_come_from_the_head_on_the_embedding() -> None:
    model = _model(n_seq_cls=5)
    clips = 0.1 * torch.randn(2, 22_050)
    with torch.no_grad():
        assert torch.equal(model(clips), torch.sigmoid(model.mlp_head(model.embed(clips))))
        assert torch.equal(model.embed(clips), model.embed_mel(model.mel(clips)))


def test_attention_equals_its_formula_head_by_head() -> None:
    model = _model()
    attention = model.transformer.layers[0][0].fn.fn
    tokens = torch.randn(1, 6, 16)
    with torch.no_grad():
        query, key, value = (tokens @ attention.to_qkv.weight.T).chunk(3, dim=-1)
        heads = []
        for h in range(8):
            part = slice(2 * h, 2 * h + 2)
            weights = torch.softmax(query[..., part] @ key[..., part].transpose(1, 2) * 2**-0.5, dim=-1)
            heads.append(weights @ value[..., part])
        expected = attention.to_out(torch.cat(heads, dim=-1))
        assert torch.allclose(attention(tokens), expected, atol=1e-6)


def test_tokens_are_flattened_channel_major() -> None:
    model = _model()
    stem = model.frontend
    mel = model.mel(0.1 * torch.randn(1, 22_050))
    with torch.no_grad():
        maps = stem.layer3(stem.layer2(stem.layer1(stem.input_bn(mel))))  # (1, 4, 16, S)
        first = torch.stack([maps[0, c, f, 0] for c in range(4) for f in range(16)])
        assert torch.allclose(stem.fc(first), stem(mel)[0, 0], atol=1e-5)


def test_every_parameter_but_the_head_learns_from_the_embedding() -> None:
    model = _model().train()
    model.embed(0.1 * torch.randn(2, 22_050)).square().sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"mlp_head.0.weight", "mlp_head.0.bias", "mlp_head.1.weight", "mlp_head.1.bias"}


def test_a_published_checkpoint_loads_at_the_size_it_has(tmp_path: Path) -> None:
    model = _model(6, 24, 7)
    state = {f"network.{name}": tensor for name, tensor in model.state_dict().items()}
    state["teacher.cls_token"] = torch.zeros(3)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "published.ckpt")
    clips = 0.1 * torch.randn(1, 22_050)
    with torch.no_grad():
        for loaded in (load_published(tmp_path / "published.ckpt"), load_published(state)):
            assert torch.equal(loaded.eval()(clips), model(clips))


def test_a_checkpoint_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "torn.ckpt").write_bytes(b"PK\x03\x04 half a file")
    torch.save(torch.zeros(3), tmp_path / "tensor.ckpt")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.ckpt")
    state = _model().state_dict()
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "more.ckpt")
    torch.save({**state, "frontend.fc.bias": torch.zeros(1)}, tmp_path / "shape.ckpt")
    for name in ("torn", "tensor", "other", "more", "shape", "missing"):
        with pytest.raises(CheckpointError, match=rf"{name}\.ckpt"):
            load_published(tmp_path / f"{name}.ckpt")
