"""Network -> ONNX, checked equal to torch."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from voxtrait.errors import VoxtraitError

__all__ = ["OUTPUTS", "export_onnx"]

OUTPUTS = ("gender", "age", "embedding")
_TOLERANCE = 1e-4


def export_onnx(network: nn.Module, size: int) -> bytes:
    """Return the network as an ONNX file, checked at several batch sizes and lengths.

    Args:
        network: takes features (B, T, size) and lengths (B,), gives the three outputs.
        size: values in a frame.

    Raises:
        VoxtraitError: ``export`` if ONNX Runtime and torch differ by more than 1e-4.
    """
    network = network.eval()
    features = torch.rand(2, 150, size)
    lengths = torch.tensor([150, 97])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "model.onnx"
        # The tracing exporter announces its successor, which does not export LSTMs of any length yet.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (features, lengths),
            file,
            input_names=["features", "lengths"],
            output_names=list(OUTPUTS),
            dynamic_axes={
                "features": {0: "batch", 1: "frames"},
                "lengths": {0: "batch"},
                **{name: {0: "batch"} for name in OUTPUTS},
            },
            opset_version=17,
            dynamo=False,
            external_data=False,
        )
        model = file.read_bytes()
    _check(network, model, size)
    return model


@torch.no_grad()
def _check(network: nn.Module, model: bytes, size: int) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, frames in ((1, 24), (1, 151), (3, 300), (5, 449)):
        features = torch.rand(batch, frames, size, generator=generator)
        lengths = torch.randint(20, frames + 1, (batch,), generator=generator)
        lengths[0] = frames
        expected = network(features, lengths)
        got = session.run(list(OUTPUTS), {"features": features.numpy(), "lengths": lengths.numpy()})
        for name, ours, theirs in zip(OUTPUTS, expected, got, strict=True):
            difference = float(np.abs(ours.numpy() - theirs).max())
            if not difference <= _TOLERANCE:
                raise VoxtraitError(
                    "export", f"The exported model's {name} differs from torch by {difference:.2g}."
                )
