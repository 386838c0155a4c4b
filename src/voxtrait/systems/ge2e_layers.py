"""The default model's system: small heads on what all of a frozen speaker encoder says over time.

The encoder is the three-layer LSTM of Wan et al. 2018, "Generalized end-to-end loss for speaker
verification", with the weights of the Resemblyzer project (Apache-2.0). It is not changed: it learnt
from thousands of voices what a few labelled ones would make it forget (Kumar et al. 2022,
"Fine-tuning can distort pretrained features and underperform out-of-distribution"). What its last
layer throws away, because it does not tell speakers apart, the second still holds; so both are read.
"""

from __future__ import annotations

from typing import Final

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.systems.encoders.ge2e import ge2e_weights, levelled
from voxtrait.systems.heads import Heads, frame_mask, masked_statistics, standardised_head
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "Ge2eLayers", "Ge2eLayersSettings", "LayerHeads"]

_MELS: Final = 40
_UNITS: Final = 256
_LAYERS: Final = 3
#: Frames of a part: the encoder was trained on 1.6 s, and parts are computed side by side.
_PART: Final = 160


class Ge2eLayersSettings(Settings):
    """Shape of the heads."""

    hidden: int = Field(64, ge=8, le=1024, description="units of each head's hidden layer")
    dropout: float = Field(0.4, ge=0, lt=1, description="dropout before each layer of the heads")


class Ge2eLayers(nn.Module):
    """Mel power in; statistics over time of the encoder's last two layers, and its embedding, out."""

    def __init__(self) -> None:
        super().__init__()
        weights = ge2e_weights()
        self.layers = nn.ModuleList(
            nn.LSTM(_UNITS if layer else _MELS, _UNITS, batch_first=True) for layer in range(_LAYERS)
        )
        for number, layer in enumerate(self.layers):
            own = f"_l{number}"
            layer.load_state_dict(
                {
                    name.removeprefix("lstm.").replace(own, "_l0"): value
                    for name, value in weights.items()
                    if name.endswith(own)
                }
            )
        self.linear = nn.Linear(_UNITS, _UNITS)
        self.linear.load_state_dict({name: weights[f"linear.{name}"] for name in ("weight", "bias")})

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Map mel power (B, T, 40) with lengths (B,) to vectors (B, 1280).

        Mean and deviation of the second layer (512) and of the third (512), and the unit-length mean
        of the parts' embeddings (256).
        """
        states = _parts(levelled(features, lengths))
        inside = _parts(frame_mask(features, lengths))
        statistics = []
        for layer in self.layers:
            states, _ = layer(states)
            over_time = states.reshape(features.shape[0], -1, _UNITS)
            statistics.append(masked_statistics(over_time, inside.reshape(features.shape[0], -1)))
        embedding = self._embedding(states, inside).reshape(features.shape[0], -1, _UNITS).sum(1)
        embedding = nn.functional.normalize(embedding, dim=1)
        return torch.cat([*statistics[1:], embedding], dim=1)

    def _embedding(self, states: Tensor, inside: Tensor) -> Tensor:
        """Return the embedding (P, 256) of each part after its last frame, scaled by its frames."""
        frames = inside.sum(1)
        last = (frames.long() - 1).clamp_min(0)
        final = states[torch.arange(states.shape[0], device=states.device), last]
        return nn.functional.normalize(torch.relu(self.linear(final)), dim=1) * frames.unsqueeze(1)


def _parts(sequence: Tensor) -> Tensor:
    """Cut (B, T, ...) into parts that follow each other, (B * parts, 160, ...), the last one padded."""
    starts = torch.arange(sequence.shape[1], device=sequence.device)[::_PART]
    frames = starts.unsqueeze(1) + torch.arange(_PART, device=sequence.device)
    padding = (0, _PART) if sequence.dim() == 2 else (0, 0, 0, _PART)
    padded = nn.functional.pad(sequence, padding)
    return padded[:, frames.flatten()].reshape(-1, _PART, *sequence.shape[2:])


class LayerHeads(nn.Module):
    """A vector of `Ge2eLayers` in; the outputs of `Heads`, and the ``embedding`` in it, out.

    Args:
        settings: its shape.
        targets: what it tells.
        size: values of a vector.
    """

    def __init__(self, settings: Ge2eLayersSettings, targets: Targets, size: int) -> None:
        super().__init__()
        self.heads = Heads(
            targets, lambda outputs: standardised_head(size, settings.hidden, outputs, settings.dropout)
        )

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge vectors (B, 1, size), a frame each."""
        vector = features[:, 0]
        # No size is followed through the slice, and a bundle's outputs must have theirs.
        return {**self.heads(vector), "embedding": vector[:, -_UNITS:].reshape(-1, _UNITS)}


SYSTEM: Final = System(
    name="ge2e-layers",
    about="Small heads on statistics of the layers of a frozen speaker encoder; the default model's system.",
    source="Wan et al. 2018, Generalized end-to-end loss for speaker verification; weights of Resemblyzer",
    tasks=("both", "gender", "age", "gender_age"),
    settings=Ge2eLayersSettings,
    reads=("mel-voice",),
    defaults={
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 400, "hop": 160, "n_mels": _MELS, "voice_every": 0},
            "versions": 8,
        },
        "train": {
            "epochs": 40,
            "patience": 40,
            "batch": 64,
            "rate": 2e-3,
            "weight_decay": 0.05,
            "age_balance": 0.0,
            "age_mean_weight": 3.0,
        },
        # Two parts of the encoder.
        "bundle": {"window": 3.2},
    },
    network=LayerHeads,
    frozen=lambda settings: Ge2eLayers(),
)
