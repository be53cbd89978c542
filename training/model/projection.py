"""The two-layer head that carries a tower's output into the common space."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Projection"]


class Projection(nn.Module):
    """Linear, GELU, Linear: (B, in_ndim) to (B, out_ndim), not normalised."""

    def __init__(self, in_ndim: int, hidden_ndim: int, out_ndim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_ndim, hidden_ndim), nn.GELU(), nn.Linear(hidden_ndim, out_ndim))

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
