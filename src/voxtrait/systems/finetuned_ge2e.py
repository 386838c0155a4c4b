"""A pretrained speaker encoder fine-tuned, with a voice-quality branch.

The encoder is the three-layer LSTM of Wan et al. 2018, "Generalized end-to-end loss for speaker
verification", on 40 mel channels; its starting weights are those of the Resemblyzer project
(Apache-2.0). Beside it a small convolutional branch sees the logarithmic spectrum and the
voice-quality tracks. Both are pooled over time by mean and deviation, and two heads read the result.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from voxtrait.errors import RecipeError
from voxtrait.systems.encoders.ge2e import ge2e_weights, levelled
from voxtrait.systems.heads import Heads, frame_mask, masked_statistics, standardised_head
from voxtrait.systems.system import YEARS, Settings, System, Targets

__all__ = ["EMBEDDING_SIZE", "SYSTEM", "FinetunedGe2e", "FinetunedGe2eSettings"]

_MELS = 40
_VOICE = 4
_UNITS = 256
EMBEDDING_SIZE = _UNITS


class FinetunedGe2eSettings(Settings):
    """Shape of the network."""

    start: Literal["ge2e", "random"] = Field("ge2e", description="starting weights of the encoder")
    frame_step: int = Field(2, ge=1, le=4, description="encoder reads the mean of so many frames at a time")
    branch: int = Field(128, ge=0, le=512, description="channels of the voice-quality branch; 0 for none")
    hidden: int = Field(128, ge=8, le=1024, description="units of each head's hidden layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout before each layer of the heads")


class _Branch(nn.Module):
    """Convolutions over time at 20 ms steps, seeing 0.3 s around each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = nn.BatchNorm1d(_MELS + _VOICE)
        sizes = [(_MELS + _VOICE, 5, 1), (channels, 3, 1), (channels, 3, 2), (channels, 3, 3)]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv1d(inputs, channels, width, dilation=step, padding=step * (width // 2)),
                nn.ReLU(),
                nn.BatchNorm1d(channels),
            )
            for inputs, width, step in sizes
        )

    def forward(self, sequence: Tensor, mask: Tensor) -> Tensor:
        """Map (B, T, 44) with its mask (B, T) to (B, T, channels)."""
        keep = mask.unsqueeze(1)
        out = self.enter(sequence.transpose(1, 2)) * keep
        for index, layer in enumerate(self.layers):
            # Masked after each layer, so that padding cannot leak into a shorter neighbour.
            new = layer(out) * keep
            out = new if index == 0 else out + new
        result: Tensor = out.transpose(1, 2)
        return result


class FinetunedGe2e(nn.Module):
    """Features and their lengths in; gender logit, age logits, speaker embedding out.

    Args:
        settings: its shape.
        targets: what its heads tell.
    """

    def __init__(self, settings: FinetunedGe2eSettings, targets: Targets) -> None:
        super().__init__()
        self._step = settings.frame_step
        self.lstm = nn.LSTM(_MELS, _UNITS, 3, batch_first=True)
        self.linear = nn.Linear(_UNITS, _UNITS)
        self.branch = _Branch(settings.branch) if settings.branch else None
        pooled = 3 * _UNITS + 2 * settings.branch
        self.heads = Heads(
            targets, lambda size: standardised_head(pooled, settings.hidden, size, settings.dropout)
        )
        if settings.start == "ge2e":
            self.load_state_dict(ge2e_weights(), strict=False)

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge a batch of windows.

        Args:
            features: (B, T, 44), mel power and voice-quality tracks, zero beyond each length.
            lengths: (B,), frames of each window.

        Returns:
            what `Heads` gives, and the unit-length ``embedding`` (B, 256).
        """
        mask = frame_mask(features, lengths)
        mel = levelled(features[:, :, :_MELS], lengths)
        slow_mel, slow_mask = self._slower(mel, mask)
        states, _ = self.lstm(slow_mel)
        voiceprint = torch.relu(self.linear(states)) * slow_mask.unsqueeze(-1)
        embedding = voiceprint.sum(1) + 1e-6
        embedding = embedding / embedding.norm(dim=1, keepdim=True)
        pooled = torch.cat([masked_statistics(states, slow_mask), embedding], dim=-1)
        if self.branch is not None:
            loudness = torch.log(mel + 1e-5)
            sequence = torch.cat([loudness, features[:, :, _MELS:]], dim=-1)
            sequence, branch_mask = sequence[:, ::2], mask[:, ::2]
            seen = masked_statistics(self.branch(sequence, branch_mask), branch_mask)
            pooled = torch.cat([pooled, seen], dim=-1)
        return {**self.heads(pooled), "embedding": embedding}

    def _slower(self, mel: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        step = self._step
        if step == 1:
            return mel, mask
        usable = mel.shape[1] // step * step
        slow = mel[:, :usable].reshape(mel.shape[0], -1, step, _MELS).mean(2)
        return slow, mask[:, step - 1 : usable : step]

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the pretrained parameters, which learn more slowly than the rest."""
        return [*self.lstm.parameters(), *self.linear.parameters()]


def _network(settings: FinetunedGe2eSettings, targets: Targets, size: int) -> FinetunedGe2e:
    if size != _MELS + _VOICE:
        raise RecipeError(
            "recipe_field",
            f"features: finetuned-ge2e reads mel-voice with {_MELS} mels and voice tracks, {_MELS + _VOICE} "
            f"values a frame, not {size}.",
        )
    return FinetunedGe2e(settings, targets)


def _teacher(settings: FinetunedGe2eSettings) -> FinetunedGe2e:
    return FinetunedGe2e(settings.model_copy(update={"branch": 0}), Targets("gender", YEARS))


SYSTEM = System(
    name="finetuned-ge2e",
    about="A pretrained speaker encoder fine-tuned end to end, beside a voice-quality branch.",
    source="Wan et al. 2018, Generalized end-to-end loss for speaker verification; weights of Resemblyzer",
    tasks=("both", "gender", "age", "gender_age"),
    settings=FinetunedGe2eSettings,
    reads=("mel-voice",),
    defaults={
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 400, "hop": 160, "n_mels": _MELS, "voice_every": 2},
            "versions": 8,
        },
        "train": {
            "epochs": 14,
            "batch": 48,
            "encoder_rate": 3e-4,
            "rate": 2e-3,
            "age_balance": 0.2,
            "embedding_weight": 0.3,
            "patience": 14,
            "masked": 0.5,
        },
    },
    network=_network,
    teacher=_teacher,
)
