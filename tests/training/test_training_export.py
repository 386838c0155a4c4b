"""A model in 8 bits: what it says of a window does not depend on the windows beside it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.scoring import INDEPENDENT_ROWS
from voxtrait.systems.finetuned_ge2e import FinetunedGe2e, FinetunedGe2eSettings
from voxtrait.systems.ge2e_layers import Ge2eLayers, Ge2eLayersSettings, LayerHeads
from voxtrait.systems.system import YEARS, Targets
from voxtrait.training.export import export_onnx, quantised

Array = NDArray[np.float32]

#: Parts of 160 frames: less than one, one, one and a frame, some and less, several whole ones.
_FRAMES = (1, 30, 160, 161, 200, 320, 405, 480)


class _OnLayers(nn.Module):
    """The default model's system with heads that learnt nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.front = Ge2eLayers()
        self.heads = LayerHeads(Ge2eLayersSettings(hidden=8), Targets("both", YEARS), 1280)

    def forward(self, features: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        vectors = self.front(features, lengths).unsqueeze(1)
        out: dict[str, Tensor] = self.heads(vectors, torch.ones_like(lengths))
        return out


def _finetuned() -> nn.Module:
    settings = FinetunedGe2eSettings(start="random", branch=8, hidden=8)
    return FinetunedGe2e(settings, Targets("both", YEARS))


@pytest.fixture(scope="module", params=["ge2e-layers", "finetuned-ge2e"])
def models(request: pytest.FixtureRequest) -> tuple[bytes, bytes, int]:
    """Return a model, the same in 8 bits, and the values of a frame."""
    torch.manual_seed(0)
    network, size = (_OnLayers(), 40) if request.param == "ge2e-layers" else (_finetuned(), 44)
    model = export_onnx(network.eval(), size)
    return model, quantised(model), size


def _windows(size: int) -> list[Array]:
    """Return features of windows that swell and fade as speech does, some far more than others."""
    rng = np.random.default_rng(1)
    found = []
    for frames in _FRAMES:
        swell = np.exp(rng.uniform(0, 5) * np.sin(np.arange(frames) / rng.uniform(8, 20)))[:, None]
        found.append((swell * rng.gamma(0.3, size=(frames, size))).astype(np.float32))
    return found


def _answers(model: bytes, windows: list[Array]) -> list[Array]:
    """Return what a model says of windows that share a run: gender, ages and voice in one row each."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    lengths = np.array([len(window) for window in windows])
    features = np.zeros((len(windows), lengths.max(), windows[0].shape[1]), np.float32)
    for place, window in zip(features, windows, strict=True):
        place[: len(window)] = window
    gender, age, embedding = session.run(
        ["gender", "age", "embedding"], {"features": features, "lengths": lengths}
    )
    return list(np.concatenate([gender[:, None], age, embedding], axis=1))


def test_windows_that_share_a_run_are_answered_as_alone(models: tuple[bytes, bytes, int]) -> None:
    _, small, size = models
    windows = _windows(size)
    # A frame of finetuned-ge2e is two: one alone is none.
    windows = windows if size == 40 else windows[1:]
    alone = [_answers(small, [window])[0] for window in windows]
    for order in (list(range(len(windows))), [5, 1, 3], [2, 4], [0, 6]):
        together = _answers(small, [windows[place] for place in order])
        for place, answer in zip(order, together, strict=True):
            np.testing.assert_allclose(answer, alone[place], rtol=0, atol=1e-5)


def test_in_8_bits_a_model_says_about_the_same_in_less_space(models: tuple[bytes, bytes, int]) -> None:
    model, small, size = models
    assert len(small) < 0.6 * len(model)
    window = _windows(size)[5]
    whole, rounded = _answers(model, [window])[0][-256:], _answers(small, [window])[0][-256:]
    assert not np.array_equal(whole, rounded)
    assert whole @ rounded > 0.99


def test_a_model_in_8_bits_says_that_its_rows_are_independent(models: tuple[bytes, bytes, int]) -> None:
    session = onnxruntime.InferenceSession(models[1], providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map == dict([INDEPENDENT_ROWS])


def test_the_layer_that_reads_features_is_not_rounded(models: tuple[bytes, bytes, int]) -> None:
    kinds = [node.op_type for node in onnx.load_from_string(models[1]).graph.node if "LSTM" in node.op_type]
    # A layer of features feeds two layers of states, once or, if parts go on alone, twice.
    assert kinds == ["LSTM", "DynamicQuantizeLSTM", "DynamicQuantizeLSTM"] * (len(kinds) // 3)
