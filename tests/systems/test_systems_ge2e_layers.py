"""The statistics of a frozen encoder's layers, and the same model in 8 bits."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from voxtrait.systems.encoders.ge2e import Ge2eEncoder
from voxtrait.systems.ge2e_layers import Ge2eLayers, Ge2eLayersSettings, LayerHeads
from voxtrait.systems.system import YEARS, Targets
from voxtrait.training.export import export_onnx, quantised


@pytest.fixture(scope="module")
def front() -> Ge2eLayers:
    return Ge2eLayers().eval()


def _mel(frames: int, seed: int) -> torch.Tensor:
    """Return mel power (1, frames, 40) that swells and fades as speech does."""
    rng = np.random.default_rng(seed)
    swell = np.exp(3 * np.sin(np.arange(frames) / rng.uniform(8, 20)))[:, None]
    return torch.from_numpy((swell * rng.gamma(0.5, size=(1, frames, 40))).astype(np.float32))


@torch.no_grad()
@pytest.mark.parametrize("frames", [30, 160, 161, 320, 470])
def test_a_row_does_not_hear_its_neighbours(front: Ge2eLayers, frames: int) -> None:
    row = _mel(frames, 1)
    alone = front(row, torch.tensor([frames]))
    batch = torch.zeros(2, 600, 40)
    batch[0, :frames], batch[1] = row[0], _mel(600, 2)[0]
    together = front(batch, torch.tensor([frames, 600]))
    assert alone.shape == (1, 1280)
    assert torch.allclose(alone[0], together[0], atol=1e-5)


@torch.no_grad()
def test_how_loud_a_recording_is_says_nothing(front: Ge2eLayers) -> None:
    row, length = _mel(300, 3), torch.tensor([300])
    assert torch.allclose(front(row, length), front(row * 50, length), atol=1e-4)


@torch.no_grad()
def test_the_embedding_of_one_part_is_the_encoders(front: Ge2eLayers) -> None:
    row, length = _mel(160, 4), torch.tensor([160])
    encoder = Ge2eEncoder.load(None).eval()
    assert torch.allclose(front(row, length)[:, -256:], encoder(row, length), atol=1e-5)


class _Whole(torch.nn.Module):
    def __init__(self, front: Ge2eLayers) -> None:
        super().__init__()
        self.front = front
        self.heads = LayerHeads(Ge2eLayersSettings(hidden=8), Targets("both", YEARS), 1280)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> dict[str, torch.Tensor]:
        out: dict[str, torch.Tensor] = self.heads(
            self.front(features, lengths).unsqueeze(1), torch.ones_like(lengths)
        )
        return out


def test_in_8_bits_a_model_is_smaller_and_says_about_the_same(front: Ge2eLayers) -> None:
    torch.manual_seed(0)
    model = export_onnx(_Whole(front).eval(), 40)
    small = quantised(model)
    assert len(small) < 0.6 * len(model)
    given = {"features": _mel(330, 5).numpy(), "lengths": np.array([330])}
    whole, rounded = (
        onnxruntime.InferenceSession(each, providers=["CPUExecutionProvider"]).run(["embedding"], given)[0]
        for each in (model, small)
    )
    assert not np.array_equal(whole, rounded)
    assert (whole * rounded).sum() > 0.995
