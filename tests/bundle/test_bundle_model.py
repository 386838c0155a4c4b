"""A bundle in memory: its verification, its session, and models that mean harm."""

from __future__ import annotations

import contextlib
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from bundle_toys import FEATURES, GRID, serialised, toy_card, toy_model
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from voxtrait.bundle import ModelBundle
from voxtrait.bundle.onnxfile import TENSOR_PATHS, has_external_data
from voxtrait.errors import BundleError, UsageError


def bundle_of(model: bytes, **changes: Any) -> ModelBundle:
    return ModelBundle(toy_card(**changes).sealed(model), model)


def refusal(model: bytes, **changes: Any) -> BundleError:
    """Return the error of a bundle of this model, which must come before anything is run."""
    with pytest.raises(BundleError) as caught:
        bundle_of(model, **changes).session()
    assert caught.value.message.isprintable()
    return caught.value


def test_a_model_runs_on_any_batch_and_length() -> None:
    bundle = bundle_of(toy_model())
    session = bundle.session()
    for batch, frames in [(1, 1), (3, 50), (2, 400)]:
        feeds = {
            "features": np.ones((batch, frames, FEATURES), np.float32),
            "lengths": np.full(batch, frames, np.int64),
        }
        gender, age, embedding = session.run(["gender", "age", "embedding"], feeds)
        assert gender.shape == (batch,)
        assert age.shape == (batch, len(GRID))
        assert embedding.shape == (batch, 3)
        assert (gender == FEATURES).all()


def test_a_bundle_says_what_it_is() -> None:
    model = toy_model()
    bundle = bundle_of(model)
    assert bundle.title == "toy 0.1"
    assert bundle.sha256 == bundle.card.sha256
    assert bundle.card.model_bytes == len(model)
    assert len(repr(bundle)) < 3000


def test_sessions_are_built_once_for_each_number_of_threads() -> None:
    bundle = bundle_of(toy_model())
    with ThreadPoolExecutor(4) as pool:
        sessions = set(map(id, pool.map(lambda _: bundle.session(), range(8))))
    assert len(sessions) == 1
    two = bundle.session(2)
    assert two is bundle.session(2) is not bundle.session()
    options = two.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (2, 1)
    assert two.get_providers() == ["CPUExecutionProvider"]


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_counted_from_one(threads: int) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        bundle_of(toy_model()).session(threads)


def test_a_used_bundle_travels_to_another_process() -> None:
    bundle = bundle_of(toy_model())
    bundle.session()
    again = pickle.loads(pickle.dumps(bundle))
    assert again.card == bundle.card
    assert again.session() is not bundle.session()


@pytest.mark.parametrize(
    "change", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: bytes([m[0] ^ 1]) + m[1:]]
)
def test_another_model_is_refused(change: Any) -> None:
    model = toy_model()
    with pytest.raises(BundleError) as caught:
        ModelBundle(toy_card().sealed(model), change(model))
    assert caught.value.code == "bundle_hash"


def test_a_card_that_was_never_sealed_is_refused() -> None:
    with pytest.raises(BundleError, match="not the file of its card"):
        ModelBundle(toy_card(), toy_model())


SECTIONS = {"gender": (), "age": (len(GRID),), "embedding": (3,)}


@pytest.mark.parametrize(
    "model",
    [
        toy_model({"gender": (), "age": (5,)}),
        toy_model({**SECTIONS, "mood": (2,)}),
        toy_model({**SECTIONS, "age": (4,)}),
        toy_model({**SECTIONS, "embedding": (2,)}),
        toy_model({**SECTIONS, "gender": (1,)}),
        toy_model(batch=1),
        toy_model(frames=100),
        toy_model(lengths=TensorProto.INT32),
        toy_model({**SECTIONS, "age": ()}),
    ],
    ids=["lacks", "extra", "grid", "size", "rank", "batch", "frames", "type", "flat"],
)
def test_a_model_must_agree_with_its_card(model: bytes) -> None:
    error = refusal(model)
    assert error.code == "bundle_corrupt"
    assert "its card needs" in error.message


def test_an_output_without_a_section_is_refused() -> None:
    assert "The outputs of toy 0.1 are" in refusal(toy_model(), embedding=None).message
    bundle_of(toy_model({"gender": (), "age": (5,)}), embedding=None).session()


def test_inputs_have_their_names() -> None:
    model = onnx.load_from_string(toy_model())
    model.graph.input[1].name = "\x1b[31mlength"
    assert "The inputs of toy 0.1" in refusal(model.SerializeToString()).message


@pytest.mark.parametrize(
    "model",
    [
        b"",
        b"\0",
        b"junk" * 100,
        b"\x80\x04\x95pickle",
        toy_model()[:-20],
        b"\x0b" * 9,
        b"\x08" + b"\xff" * 11,
    ],
    ids=["empty", "zero", "junk", "pickle", "cut", "group", "number"],
)
def test_bytes_that_are_no_model(model: bytes) -> None:
    assert refusal(model).code == "bundle_corrupt"


def test_the_runtimes_own_format_is_refused(tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(toy_model(), options, providers=["CPUExecutionProvider"])
    assert refusal((tmp_path / "model.ort").read_bytes()).code == "bundle_corrupt"


def test_an_operator_of_a_strangers_library_is_refused() -> None:
    model = onnx.load_from_string(toy_model())
    model.graph.node[0].domain = "evil.ops"
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))
    error = refusal(model.SerializeToString())
    assert error.code == "bundle_corrupt"
    assert "evil.ops" in error.message


# Models that refer to other files


