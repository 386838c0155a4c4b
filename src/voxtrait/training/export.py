"""Network -> ONNX, checked equal to torch, and from there to 8 bits."""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from voxtrait.errors import VoxtraitError
from voxtrait.scoring import INDEPENDENT_ROWS

__all__ = ["export_onnx", "quantised"]

_OUTPUTS = ("gender", "age", "embedding")
_TOLERANCE = 1e-4

#: Where an LSTM node has its weights, biases and first states.
_W, _R, _B, _HIDDEN, _CELL = 1, 2, 3, 5, 6
#: Units of a layer that are always 1, and as many that are always -1: four more in all, as the products
#: of 8 bits take numbers in fours.
_PINS: Final = 2
#: From here on the logistic function and the hyperbolic tangent are constant to the runtime.
_SATURATED: Final = 20.0
#: Domain of the runtime's own operators.
_CONTRIBUTED: Final = "com.microsoft"


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
    """Return the model with each LSTM layer that reads the states of another in 8 bits, a scale a channel.

    Such a layer takes a quarter of the space and about half of the time. What it reads is rounded to 8
    bits too: states, which lie in [-1, 1], bear that; features that span decades of power do not. The
    runtime rounds to the range of all that it is given: units that are always 1 or -1 hold that range, so
    that windows that share a run do not change each other's answers, and the model says so
    (`voxtrait.scoring.INDEPENDENT_ROWS`).

    What the model says changes a little, so a quantised model is scored and calibrated as it is.
    """
    proto = onnx.load_from_string(model)
    graph = _StateGraph(proto.graph)
    graph.pin()
    graph.round()
    graph.finish()
    proto.opset_import.append(helper.make_opsetid(_CONTRIBUTED, 1))
    key, value = INDEPENDENT_ROWS
    proto.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


