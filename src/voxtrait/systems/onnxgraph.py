"""An ONNX graph written node by node, into which other models are put."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from voxtrait.errors import BundleError

__all__ = ["OnnxGraph"]

_OPSET: Final = 17
#: Names of the operators that every model has.
_ONNX: Final = ("", "ai.onnx")
_IR: Final = 8


class OnnxGraph:
    """A graph with the inputs ``features`` (B, T, F) and ``lengths`` (B,)."""

    INT64: Final = int(TensorProto.INT64)

    def __init__(self) -> None:
        #: Nodes and whole models, in the order in which they run.
        self._nodes: list[onnx.NodeProto | onnx.ModelProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: int) -> str:
        """Append a node and return its output, which is called ``name`` or gets a new name."""
        output = name or f"value{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [output])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self._nodes.append(node)
        return output

    def constant(self, value: NDArray[Any] | np.generic) -> str:
        """Append a constant and return its name."""
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def insert(self, model: bytes, prefix: str, inputs: Mapping[str, str]) -> dict[str, str]:
        """Append a whole model and return where its outputs are found, by their names.

        Args:
            model: an ONNX file with the inputs ``features`` and ``lengths``.
            prefix: put before every name in it; no other model may have it.
            inputs: what is read as each of its inputs.
        """
        inner = compose.add_prefix(onnx.load_from_string(model), prefix)
        for port, value in inputs.items():
            self.add("Identity", value, name=prefix + port)
        self._nodes.append(inner)
        return {port.name.removeprefix(prefix): port.name for port in inner.graph.output}

    def build(self, width: int, outputs: Mapping[str, tuple[int, ...]]) -> bytes:
        """Return the ONNX file.

        Args:
            width: values in a frame of ``features``.
            outputs: their names and shapes beyond the batch; all are float32.

        Raises:
            BundleError: ``bundle_corrupt`` if the models in it cannot be brought to one version of ONNX.
        """
        models = [item for item in self._nodes if isinstance(item, onnx.ModelProto)]
        wanted = max([_OPSET, *map(_opset, models)])
        imports = {"": wanted}
        graph = onnx.GraphProto(name="ensemble", initializer=self._constants)
        functions: list[onnx.FunctionProto] = []
        for item in self._nodes:
            if isinstance(item, onnx.NodeProto):
                graph.node.append(item)
                continue
            model = _raised(item, wanted)
            graph.node.extend(model.graph.node)
            graph.initializer.extend(model.graph.initializer)
            graph.sparse_initializer.extend(model.graph.sparse_initializer)
            functions += model.functions
            for entry in model.opset_import:
                if entry.domain not in _ONNX:
                    imports[entry.domain] = max(entry.version, imports.get(entry.domain, 1))
        value = helper.make_tensor_value_info
        graph.input.append(value("features", TensorProto.FLOAT, ["batch", "rows", width]))
        graph.input.append(value("lengths", TensorProto.INT64, ["batch"]))
        for name, shape in outputs.items():
            graph.output.append(value(name, TensorProto.FLOAT, ["batch", *shape]))
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in imports.items()],
            ir_version=max([_IR, *(model.ir_version for model in models)]),
            functions=functions,
        )
        return bytes(made.SerializeToString())


def _opset(model: onnx.ModelProto) -> int:
    return max(int(entry.version) for entry in model.opset_import if entry.domain in _ONNX)


def _raised(model: onnx.ModelProto, wanted: int) -> onnx.ModelProto:
    if _opset(model) == wanted:
        return model
    try:
        return version_converter.convert_version(model, wanted)
    # The converter's errors have no common base but Exception.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(
            "bundle_corrupt",
            f"A member is written in version {_opset(model)} of ONNX and cannot be brought to {wanted}, the "
            f"newest among the members ({reason}).",
        ) from error
