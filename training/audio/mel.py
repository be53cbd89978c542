"""The mel spectrogram of the Music Tagging Transformer, in decibels, on the audio's device.

22,050 Hz; windows of 1,024 samples (periodic Hann) every 512, centred with reflect padding; power;
128 HTK mel bands from 0 to 11,025 Hz without area normalisation; 10 log10(max(x, 1e-10)) with no
further floor, so that a clip's values never depend on its batch mates and silence is exactly -100 dB.

Buffer names and shapes are those of the published checkpoints.

Letters: B clips, N samples, T frames.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FFT_SIZE", "HOP_SIZE", "MEL_BANDS", "MelSpectrogram", "htk_filterbank", "n_frames"]

FFT_SIZE = 1024  # samples of a window, 46 ms
HOP_SIZE = 512  # samples from one window to the next, 23 ms
MEL_BANDS = 128
_FLOOR = 1e-10  # of power, -100 dB: the logarithm of silence must be a number


class MelSpectrogram(nn.Module):
    """Waveforms (B, N) in [-1, 1], or int16, to dB mels (B, 128, T) in fp32, T = N // 512 + 1."""

    def __init__(self, sample_rate_hz: int = 22_050) -> None:
        super().__init__()
        self.spectrogram = _Spectrogram()
        self.mel_scale = _MelScale(sample_rate_hz)

    def forward(self, audio: Tensor) -> Tensor:
        if audio.shape[-1] <= FFT_SIZE // 2:  # reflect padding needs more samples than it adds on a side
            raise ValueError(f"{audio.shape[-1]} samples are too few for one spectrum of {FFT_SIZE}")
        # bf16 has 8 bits of mantissa: a power spectrum spans 100 dB, so it is taken in fp32.
        with torch.autocast(audio.device.type, enabled=False):
            # int16 has its full scale at 32,768; the mel of a file and of its cached copy are the same.
            audio = audio.float() if audio.is_floating_point() else audio.float() / 32_768.0  # (B, N)
            power = self.spectrogram(audio)  # (B, 513, T)
            mel = self.mel_scale(power)  # (B, 128, T)
            return 10.0 * torch.log10(mel.clamp_min(_FLOOR))


class _Spectrogram(nn.Module):
    window: Tensor  # (1024,)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(FFT_SIZE, periodic=True))

    def forward(self, audio: Tensor) -> Tensor:
        spectrum = torch.stft(
            audio, FFT_SIZE, HOP_SIZE, window=self.window, center=True, pad_mode="reflect", return_complex=True
        )  # (B, 513, T) complex
        return spectrum.real.square() + spectrum.imag.square()


class _MelScale(nn.Module):
    fb: Tensor  # (513, 128)

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__()
        self.register_buffer("fb", htk_filterbank(sample_rate_hz))

    def forward(self, power: Tensor) -> Tensor:
        # (B, T, 513) @ (513, 128), for the checkpoints hold the filters that way round.
        return torch.matmul(power.transpose(-1, -2), self.fb).transpose(-1, -2)


def htk_filterbank(sample_rate_hz: int) -> Tensor:
    """Triangles (513, 128), equally wide on the HTK mel scale 2595 log10(1 + f / 700), peaks of height 1.

    The lowest bands are narrower than the spacing of the spectrum, and some of them catch nothing.
    """
    nyquist_hz = sample_rate_hz / 2
    # In fp64, and rounded to fp32 once at the end.
    top_mel = 2595.0 * torch.log10(torch.tensor(1.0 + nyquist_hz / 700.0, dtype=torch.float64))
    mels = torch.linspace(0.0, float(top_mel), MEL_BANDS + 2, dtype=torch.float64)
    edges_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)  # (130,)
    # Every bin against every band: (513, 1) and (128,) make (513, 128).
    bins_hz = torch.linspace(0.0, nyquist_hz, FFT_SIZE // 2 + 1, dtype=torch.float64)[:, None]  # (513, 1)
    lower, centre, upper = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    # Two straight lines per band; the triangle is the lower one, cut off at 0.
    rising = (bins_hz - lower) / (centre - lower)
    falling = (upper - bins_hz) / (upper - centre)
    return torch.minimum(rising, falling).clamp_min(0.0).float()


def n_frames(n_samples: int) -> int:
    """Frames of a waveform of `n_samples`."""
    return n_samples // HOP_SIZE + 1
