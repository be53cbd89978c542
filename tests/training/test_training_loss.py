"""NT-Xent against plain loops and against sentence-transformers' own."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from sourcing.errors import UsageError
from training.loss import nt_xent


def _pairs(n: int = 6, ndim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return F.normalize(torch.randn(n, ndim), dim=1), F.normalize(torch.randn(n, ndim), dim=1)


def _loop(audio: torch.Tensor, text: torch.Tensor, scale: float, direction: str, same: set[tuple[int, int]]) -> float:
    n, total = len(audio), {"rows": 0.0, "cols": 0.0}
    for i in range(n):
        for name in total:
            weights = []
            for j in range(n):
                a, t = (i, j) if name == "rows" else (j, i)
                if a == t or (a, t) not in same:
                    weights.append(math.exp(scale * float(audio[a] @ text[t])))
            own = math.exp(scale * float(audio[i] @ text[i]))
            total[name] -= math.log(own / sum(weights)) / n
    return (total["rows"] + total["cols"]) / 2 if direction == "symmetric" else total[direction]


@pytest.mark.parametrize("direction", ["symmetric", "rows", "cols"])
@pytest.mark.parametrize("same", [set(), {(0, 1), (1, 0), (2, 5), (3, 3)}])
def test_the_loss_equals_a_plain_loop(direction: str, same: set[tuple[int, int]]) -> None:
    audio, text = _pairs()
    mask = torch.zeros(6, 6, dtype=torch.bool)
    for a, t in same:
        mask[a, t] = True
    loss = nt_xent(audio, text, 9.0, direction=direction, same=mask if same else None)
    assert loss.item() == pytest.approx(_loop(audio, text, 9.0, direction, same), rel=1e-5)


@pytest.mark.parametrize("direction", ["rows", "cols", "symmetric"])
def test_the_loss_equals_the_librarys_ranking_loss(direction: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    audio, text = _pairs()
    directions = ("query_to_doc", "doc_to_query") if direction == "symmetric" else ("query_to_doc",)
    model = SentenceTransformer(modules=[torch.nn.Identity()], device="cpu")
    oracle = MultipleNegativesRankingLoss(model, scale=14.0, directions=directions, partition_mode="per_direction")
    query_and_doc = [text, audio] if direction == "cols" else [audio, text]
    expected = oracle.compute_loss_from_embeddings(query_and_doc, labels=None)
    assert nt_xent(audio, text, 14.0, direction=direction).item() == pytest.approx(expected.item(), rel=1e-5)


def test_everything_masked_but_the_pairs_costs_nothing_and_gradients_stay_finite() -> None:
    audio, text = _pairs()
    audio.requires_grad_()
    loss = nt_xent(audio, text, 10.0, same=torch.ones(6, 6, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.isfinite(audio.grad).all()


def test_logits_are_fp32_under_autocast() -> None:
    audio, text = _pairs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(audio.bfloat16(), text.bfloat16(), torch.tensor(30.0))
    assert loss.dtype == torch.float32
    assert torch.equal(loss, nt_xent(audio.bfloat16().float(), text.bfloat16().float(), 30.0))


def test_an_unknown_direction_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="symmetric, rows, cols"):
        nt_xent(*_pairs(), 1.0, direction="both")
