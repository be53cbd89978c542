"""Long audio in flat memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import make_dual, write_text_model

from training.model.export import save_dual_encoder

_ENCODE = """
import resource, sys, torch
from training.model.weights import load_dual_encoder
from training.model.sentence_transformer import as_sentence_transformer
torch.set_num_threads(1)
model = as_sentence_transformer(load_dual_encoder(sys.argv[1]))
model.encode([sys.argv[2]])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
vector = model.encode([sys.argv[3]])[0]
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before, after, float(vector @ vector))
"""


def _noise(path: Path, duration_s: int) -> Path:
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", samplerate=8_000, channels=1) as sound:
        for _ in range(duration_s // 60):
            sound.write(rng.uniform(-0.1, 0.1, 60 * 8_000).astype(np.float32))
    return path


@pytest.mark.e2e
@pytest.mark.parametrize("minutes", [20, pytest.param(60, marks=pytest.mark.proof)])
def test_an_hour_encodes_in_hardly_more_memory_than_two_minutes(tmp_path: Path, minutes: int) -> None:
    dual = make_dual(write_text_model(tmp_path / "text"), conv_ndim=2, attention_ndim=8, clip_s=10.0)
    save_dual_encoder(dual, tmp_path / "model")
    short, long = _noise(tmp_path / "short.flac", 120), _noise(tmp_path / "long.flac", 60 * minutes)
    arguments = [sys.executable, "-c", _ENCODE, *map(str, (tmp_path / "model", short, long))]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    before, after, norm = map(float, done.stdout.split()[-3:])
    grown_mib = (after - before) / (1024 if sys.platform != "darwin" else 1024**2)
    assert grown_mib < 60  # the samples of 20 minutes alone are 101 MiB as float32, an hour's 303
    assert norm == pytest.approx(1.0, abs=1e-5)
