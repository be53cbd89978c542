"""NT-Xent between paired audio and text embeddings, in one direction or both.

Normalised temperature-scaled cross-entropy (Chen et al., "A simple framework for contrastive learning", ICML 2020), as
CLIP uses it across modalities. Letters: B pairs, E width of the common space.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sourcing.errors import UsageError

__all__ = ["DIRECTIONS", "nt_xent"]

DIRECTIONS = ("symmetric", "rows", "cols")


def nt_xent(
    audio: Tensor, text: Tensor, scale: Tensor | float, *, direction: str = "symmetric", same: Tensor | None = None
) -> Tensor:
    """The mean cross-entropy of finding each row's partner; a scalar in fp32.

    `audio` and `text` are (B, E) unit vectors, row i of one belonging to row i of the other; logits are
    `scale` times their cosines. "rows": each audio among all texts (softmax over a row of the (B, B) logits);
    "cols": each text among all audio; "symmetric": the mean of the two.

    `same` (B, B) is True where audio i and text j are a pair too, for they are of one track or the texts are
    equal: such places, off the diagonal, are no negatives and leave the softmax.
    """
    if direction not in DIRECTIONS:
        raise UsageError("loss direction", f"{direction!r}", f"choose one of {', '.join(DIRECTIONS)}")
    # In fp32: at a scale of 100 a cosine rounded to bf16 moves its logit by up to 0.2.
    with torch.autocast(audio.device.type, enabled=False):
        logits = scale * (audio.float() @ text.float().T)  # (B, B)
        if same is not None:
            # -inf leaves the softmax with probability 0 and gradient 0; the pair itself stays.
            diagonal = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
            logits = logits.masked_fill(same.to(logits.device) & ~diagonal, float("-inf"))
        partners = torch.arange(len(logits), device=logits.device)  # (B,): row i belongs to column i
        rows = F.cross_entropy(logits, partners) if direction != "cols" else logits.new_zeros(())
        cols = F.cross_entropy(logits.T, partners) if direction != "rows" else logits.new_zeros(())
    return (rows + cols) / 2 if direction == "symmetric" else rows + cols
