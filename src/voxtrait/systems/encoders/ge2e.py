"""The GE2E speaker encoder with Resemblyzer's weights: 256 values, of unit length.

Wan et al. 2018, "Generalized end-to-end loss for speaker verification". As in Resemblyzer
(Apache-2.0), an utterance is cut into overlapping parts of 1.6 s, whose vectors are averaged.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import ClassVar, Final, Self

import torch
from torch import Tensor, nn

from voxtrait.bundle import FeatureCard
from voxtrait.errors import MissingExtraError
from voxtrait.systems.encoders.encoder import Encoder
from voxtrait.systems.heads import frame_mask

__all__ = ["Ge2eEncoder", "ge2e_weights", "levelled"]

_MELS: Final = 40
_UNITS: Final = 256
#: Frames of a part, from one part to the next, and the fewest that a part but the first must have.
_PART, _STEP, _LEAST = 160, 77, 120
#: Mean mel power (summed over channels) of speech at the level the encoder was trained at, -30 dBFS.
_LEVEL: Final = 0.4


def ge2e_weights() -> dict[str, Tensor]:
    """Return the weights of ``lstm`` (3 layers of 256 units on 40 mels) and ``linear`` (256 to 256).

    Raises:
        MissingExtraError: if the package that brings them is not installed.
    """
    # The package itself is not imported: it needs libraries that nothing here uses.
    found = importlib.util.find_spec("resemblyzer")
    if found is None or found.origin is None:
        raise MissingExtraError(
            "missing_extra",
            "The GE2E weights come with the package 'resemblyzer', which is not installed: "
            "pip install --no-deps resemblyzer",
        )
    file = Path(found.origin).parent / "pretrained.pt"
    state: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)["model_state"]
    return {name: value for name, value in state.items() if name.startswith(("lstm.", "linear."))}


def levelled(mel: Tensor, lengths: Tensor) -> Tensor:
    """Return mel power (B, T, 40) at the level the encoder was trained at, zero beyond each length (B,)."""
    mel = mel * frame_mask(mel, lengths).unsqueeze(-1)
    power = mel.sum(dim=(1, 2)) / lengths.float()
    return mel * (_LEVEL / (power + 1e-8)).reshape(-1, 1, 1)


class Ge2eEncoder(Encoder):
    """Mel power in, unit-length speaker embeddings (B, 256) out."""

    name = "ge2e"
    reads: ClassVar[FeatureCard] = FeatureCard(
        name="mel-voice", config={"n_fft": 400, "hop": 160, "n_mels": _MELS, "voice_every": 0}
    )
    width = _MELS
    size = _UNITS

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, _UNITS, 3, batch_first=True)
        self.linear = nn.Linear(_UNITS, _UNITS)

    @classmethod
    def load(cls, source: str | None) -> Self:
        """Return the encoder with the weights of the package resemblyzer; it has no other source."""
        encoder = cls()
        encoder.load_state_dict(ge2e_weights())
        return encoder

    def encode(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the mean embedding of each row's parts, of unit length."""
        mel = levelled(features, lengths)
        starts = torch.arange(features.shape[1], device=features.device)[::_STEP]
        starts = starts[(starts == 0) | (starts <= lengths.max() - _LEAST)]
        # A part that reaches beyond its row sees silence there.
        mel = nn.functional.pad(mel, (0, 0, 0, _PART))
        frames = starts.unsqueeze(1) + torch.arange(_PART, device=features.device)
        parts = mel[:, frames.flatten()].reshape(-1, _PART, _MELS)
        states, _ = self.lstm(parts)
        vectors = _unit(torch.relu(self.linear(states[:, -1])))

        heard = (starts == 0) | (starts <= lengths.unsqueeze(1) - _LEAST)
        summed = (vectors.reshape(features.shape[0], -1, _UNITS) * heard.unsqueeze(-1)).sum(1)
        # No size is followed through the parts, and a bundle's outputs must have theirs.
        return _unit(summed).reshape(-1, _UNITS)


def _unit(vectors: Tensor) -> Tensor:
    return nn.functional.normalize(vectors, dim=1)
