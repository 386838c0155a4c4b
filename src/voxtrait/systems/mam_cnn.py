"""A convolutional network with a multi-attention module on spectrogram images of 64 x 64.

Tursunov, Mustaqeem, Choeh and Kwon 2021, "Age and gender recognition using a convolutional neural
network with a specially designed multi-attention module through speech spectrograms", Sensors 21(17):
5892. It reached 96 % (gender), 73 % (age, 6 groups) and 76 % (both at once, 12 classes) on Common Voice.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from voxtrait.systems.heads import Heads, decibels
from voxtrait.systems.published import BANDS, PLAIN_TRAINING
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "MamCnn", "MamCnnSettings"]

_PIXELS = 64
#: Decibels below the loudest point of a crop that are told from silence.
_RANGE = 80.0
_HIDDEN = 80
_LEARNT = 384
_ATTENTION = 64


class MamCnnSettings(Settings):
    """Nothing can be set: the network has its published shape."""


def _shares(lengths: Tensor, count: int) -> Tensor:
    """Return what each of 64 pixels takes of ``count`` places, (B, 64, count), each row of sum 1.

    The first ``lengths`` (B,) places are divided evenly over the pixels, by area: a pixel is the mean
    of the places it covers. Places beyond have no share.
    """
    width = (lengths.float() / _PIXELS).reshape(-1, 1, 1)
    low = torch.arange(_PIXELS, device=lengths.device).reshape(1, -1, 1) * width
    place = torch.arange(count, device=lengths.device).reshape(1, 1, -1)
    covered = torch.minimum(low + width, place + 1) - torch.maximum(low, place)
    return covered.clamp_min(0.0) / width


def _convolution(inputs: int, outputs: int, kernel: tuple[int, int], stride: int = 1) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU())


def _learning_block(inputs: int) -> nn.Module:
    """Map (B, inputs, F, T) to (B, 384, F / 8, T / 8)."""
    return nn.Sequential(
        _convolution(inputs, 120, (9, 9), stride=2),
        nn.BatchNorm2d(120),
        nn.MaxPool2d(2),
        _convolution(120, 256, (5, 5)),
        nn.MaxPool2d(2),
        _convolution(256, _LEARNT, (3, 3)),
        nn.BatchNorm2d(_LEARNT),
    )


class _MultiAttention(nn.Module):
    """Long narrow kernels along time beside such kernels along frequency."""

    def __init__(self) -> None:
        super().__init__()
        self.time = self._branch([(1, 9), (1, 3), (1, 3)])
        self.frequency = self._branch([(9, 1), (3, 1), (3, 1)])
        self.norm = nn.BatchNorm2d(2 * _ATTENTION)

    @staticmethod
    def _branch(kernels: list[tuple[int, int]]) -> nn.Module:
        inputs = [_LEARNT, *[_ATTENTION] * (len(kernels) - 1)]
        layers = map(_convolution, inputs, [_ATTENTION] * len(kernels), kernels)
        return nn.Sequential(*layers, nn.BatchNorm2d(_ATTENTION))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, 384, F, T) to (B, 128, F, T)."""
        out: Tensor = self.norm(torch.cat([self.time(maps), self.frequency(maps)], dim=1))
        return out


class MamCnn(nn.Module):
    """Power spectrogram and lengths in; the outputs of `Heads` out.

    Args:
        settings: none.
        targets: what it tells.
        size: bins of the spectrogram.
    """

    bins: Tensor

    def __init__(self, settings: MamCnnSettings, targets: Targets, size: int) -> None:
        super().__init__()
        self.first = _learning_block(1)
        self.attention = _MultiAttention()
        self.second = _learning_block(_LEARNT + 2 * _ATTENTION)
        # Two learning blocks leave one place of 64 x 64.
        self.dense = nn.Sequential(nn.Linear(_LEARNT, _HIDDEN), nn.ReLU(), nn.BatchNorm1d(_HIDDEN))
        self.heads = Heads(targets, lambda outputs: nn.Linear(_HIDDEN, outputs))
        self.register_buffer("bins", _shares(torch.tensor([size]), size)[0].T.clone(), persistent=False)

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge crops (B, T, size), power, zero beyond ``lengths`` (B,)."""
        level = decibels(features, _RANGE) / _RANGE + 1
        image = _shares(lengths, features.shape[1]) @ level @ self.bins
        learnt = self.first(image.transpose(1, 2).unsqueeze(1))
        learnt = self.second(torch.cat([learnt, self.attention(learnt)], dim=1))
        out: dict[str, Tensor] = self.heads(self.dense(learnt.flatten(1)))
        return out


SYSTEM: Final = System(
    name="mam-cnn",
    about="A 64 x 64 spectrogram through convolutions and a multi-attention module over time and frequency.",
    source=(
        "Tursunov et al. 2021, Age and gender recognition using a convolutional neural network with a "
        "specially designed multi-attention module through speech spectrograms, Sensors 21(17):5892"
    ),
    tasks=("gender_age", "age", "gender", "both"),
    settings=MamCnnSettings,
    reads=("spectrogram",),
    defaults={
        "target": {"task": "gender_age", "bands": BANDS},
        "features": {"name": "spectrogram", "config": {"n_fft": 256, "hop": 128}, "versions": 1},
        "train": {
            **PLAIN_TRAINING,
            "epochs": 50,
            "batch": 128,
            # The lengths of the windows that a file is heard in: an image shows its whole crop.
            "crop": [2.0, 4.0],
            "rate": 0.0001,
            # Twice the published factor of the squares in the loss: this one multiplies their gradient.
            "weight_decay": 0.02,
            "patience": 50,
        },
        "bundle": {"window": 4.0},
    },
    network=MamCnn,
)
