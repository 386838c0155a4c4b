"""SpeechBrain's log-mel front as layers: any number of frames, and no padding leaks into them."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.audio import SAMPLE_RATE
from voxtrait.systems.heads import frame_mask

__all__ = ["Fbank"]

_N_FFT: Final = 400
_HOP: Final = 160
_FLOOR: Final = 1e-10
_RANGE: Final = 80.0


class Fbank(nn.Module):
    """Decibels of mel power, less their mean over time, as `speechbrain.lobes.features.Fbank` gives them.

    Frames of 25 ms under a Hamming window, centred at every 10 ms, the signal continued with zeros; mel
    bands of the HTK scale, triangles of height 1; no more than 80 dB below the loudest. The mean is that of
    SpeechBrain's ``InputNormalization(norm_type="sentence", std_norm=False)``.

    Args:
        n_mels: mel channels.
    """

    spectrum: Tensor
    filters: Tensor

    def __init__(self, n_mels: int) -> None:
        super().__init__()
        # A transform by convolution: the exporter bakes the frame count of an STFT into its graph.
        self.register_buffer("spectrum", torch.from_numpy(_fourier()).unsqueeze(1), persistent=False)
        self.register_buffer("filters", torch.from_numpy(_mel_triangles(n_mels)), persistent=False)

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return levels (B, T + 1, n_mels) and the valid frames of each row, (B,).

        Args:
            samples: (B, 160 T), zero beyond each length.
            lengths: (B,), valid stretches of 160 samples.
        """
        padded = nn.functional.pad(samples, (_N_FFT // 2, _N_FFT // 2)).unsqueeze(1)
        real, imaginary = nn.functional.conv1d(padded, self.spectrum, stride=_HOP).chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2) @ self.filters
        level = 10.0 * torch.log10(power.clamp_min(_FLOOR))
        frames = lengths + 1
        valid = frame_mask(level, frames).unsqueeze(-1)
        # The frame after the last one still hears the end of the row.
        level = torch.where(valid > 0, level, torch.full_like(level, -100.0))
        level = torch.maximum(level, level.amax(dim=(1, 2), keepdim=True) - _RANGE)
        mean = (level * valid).sum(1, keepdim=True) / valid.sum(1, keepdim=True)
        return level - mean, frames


def _fourier() -> NDArray[np.float32]:
    """Return the windowed cosines, then sines, of a real Fourier transform, shape (2 * 201, 400)."""
    time = np.arange(_N_FFT)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * time / _N_FFT)
    angle = 2 * np.pi / _N_FFT * ((np.arange(_N_FFT // 2 + 1)[:, None] * time) % _N_FFT)
    return np.concatenate([np.cos(angle) * window, np.sin(angle) * window]).astype(np.float32)


def _mel_triangles(n_mels: int) -> NDArray[np.float32]:
    """Return triangular filters of height 1, shape (201, n_mels), each as wide as the step to its left."""
    top = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    hz = 700.0 * (10.0 ** (np.linspace(0.0, top, n_mels + 2) / 2595.0) - 1.0)
    slope = (np.linspace(0.0, SAMPLE_RATE / 2, _N_FFT // 2 + 1)[:, None] - hz[1:-1]) / np.diff(hz)[:-1]
    return np.maximum(0.0, 1.0 - np.abs(slope)).astype(np.float32)
