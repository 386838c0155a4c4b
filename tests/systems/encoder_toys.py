"""Small encoders in the file layouts of the published ones, and the recordings that they hear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voxtrait.systems.encoders import Encoder
from voxtrait.systems.encoders.ecapa import EcapaEncoder, EcapaShape

ECAPA = EcapaShape(n_mels=20, channels=(16, 16, 16, 16, 48), attention_channels=8, lin_neurons=8)

#: As in speechbrain/spkrec-ecapa-voxceleb, with other numbers.
HYPERPARAMS = """
n_mels: 20
pretrained_path: org/toy
out_n_neurons: 12
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: !ref <n_mels>
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
    input_size: !ref <n_mels>
    channels: [16, 16, 16, 16, 48]
    kernel_sizes: [5, 3, 3, 3, 1]
    dilations: [1, 2, 3, 4, 1]
    attention_channels: 8
    lin_neurons: 8
modules:
    compute_features: !ref <compute_features>
    embedding_model: !ref <embedding_model>
label_encoder: !new:speechbrain.dataio.encoder.CategoricalEncoder
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        embedding_model: !ref <embedding_model>
"""


def waves(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights like those of ``state`` that are the same on every machine."""
    out = {}
    for number, (name, value) in enumerate(sorted(state.items())):
        if name.endswith("num_batches_tracked"):
            out[name] = value
            continue
        wave = torch.sin(torch.arange(value.numel(), dtype=torch.float64) * (1.3 + number % 7) + number)
        wave = wave.reshape(value.shape)
        if name.endswith(("running_var", "norm.weight")):
            wave = 1 + 0.3 * wave
        elif value.dim() > 1:
            wave = wave / value[0].numel() ** 0.5
        else:
            wave = 0.1 * wave
        out[name] = wave.float()
    return out


def ecapa_folder(folder: Path) -> Path:
    """Write a small ECAPA-TDNN as SpeechBrain publishes them."""
    folder.mkdir(exist_ok=True)
    (folder / "hyperparams.yaml").write_text(HYPERPARAMS)
    torch.save(waves(EcapaEncoder(ECAPA).state_dict()), folder / "embedding_model.ckpt")
    return folder


def chirp(frames: int) -> Tensor:
    """Return two rising tones as frames of samples, (1, frames, 160)."""
    time = torch.arange(frames * 160, dtype=torch.float64) / 16_000
    low = 0.3 * torch.sin(2 * np.pi * (150 + 100 * time) * time)
    high = 0.1 * torch.sin(2 * np.pi * 1234 * time * (1 + time))
    return (low + high).float().reshape(1, frames, 160)


def batch(width: int, counts: tuple[int, ...], scale: float = 1.0) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return random rows (1, T, width) of these lengths, and the same in one zero-padded batch."""
    generator = torch.Generator().manual_seed(7)
    rows = [scale * torch.rand(1, count, width, generator=generator) for count in counts]
    features = torch.zeros(len(rows), max(counts) + 9, width)
    for place, row in zip(features, rows, strict=True):
        place[: row.shape[1]] = row[0]
    return rows, features, torch.tensor(counts)


@torch.no_grad()
def check_rows_alone(encoder: Encoder, scale: float = 1.0) -> Tensor:
    """Check that neighbours and padding change nothing in a row's vector, and return the vectors."""
    rows, features, lengths = batch(encoder.width, (41, 130, 200, 305), scale)
    together: Tensor = encoder(features, lengths)
    assert together.shape == (4, encoder.size)
    for row, length, vector in zip(rows, lengths, together, strict=True):
        alone = encoder(row, length.reshape(1))[0]
        assert torch.allclose(alone, vector, atol=2e-5 * max(1.0, float(alone.abs().max())))
    return together
