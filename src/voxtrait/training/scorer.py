"""Recordings of the speech cache through a bundle's model, as prediction hears them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.augment import Augmenter
from voxtrait.bundle import ModelBundle
from voxtrait.features import build_features
from voxtrait.listening import FeatureWindow
from voxtrait.preprocess import build_preprocessor
from voxtrait.scoring import Judge, WindowScore
from voxtrait.speech import Span
from voxtrait.speech.windows import plan_parts
from voxtrait.training.feature_cache import read_noises
from voxtrait.training.prepare import Prepared, noise_files
from voxtrait.training.recipe import Recipe

__all__ = ["WHOLE", "Scorer", "Summed"]

#: More seconds of speech than any recording of the cache holds.
WHOLE = 30.0


@dataclass(frozen=True)
class Summed:
    """Scores of one recording cut to some amount of speech."""

    row: int
    gender: float
    age: NDArray[np.float32]
    windows: tuple[WindowScore, ...]


class Scorer:
    """Runs recordings of the speech cache through a bundle, as prediction would.

    Args:
        bundle: the model.
        recipe: for its conditions and seed.
        prepared: the recordings.
        window: seconds of speech in a window; None is the bundle's own.
    """

    def __init__(
        self, bundle: ModelBundle, recipe: Recipe, prepared: Prepared, window: float | None = None
    ) -> None:
        card = bundle.card
        self._judge = Judge(bundle, recipe.train.threads)
        self._extractor = build_features(card.features.name, card.features.config)
        self._preprocess = build_preprocessor(card.preprocess)
        self._speech = prepared.speech
        self._seed = recipe.seed
        self._window = round((window or card.window) * SAMPLE_RATE)
        self.augments = recipe.features.versions > 1
        noises = read_noises(noise_files(recipe)) if self.augments else []
        self._augmenter = Augmenter(recipe.augment, noises, [prepared.speech.samples(0)])

    def score(self, rows: Sequence[int], amount: float, versions: tuple[int, ...]) -> list[Summed]:
        """Return the scores of the first ``amount`` seconds of recordings, augmented in version 1."""
        return [self._score(row, amount, version) for version in versions for row in rows]

    def _score(self, row: int, amount: float, version: int) -> Summed:
        samples = self._speech.samples(row)[: round(amount * SAMPLE_RATE)]
        if version:
            samples = self._augmenter(samples, np.random.default_rng((self._seed, 1_000_003, row)))
        windows, start = [], 0
        for size in plan_parts(samples.size, self._window):
            frames = self._extractor.extract(self._preprocess(samples[start : start + size]))
            if len(frames):
                windows.append(FeatureWindow((Span(start, start + size),), frames, size))
            start += size
        scores = self._judge.score(windows)
        weights = np.array([score.weight for score in scores], dtype=np.float64)
        weights /= weights.sum()
        gender = float(weights @ [score.gender for score in scores])
        age = np.asarray(weights @ np.stack([score.age for score in scores]), dtype=np.float32)
        return Summed(row, gender, age, tuple(scores))
