"""Small real bundles for tests: an ONNX model of a few nodes, and its card."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from voxtrait.bundle import (
    AgeCard,
    CalibrationRow,
    Card,
    Corpus,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    Metric,
    TrainingSummary,
)

GRID = (10.0, 20.0, 30.0, 40.0, 50.0)
FEATURES = 4


def toy_card(**changes: Any) -> Card:
    """Return a card of a model that tells gender, age over GRID, and a voice vector of 3."""
    fields: dict[str, Any] = {
        "name": "toy",
        "version": "0.1",
        "licence": "CC0-1.0",
        "origin": "made up in a test",
        "created": "2026-01-31",
        "description": "For tests.",
        "features": FeatureCard(name="mel", config={"bands": FEATURES, "floor": 1.0, "log": True}),
        "window": 4.0,
        "hop": 2.0,
        "min_speech": 0.5,
        "gender": GenderCard(
            calibration=(
                CalibrationRow(speech=1, scale=1, bias=0),
                CalibrationRow(speech=9, scale=2, bias=1),
            ),
            unsure_below=0.7,
            unsure_child=0.5,
        ),
        "age": AgeCard(grid=GRID, interval=(IntervalRow(speech=3, low=0.1, high=0.9, margin=1.5),)),
        "embedding": EmbeddingCard(size=3, threshold=0.4),
        "training": TrainingSummary(
            corpora=(Corpus(name="made up", licence="CC0-1.0", speakers=2, clips=4, hours=0.1),), seed=7
        ),
        "metrics": (
            Metric(name="gender accuracy", on="test", value=0.9, low=0.8, high=0.95, n=40, baseline=0.5),
        ),
    }
    return Card(**(fields | changes))


def toy_model(
    outputs: dict[str, tuple[int, ...]] | None = None,
    batch: int | str = "B",
    frames: int | str = "T",
    lengths: int = TensorProto.INT64,
) -> bytes:
    """Return a model that averages the frames and multiplies by ones.

    Args:
        outputs: the shape of each output without its batch dimension.
    """
    if outputs is None:
        outputs = {"gender": (), "age": (len(GRID),), "embedding": (3,)}
    nodes = [helper.make_node("ReduceMean", ["features"], ["pooled"], axes=[1], keepdims=0)]
    tensors = []
    for name, shape in outputs.items():
        width = shape[0] if shape else 1
        tensors.append(numpy_helper.from_array(np.ones((FEATURES, width), np.float32), f"w_{name}"))
        nodes.append(helper.make_node("MatMul", ["pooled", f"w_{name}"], [name if shape else f"m_{name}"]))
        if not shape:
            nodes.append(helper.make_node("ReduceSum", [f"m_{name}", "last"], [name], keepdims=0))
    tensors.append(numpy_helper.from_array(np.array([1], np.int64), "last"))
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [batch, frames, FEATURES]),
            helper.make_tensor_value_info("lengths", lengths, [batch]),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape])
            for name, shape in outputs.items()
        ],
        tensors,
    )
    return serialised(graph)


def serialised(graph: Any, domains: tuple[str, ...] = (), functions: tuple[Any, ...] = ()) -> bytes:
    """Return the bytes of a model of this graph."""
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(domain, 1) for domain in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
    return bytes(model.SerializeToString())
