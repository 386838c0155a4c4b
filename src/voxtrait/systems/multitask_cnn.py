"""A plain convolutional network on log-mel images with a head for gender and a head for age groups."""

from __future__ import annotations

from typing import Annotated, Final

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.systems.heads import Heads, conv_block, decibels, repeat_to
from voxtrait.systems.published import BANDS, PLAIN_TRAINING
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "MultitaskCnn", "MultitaskCnnSettings"]


class MultitaskCnnSettings(Settings):
    """Shape of the network."""

    frames: int = Field(
        153, ge=8, le=4096, description="frames of an image; a longer crop is cut, a shorter one begins anew"
    )
    channels: tuple[Annotated[int, Field(ge=1, le=512)], ...] = Field(
        (16, 32, 64, 128, 128),
        min_length=1,
        max_length=6,
        description="of each 3 x 3 convolution of the backbone",
    )
    hidden: int = Field(128, ge=8, le=1024, description="units of each head's hidden layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout before each layer of the heads")


class MultitaskCnn(nn.Module):
    """Mel power and lengths in; the outputs of `Heads` out.

    Args:
        settings: its shape.
        targets: what it tells.
        size: mel channels.
    """

    def __init__(self, settings: MultitaskCnnSettings, targets: Targets, size: int) -> None:
        super().__init__()
        self.frames = settings.frames
        widths = (1, *settings.channels)
        self.backbone = nn.Sequential(
            *(conv_block(inputs, outputs) for inputs, outputs in zip(widths, settings.channels, strict=False))
        )
        # The order in which a processor runs them fastest; the results are the same.
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        left = -(-size // 2 ** len(settings.channels))

        def head(outputs: int) -> nn.Module:
            return nn.Sequential(
                nn.Dropout(settings.dropout),
                nn.Linear(widths[-1] * left, settings.hidden),
                nn.ReLU(),
                nn.Dropout(settings.dropout),
                nn.Linear(settings.hidden, outputs),
            )

        self.heads = Heads(targets, head)

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge crops (B, T, size), mel power, zero beyond ``lengths`` (B,)."""
        level = decibels(repeat_to(features, lengths, self.frames)) / 40 + 1
        maps = self.backbone(level.transpose(1, 2).unsqueeze(1))
        # Only time is averaged away: where in the spectrum something lies is what tells voices apart.
        out: dict[str, Tensor] = self.heads(maps.mean(3).flatten(1))
        return out


SYSTEM: Final = System(
    name="multitask-cnn",
    about="Five seconds of log-mel through 3 x 3 convolutions, shared by a head for gender and one for age.",
    source=(
        "Caruana 1997, Multitask learning, Machine Learning 28; the convolutions are those of Simonyan and "
        "Zisserman 2015, Very deep convolutional networks for large-scale image recognition, ICLR"
    ),
    tasks=("both", "gender", "age", "gender_age"),
    settings=MultitaskCnnSettings,
    reads=("mel-voice",),
    defaults={
        "target": {"task": "both", "bands": BANDS},
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 2048, "hop": 512, "n_mels": 128, "voice_every": 0},
            "versions": 1,
        },
        "train": {**PLAIN_TRAINING, "epochs": 40, "batch": 32, "crop": [5.0, 5.0], "patience": 6},
        "bundle": {"window": 5.0},
    },
    network=MultitaskCnn,
)
