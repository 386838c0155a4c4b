"""Rewrite the Silero VAD's convolutions as matrix products, which run about three times as fast.

    python recipes/silero_vad.py silero_vad_16k_sequence.onnx src/voxtrait/weights/silero-vad/model.onnx

The input is the file of that name in the data folder of the silero-vad 6.2.3 wheel. Each of its
convolutions sees at most four positions, too few for a convolution kernel to be worth its set-up. The
weights are the same; the program refuses to write a model whose probabilities differ from the original's
by more than 1e-5.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

_HOP, _WINDOW, _FRAMES, _BINS = 128, 256, 4, 129


class _Graph:
    """Nodes and weights of the new model, in order."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def store(self, name: str, values: NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def reshape(self, value: str, shape: list[int], output: str) -> str:
        return self.add("Reshape", [value, self.store(f"{output}.shape", np.array(shape))], output)

    def slice(self, value: str, axis: int, first: int, last: int, output: str) -> str:
        bounds = [
            self.store(f"{output}.{name}", np.array([number]))
            for name, number in (("first", first), ("last", last), ("axis", axis))
        ]
        return self.add("Slice", [value, *bounds], output)

    def dense(self, value: str, weight: Array, bias: Array, output: str) -> str:
        """Multiply rows by ``weight`` (inputs, outputs), add ``bias``, keep what is positive."""
        names = [self.store(f"{output}.weight", weight), self.store(f"{output}.bias", bias)]
        return self.add("Relu", [self.add("Gemm", [value, *names], f"{output}.product")], output)


def _taps(weight: Array, chosen: list[int]) -> Array:
    """Return some taps of a convolution (outputs, inputs, 3) as a matrix (taps * inputs, outputs)."""
    return np.concatenate([weight[:, :, tap].T for tap in chosen])


def _spectrum(graph: _Graph, basis: Array) -> str:
    """Magnitudes of four windows of 256 samples, half overlapping: (n, 576) -> (n, 4 * 129)."""
    mirrored = graph.add(
        "Pad", ["input", graph.store("pads", np.array([0, 0, 0, _HOP // 2]))], "mirrored", mode="reflect"
    )
    parts = graph.reshape(mirrored, [-1, _FRAMES + 1, _HOP], "parts")
    halves = [graph.slice(parts, 1, first, first + _FRAMES, f"half{first}") for first in (0, 1)]
    windows = graph.reshape(graph.add("Concat", halves, "pairs", axis=2), [-1, _WINDOW], "windows")
    waves = graph.add("MatMul", [windows, graph.store("basis", basis[:, 0].T)], "waves")
    squares = graph.add("Mul", [waves, waves], "squares")
    sides = [graph.slice(squares, 1, first, first + _BINS, f"side{first}") for first in (0, _BINS)]
    magnitudes = graph.add("Sqrt", [graph.add("Add", sides, "power")], "magnitudes")
    return graph.reshape(magnitudes, [-1, _FRAMES * _BINS], "spectrum")


def _gather_windows(graph: _Graph, value: str, size: int, starts: list[int], output: str) -> str:
    """Cut three positions of ``size`` values each from every start: (n, ...) -> (n * starts, 3 * size)."""
    cuts = [graph.slice(value, 1, start * size, (start + 3) * size, f"{output}.{start}") for start in starts]
    return graph.reshape(graph.add("Concat", cuts, f"{output}.all", axis=1), [-1, 3 * size], output)


def rewrite(original: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with the same inputs, outputs and weights."""
    old = {weight.name: numpy_helper.to_array(weight) for weight in original.graph.initializer}
    graph = _Graph()
    spectrum = _spectrum(graph, old["stft.forward_basis_buffer"])
    edge = graph.store("edge0", np.array([0, _BINS, 0, _BINS]))
    padded = graph.add("Pad", [spectrum, edge], "padded0")
    rows = _gather_windows(graph, padded, _BINS, [0, 1, 2, 3], "rows0")
    first = graph.dense(rows, _taps(old["encoder.0.weight"], [0, 1, 2]), old["encoder.0.bias"], "first")

    flat = graph.reshape(first, [-1, _FRAMES * 128], "flat1")
    padded = graph.add("Pad", [flat, graph.store("edge1", np.array([0, 128, 0, 0]))], "padded1")
    rows = _gather_windows(graph, padded, 128, [0, 2], "rows1")
    second = graph.dense(rows, _taps(old["encoder.1.weight"], [0, 1, 2]), old["encoder.1.bias"], "second")

    # Two positions are left, then one: taps that would see only padding are left out.
    flat = graph.reshape(second, [-1, 2 * 64], "flat2")
    third = graph.dense(flat, _taps(old["encoder.2.weight"], [1, 2]), old["encoder.2.bias"], "third")
    fourth = graph.dense(third, _taps(old["encoder.3.weight"], [1]), old["encoder.3.bias"], "fourth")
    sequence = graph.reshape(fourth, [-1, 1, 128], "sequence")

    lstm = next(node for node in original.graph.node if node.op_type == "LSTM")
    names = [graph.store(name, old[name]) for name in lstm.input[1:4]]
    graph.nodes.append(
        helper.make_node("LSTM", [sequence, *names, "", "h", "c"], ["states", "hn", "cn"], hidden_size=128)
    )
    states = graph.add("Relu", [graph.reshape("states", [-1, 128], "voiced")], "open")
    weight = graph.store("output.weight", old["output.weight"][0, :, :])
    logits = graph.add("Gemm", [states, weight, graph.store("output.bias", old["output.bias"])], "logits")
    probabilities = graph.add("Sigmoid", [logits], "probabilities")
    graph.reshape(probabilities, [-1], "speech_probs")
    made = helper.make_graph(
        graph.nodes,
        "silero-vad",
        list(original.graph.input),
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("speech_probs", ["frames"]), ("hn", [1, 1, 128]), ("cn", [1, 1, 128]))
        ],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def difference(one: bytes, other: bytes) -> float:
    """Return the largest difference of two models' probabilities on noise and silence."""
    rng = np.random.default_rng(0)
    sounds = rng.normal(0, 0.1, (400, 576)) * rng.choice([0.0, 0.01, 1.0, 5.0], (400, 1))
    feed = {
        "input": np.clip(sounds, -1, 1).astype(np.float32),
        "h": rng.normal(0, 0.3, (1, 1, 128)).astype(np.float32),
        "c": rng.normal(0, 0.3, (1, 1, 128)).astype(np.float32),
    }
    before, after = (
        onnxruntime.InferenceSession(model).run(["speech_probs"], feed)[0] for model in (one, other)
    )
    return float(np.abs(before.ravel() - after.ravel()).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("original")
    parser.add_argument("output")
    options = parser.parse_args()
    before = Path(options.original).read_bytes()
    after = rewrite(onnx.load_from_string(before)).SerializeToString()
    gap = difference(before, after)
    if gap > 1e-5:
        raise SystemExit(f"the rewritten model differs by {gap:.2g}")
    Path(options.output).write_bytes(after)
    print(f"{len(after)} bytes, within {gap:.2g} of the original")


if __name__ == "__main__":
    main()
