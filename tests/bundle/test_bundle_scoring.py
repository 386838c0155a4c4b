"""Which windows share a run of the model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from bundle_toys import FEATURES, serialised, toy_card
from onnx import TensorProto, helper, numpy_helper

from voxtrait.bundle import CalibrationRow, GenderCard, ModelBundle
from voxtrait.listening import FeatureWindow
from voxtrait.scoring import INDEPENDENT_ROWS, Judge
from voxtrait.speech import Span


def rounding_model(*marks: tuple[str, str]) -> bytes:
    """Return a model that rounds its features to the range of a run and sums them up."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["features"], ["eight", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["eight", "scale", "zero"], ["rounded"]),
        helper.make_node("ReduceSum", ["rounded", "axes"], ["gender"], keepdims=0),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "rounding",
        [
            value("features", TensorProto.FLOAT, ["B", "T", FEATURES]),
            value("lengths", TensorProto.INT64, ["B"]),
        ],
        [value("gender", TensorProto.FLOAT, ["B"])],
        [numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    model = onnx.load_from_string(serialised(graph))
    for key, text in marks:
        model.metadata_props.add(key=key, value=text)
    return bytes(model.SerializeToString())


def scores(model: bytes, levels: list[float]) -> list[float]:
    """Return the gender scores of windows of features of these levels, each of another length."""
    gender = GenderCard(calibration=(CalibrationRow(speech=1, scale=1, bias=0),), unsure_below=0.7)
    card = toy_card(gender=gender, age=None, embedding=None).sealed(model)
    judge = Judge(ModelBundle(card, model), threads=1)
    windows = [
        FeatureWindow((Span(0, 16_000),), np.full((9 - place, FEATURES), level, np.float32), 16_000)
        for place, level in enumerate(levels)
    ]
    return [score.gender for score in judge.score(windows)]


@pytest.mark.parametrize("marks", [(), (("voxtrait.rows", "none"),)])
def test_a_model_that_rounds_to_the_range_of_a_run_hears_each_window_alone(
    marks: tuple[tuple[str, str], ...],
) -> None:
    found = scores(rounding_model(*marks), [0.001, 100.0])
    assert found == pytest.approx([9 * FEATURES * 0.001, 8 * FEATURES * 100.0])


def test_a_model_that_says_that_its_rows_are_independent_hears_windows_together() -> None:
    # It is wrong about itself here: only so does it show that they share a run.
    found = scores(rounding_model(INDEPENDENT_ROWS), [0.001, 100.0])
    assert found == pytest.approx([0.0, 8 * FEATURES * 100.0])
