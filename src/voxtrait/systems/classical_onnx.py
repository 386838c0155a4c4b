"""Classifiers of scikit-learn -> one ONNX model as a bundle holds it, checked equal to them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from voxtrait.errors import VoxtraitError
from voxtrait.systems.system import Targets

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto

__all__ = ["Head", "assemble"]

Array = NDArray[np.float32]

_OPSETS: Final = {"": 17, "ai.onnx.ml": 3}
#: What ONNX Runtime 1.20 and all later ones read.
_IR_VERSION: Final = 8
#: No class is held impossible: its logarithm must be finite, also if nothing of it was learnt.
_LEAST: Final = 1e-6
_TOLERANCE: Final = 1e-4


@dataclass(frozen=True)
class Head:
    """A fitted pipeline with ``predict_proba``, and the classes of its columns."""

    model: Any
    classes: tuple[int, ...]

    def onto(self, output: str, targets: Targets, name: str) -> Array:
        """Return the 0/1 matrix from its columns to male and female, or to the ages.

        Args:
            output: ``gender`` or ``age``.
            targets: the ages.
            name: what it has learnt: ``gender``, ``age`` or ``joint``.
        """
        ages = len(targets.ages)
        matrix = np.zeros((len(self.classes), 2 if output == "gender" else ages), np.float32)
        for row, label in enumerate(self.classes):
            column = label
            if name == "joint":
                column = int(label < ages) if output == "gender" else label % ages
            matrix[row, column] = 1.0
        return matrix


def assemble(heads: Mapping[str, Head], targets: Targets, examples: Array) -> bytes:
    """Return a model with the inputs ``features`` (B, T, F) and ``lengths`` (B,), as bundles have them.

    The mean over a row's frames is judged. ``gender`` (B,) is the logit of female, ``age`` (B, A) the
    logarithm of each age's probability; none is below a millionth.

    Args:
        heads: by what they have learnt: ``gender``, ``age`` or ``joint``.
        targets: the ages.
        examples: (n, F) vectors on which the model is compared with the pipelines.

    Raises:
        VoxtraitError: ``export`` if a probability differs from scikit-learn's by more than 1e-4.
    """
    from onnx import TensorProto, helper

    size = examples.shape[1]
    graph = _Graph()
    graph.add("ReduceSum", ["features", graph.constant("axis", np.array([1], np.int64))], "sum", keepdims=0)
    graph.add("Cast", ["lengths"], "counts", to=TensorProto.FLOAT)
    graph.add("Unsqueeze", ["counts", "axis"], "column")
    graph.add("Div", ["sum", "column"], "vector")
    for name, head in heads.items():
        graph.add_classifier(name, head.model, size)
    outputs = _outputs(heads)
    for output, name in outputs.items():
        graph.add_output(output, name, heads[name].onto(output, targets, name))
    value = helper.make_tensor_value_info
    shapes: dict[str, list[str | int]] = {"gender": ["batch"], "age": ["batch", len(targets.ages)]}
    made = helper.make_graph(
        graph.nodes,
        "classical",
        [
            value("features", TensorProto.FLOAT, ["batch", "frames", size]),
            value("lengths", TensorProto.INT64, ["batch"]),
        ],
        [value(output, TensorProto.FLOAT, shapes[output]) for output in outputs],
        graph.tensors,
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
    model = bytes(helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION).SerializeToString())
    _check(model, heads, targets, examples)
    return model


def _outputs(heads: Mapping[str, Head]) -> dict[str, str]:
    """Return which head each output is told by."""
    return {"gender": "joint", "age": "joint"} if "joint" in heads else {name: name for name in heads}


class _Graph:
    """Nodes and constants of a model in the making."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], domain=domain, **attributes))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        self.tensors.append(numpy_helper.from_array(value, name))
        return name

    def add_classifier(self, name: str, pipeline: Any, size: int) -> None:
        """Add what turns ``vector`` into ``{name}_probabilities`` (B, classes)."""
        if hasattr(pipeline[-1], "_predictors"):
            self._add_boosted_trees(name, pipeline[-1])
        else:
            self._add_converted(name, pipeline, size)

    def _add_converted(self, name: str, pipeline: Any, size: int) -> None:
        from onnx import compose
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType

        with warnings.catch_warnings():
            # It looks at attributes of support vector machines that are on their way out.
            warnings.simplefilter("ignore")
            converted = convert_sklearn(
                pipeline,
                initial_types=[("vector", FloatTensorType([None, size]))],
                options={id(pipeline): {"zipmap": False}},
                target_opset=_OPSETS,
            )
        prefix = f"{name}_"
        part = compose.add_prefix(converted, prefix).graph
        self.add("Identity", ["vector"], f"{prefix}vector")
        self.nodes += part.node
        self.tensors += part.initializer

    def _add_boosted_trees(self, name: str, model: Any) -> None:
        """Add a HistGradientBoostingClassifier, which skl2onnx cannot write with recent onnx."""
        trees = [tree.nodes for stage in model._predictors for tree in stage]
        outputs = len(model._predictors[0])
        sizes = [len(tree) for tree in trees]
        nodes = np.concatenate(trees)
        tree_of = np.repeat(np.arange(len(trees)), sizes)
        node_of = np.concatenate([np.arange(size) for size in sizes])
        is_leaf = nodes["is_leaf"].astype(bool)
        self.add(
            "TreeEnsembleRegressor",
            ["vector"],
            f"{name}_scores",
            domain="ai.onnx.ml",
            n_targets=outputs,
            base_values=np.ravel(model._baseline_prediction).astype(np.float32).tolist(),
            nodes_treeids=tree_of.tolist(),
            nodes_nodeids=node_of.tolist(),
            nodes_featureids=np.where(is_leaf, 0, nodes["feature_idx"]).tolist(),
            nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
            nodes_values=np.where(is_leaf, 0.0, nodes["num_threshold"]).astype(np.float32).tolist(),
            nodes_truenodeids=nodes["left"].astype(np.int64).tolist(),
            nodes_falsenodeids=nodes["right"].astype(np.int64).tolist(),
            target_treeids=tree_of[is_leaf].tolist(),
            target_nodeids=node_of[is_leaf].tolist(),
            target_ids=(tree_of[is_leaf] % outputs).tolist(),
            target_weights=nodes["value"][is_leaf].astype(np.float32).tolist(),
        )
        if outputs == 1:
            self.add("Neg", [f"{name}_scores"], f"{name}_against")
            self.add("Concat", [f"{name}_against", f"{name}_scores"], f"{name}_both", axis=1)
            self.add("Sigmoid", [f"{name}_both"], f"{name}_probabilities")
        else:
            self.add("Softmax", [f"{name}_scores"], f"{name}_probabilities", axis=1)

    def add_output(self, output: str, name: str, onto: Array) -> None:
        """Add the logarithms of a head's probabilities, summed by the matrix ``onto``."""
        matrix = self.constant(f"{output}_onto", onto)
        self.add("MatMul", [f"{name}_probabilities", matrix], f"{output}_sums")
        least = self.constant(f"{output}_least", np.array(_LEAST, np.float32))
        self.add("Max", [f"{output}_sums", least], f"{output}_held")
        if output == "age":
            self.add("Log", [f"{output}_held"], output)
            return
        self.add("Log", [f"{output}_held"], "gender_logs")
        difference = self.constant("gender_difference", np.array([[-1.0], [1.0]], np.float32))
        self.add("MatMul", ["gender_logs", difference], "gender_column")
        self.add("Squeeze", ["gender_column", "axis"], "gender")


def _check(model: bytes, heads: Mapping[str, Head], targets: Targets, examples: Array) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = _outputs(heads)
    lengths = np.ones(len(examples), np.int64)
    got = session.run(list(outputs), {"features": examples[:, None], "lengths": lengths})
    for (output, name), told in zip(outputs.items(), got, strict=True):
        head = heads[name]
        expected = head.model.predict_proba(examples) @ head.onto(output, targets, name)
        if output == "gender":
            expected, told = expected[:, 1], 1 / (1 + np.exp(-told.astype(np.float64)))
        else:
            told = np.exp(told.astype(np.float64))
        difference = float(np.abs(expected - told).max())
        if not difference <= _TOLERANCE:
            raise VoxtraitError(
                "export", f"The exported model's {output} differs from scikit-learn by {difference:.2g}."
            )
