"""What an epoch hears: so many crops a speaker, cut at random from a random condition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from voxtrait.labels import group_of

__all__ = ["Batch", "CropSampler", "FrameSource", "Labels", "Vectors", "speaker_weights"]


class FrameSource(Protocol):
    """Frames of every recording in every version, as `FeatureCache` holds them."""

    @property
    def size(self) -> int:
        """Values in a frame."""
        ...

    @property
    def versions(self) -> int:
        """Versions of each recording."""
        ...

    @property
    def counts(self) -> NDArray[np.int64]:
        """Frames of each recording, (rows,)."""
        ...

    def key(self, version: int) -> str:
        """Return what changes whenever the frames of a version do."""
        ...

    def read(self, row: int, version: int, start: int, stop: int) -> NDArray[np.floating]:
        """Return frames ``start`` to ``stop`` of a recording, (n, size)."""
        ...


@dataclass(frozen=True)
class Vectors:
    """One vector a recording and version, (versions, rows, size): frames of recordings of one frame."""

    values: NDArray[np.float32]

    @property
    def size(self) -> int:
        """Values in a vector."""
        return int(self.values.shape[2])

    @property
    def versions(self) -> int:
        """Versions of each recording."""
        return int(self.values.shape[0])

    @property
    def counts(self) -> NDArray[np.int64]:
        """One frame a recording, (rows,)."""
        return np.ones(self.values.shape[1], np.int64)

    def key(self, version: int) -> str:
        """Return the hash of a version's vectors."""
        return sha256(self.values[version].tobytes()).hexdigest()

    def read(self, row: int, version: int, start: int, stop: int) -> NDArray[np.float32]:
        """Return the vector of a recording as its one frame, (1, size)."""
        return self.values[version, row : row + 1]


@dataclass(frozen=True)
class Labels:
    """Labels of every row of the cache: ``female`` 1, 0 or NaN; ages in years or NaN; weights."""

    female: NDArray[np.float32]
    age_low: NDArray[np.float64]
    age_high: NDArray[np.float64]
    gender_weight: NDArray[np.float32]
    age_weight: NDArray[np.float32]

    @classmethod
    def of(cls, manifest: pl.DataFrame, power: float) -> Labels:
        """Read the labels of a manifest; weights are those of `speaker_weights` times the manifest's own."""
        gender = manifest["gender"].to_list()
        female = np.array([{"female": 1.0, "male": 0.0}.get(word, np.nan) for word in gender], np.float32)
        low = manifest["age_low"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        high = manifest["age_high"].cast(pl.Float64).fill_null(np.nan).to_numpy()
        groups = [None if np.isnan(x) else group_of(x) for x in (low + high) / 2]
        speakers = manifest["speaker"].to_list()
        own = np.ones(len(speakers), np.float32)
        if "weight" in manifest.columns:
            own = manifest["weight"].fill_null(1.0).to_numpy().astype(np.float32)
        return cls(
            female,
            low,
            high,
            own * speaker_weights(speakers, [None if np.isnan(x) else str(x) for x in female], power),
            own * speaker_weights(speakers, groups, power),
        )


def speaker_weights(speakers: list[str], classes: list[str | None], power: float) -> NDArray[np.float32]:
    """Return each row's weight, (speakers of the largest class / speakers of its class) ** power.

    Power 0 leaves the classes as they are, 1 balances them wholly. Rows without a class get 1.
    """
    members: dict[str, set[str]] = {}
    for speaker, name in zip(speakers, classes, strict=True):
        if name is not None:
            members.setdefault(name, set()).add(speaker)
    largest = max(map(len, members.values()), default=1)
    weight = {name: (largest / len(group)) ** power for name, group in members.items()}
    return np.array([weight[name] if name is not None else 1.0 for name in classes], np.float32)


@dataclass(frozen=True)
class Batch:
    """Crops of one length range: features (B, T, F) padded with zeros, lengths (B,), rows (B,)."""

    features: NDArray[np.float32]
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]


class CropSampler:
    """Draws crops of the cached features.

    Args:
        source: the features.
        powers: columns stored as logarithms.
        frames: shortest and longest crop, in frames.
        batch: crops a batch.
        begins: where crops begin: "random" is anywhere, "first" where the recording does, "windows" at
            a multiple of their length.
    """

    def __init__(
        self,
        source: FrameSource,
        powers: int,
        frames: tuple[int, int],
        batch: int,
        begins: str = "random",
    ) -> None:
        self._source = source
        self._counts = source.counts
        self._powers = powers
        self._frames = frames
        self._batch = batch
        self._begins = begins

    def epoch(
        self, rows: NDArray[np.int64], rng: np.random.Generator, clean: float, masked: float = 0.0
    ) -> Iterator[Batch]:
        """Yield batches of one random crop of each of ``rows``, in random order.

        All crops of a batch have the same aimed length. ``clean`` is the share from version 0,
        ``masked`` the share with bands and moments blanked out.
        """
        rows = rng.permutation(rows)
        for first in range(0, len(rows), self._batch):
            chosen = rows[first : first + self._batch]
            length = int(rng.integers(self._frames[0], self._frames[1] + 1))
            crops = [self._crop(row, length, rng, clean) for row in chosen.tolist()]
            for crop in crops:
                if rng.random() < masked:
                    self._mask(crop, rng)
            yield self._pad(crops, chosen)

    def whole(self, rows: NDArray[np.int64], version: int, longest: int) -> Iterator[Batch]:
        """Yield batches of the first ``longest`` frames of each row, the long ones first."""
        version = min(version, self._source.versions - 1)
        sizes = np.minimum(self._counts[rows], longest)
        rows = rows[np.argsort(-sizes, kind="stable")]
        for first in range(0, len(rows), self._batch):
            chosen = rows[first : first + self._batch]
            yield self._pad([self._read(row, version, 0, longest) for row in chosen.tolist()], chosen)

    def _crop(self, row: int, length: int, rng: np.random.Generator, clean: float) -> NDArray[np.float32]:
        spare = max(0, int(self._counts[row]) - length)
        version = 0
        if self._source.versions > 1 and rng.random() >= clean:
            version = int(rng.integers(1, self._source.versions))
        step = {"random": 1, "windows": length, "first": spare + 1}[self._begins]
        start = step * int(rng.integers(0, spare // step + 1))
        return self._read(row, version, start, length)

    def _mask(self, crop: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Blank out up to two bands and two moments (Park et al. 2019, "SpecAugment")."""
        bands = self._powers or crop.shape[1]
        for _ in range(2):
            width = int(rng.integers(0, bands // 6 + 1))
            first = int(rng.integers(0, bands - width + 1))
            crop[:, first : first + width] = 0.0
            width = int(rng.integers(0, len(crop) // 8 + 1))
            first = int(rng.integers(0, len(crop) - width + 1))
            crop[first : first + width] = 0.0

    def _read(self, row: int, version: int, start: int, length: int) -> NDArray[np.float32]:
        stop = min(start + length, int(self._counts[row]))
        # A copy: the store is read-only, and masks write into the crop.
        frames = np.array(self._source.read(row, version, start, stop), dtype=np.float32)
        frames[:, : self._powers] = np.exp(frames[:, : self._powers])
        return frames

    @staticmethod
    def _pad(crops: list[NDArray[np.float32]], rows: NDArray[np.int64]) -> Batch:
        lengths = np.array([len(crop) for crop in crops], dtype=np.int64)
        features = np.zeros((len(crops), int(lengths.max()), crops[0].shape[1]), dtype=np.float32)
        for place, crop in zip(features, crops, strict=True):
            place[: len(crop)] = crop
        return Batch(features, lengths, rows)
