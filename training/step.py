"""One step of training: the device, the optimizer, the learning rate, the loss of a batch and its gradient.

Letters: B pairs of a batch, N samples, T frames, D width of the text tower's output, E width of the common space.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.config import TrainConfig
from training.loss import nt_xent
from training.model.dual_encoder import DualEncoder
from training.pairs import Batch

__all__ = [
    "StepResult",
    "choose_device",
    "learning_rate_factor",
    "make_optimizer",
    "same_pairs",
    "set_text_trainable",
    "train_step",
]

_STEP_SEED = 1_000_003  # a prime, so that seeds of near runs and near steps do not meet


@dataclass(frozen=True)
class StepResult:
    loss: float  # NT-Xent in nats; ln B is that of a model that knows nothing
    scale: float  # factor of the cosines, 1 / temperature
    grad_norm: float  # before clipping


def choose_device() -> torch.device:
    """CUDA when available, else the CPU with one thread per usable core (OMP_NUM_THREADS wins)."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    _keep_freed_memory()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return torch.device("cpu")


def _keep_freed_memory() -> None:
    """Let glibc reuse large buffers: giving each back and faulting it in again was 40 % of a CPU step (2026-11)."""
    m_trim_threshold, m_mmap_threshold, always = -1, -3, 2**31 - 1  # names and numbers of glibc's malloc.h
    with contextlib.suppress(OSError, AttributeError):  # another C library: nothing to set
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(m_trim_threshold, always)
        mallopt(m_mmap_threshold, always)


def learning_rate_factor(step: int, *, warmup_steps: int, total_steps: int, final_fraction: float) -> float:
    """The share of the peak learning rate at a step counted from 0: linear up, then half a cosine down."""
    if step < warmup_steps:
        # AdamW's second moments are noise at first: full-sized steps would be, too. Never 0, so that no step is lost.
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final_fraction + (1 - final_fraction) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def make_optimizer(model: DualEncoder, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW over all trained parameters; the text tower's only when the recipe unfreezes the tower.

    Weight decay falls on matrices and convolutions only, never on norms, biases, the class token or the scale.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}  # (of the text tower, is a matrix) -> parameters
    for name, parameter in model.named_parameters():
        of_text_tower = name.startswith("text_tower.")
        if (of_text_tower and never_trains_text(config)) or name.startswith("audio_tower.mlp_head."):
            continue  # no gradient ever reaches it: its moments would be memory for nothing
        groups.setdefault((of_text_tower, parameter.ndim >= 2), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                # The peak of the schedule: `train_step` sets "lr" from it anew at each step.
                "base_lr": config.text_lr if of_text_tower else config.lr,
                "weight_decay": config.weight_decay if is_matrix else 0.0,
            }
            # In one fixed order, for a checkpoint stores the moments by position.
            for (of_text_tower, is_matrix), parameters in sorted(groups.items(), key=lambda item: item[0])
        ],
        lr=config.lr,
        betas=(0.9, 0.98),  # CLIP's (Radford et al., 2021): 0.98 forgets a spike of the gradient in 50 steps, not 1,000
        eps=1e-6,
    )


def never_trains_text(config: TrainConfig) -> bool:
    return config.freeze_text and config.unfreeze_text_at_step is None


def set_text_trainable(model: DualEncoder, config: TrainConfig, step: int) -> bool:
    """Put the model into training mode as the step asks; a frozen text tower keeps its dropout off."""
    unfrozen = config.unfreeze_text_at_step is not None and step >= config.unfreeze_text_at_step
    trainable = unfrozen or not config.freeze_text
    model.train()
    model.text_tower.train(trainable)  # after model.train(), which turns dropout on in every part
    model.text_tower.requires_grad_(trainable)
    return trainable


