"""The default model's system: small heads on what all of a frozen speaker encoder says over time.

The encoder is the three-layer LSTM of Wan et al. 2018, "Generalized end-to-end loss for speaker
verification", with the weights of the Resemblyzer project (Apache-2.0). It is not changed: it learnt
from thousands of voices what a few labelled ones would make it forget (Kumar et al. 2022,
"Fine-tuning can distort pretrained features and underperform out-of-distribution"). What its last
layer throws away, because it does not tell speakers apart, the second still holds; so both are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.systems.encoders.ge2e import ge2e_weights, levelled
from voxtrait.systems.heads import Heads, standardised_head
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
        self.layers = nn.ModuleList(nn.LSTM(_UNITS if layer else _MELS, _UNITS) for layer in range(_LAYERS))
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
        mel, frames, owner = _parts(levelled(features, lengths), lengths)
        owned = (owner == torch.arange(features.shape[0], device=owner.device).unsqueeze(1)).float()
        # Most parts are whole: what they are longer than all others is computed for them alone.
        longest = frames.max()
        shared = torch.where(frames < longest, frames, 1).max()
        late = (frames == longest).nonzero()[:, 0]
        nothing = mel.new_zeros(1, mel.shape[1], _UNITS)
        early_states, memory = self._listen(mel[:shared], [(nothing, nothing)] * _LAYERS)
        late_memory = [(hidden[:, late], cell[:, late]) for hidden, cell in memory]
        late_states, _ = self._listen(mel[shared : longest.clamp_min(2)][:, late], late_memory)

        early_frames, late_frames = frames.clamp_max(shared), frames[late] - shared
        statistics = []
        for early, later in zip(early_states[1:], late_states[1:], strict=True):
            sums = owned @ _sums(early, early_frames) + owned[:, late] @ _sums(later, late_frames)
            statistics.append(_mean_and_deviation(sums / lengths.unsqueeze(1)))
        weights = owned * frames
        ending = weights * (frames <= shared) @ self._embedding(early_states[-1], early_frames)
        going_on = (weights * (frames > shared))[:, late] @ self._embedding(late_states[-1], late_frames)
        return torch.cat([*statistics, nn.functional.normalize(ending + going_on, dim=1)], dim=1)

    def _listen(
        self, sequence: Tensor, memory: Sequence[tuple[Tensor, Tensor]]
    ) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """Return the states (T, P, 256) of each layer on parts (T, P, 40), and what it will remember."""
        states, remembered = [], []
        for layer, before in zip(self.layers, memory, strict=True):
            sequence, after = layer(sequence, before)
            states.append(sequence)
            remembered.append(after)
        return states, remembered

    def _embedding(self, states: Tensor, frames: Tensor) -> Tensor:
        """Return the embedding (P, 256) of each part of states (T, P, 256) after its last frame."""
        parts = states.shape[1]
        last = (frames - 1).clamp_min(0) * parts + torch.arange(parts, device=frames.device)
        return nn.functional.normalize(torch.relu(self.linear(states.flatten(0, 1)[last])), dim=1)


def _parts(mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut (B, T, 40) into parts that follow each other, and leave out those beyond each length.

    Returns:
        the P parts (160, P, 40), the frames (P,) that each has, and the row (P,) that each is of.
    """
    starts = torch.arange(mel.shape[1], device=mel.device)[::_PART]
    frames = (lengths.unsqueeze(1) - starts).clamp(0, _PART).flatten()
    heard = frames.nonzero()[:, 0]
    places = starts.unsqueeze(1) + torch.arange(_PART, device=mel.device)
    padded = nn.functional.pad(mel, (0, 0, 0, _PART))
    parts = padded[:, places.flatten()].reshape(-1, _PART, _MELS)[heard]
    return parts.transpose(0, 1), frames[heard], heard // starts.shape[0]


def _sums(states: Tensor, frames: Tensor) -> Tensor:
    """Return the sums over time of states (T, P, 256) and of their squares, (P, 512)."""
    inside = torch.arange(states.shape[0], device=frames.device).unsqueeze(1) < frames
    kept = states * inside.unsqueeze(-1)
    return torch.cat([kept.sum(0), kept.square().sum(0)], dim=1)


def _mean_and_deviation(means: Tensor) -> Tensor:
    """Return mean and deviation (B, 512) from the means of states and of their squares."""
    mean, square = means.chunk(2, dim=1)
    return torch.cat([mean, ((square - mean.square()).clamp_min(0) + 1e-5).sqrt()], dim=1)


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
