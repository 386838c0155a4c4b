"""A convolutional network whose kernels look along time and along frequency, side by side."""

from __future__ import annotations

from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.systems.heads import Heads, decibels, repeat_to
from voxtrait.systems.published import BANDS, NO_CONDITIONS, PLAIN_TRAINING
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "DualPathCnn", "DualPathCnnSettings"]


class DualPathCnnSettings(Settings):
    """Shape of the network."""

    frames: int = Field(
        298, ge=8, le=4096, description="frames of an image; a longer crop is cut, a shorter one begins anew"
    )
    channels: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field(
        (8, 16, 32, 32), min_length=1, max_length=6, description="of each path in each block"
    )
    hidden: int = Field(32, ge=8, le=1024, description="units of the dense layer")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout after the dense layer")


class _Block(nn.Module):
    """A path of kernels 1 x 5 along time beside one of 5 x 1 along frequency."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.time = nn.Conv2d(inputs, outputs, (1, 5), padding=(0, 2))
        self.frequency = nn.Conv2d(inputs, outputs, (5, 1), padding=(2, 0))
        # Rounded up, so that no map is pooled to nothing.
        self.top = nn.Sequential(nn.BatchNorm2d(2 * outputs), nn.MaxPool2d(2, ceil_mode=True))

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, inputs, F, T) to (B, 2 outputs, F / 2, T / 2)."""
        out: Tensor = self.top(torch.cat([self.time(maps), self.frequency(maps)], dim=1).relu())
        return out


class DualPathCnn(nn.Module):
    """Mel power and lengths in; the outputs of `Heads` out.

    Args:
        settings: its shape.
        targets: what it tells.
        size: mel channels.
    """

    def __init__(self, settings: DualPathCnnSettings, targets: Targets, size: int) -> None:
        super().__init__()
        self.frames = settings.frames
        inputs = [1, *(2 * width for width in settings.channels)]
        self.blocks = nn.Sequential(*(_Block(*pair) for pair in zip(inputs, settings.channels, strict=False)))
        # The order in which a processor runs them fastest; the results are the same.
        self.blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        left = -(-size // 2 ** len(settings.channels))
        self.dense = nn.Sequential(
            nn.Linear(inputs[-1] * left, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout)
        )
        self.heads = Heads(targets, lambda outputs: nn.Linear(settings.hidden, outputs))

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge crops (B, T, size), mel power, zero beyond ``lengths`` (B,)."""
        level = decibels(repeat_to(features, lengths, self.frames)) / 40 + 1
        maps = self.blocks(level.transpose(1, 2).unsqueeze(1))
        # Only time is averaged away: where in the spectrum something lies is what tells voices apart.
        out: dict[str, Tensor] = self.heads(self.dense(maps.mean(3).flatten(1)))
        return out


SYSTEM: Final = System(
    name="dual-path-cnn",
    about="Kernels along time and kernels along frequency side by side, on a log-mel image of three seconds.",
    source=(
        "Pons, Lidy and Serra 2016, Experimenting with musically motivated convolutional neural networks, "
        "CBMI (time and frequency kernels side by side)"
    ),
    tasks=("both", "gender", "age", "gender_age"),
    settings=DualPathCnnSettings,
    reads=("mel-voice",),
    defaults={
        "target": {"task": "both", "bands": BANDS},
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 400, "hop": 160, "n_mels": 64, "voice_every": 0},
            "versions": 4,
        },
        "augment": {**NO_CONDITIONS, "gaussian": 0.5, "gain": 0.5, "shift": 0.5},
        "train": {
            **PLAIN_TRAINING,
            "epochs": 40,
            "batch": 32,
            "crop": [3.0, 3.0],
            "optimiser": "rmsprop",
            "patience": 6,
        },
        "bundle": {"window": 3.0},
    },
    network=DualPathCnn,
)
