"""The Music Tagging Transformer (Won, Choi, Serra: "Semi-supervised music tagging transformer", ISMIR 2021).

A convolutional stem on the dB mel spectrogram, then a transformer with a CLS token. Names and shapes of
parameters and buffers are those of the published checkpoints, so that they load as they are.

Letters: B clips, N samples, C channels of the stem, T frames, S tokens, D width of the transformer, H heads.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sourcing.errors import CheckpointError
from training.audio.mel import HOP_SIZE, MEL_BANDS, MelSpectrogram

__all__ = ["MAXIMUM_SAMPLES", "MINIMUM_SAMPLES", "MusicTaggingTransformer", "load_published"]

MAXIMUM_TOKENS = 512  # of a clip, the number of published position embeddings: 47 s
MINIMUM_SAMPLES = 3 * HOP_SIZE  # 4 frames, one token
MAXIMUM_SAMPLES = (4 * MAXIMUM_TOKENS + 3) * HOP_SIZE - 1  # 2,051 frames, 512 tokens
_HEADS = 8  # of attention
_DEPTH = 4  # blocks of the transformer
_DROPOUT = 0.1


class MusicTaggingTransformer(nn.Module):
    """The encoder with the tag head; (conv, attention) of teacher (128, 256), student (128, 64), small (16, 256)."""

    def __init__(self, conv_ndim: int = 128, attention_ndim: int = 256, n_seq_cls: int = 50) -> None:
        super().__init__()
        self.out_ndim = attention_ndim
        # 0.02 is the spread BERT begins with.
        self.pos_embedding = nn.Parameter(0.02 * torch.randn(1, MAXIMUM_TOKENS + 1, attention_ndim))
        self.cls_token = nn.Parameter(0.02 * torch.randn(attention_ndim))
        self.spec = MelSpectrogram()  # no parameters, only buffers
        self.frontend = _Stem(conv_ndim, attention_ndim)
        # Channels last: the stem then takes about half the time on a CPU; names and values are the same.
        self.frontend.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's types
        self.dropout = nn.Dropout(_DROPOUT)
        self.transformer = _Transformer(attention_ndim)
        self.to_latent = nn.Identity()  # kept, as a layer of the published model
        self.mlp_head = nn.Sequential(nn.LayerNorm(attention_ndim), nn.Linear(attention_ndim, n_seq_cls))

    def forward(self, audio: Tensor) -> Tensor:
        """Tag probabilities (B, n_seq_cls) of waveforms (B, N)."""
        return torch.sigmoid(self.mlp_head(self.embed(audio)))

    def embed(self, audio: Tensor) -> Tensor:
        """Embeddings (B, D), not normalised, of waveforms (B, N) at 22,050 Hz in [-1, 1], or int16."""
        return self.embed_mel(self.mel(audio))

    def mel(self, audio: Tensor) -> Tensor:
        """dB mels (B, 1, 128, T) in fp32; without parameters, so they may be computed once and kept."""
        mel: Tensor = self.spec(audio)  # (B, 128, T)
        return mel[:, None]  # one channel, as of a grey picture

    def embed_mel(self, mel: Tensor) -> Tensor:
        """Embeddings (B, D) of dB mels (B, 1, 128, T) with 4 <= T < 2052."""
        tokens: Tensor = self.frontend(mel)  # (B, S, D), one token for four frames
        n_clips, n_tokens, _ = tokens.shape
        if n_tokens > MAXIMUM_TOKENS:
            raise ValueError(f"{mel.shape[-1]} frames make {n_tokens} tokens; {MAXIMUM_TOKENS} is the most")
        cls_tokens = self.cls_token.to(tokens.dtype).expand(n_clips, 1, -1)  # (B, 1, D)
        tokens = torch.cat([cls_tokens, tokens], dim=1) + self.pos_embedding[:, : n_tokens + 1]  # (B, 1 + S, D)
        tokens = self.transformer(self.dropout(tokens))
        latent: Tensor = self.to_latent(tokens[:, 0])  # (B, D): the CLS token has looked at all the others
        return latent


class _Stem(nn.Module):
    def __init__(self, conv_ndim: int, attention_ndim: int) -> None:
        super().__init__()
        self.input_bn = nn.BatchNorm2d(1)
        self.layer1 = _ResidualBlock(1, conv_ndim, pool=(2, 2))
        self.layer2 = _ResidualBlock(conv_ndim, conv_ndim, pool=(2, 2))
        self.layer3 = _ResidualBlock(conv_ndim, conv_ndim, pool=(2, 1))
        self.fc = nn.Linear(conv_ndim * MEL_BANDS // 8, attention_ndim)

    def forward(self, mel: Tensor) -> Tensor:
        maps = self.layer1(self.input_bn(mel))  # (B, C, 64, T / 2)
        maps = self.layer2(maps)  # (B, C, 32, T / 4)
        maps = self.layer3(maps)  # (B, C, 16, S), S = T / 4: the last pooling is over frequency alone
        # Channel-major before the Linear, as in the published checkpoints.
        tokens: Tensor = self.fc(maps.permute(0, 3, 1, 2).flatten(2))  # (B, S, 16 C) -> (B, S, D)
        return tokens


class _ResidualBlock(nn.Module):
    def __init__(self, in_ndim: int, out_ndim: int, *, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(in_ndim, out_ndim, 3, padding=1)
        self.bn_1 = nn.BatchNorm2d(out_ndim)
        self.conv_2 = nn.Conv2d(out_ndim, out_ndim, 3, padding=1)
        self.bn_2 = nn.BatchNorm2d(out_ndim)
        self.has_shortcut = in_ndim != out_ndim
        if self.has_shortcut:
            self.conv_3 = nn.Conv2d(in_ndim, out_ndim, 3, padding=1)
            self.bn_3 = nn.BatchNorm2d(out_ndim)
        self.pool = nn.MaxPool2d(pool)  # (frequency, time)

    def forward(self, maps: Tensor) -> Tensor:
        out = self.bn_2(self.conv_2(F.relu(self.bn_1(self.conv_1(maps)))))
        # A convolution where the count of channels changes, else the maps as they are.
        shortcut = self.bn_3(self.conv_3(maps)) if self.has_shortcut else maps
        pooled: Tensor = self.pool(F.relu(out + shortcut))
        return pooled


class _Transformer(nn.Module):
    """Four blocks with the norm before each layer, and no norm after the last, as published."""

    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([_Residual(_PreNorm(ndim, _Attention(ndim))), _Residual(_PreNorm(ndim, _FeedForward(ndim)))])
            for _ in range(_DEPTH)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        for block in self.layers:
            assert isinstance(block, nn.ModuleList)  # (attention, feed-forward)
            for layer in block:
                tokens = layer(tokens)  # (B, 1 + S, D)
        return tokens


class _Residual(nn.Module):
    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, tokens: Tensor) -> Tensor:
        change: Tensor = self.fn(tokens)
        return tokens + change


class _PreNorm(nn.Module):
    def __init__(self, ndim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(ndim)
        self.fn = fn

    def forward(self, tokens: Tensor) -> Tensor:
        change: Tensor = self.fn(self.norm(tokens))
        return change


class _Attention(nn.Module):
    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.to_qkv = nn.Linear(ndim, 3 * ndim, bias=False)  # queries, keys and values in one product
        self.to_out = nn.Sequential(nn.Linear(ndim, ndim), nn.Dropout(_DROPOUT))

    def forward(self, tokens: Tensor) -> Tensor:
        n_clips, n_tokens, ndim = tokens.shape
        qkv = self.to_qkv(tokens).view(n_clips, n_tokens, 3, _HEADS, ndim // _HEADS)
        # Each head attends over D / H of the dimensions.
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, S, D / H)
        heads = F.scaled_dot_product_attention(query, key, value)  # (B, H, S, D / H), scaled by (D / H) ** -0.5
        # Heads side by side again before they are mixed.
        mixed: Tensor = self.to_out(heads.transpose(1, 2).reshape(n_clips, n_tokens, ndim))  # (B, S, D)
        return mixed


class _FeedForward(nn.Module):
    def __init__(self, ndim: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(ndim, 4 * ndim), nn.GELU(), nn.Dropout(_DROPOUT), nn.Linear(4 * ndim, ndim), nn.Dropout(_DROPOUT)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        change: Tensor = self.net(tokens)  # (B, S, D) -> (B, S, 4 D) -> (B, S, D)
        return change


def load_published(source: Path | str | Mapping[str, Any]) -> MusicTaggingTransformer:
    """The model of a published Lightning checkpoint, or of a state dict, sized by the shapes of the weights.

    The prefix `network.` is stripped and a student's `teacher*` keys are dropped. CheckpointError when the
    file is missing or torn, or when its names or shapes are not this model's.
    """
    name = "state dict" if isinstance(source, Mapping) else str(source)
    state = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    if isinstance(state.get("state_dict"), Mapping):
        state = dict(state["state_dict"])
    # Lightning saves the model as an attribute `network`; a student's file holds its teacher as well.
    state = {key.removeprefix("network."): value for key, value in state.items() if not key.startswith("teacher")}
    cure = "give a checkpoint of the Music Tagging Transformer"
    try:
        model = MusicTaggingTransformer(
            conv_ndim=state["frontend.layer1.conv_1.weight"].shape[0],
            attention_ndim=state["cls_token"].shape[0],
            n_seq_cls=state["mlp_head.1.weight"].shape[0],
        )
        model.load_state_dict(state)
    except KeyError as error:
        raise CheckpointError(name, f"has no {error.args[0]!r}", cure) from None
    except RuntimeError as error:
        finding = " ".join(str(error).split())
        raise CheckpointError(name, f"its names or shapes differ: {finding[:300]}", cure) from None
    return model


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(str(path), "no such file", "correct the path")
    try:
        # weights_only: a pickle from the web would run code.
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        finding = f"not a checkpoint of plain tensors ({str(error).splitlines()[0]})"
        raise CheckpointError(str(path), finding, "download it again, or save only its state_dict") from None
    if not isinstance(content, dict):
        raise CheckpointError(str(path), f"holds a {type(content).__name__}, not a dict", "give a state dict")
    return content
