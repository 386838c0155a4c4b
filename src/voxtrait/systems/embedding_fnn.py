"""A small feed-forward network on the vectors of a frozen speech encoder."""

from __future__ import annotations

from typing import Final, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from voxtrait.systems.encoders import Encoder, load_encoder
from voxtrait.systems.heads import Heads
from voxtrait.systems.system import Settings, System, Targets

__all__ = ["SYSTEM", "EmbeddingFnn", "EmbeddingFnnSettings"]


class EmbeddingFnnSettings(Settings):
    """The encoder, and the shape of the network."""

    encoder: Literal["ge2e", "ecapa", "wav2vec2"] = Field(
        "ge2e", description="reads mel-voice (ge2e) or waveform (the others) and is not trained"
    )
    source: str | None = Field(
        None,
        description="folder of the encoder, or its name on the Hugging Face hub; null for the published one",
    )
    hidden: int | None = Field(
        None, ge=1, le=4096, description="units of the hidden layer; null for as many as a vector has values"
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout after the hidden layer")

    @model_validator(mode="after")
    def _has_source(self) -> Self:
        if self.encoder == "ge2e" and self.source is not None:
            raise ValueError("ge2e takes no source: its weights come with the package resemblyzer")
        return self


class EmbeddingFnn(nn.Module):
    """An encoder's vectors in; the outputs of `Heads` and ``embedding``, the vector at unit length, out.

    Args:
        settings: its shape.
        targets: what it tells.
        size: values of a vector.
    """

    def __init__(self, settings: EmbeddingFnnSettings, targets: Targets, size: int) -> None:
        super().__init__()
        hidden = settings.hidden or size
        self.layers = nn.Sequential(nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(settings.dropout))
        self.heads = Heads(targets, lambda outputs: nn.Linear(hidden, outputs))

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Judge vectors (B, 1, size), a frame each."""
        vector = features[:, 0]
        embedding = nn.functional.normalize(vector, dim=1)
        return {**self.heads(self.layers(vector)), "embedding": embedding}


def _frozen(settings: EmbeddingFnnSettings) -> Encoder:
    return load_encoder(settings.encoder, settings.source)


SYSTEM: Final = System(
    name="embedding-fnn",
    about="A two-layer feed-forward network on the vectors of a frozen speaker encoder.",
    source=(
        "github.com/NoorAlaaSaad/Gender-Classification-Task (98.00 % with GE2E, 97.83 % with ECAPA-TDNN on "
        "VoxCeleb, split by recording)"
    ),
    tasks=("both", "gender", "age", "gender_age"),
    settings=EmbeddingFnnSettings,
    reads=("mel-voice", "waveform"),
    defaults={
        "features": {
            "name": "mel-voice",
            "config": {"n_fft": 400, "hop": 160, "n_mels": 40, "voice_every": 0},
            "versions": 4,
        },
        # Ages of single years keep the losses of the fields' defaults.
        "train": {
            "epochs": 100,
            "patience": 10,
            "batch": 256,
            "optimiser": "adam",
            "schedule": "constant",
            "weight_decay": 0.0,
            "warmup": 0.0,
            "averaging": 0.0,
            "smoothing": 0.0,
        },
        "bundle": {"window": 4.0},
    },
    network=EmbeddingFnn,
    frozen=_frozen,
)