def same_pairs(batch: Batch) -> Tensor:
    """A mask (B, B), True where audio i and text j belong together: the diagonal, one track, or equal texts."""
    tracks = torch.from_numpy(batch.tracks)  # (B,)
    folded = [" ".join(text.casefold().split()) for text in batch.texts]
    first_position = {text: position for position, text in reversed(list(enumerate(folded)))}
    texts = torch.tensor([first_position[text] for text in folded])  # (B,), equal numbers for equal texts
    return (tracks[:, None] == tracks[None, :]) | (texts[:, None] == texts[None, :])


def train_step(
    model: DualEncoder,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    config: TrainConfig,
    step: int,
    total_steps: int,
    text_features: Mapping[str, Tensor] | None,
) -> StepResult:
    """Run step number `step` (from 0) in place. Its dropout and masks depend on seed and step alone.

    `text_features` are the frozen text tower's outputs by text, when all of them are known beforehand.
    """
    # Seeded anew at each step: a run taken up again draws as the undisturbed one, and no random state is stored.
    torch.manual_seed((config.seed * _STEP_SEED + step) % 2**63)
    text_trainable = set_text_trainable(model, config, step)
    factor = learning_rate_factor(
        step, warmup_steps=config.warmup_steps, total_steps=total_steps, final_fraction=config.final_lr_fraction
    )
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor

    device = model.device
    with _precision(device):
        # The crops travel as int16, half the bytes of fp32; the mel is taken on the device.
        mel = model.audio_tower.mel(torch.from_numpy(batch.crops).to(device, non_blocking=True))  # (B, 1, 128, T)
        audio = model.embed_mel(_augment(mel, config))  # (B, E)
        if text_features is not None:
            features = torch.stack([text_features[text] for text in batch.texts]).to(device)  # (B, D)
        else:
            with torch.set_grad_enabled(text_trainable):  # a frozen tower keeps no activations
                features = model.text_features(batch.texts)  # (B, D)
        text = model.project_text(features)  # (B, E)
        # Every other text of the batch is a negative of an audio, and the other way round: (B, B) logits.
        loss = nt_xent(audio, text, model.scale(), direction=config.direction, same=same_pairs(batch))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    # One norm over all parameters, so that clipping shortens the gradient and does not turn it.
    norm = nn.utils.clip_grad_norm_([p for p in parameters if p.grad is not None], config.grad_clip)
    optimizer.step()
    return StepResult(loss.item(), model.scale().item(), norm.item())


def _augment(mel: Tensor, config: TrainConfig) -> Tensor:
    """Change each clip's loudness, and hide a run of bands and of frames behind the clip's mean (SpecAugment)."""
    n_clips, _, n_bands, n_frames = mel.shape  # (B, 1, 128, T)
    if config.gain_db:  # a factor on the waveform is a sum in decibels
        mel = mel + (2 * torch.rand(n_clips, 1, 1, 1, device=mel.device) - 1) * config.gain_db
    # Hidden places take the mean, not 0: 0 dB is a sound, silence is -100 dB.
    mean = mel.mean(dim=(2, 3), keepdim=True)  # (B, 1, 1, 1)
    for size, longest, shape in (
        (n_bands, config.freq_mask_bins - 1, (1, 1, -1, 1)),
        (n_frames, round(config.time_mask_fraction * n_frames), (1, 1, 1, -1)),
    ):
        if longest > 0:
            # One run of bands (or frames) per clip, its length and place uniform; real numbers, compared with places.
            length = torch.rand(n_clips, 1, 1, 1, device=mel.device) * longest
            start = torch.rand(n_clips, 1, 1, 1, device=mel.device) * (size - length)
            place = torch.arange(size, device=mel.device).view(shape)  # (1, 1, 128, 1), or (1, 1, 1, T)
            mel = torch.where((place >= start) & (place < start + length), mean, mel)
    return mel


@contextlib.contextmanager
def _precision(device: torch.device) -> Iterator[None]:
    """Autocast to bf16 on a GPU with bf16; fp32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            yield
    else:
        yield
