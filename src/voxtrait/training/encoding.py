"""Vectors of recordings by encoders that are not trained."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voxtrait.audio import SAMPLE_RATE
from voxtrait.features import build_features
from voxtrait.training.prepare import Prepared
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import CropSampler, FrameSource

__all__ = ["LONGEST", "Embedding", "Encoders"]

#: Seconds of a recording that encoders and validation hear.
LONGEST = 6.0
_ENCODER_BATCH = 32


class Embedding(nn.Module):
    """The embedding alone of a network that gives more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        out: Tensor = self.network(features, lengths)["embedding"]
        return out


class Encoders:
    """Vectors of the cached recordings by encoders that are not trained, kept in the cache.

    Args:
        recipe: for its features and threads.
        prepared: the recordings, and where vectors are kept.
        source: their features.
        device: where to compute.
    """

    def __init__(self, recipe: Recipe, prepared: Prepared, source: FrameSource, device: torch.device) -> None:
        extractor = build_features(recipe.features.name, recipe.features.config)
        self._rows = np.sort(np.concatenate(list(prepared.rows.values())))
        self._source, self._cache, self._device = source, prepared.cache, device
        self._longest = round(LONGEST * SAMPLE_RATE / extractor.frame_shift)
        self._sampler = CropSampler(source, extractor.powers, (1, 1), _ENCODER_BATCH)
        self._threads = recipe.train.threads

    @torch.no_grad()
    def vectors(self, encoder: nn.Module, versions: int) -> NDArray[np.float32]:
        """Return vectors of the first seconds of each recording, (versions, rows, E)."""
        torch.set_num_threads(self._threads)
        encoder = encoder.eval().to(self._device)
        weights = sha256()
        for name, value in encoder.state_dict().items():
            weights.update(name.encode() + value.cpu().numpy().tobytes())
        return np.stack([self._version(encoder, weights.hexdigest(), version) for version in range(versions)])

    def _version(self, encoder: nn.Module, weights: str, version: int) -> NDArray[np.float32]:
        rows = sha256(self._rows.tobytes()).hexdigest()
        about = f"{weights} {self._source.key(version)} {self._longest} {rows}"
        file = self._cache / f"vectors-{sha256(about.encode()).hexdigest()[:16]}.npy"
        if file.is_file():
            return np.asarray(np.load(file), dtype=np.float32)
        out: NDArray[np.float32] | None = None
        for batch in self._sampler.whole(self._rows, version, self._longest):
            features = torch.from_numpy(batch.features).to(self._device)
            found = encoder(features, torch.from_numpy(batch.lengths).to(self._device)).cpu().numpy()
            if out is None:
                out = np.zeros((len(self._source.counts), found.shape[1]), np.float32)
            out[batch.rows] = found
        assert out is not None
        partial = file.with_suffix(".partial")
        with partial.open("wb") as stream:
            np.save(stream, out)
        partial.replace(file)
        return out
