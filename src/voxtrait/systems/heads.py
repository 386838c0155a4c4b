"""Parts that several networks share: their tops, and ways to make crops of any length alike."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from voxtrait.systems.system import Targets

__all__ = ["Heads", "conv_block", "decibels", "frame_mask", "masked_statistics", "repeat_to",
           "standardised_head"]  # fmt: skip


class Heads(nn.Module):
    """The tops of a network: from one vector a recording to what its task asks for.

    Args:
        targets: the task and its ages.
        make: width of an output -> the layers from the vector to it.
    """

    def __init__(self, targets: Targets, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.ages = len(targets.ages)
        self.layers = nn.ModuleDict({name: make(size) for name, size in targets.sizes.items()})

    def forward(self, hidden: Tensor) -> dict[str, Tensor]:
        """Map (B, H) to ``gender`` (B,), ``age`` (B, A) and, for gender_age, ``joint`` (B, 2 A).

        The classes of ``joint`` are the ages of female speakers, then those of male ones; gender and
        age are its margins.
        """
        out = {name: layer(hidden) for name, layer in self.layers.items()}
        if "joint" in out:
            female, male = out["joint"][:, : self.ages], out["joint"][:, self.ages :]
            out["gender"] = torch.logsumexp(female, 1) - torch.logsumexp(male, 1)
            # The logarithm of the sum of both, written so that it exports and keeps its known width.
            out["age"] = male + functional.softplus(female - male)
        elif "gender" in out:
            out["gender"] = out["gender"].squeeze(-1)
        return out


def standardised_head(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    """Return two layers from pooled states (B, inputs), which differ in scale by orders of magnitude."""
    return nn.Sequential(
        nn.BatchNorm1d(inputs),
        nn.Dropout(dropout),
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )


def conv_block(inputs: int, outputs: int, pooled: tuple[int, int] = (2, 2)) -> nn.Module:
    """Return a 3 x 3 convolution with batch normalisation, ReLU and pooling.

    It maps (B, inputs, F, T) to (B, outputs, F / pooled[0], T / pooled[1]).
    """
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        # Rounded up, so that no map is pooled to nothing.
        nn.MaxPool2d(pooled, ceil_mode=True),
    )


def frame_mask(features: Tensor, lengths: Tensor) -> Tensor:
    """Return 1 for each frame within its length and 0 for padding, (B, T)."""
    return (torch.arange(features.shape[1], device=features.device) < lengths.unsqueeze(1)).float()


def masked_statistics(sequence: Tensor, mask: Tensor) -> Tensor:
    """Return mean and deviation over time, (B, T, C) -> (B, 2 C), of frames where ``mask`` is 1."""
    weight = mask.unsqueeze(-1)
    count = weight.sum(1)
    mean = (sequence * weight).sum(1) / count
    spread = ((sequence - mean.unsqueeze(1)).square() * weight).sum(1) / count
    return torch.cat([mean, (spread + 1e-5).sqrt()], dim=-1)


def repeat_to(features: Tensor, lengths: Tensor, frames: int) -> Tensor:
    """Return exactly ``frames`` frames of each crop, (B, T, F) -> (B, frames, F).

    A longer crop is cut, a shorter one begins anew until it fills them: for networks whose layers
    need one length, speech repeated is nearer to speech than silence is.
    """
    place = torch.arange(frames, device=features.device).unsqueeze(0) % lengths.unsqueeze(1)
    index = place.unsqueeze(-1).expand(-1, -1, features.shape[2])
    return torch.gather(features, 1, index)


def decibels(power: Tensor, floor: float = 80.0) -> Tensor:
    """Return power in decibels from the loudest of each crop, (B, ...), no lower than -``floor``."""
    level = 10.0 * torch.log10(power.clamp_min(1e-10))
    loudest = level.flatten(1).amax(1).reshape(-1, *[1] * (power.dim() - 1))
    return torch.maximum(level - loudest, torch.full_like(level, -floor))
