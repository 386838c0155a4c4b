"""Whether an ONNX file stands alone, told from its bytes.

An ONNX tensor may say that its values lie in another file (external data). ONNX Runtime follows
such a reference relative to the working directory, and some releases further: a stranger's model
could read files of its user. So the references are looked for before the runtime sees the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["has_external_data"]

#: Message types of onnx.proto through which a tensor can be reached: field number -> type inside.
TENSOR_PATHS: Final[dict[str, dict[int, str]]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}

_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def has_external_data(model: bytes) -> bool:
    """Tell whether any tensor of a serialised ``onnx.ModelProto`` refers to data outside of it.

    Raises:
        ValueError: if the bytes are not a well-formed protobuf message.
    """
    pending = [(0, len(model), "ModelProto")]
    while pending:
        start, end, kind = pending.pop()
        inside = TENSOR_PATHS[kind]
        for field, value, stop in _fields(model, start, end):
            if kind == "TensorProto":
                if field == _EXTERNAL_DATA or (field == _DATA_LOCATION and (stop or value)):
                    return True
            elif stop and field in inside:
                pending.append((value, stop, inside[field]))
    return False


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield (field number, start, stop) of byte fields and (field number, value, 0) of the others."""
    while at < end:
        tag, at = _varint(data, at, end, 5)
        # Parsers keep 32 bits of a tag: a longer one must not hide its field.
        field, wire = (tag & 0xFFFFFFFF) >> 3, tag & 7
        value = stop = 0
        if wire == _VARINT:
            value, at = _varint(data, at, end, 10)
        elif wire == _BYTES:
            size, value = _varint(data, at, end, 5)
            at = stop = value + size
        elif wire in (_FIXED32, _FIXED64):
            at += 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("not a protobuf message: unknown wire type")
        if at > end:
            raise ValueError("not a protobuf message: a field is cut off")
        yield field, value, stop


def _varint(data: bytes, at: int, end: int, longest: int) -> tuple[int, int]:
    """Return the integer of at most ``longest`` bytes at ``at``, and where it ends."""
    value = 0
    for shift in range(longest):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at
    raise ValueError("not a protobuf message: a number is cut off")
