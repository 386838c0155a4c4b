"""A convolutional recurrent network: what the convolutions see is read in both directions and weighed."""

from __future__ import annotations

from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.systems.heads import Heads, conv_block, decibels, repeat_to
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "Crnn", "CrnnSettings"]


class CrnnSettings(Settings):
    """Shape of the network."""

    frames: int = Field(
        298, ge=8, le=4096, description="frames of an image; a longer crop is cut, a shorter one begins anew"
    )
    channels: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field(
        (16, 32, 64, 64),
        min_length=1,
        max_length=6,
        description="of each 3 x 3 convolution; the first two halve time",
    )
    units: int = Field(128, ge=8, le=1024, description="of the recurrent layer, in each direction")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout before the recurrent layer and the heads")


class _AttentionPooling(nn.Module):
    """Mean over time with learnt weights."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(size, size // 2), nn.Tanh(), nn.Linear(size // 2, 1, bias=False))

    def forward(self, states: Tensor) -> Tensor:
        """Map (B, T, H) to (B, H)."""
        return (states * torch.softmax(self.score(states), dim=1)).sum(1)


class Crnn(nn.Module):
    """Mel power and lengths in; the outputs of `Heads` out.

    Args:
        settings: its shape.
        targets: what it tells.
        size: mel channels.
    """

    def __init__(self, settings: CrnnSettings, targets: Targets, size: int) -> None:
        super().__init__()
        self.frames = settings.frames
        widths = (1, *settings.channels)
        self.front = nn.Sequential(
            *(
                conv_block(widths[place], outputs, (2, 2 if place < 2 else 1))
                for place, outputs in enumerate(settings.channels)
            )
        )
        # The order in which a processor runs them fastest; the results are the same.
        self.front.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        left = -(-size // 2 ** len(settings.channels))
        self.dropout = nn.Dropout(settings.dropout)
        self.gru = nn.GRU(widths[-1] * left, settings.units, batch_first=True, bidirectional=True)
        self.pooling = _AttentionPooling(2 * settings.units)
        self.heads = Heads(targets, lambda outputs: nn.Linear(2 * settings.units, outputs))

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge crops (B, T, size), mel power, zero beyond ``lengths`` (B,)."""
        # Repeated rather than padded: the backward direction would begin with the padding.
        level = decibels(repeat_to(features, lengths, self.frames)) / 40 + 1
        maps = self.front(level.transpose(1, 2).unsqueeze(1))
        states, _ = self.gru(self.dropout(maps.permute(0, 3, 1, 2).flatten(2)))
        out: dict[str, Tensor] = self.heads(self.dropout(self.pooling(states)))
        return out


SYSTEM: Final = System(
    name="crnn",
    about="Convolutions on a log-mel image, read both ways by gated recurrent units, pooled by attention.",
    source=(
        "Choi, Fazekas, Sandler and Cho 2017, Convolutional recurrent neural networks for music "
        "classification, ICASSP; attention pooling of Yang et al. 2016, Hierarchical attention networks for "
        "document classification, NAACL"
    ),
    tasks=("both", "gender", "age", "gender_age"),
    settings=CrnnSettings,
    reads=("mel-voice",),
    defaults={
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 400, "hop": 160, "n_mels": 64, "voice_every": 0},
            "versions": 4,
        },
        # The lengths of the windows that a file is heard in.
        "train": {"crop": [1.5, 3.0], "weight_decay": 0.01},
        "bundle": {"window": 3.0},
    },
    network=Crnn,
)
