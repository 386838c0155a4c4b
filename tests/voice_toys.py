"""Voices and a bundle for tests: espeak-ng's speech at 16 kHz, and a model that hears pitch alone."""

from __future__ import annotations

import io
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from voxtrait.bundle import (
    AgeCard,
    CalibrationRow,
    Card,
    EmbeddingCard,
    FeatureCard,
    GenderCard,
    IntervalRow,
    ModelBundle,
    TrainingSummary,
)

RATE = 16_000
MAN, WOMAN = "en-us", "en-us+f3"
#: Two sentences with a pause of a second between them.
SPOKEN = "The north wind and the sun were disputing which was the stronger."
FEATURES: dict[str, int | float | str | bool] = {"n_fft": 400, "hop": 160, "n_mels": 40, "voice_every": 2}
SIZE = 44
GRID = (10.0, 25.0, 40.0, 60.0, 80.0)
DATA = Path(os.environ.get("VOXTRAIT_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SHAPES: dict[str, tuple[int, ...]] = {"gender": (), "age": (len(GRID),), "embedding": (3,)}

Samples = NDArray[np.float32]


@cache
def say(text: str = SPOKEN, voice: str = MAN) -> Samples:
    """Return what espeak-ng says, trimmed of nothing, at 16 kHz."""
    command = ["espeak-ng", "-v", voice, "-s", "160", "--stdout", text]
    # espeak-ng writes to a pipe and does not know the length: the data begin after 44 bytes.
    spoken = subprocess.run(command, capture_output=True, check=True).stdout[44:]
    samples = soxr.resample(np.frombuffer(spoken, "<i2").astype(np.float32) / 32768, 22_050, RATE)
    samples.setflags(write=False)
    return np.asarray(samples, dtype=np.float32)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE), np.float32)


def dialogue(turns: int, pause: float = 1.0) -> Samples:
    """Return a man and a woman taking turns of about four seconds, the man first."""
    parts = [part for turn in range(turns) for part in (say(voice=(MAN, WOMAN)[turn % 2]), silence(pause))]
    return np.concatenate(parts)


def wav(samples: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, subtype="PCM_16", format="WAV")
    return file.getvalue()


def pitch_model(outputs: tuple[str, ...] = ("gender", "age", "embedding")) -> bytes:
    """Return a model of the mean pitch track over the valid frames, whatever padding follows them.

    gender = 20 * pitch (octaves from 160 Hz, times voicing), age logits from the same, embedding
    (2 * pitch, voicing, 0), which is not of unit length.
    """
    pitch, voicing = SIZE - 3, SIZE - 4
    weights = {name: np.zeros((SIZE, width), np.float32) for name, width in
               (("gender", 1), ("age", len(GRID)), ("embedding", 3))}  # fmt: skip
    weights["gender"][pitch] = 20
    weights["age"][pitch] = np.linspace(4, -4, len(GRID))
    weights["embedding"][pitch, 0] = 2
    weights["embedding"][voicing, 1] = 1
    nodes = [
        helper.make_node("ReduceSum", ["features", "one"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["lengths"], ["counts"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["counts", "one"], ["divisor"]),
        helper.make_node("Div", ["sum", "divisor"], ["mean"]),
    ]
    for name in outputs:
        target = "column" if name == "gender" else name
        nodes.append(helper.make_node("MatMul", ["mean", f"w_{name}"], [target]))
    if "gender" in outputs:
        nodes.append(helper.make_node("Squeeze", ["column", "one"], ["gender"]))
    tensors = [
        numpy_helper.from_array(matrix, f"w_{name}") for name, matrix in weights.items() if name in outputs
    ]
    tensors.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "pitch",
        [
            value("features", TensorProto.FLOAT, ["B", "T", SIZE]),
            value("lengths", TensorProto.INT64, ["B"]),
        ],
        [value(name, TensorProto.FLOAT, ["B", *SHAPES[name]]) for name in outputs],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def pitch_card(**changes: Any) -> Card:
    fields: dict[str, Any] = {
        "name": "pitch",
        "version": "0.1",
        "licence": "CC0-1.0",
        "origin": "made up in a test",
        "created": "2026-01-31",
        "description": "For tests.",
        "features": FeatureCard(name="mel-voice", config=FEATURES),
        "window": 2.0,
        "hop": 2.0,
        "min_speech": 0.4,
        "gender": GenderCard(calibration=(CalibrationRow(speech=1, scale=1, bias=0),), unsure_below=0.6),
        "age": AgeCard(grid=GRID, interval=(IntervalRow(speech=1, low=0.1, high=0.9),)),
        "embedding": EmbeddingCard(size=3, threshold=0.3),
        "training": TrainingSummary(corpora=()),
    }
    return Card(**(fields | changes))


@cache
def pitch_bundle() -> ModelBundle:
    return bundle_of(pitch_card())


def bundle_of(card: Card) -> ModelBundle:
    """Return a card's bundle: its model gives what the card has a section for."""
    model = pitch_model(tuple(name for name in SHAPES if getattr(card, name) is not None))
    return ModelBundle(card.sealed(model), model)
