"""Validation speakers through the exported model, and the card's calibration from their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxtrait.audio import SAMPLE_RATE
from voxtrait.augment import Augmenter
from voxtrait.bundle import AgeCard, EmbeddingCard, GenderCard, ModelBundle
from voxtrait.features import build_features
from voxtrait.listening import FeatureWindow
from voxtrait.scoring import Judge, WindowScore
from voxtrait.speech import Span
from voxtrait.speech.windows import plan_parts
from voxtrait.training.calibration import Scored, calibrate_age, calibrate_embedding, calibrate_gender
from voxtrait.training.feature_cache import read_noises
from voxtrait.training.prepare import Prepared
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import Labels

__all__ = ["FittedCards", "fit_cards"]

#: Seconds of speech that a calibration row is fitted for; a recording counts from 0.8 of it.
_AMOUNTS = (1.0, 2.0, 4.0)
_FEWEST = 60
_WHOLE = 30.0
#: Years from which a voice counts for the calibration of gender.
_ADULT_VOICE = 13


@dataclass(frozen=True)
class FittedCards:
    """The calibrated sections of a card."""

    gender: GenderCard
    age: AgeCard
    embedding: EmbeddingCard


@dataclass(frozen=True)
class _Summed:
    """Scores of one recording cut to some amount of speech."""

    row: int
    gender: float
    age: NDArray[np.float32]
    windows: tuple[WindowScore, ...]


def fit_cards(bundle: ModelBundle, recipe: Recipe, prepared: Prepared) -> FittedCards:
    """Calibrate ``bundle`` on validation speakers, as recorded and under the recipe's random conditions.

    Half of the scores come from augmented speech: a probability must mean the same where the
    recording is poor.
    """
    assert bundle.card.age is not None
    judge = Judge(bundle, recipe.train.threads)
    augmenter = Augmenter(recipe.augment, read_noises(prepared.plan.noises), [prepared.speech.samples(0)])
    labels = Labels.of(prepared.manifest, 0.0)
    rows = prepared.rows["validation"].tolist()
    sizes = prepared.speech.sizes()

    def score(chosen: list[int], amount: float, version: int) -> list[_Summed]:
        return [_score(judge, augmenter, recipe, prepared, row, amount, version) for row in chosen]

    scored: list[Scored] = []
    for amount in _AMOUNTS:
        chosen = [row for row in rows if sizes[row] >= 0.8 * amount * SAMPLE_RATE]
        if len(chosen) >= _FEWEST or not scored:
            sums = [*score(chosen, amount, 0), *score(chosen, amount, 1)]
            scored.append(_scored(sums, labels, prepared, amount))
    whole = score(rows, _WHOLE, 0)
    typical = float(np.median(sizes[rows])) / SAMPLE_RATE
    windows = [window for summed in whole for window in summed.windows]
    recordings = np.array([summed.row for summed in whole for _ in summed.windows])
    about = recipe.bundle
    return FittedCards(
        calibrate_gender(scored, _scored(whole, labels, prepared, typical), about.error_when_decided),
        calibrate_age(scored, bundle.card.age.grid, about.coverage),
        calibrate_embedding(
            np.stack([window.embedding for window in windows]), recordings, prepared.speakers[recordings]
        ),
    )


def _score(
    judge: Judge,
    augmenter: Augmenter,
    recipe: Recipe,
    prepared: Prepared,
    row: int,
    amount: float,
    version: int,
) -> _Summed:
    samples = prepared.speech.samples(row)[: round(amount * SAMPLE_RATE)]
    if version:
        samples = augmenter(samples, np.random.default_rng((recipe.seed, 1_000_003, row)))
    extractor = build_features(prepared.plan.name, prepared.plan.config)
    windows, start = [], 0
    for size in plan_parts(samples.size, round(recipe.bundle.window * SAMPLE_RATE)):
        frames = extractor.extract(samples[start : start + size])
        windows.append(FeatureWindow((Span(start, start + size),), frames, size))
        start += size
    scores = judge.score(windows)
    weights = np.array([score.weight for score in scores]) / samples.size
    gender = float(weights @ [score.gender for score in scores])
    age = np.asarray(weights @ np.stack([score.age for score in scores]), dtype=np.float32)
    return _Summed(row, gender, age, tuple(scores))


def _scored(sums: list[_Summed], labels: Labels, prepared: Prepared, amount: float) -> Scored:
    rows = np.array([summed.row for summed in sums])
    speakers = prepared.speakers[rows]
    _, number, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    # A child's voice does not tell a gender: children would only teach doubt about adults.
    is_child = labels.age_high[rows] < _ADULT_VOICE
    return Scored(
        speech=amount,
        weights=1.0 / counts[number],
        female=np.where(is_child, np.nan, labels.female[rows].astype(np.float64)),
        age_low=labels.age_low[rows],
        age_high=labels.age_high[rows],
        gender=np.array([summed.gender for summed in sums]),
        age=np.stack([summed.age for summed in sums]),
    )
