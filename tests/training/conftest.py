"""The tiny models several files share, and one thread a process: two gain nothing, and spinning starves the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tiny_models import make_dual, write_text_model

if TYPE_CHECKING:
    from training.model.dual_encoder import DualEncoder

os.environ.setdefault("OMP_NUM_THREADS", "1")  # also for the commands that tests start


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_model(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def dual(text_model: Path) -> DualEncoder:
    return make_dual(text_model)
