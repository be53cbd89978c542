"""Small models and sounds for tests: a text tower of a few thousand weights, a dual encoder on it, tones in files."""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

if TYPE_CHECKING:
    from training.model.dual_encoder import DualEncoder


def write_text_model(folder: Path, *, dense: bool = True) -> Path:
    """A sentence-transformers model with random weights in `folder`: BERT, mean pooling and a Tanh dense to 12."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    bert = folder / "bert"
    bert.mkdir(parents=True)
    letters = string.ascii_lowercase + string.digits
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (bert / "vocab.txt").write_text("\n".join(vocab))
    BertTokenizerFast(vocab=str(bert / "vocab.txt")).save_pretrained(bert)
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(bert)
    modules: list[Any] = [Transformer(str(bert)), Pooling(16)]
    if dense:
        modules.append(Dense(16, 12, activation_function=torch.nn.Tanh()))
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"), create_model_card=False)
    return folder / "model"


def make_dual(text_model: Path, *, seed: int = 0, **config: Any) -> DualEncoder:
    """An untrained dual encoder with clips of one second, in evaluation mode."""
    import torch

    from training.model.config import ModelConfig
    from training.model.dual_encoder import DualEncoder
    from training.model.text_source import load_text_tower

    torch.manual_seed(seed)
    small: dict[str, Any] = {
        "conv_ndim": 4, "attention_ndim": 16, "projection_hidden_ndim": 16, "embedding_ndim": 8, "clip_s": 1.0,
    }  # fmt: skip
    config = {"text_model": str(text_model), **small, **config}
    return DualEncoder(ModelConfig(**config), load_text_tower).eval()


def write_tone(path: Path, *, duration_s: float = 2.0, pitch_hz: float = 440.0, rate_hz: int = 22_050) -> Path:
    """A stereo file with a tone on the left and a softer one, a fifth above, on the right."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    left, right = np.sin(2 * np.pi * pitch_hz * times_s), np.sin(3 * np.pi * pitch_hz * times_s)
    soundfile.write(path, np.stack([0.5 * left, 0.25 * right], axis=1), rate_hz)
    return path


def read_waveform(path: Path | str) -> npt.NDArray[np.float32]:
    """The whole file (n,) as training decodes it."""
    from training.audio.io import stream_blocks

    return np.concatenate(list(stream_blocks(path)))
