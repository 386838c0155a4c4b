"""Validation speakers through the exported model, and the card's calibration from their scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from voxtrait.audio import SAMPLE_RATE
from voxtrait.bundle import Card, ModelBundle
from voxtrait.systems.system import AgeScale
from voxtrait.training.calibration import (
    ADULT_VOICE,
    Scored,
    calibrate_age,
    calibrate_embedding,
    calibrate_gender,
)
from voxtrait.training.prepare import Prepared
from voxtrait.training.recipe import Recipe
from voxtrait.training.sampling import Labels
from voxtrait.training.scorer import WHOLE, Scorer, Summed

__all__ = ["fit_card"]

#: Seconds of speech that a calibration row is fitted for; a recording counts from 0.8 of it.
_AMOUNTS = (1.0, 2.0, 4.0)
_FEWEST = 60


def fit_card(bundle: ModelBundle, recipe: Recipe, prepared: Prepared, ages: AgeScale) -> Card:
    """Return the card of ``bundle``, calibrated on validation speakers.

    They are heard as recorded and, where the recipe augments, under its random conditions too: a
    probability must mean the same where the recording is poor.
    """
    scorer = Scorer(bundle, recipe, prepared)
    card, labels = bundle.card, Labels.of(prepared.manifest, 0.0)
    rows = prepared.rows["validation"].tolist()
    sizes = prepared.speech.sizes()
    scored: list[Scored] = []
    for amount in _AMOUNTS:
        chosen = [row for row in rows if sizes[row] >= 0.8 * amount * SAMPLE_RATE]
        if len(chosen) >= _FEWEST or not scored:
            sums = scorer.score(chosen or rows, amount, (0, 1) if scorer.augments else (0,))
            scored.append(_scored(sums, labels, prepared, amount))
    whole = scorer.score(rows, WHOLE, (0,))
    typical = float(np.median(sizes[rows])) / SAMPLE_RATE
    about = recipe.bundle
    fitted: dict[str, Any] = {}
    if card.gender is not None:
        summed = _scored(whole, labels, prepared, typical)
        fitted["gender"] = calibrate_gender(
            scored, summed, about.error_when_decided, has_age=card.age is not None
        )
    if card.age is not None:
        fitted["age"] = calibrate_age(scored, ages, about.coverage)
    if card.embedding is not None:
        windows = [window for summed in whole for window in summed.windows]
        recordings = np.array([summed.row for summed in whole for _ in summed.windows])
        embeddings = np.stack([window.embedding for window in windows])
        fitted["embedding"] = calibrate_embedding(embeddings, recordings, prepared.speakers[recordings])
    return card.model_copy(update=fitted)


def _scored(sums: list[Summed], labels: Labels, prepared: Prepared, amount: float) -> Scored:
    rows = np.array([summed.row for summed in sums])
    speakers = prepared.speakers[rows]
    _, number, counts = np.unique(speakers, return_inverse=True, return_counts=True)
    # A child's voice does not tell a gender: children would only teach doubt about adults.
    is_child = labels.age_high[rows] < ADULT_VOICE
    return Scored(
        speech=amount,
        weights=1.0 / counts[number],
        female=np.where(is_child, np.nan, labels.female[rows].astype(np.float64)),
        age_low=labels.age_low[rows],
        age_high=labels.age_high[rows],
        gender=np.array([summed.gender for summed in sums]),
        age=np.stack([summed.age for summed in sums]),
    )