def external(location: str, **more: str) -> TensorProto:
    """Return a tensor of four floats whose values lie in another file."""
    tensor = TensorProto(name="outside", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def model_with(tensor: TensorProto, place: str) -> bytes:
    """Return a model that holds the tensor in one of the places where ONNX allows one."""
    model = onnx.load_from_string(toy_model())
    graph = model.graph
    constant = helper.make_node("Constant", [], ["c"])
    constant.attribute.append(helper.make_attribute("value", tensor))
    inner = helper.make_graph([constant], "inner", [], [helper.make_tensor_value_info("c", 1, [4])])
    sparse = onnx.SparseTensorProto(dims=[4], values=tensor)
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(4), "i"))
    if place == "initializer":
        graph.initializer.append(tensor)
    elif place == "constant":
        graph.node.append(constant)
    elif place == "subgraph":
        node = helper.make_node("If", ["condition"], ["c2"], then_branch=inner, else_branch=inner)
        graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
        graph.node.append(node)
    elif place == "sparse initializer":
        graph.sparse_initializer.append(sparse)
    elif place == "sparse constant":
        node = helper.make_node("Constant", [], ["c"])
        node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR, sparse_tensor=sparse)
        graph.node.append(node)
    elif place == "lists":
        node = helper.make_node("Constant", [], ["c"])
        node.attribute.add(name="all", type=onnx.AttributeProto.GRAPHS, graphs=[inner], tensors=[])
        graph.node.append(node)
    elif place == "function":
        function = helper.make_function("evil", "f", [], ["c"], [constant], [helper.make_opsetid("", 17)])
        return serialised(graph, ("evil",), (function,))
    elif place == "training":
        info = model.training_info.add()
        info.algorithm.CopyFrom(inner)
    return bytes(model.SerializeToString())


PLACES = [
    "initializer",
    "constant",
    "subgraph",
    "sparse initializer",
    "sparse constant",
    "lists",
    "function",
    "training",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("location", ["/etc/passwd", "../../../etc/passwd", "secret.bin"])
def test_data_of_other_files_is_never_read(
    place: str, location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    model = model_with(external(location, offset="0", length="16"), place)
    assert has_external_data(model)
    error = refusal(model)
    assert error.code == "bundle_unsafe"
    assert "data in other files" in error.message


def test_data_at_an_address_of_this_process_is_never_read() -> None:
    model = model_with(external("*/_ORT_MEM_ADDR_/*", offset=str(2**40), length="16"), "initializer")
    assert refusal(model).code == "bundle_unsafe"


@pytest.mark.parametrize("place", PLACES)
def test_tensors_that_hold_their_data_pass(place: str) -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "inside")
    assert not has_external_data(model_with(tensor, place))
    assert not has_external_data(toy_model())


def test_every_way_to_a_tensor_is_followed() -> None:
    """The table of paths is that of the onnx package."""
    inside: dict[str, dict[int, str]] = {}

    def visit(message: Any) -> None:
        if message.name not in inside:
            inside[message.name] = {}
            for field in message.fields:
                if field.message_type is not None:
                    inside[message.name][field.number] = field.message_type.name
                    visit(field.message_type)

    visit(onnx.ModelProto.DESCRIPTOR)
    leading = {"TensorProto"}
    for _ in inside:
        leading |= {name for name, fields in inside.items() if leading & set(fields.values())}
    expected = {
        name: {number: kind for number, kind in inside[name].items() if kind in leading} for name in leading
    }
    assert expected == TENSOR_PATHS
    numbers = {field.name: field.number for field in TensorProto.DESCRIPTOR.fields}
    assert (numbers["external_data"], numbers["data_location"]) == (13, 14)


def varint(value: int, size: int = 1) -> bytes:
    """Encode an integer in at least ``size`` bytes."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < size:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("high_bits", [0, 1 << 32])
def test_odd_encodings_hide_nothing(size: int, high_bits: int) -> None:
    """Parsers take over-long numbers and drop the bits above 32."""

    def message(field: int, content: bytes) -> bytes:
        return varint(field << 3 | 2 | high_bits, size) + varint(len(content), size) + content

    for content in (message(13, b"\n\0"), varint(14 << 3 | high_bits, size) + varint(1 | high_bits, size)):
        assert has_external_data(message(7, message(5, content)))


def test_the_check_is_quick_on_large_and_deep_models() -> None:
    deep = b""
    for _ in range(3000):
        # graph of an attribute of a node of a graph
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            deep = tag + varint(len(deep)) + deep
    assert not has_external_data(b"\x3a" + varint(len(deep)) + deep)
    weights = numpy_helper.from_array(np.zeros(2**22, np.float32), "w")
    assert not has_external_data(model_with(weights, "initializer"))


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        has_external_data(raw)


def test_no_change_of_bytes_hides_a_reference() -> None:
    """Whatever the onnx parser still reads as external data is found."""
    original = model_with(external("/etc/passwd"), "initializer")
    chance = random.Random(5)
    seen = 0
    for _ in range(4000):
        raw = bytearray(original)
        for _ in range(chance.randint(1, 3)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            parsed = onnx.ModelProto.FromString(bytes(raw))
        except Exception:
            continue
        if any(tensor.data_location == TensorProto.EXTERNAL for tensor in parsed.graph.initializer):
            seen += 1
            with contextlib.suppress(ValueError):
                assert has_external_data(bytes(raw))
    assert seen > 100


def test_importing_bundles_is_light() -> None:
    code = (
        "import sys, voxtrait.bundle; "
        "print(*{'onnxruntime', 'onnx', 'torch', 'sklearn', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
