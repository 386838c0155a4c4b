"""Network -> ONNX, checked equal to torch."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from voxtrait.errors import VoxtraitError

__all__ = ["export_onnx", "quantised"]

_OUTPUTS = ("gender", "age", "embedding")
_TOLERANCE = 1e-4


class _InOrder(nn.Module):
    """A network whose outputs are a tuple: the exporter keeps no names."""

    def __init__(self, network: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        out = self.network(features, lengths)
        return tuple(out[name] for name in self.names)


def export_onnx(network: nn.Module, size: int) -> bytes:
    """Return the network as an ONNX file, checked at several batch sizes and lengths.

    Args:
        network: takes features (B, T, size) and lengths (B,), gives ``gender``, ``age`` and
            ``embedding``, or some of them; what else it gives is left out.
        size: values in a frame.

    Raises:
        VoxtraitError: ``export`` if ONNX Runtime and torch differ by more than 1e-4.
    """
    features = torch.rand(2, 150, size)
    lengths = torch.tensor([150, 97])
    network = network.eval()
    with torch.no_grad():
        given = network(features, lengths)
    names = tuple(name for name in _OUTPUTS if name in given)
    ordered = _InOrder(network, names).eval()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "model.onnx"
        # The tracing exporter announces its successor, which does not export LSTMs of any length yet.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            ordered,
            (features, lengths),
            file,
            input_names=["features", "lengths"],
            output_names=list(names),
            dynamic_axes={
                "features": {0: "batch", 1: "frames"},
                "lengths": {0: "batch"},
                **{name: {0: "batch"} for name in names},
            },
            opset_version=17,
            dynamo=False,
            external_data=False,
        )
        model = file.read_bytes()
    _check(ordered, model, size)
    return model


def quantised(model: bytes) -> bytes:
    """Return the model with the weights of its LSTM layers in 8 bits, a scale a channel, but for the first.

    Such a layer takes a quarter of the space and less than half of the time. What it reads is rounded to
    8 bits too: the states of another layer bear that, features that span decades of power do not. What
    the model says changes a little, so a quantised model is scored and calibrated as it is.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    layers = [node.name for node in onnx.load_from_string(model).graph.node if node.op_type == "LSTM"]
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "model.onnx", Path(folder) / "small.onnx"
        whole.write_bytes(model)
        # It logs advice on graphs that would need another preparation.
        logging.disable(logging.WARNING)
        try:
            quantize_dynamic(
                whole,
                small,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=["LSTM"],
                per_channel=True,
                nodes_to_exclude=layers[:1],
            )
        finally:
            logging.disable(logging.NOTSET)
        return small.read_bytes()


@torch.no_grad()
def _check(ordered: _InOrder, model: bytes, size: int) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, frames in ((1, 24), (1, 151), (3, 300), (5, 449)):
        features = torch.rand(batch, frames, size, generator=generator)
        lengths = torch.randint(20, frames + 1, (batch,), generator=generator)
        lengths[0] = frames
        expected = ordered(features, lengths)
        got = session.run(list(ordered.names), {"features": features.numpy(), "lengths": lengths.numpy()})
        for name, ours, theirs in zip(ordered.names, expected, got, strict=True):
            difference = float(np.abs(ours.numpy() - theirs).max())
            if not difference <= _TOLERANCE:
                raise VoxtraitError(
                    "export", f"The exported model's {name} differs from torch by {difference:.2g}."
                )