class _StateGraph:
    """A graph and its LSTM layers of one direction."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._values = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        #: Nodes to put in front of others, by the names of these.
        self._before: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        self._inserted: set[str] = set()
        self._read_at_the_source()
        self._layers = [
            node for node in graph.node if node.op_type == "LSTM" and len(self._values[node.input[_W]]) == 1
        ]
        said = {name for layer in self._layers for name in layer.output if name}
        # What may lie between two layers; it leaves the units, which come last, as they are.
        self._passing = [
            node
            for node in graph.node
            if node.op_type in ("Squeeze", "Gather")
            and node.input[0] in said
            and all(attribute.i < 2 for attribute in node.attribute)
        ]
        self._states = said | {node.output[0] for node in self._passing}

    def _read_at_the_source(self) -> None:
        """Undo the second names that the exporter gives to weights that two nodes share."""
        sources: dict[str, str] = {}
        for node in self._graph.node:
            node.input[:] = [sources.get(name, name) for name in node.input]
            if node.op_type == "Identity":
                sources[node.output[0]] = node.input[0]

    def pin(self) -> None:
        """Add units to each layer: some always 1, as many always -1; only layers read them."""
        for layer in self._layers:
            self._widen(layer)
            for place, value in ((_HIDDEN, 1.0), (_CELL, _SATURATED)):
                if layer.input[place] not in self._states:
                    layer.input[place] = self._padded(layer, layer.input[place], value)
        self._cut()

    def _widen(self, layer: onnx.NodeProto) -> None:
        weights, recurrent, bias = (self._values[name] for name in layer.input[_W : _B + 1])
        units, more = recurrent.shape[2], 2 * _PINS
        columns = more if layer.input[0] in self._states else 0
        gates = np.pad(bias.reshape(2, 4, units), ((0, 0), (0, 0), (0, more)))
        # The gates for input, output and forgetting: what the cell holds at first stays, and is said.
        gates[0, :3, units:] = np.array([[-_SATURATED], [_SATURATED], [_SATURATED]])
        layer.input[_W] = self._constant(layer.input[_W] + "_wide", _grown(weights, more, columns))
        layer.input[_R] = self._constant(layer.input[_R] + "_wide", _grown(recurrent, more, more))
        layer.input[_B] = self._constant(layer.input[_B] + "_wide", gates.reshape(1, -1))
        size = next(attribute for attribute in layer.attribute if attribute.name == "hidden_size")
        size.i = units + more

    def _padded(self, layer: onnx.NodeProto, name: str, value: float) -> str:
        """Return the name of first states (1, rows, units) to which those of the pins have been added."""
        more = self._constant("pins_pads", np.array([0, 0, 0, 0, 0, _PINS]))
        for each in (value, -value):
            constant = self._constant(f"pins_{each}", np.array(each, np.float32))
            self._insert(layer, "Pad", [name, more, constant], f"{name}_{each}")
            name = f"{name}_{each}"
        return name

    def _insert(self, reader: onnx.NodeProto, operator: str, inputs: list[str], output: str) -> None:
        """Put a node in front of the first that reads what it gives."""
        if output not in self._inserted:
            self._inserted.add(output)
            node = helper.make_node(operator, inputs, [output], output)
            self._before[reader.name].append(node)

    def _cut(self) -> None:
        """Keep the pins from whatever is not a layer."""
        start, axis = self._constant("pins_start", np.array([0])), self._constant("pins_axis", np.array([-1]))
        end = self._constant("pins_end", np.array([-2 * _PINS]))
        knowing = {node.name for node in (*self._layers, *self._passing)}
        for reader in self._graph.node:
            for place, name in enumerate(reader.input):
                if name in self._states and reader.name not in knowing:
                    self._insert(reader, "Slice", [name, start, end, axis], f"{name}_cut")
                    reader.input[place] = f"{name}_cut"

    def round(self) -> None:
        """Put the weights of each layer that reads states in 8 bits."""
        for layer in self._layers:
            if layer.input[0] not in self._states:
                continue
            weights, weight_scale = self._rounded(layer.input[_W])
            recurrent, recurrent_scale = self._rounded(layer.input[_R])
            zero = self._constant(f"{weight_scale}_zero", np.zeros_like(self._values[weight_scale], np.int8))
            layer.op_type, layer.domain = "DynamicQuantizeLSTM", _CONTRIBUTED
            layer.input[_W], layer.input[_R] = weights, recurrent
            layer.input.extend(["", weight_scale, zero, recurrent_scale, zero])

    def _rounded(self, name: str) -> tuple[str, str]:
        """Return the names of weights (1, channels, columns) in 8 bits, transposed, and of their scales."""
        value = self._values[name]
        scale = np.abs(value).max(2) / 127
        scale[scale == 0] = 1
        eight = np.rint(value / scale[..., None]).astype(np.int8).transpose(0, 2, 1)
        return self._constant(f"{name}_8", eight), self._constant(f"{name}_scale", scale)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        """Return the name of a constant, which is written down once."""
        if name not in self._values:
            self._values[name] = value
            self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def finish(self) -> None:
        """Put the new nodes in their places, and leave out what is not read."""
        nodes = [each for node in self._graph.node for each in (*self._before[node.name], node)]
        wanted = {port.name for port in self._graph.output}
        for node in reversed(nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
        nodes = [node for node in nodes if wanted.intersection(node.output)]
        constants = [each for each in self._graph.initializer if each.name in wanted]
        self._graph.ClearField("node")
        self._graph.node.extend(nodes)
        self._graph.ClearField("initializer")
        self._graph.initializer.extend(constants)
        # The exporter's notes on sizes, which are not what they were.
        self._graph.ClearField("value_info")


def _grown(weights: NDArray[np.float32], more: int, columns: int) -> NDArray[np.float32]:
    """Return weights (1, 4 units, K) with zeros for ``more`` units and for ``columns`` columns."""
    gates = weights.reshape(4, -1, weights.shape[2])
    return np.pad(gates, ((0, 0), (0, more), (0, columns))).reshape(1, -1, weights.shape[2] + columns)


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
