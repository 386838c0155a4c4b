"""A small real bundle that hears by pitch alone, and the command line as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

import voxtrait
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
    SplitSize,
    TrainingSummary,
    save_bundle,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = sorted(path.name for path in EXAMPLES.iterdir() if path.suffix not in (".md", ".py"))

_CONFIG = {"n_fft": 400, "hop": 160, "n_mels": 40, "voice_every": 2}
_SIZE = 44
_PITCH = 41
_GRID = tuple(float(age) for age in range(5, 96, 5))


def toy_in(folder: Path) -> Path:
    """Return a bundle called "toy 0.1" in ``folder``: high voices are female, and differ by pitch."""
    where = folder / "cli-toy"
    if not where.exists():
        save_bundle(where, _card(), _model())
    return where


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a child that finds this very voxtrait, on no terminal."""
    kept = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "NO_COLOR")}
    return kept | {"PYTHONPATH": str(Path(voxtrait.__file__).parents[1]), "COLUMNS": "100"} | more


def command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "voxtrait", *arguments]


def lines_of(raw: bytes) -> list[str]:
    return raw.decode().splitlines()


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end; ``env`` adds to the environment."""
    env = environment(**options.pop("env", {}))
    return subprocess.run(command(*arguments), env=env, capture_output=True, timeout=120, **options)


def _card() -> Card:
    return Card(
        name="toy",
        version="0.1",
        licence="CC0-1.0",
        origin="Made up in a test.",
        created="2026-01-31",
        description="Takes high voices for female.\nIt knows nothing of age.",
        features=FeatureCard(name="mel-voice", config=dict(_CONFIG)),
        window=3.0,
        hop=3.0,
        min_speech=0.5,
        gender=GenderCard(calibration=(CalibrationRow(speech=1, scale=1, bias=0),), unsure_below=0.6),
        age=AgeCard(grid=_GRID, interval=(IntervalRow(speech=3, low=0.1, high=0.9),)),
        embedding=EmbeddingCard(size=2, threshold=0.4),
        training=TrainingSummary(
            corpora=(Corpus(name="made up", licence="CC0-1.0", speakers=2, clips=4, hours=0.1),),
            seed=7,
            splits={"test": SplitSize(speakers=1, clips=2)},
        ),
        metrics=(
            Metric(name="gender accuracy", on="test", value=0.9, low=0.8, high=0.95, n=40, baseline=0.5),
        ),
    )


def _model() -> bytes:
    """Return a model whose outputs are linear in the mean of the pitch track."""
    along_pitch = np.zeros((_SIZE, 1), np.float32)
    along_pitch[_PITCH] = 1
    ages = np.array([-(((age - 40) / 15) ** 2) for age in _GRID], np.float32)
    constants: dict[str, NDArray[Any]] = {
        "along_pitch": along_pitch,
        "frames_axis": np.array([1], np.int64),
        "last_axis": np.array([-1], np.int64),
        "steep": np.array([12.0], np.float32),
        "slope": np.array([[0.0, 8.0]], np.float32),
        "offset": np.array([1.0, 0.0], np.float32),
        "zeros": np.zeros((1, len(_GRID)), np.float32),
        "ages": ages,
    }
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("ReduceSum", ["features", "frames_axis"], "sum", {"keepdims": 0}),
        ("Cast", ["lengths"], "count", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["count", "last_axis"], "counts", {}),
        ("Div", ["sum", "counts"], "mean", {}),
        ("MatMul", ["mean", "along_pitch"], "pitch", {}),
        ("Squeeze", ["pitch", "last_axis"], "octaves", {}),
        ("Mul", ["octaves", "steep"], "gender", {}),
        ("MatMul", ["pitch", "zeros"], "nothing", {}),
        ("Add", ["nothing", "ages"], "age", {}),
        ("MatMul", ["pitch", "slope"], "tilt", {}),
        ("Add", ["tilt", "offset"], "direction", {}),
        ("LpNormalization", ["direction"], "embedding", {"axis": -1, "p": 2}),
    ]
    outputs: dict[str, list[str | int]] = {"gender": ["B"], "age": ["B", len(_GRID)], "embedding": ["B", 2]}
    graph = helper.make_graph(
        [
            helper.make_node(kind, inputs, [output], **attributes)
            for kind, inputs, output, attributes in steps
        ],
        "toy",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, ["B", "T", _SIZE]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["B"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
